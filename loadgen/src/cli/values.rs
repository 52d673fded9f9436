// SPDX-License-Identifier: Apache-2.0
//! Values of flags: read, and within their bounds.

use berth_scheduler_model::limits::NODES_MAX;
use std::fmt::Display;
use std::str::FromStr;

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "not a number".to_owned())
}

pub(super) fn within<T: PartialOrd + Display>(value: T, least: T, most: T) -> Result<T, String> {
    let range = least..=most;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("must be between {} and {}", range.start(), range.end()))
}

/// Nodes of a cluster.
pub(super) fn nodes(text: &str) -> Result<usize, String> {
    within(number(text)?, 1, NODES_MAX)
}
