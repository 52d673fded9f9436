// SPDX-License-Identifier: Apache-2.0
//! The API over sockets and TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

#[path = "../kit/mod.rs"]
mod kit;
mod listener;
#[path = "../kit/place.rs"]
mod place;
mod slow;
