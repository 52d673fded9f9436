// SPDX-License-Identifier: Apache-2.0
//! The Kubernetes API over HTTP. So far: what a request asks for ([`path`], [`query`]), and in which form it wants its answer
//! ([`accept`]).
#![forbid(unsafe_code)]

pub mod accept;
pub mod path;
pub mod query;
