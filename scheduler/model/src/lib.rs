// SPDX-License-Identifier: Apache-2.0
//! The scheduler's vocabulary: what a pod asks for, what a node offers, how labels are selected, which rules there are and
//! what they say when they refuse.
//!
//! Pure data: no IO, no clock, no decisions. Everything here is *validated*: the shells (gRPC, Kubernetes objects) turn what
//! they read into these types and report bad input by its field path; the engine takes them as they are.
//!
//! Start with [`pod::Pod`], [`node::Node`] and [`profile::Profile`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod labels;
pub mod limits;
pub mod node;
pub mod objects;
pub mod pod;
pub mod profile;
pub mod quantity;
pub mod requests;
pub mod rules;
pub mod volume;

/// A shared, immutable piece of text: names and label values occur in many places at once.
pub type Str = alloc::sync::Arc<str>;
