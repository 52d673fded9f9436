// SPDX-License-Identifier: Apache-2.0
//! Controllers before the real apiserver, on a clock that jumps to what happens next.
#![allow(clippy::unwrap_used, reason = "what is not there is a failure of the test")]

mod budgets;
mod collector;
mod deployments;
mod endpoints;
mod nodes;
mod random;
mod replica_sets;
mod services;
mod trouble;
