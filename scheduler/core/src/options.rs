// SPDX-License-Identifier: Apache-2.0
//! How an engine is set up.

use crate::class::LISTED;
use crate::parallel::Parallel;
use crate::queue::Backoff;
use crate::vector::Vector;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::profile::Profile;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Orders nodes of equal total; two engines with equal seeds and events decide alike.
    pub seed: u64,
    /// Seeds hash tables; changes no decision. Random in a service, against chosen collisions.
    pub hash_seed: u64,
    /// Profiles, chosen by a pod's `schedulerName`.
    pub profiles: Vec<Profile>,
    /// Bytes that lanes of classes and counts of signatures may take before the least recently used are dropped.
    pub class_bytes: usize,
    /// Best nodes that a class lists: with more, lists are seldom used up; with fewer, the best is found sooner. 0: none, all nodes
    /// are looked at for each decision. Changes no decision.
    pub listed: usize,
    /// Vector instructions of the machine.
    pub vector: Vector,
    /// Threads beside the caller's, for scans of many nodes and for [`crate::Engine::prepare`].
    pub parallel: Option<Arc<dyn Parallel>>,
    /// Preemption refuses to violate a disruption budget instead of doing it as a last resort.
    pub strict_budgets: bool,
    /// How refused pods back off.
    pub backoff: Backoff,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            hash_seed: 0,
            profiles: vec![Profile::default()],
            class_bytes: 256 << 20,
            listed: LISTED,
            vector: Vector::BASELINE,
            parallel: None,
            strict_budgets: false,
            backoff: Backoff::default(),
        }
    }
}
