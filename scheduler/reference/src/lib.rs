// SPDX-License-Identifier: Apache-2.0
//! The naive scheduler: the rules of kube-scheduler v1.36 written down as they read.
//!
//! It keeps plain maps of objects and nothing else; for every question it looks at everything anew. It is what the engine is
//! compared with, so it is written for being read, and shares no code with it.
//!
//! Each rule has a file: `filters` and `scores` say which run; `preemption` is on top of both.
#![forbid(unsafe_code)]

mod affinity;
mod filters;
mod fit;
mod interpod;
mod logarithm;
mod pods;
mod preemption;
mod scheduler;
mod scores;
mod snapshot;
mod spread;
mod state;
mod volumes;

pub use logarithm::ln;
pub use scheduler::Scheduler;
