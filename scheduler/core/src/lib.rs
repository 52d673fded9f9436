// SPDX-License-Identifier: Apache-2.0
//! The scheduling engine: decides which node each pod goes to, exactly as kube-scheduler v1.36 would with every node considered.
//!
//! Pure: no IO, no clock (time is an argument), no threads of its own, no randomness but a seed. Same events, same placements.
//!
//! Start with [`Engine`]. A decision runs through `specs` (a pod's spec, once), `class` (what equal pods share), `sig` (rules
//! compiled against the cluster), `decide` (groups, normalisation, the best node); `log` tells each of them what changed.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod budget;
mod class;
mod columns;
mod compile;
mod decide;
mod engine;
mod explain;
mod groups;
mod hash;
mod images;
mod inspect;
mod intern;
mod labels;
mod local;
mod log;
mod math;
mod nodes;
mod options;
mod outcome;
mod paged;
mod parallel;
mod peers;
mod pending;
mod pods;
mod preempt;
mod prepare;
mod queue;
mod record;
mod resume;
mod rules;
mod sig;
mod specs;
mod terms;
mod text;
mod ties;
mod trail;
mod uids;
mod vector;
mod victims;
mod volumes;
mod whatif;
pub mod words;

pub use engine::Engine;
pub use explain::{Explanation, NodeVerdict, Objection};
pub use inspect::{BindError, ClassView, PodView};
pub use math::tie_hash;
pub use options::Options;
pub use outcome::{Outcome, Placement, PodId, Refusal, Survey};
pub use paged::Paged;
pub use parallel::Parallel;
pub use pending::Decided;
pub use pods::{PodIx, PodState};
pub use preempt::{Eviction, Ineligible, PreemptionExplanation};
pub use prepare::AHEAD;
pub use queue::{Backoff, QueuePart, QueueSizes, Tick};
pub use record::{Answer, Input, PodName, Recorder, ReplayError, Replayed, Trace, replay};
pub use specs::SpecIx;
pub use uids::{UidHash, UidHasher};
pub use vector::Vector;
pub use volumes::Binding;

/// Place of a node in the columns; reused after the node is gone.
pub type Slot = u32;

/// Nodes to a block of columns: as many as a word has bits.
pub(crate) const BLOCK: usize = 64;
