// SPDX-License-Identifier: Apache-2.0
//! The service over gRPC, as its clients see it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

mod contract;
mod durable;
mod fixture;
mod secure;
