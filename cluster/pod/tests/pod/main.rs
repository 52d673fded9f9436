// SPDX-License-Identifier: Apache-2.0
//! Lives of pods: told events by a naive engine under a clock of its own. `life` has one for each rule, `random` many with every kind of
//! trouble, and `checks` the promises that hold in all of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test expects is there, or the test fails"
)]

mod checks;
mod ends;
mod engine;
mod images;
mod life;
mod probes;
mod random;
mod restarts;
mod statuses;
mod world;
