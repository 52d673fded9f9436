// SPDX-License-Identifier: Apache-2.0
//! Checks of this repository that no other tool makes. Each takes the [`Workspace`] and gives the problems it found, each of
//! which says what to do.
//!
//! - [`layers`]: dependencies point down; pure crates stay pure.
//! - [`sources`]: headers, lengths, names.
//! - [`supply`]: what comes from outside.
//! - [`documents`]: links lead somewhere, commands exist, dependencies are argued.
//!
//! `cargo test -p berth-ci-tidy` runs all of them. What rustc, clippy and rustfmt check is not here.
#![forbid(unsafe_code)]

pub mod documents;
pub mod layers;
pub mod ratchet;
pub mod scan;
pub mod sources;
pub mod supply;
pub mod workspace;

pub use workspace::{Member, Workspace};
