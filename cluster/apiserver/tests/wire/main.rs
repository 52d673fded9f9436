// SPDX-License-Identifier: Apache-2.0
//! The API over sockets and TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

mod cuts;
#[path = "../kit/mod.rs"]
mod kit;
mod listener;
#[path = "../kit/place.rs"]
mod place;
mod slow;
mod stops;
#[path = "../../../store/tests/stores/tier.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod tier;
