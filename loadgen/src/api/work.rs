// SPDX-License-Identifier: Apache-2.0
//! What rows do, a module for each family.

pub mod create;

use super::storm::Tally;
use crate::report::count;

/// Figures of a storm, with the CPU that the server took for a request.
fn figures(tally: &Tally, cpu_seconds: f64) -> [(&'static str, f64, &'static str); 4] {
    [
        ("per_second", tally.per_second(), "1/s"),
        ("p50_us", tally.one.us(0.5), "us"),
        ("p99_us", tally.one.us(0.99), "us"),
        ("cpu_us", cpu_seconds * 1e6 / count(tally.requests()), "us"),
    ]
}
