// SPDX-License-Identifier: Apache-2.0
//! The scheduling engine as a service.
#![forbid(unsafe_code)]

pub mod convert;
pub mod sequencer;
