// SPDX-License-Identifier: Apache-2.0
//! Patches: what an object becomes by them. All are pure, bounded in what they build, and say what upstream says.

mod json;
mod merge;
mod order;
mod strategic;

pub use json::json;
pub use merge::merge;
pub use strategic::strategic;

/// How many operations a JSON patch may have; upstream's number.
pub const OPERATIONS_MAX: usize = 10_000;

/// How many bytes the copies of a JSON patch may add: as many as the body of a request may have.
pub const GROWTH_MAX: usize = 3 * 1024 * 1024;

#[cfg(test)]
mod tests;
