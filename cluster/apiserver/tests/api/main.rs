// SPDX-License-Identifier: Apache-2.0
//! The API as its users see it, served within the process. One program: linking and optimising what all of them use costs minutes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

mod attacks;
mod certificates;
mod conformance;
mod election;
#[path = "../../../store/tests/stores/etcd.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod etcd;
mod events;
mod fence;
mod hollow;
mod informer;
mod joining;
mod kinds;
#[path = "../kit/mod.rs"]
mod kit;
mod lifecycle;
mod limits;
mod nodes;
mod pages;
mod random;
mod replicas;
mod reviews;
mod servers;
#[path = "../../../store/tests/stores/tier.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod tier;
mod watch;
mod writes;
