// SPDX-License-Identifier: Apache-2.0
//! The Kubernetes API over HTTP. So far: what a request asks for ([`path`], [`query`], [`listing`]), in which form it wants its answer
//! ([`accept`]), and how objects lie in the store ([`object`]) and
//! become lists and events ([`render`]).
#![forbid(unsafe_code)]

pub mod accept;
#[cfg(test)]
mod fixtures;
pub mod listing;
pub mod object;
pub mod path;
pub mod query;
pub mod render;
