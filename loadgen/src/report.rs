// SPDX-License-Identifier: Apache-2.0
//! What a run found out: figures by row, for people and for machines.

pub mod api;
pub mod balance;
pub mod html;
pub mod json;
pub mod peers;
pub mod promises;
pub mod row;
pub mod svg;
pub mod table;
pub mod trace;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured: a row, a trace, a file.
    pub name: String,
    /// Which property of it.
    pub metric: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// A count as a figure's value. Exact up to 2^53, which no run of this program reaches.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn count(value: u64) -> f64 {
    value as f64
}
