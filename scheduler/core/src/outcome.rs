// SPDX-License-Identifier: Apache-2.0
//! What names a pod, and what is said of it.

use crate::Slot;
use crate::pods::PodIx;
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;

/// What names a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodId<'a> {
    /// Identity over time.
    pub uid: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has a node; it counts there from now on.
    Placed(Placement),
    /// No node will do.
    Refused(Refusal),
    /// The uid is known: nothing was decided anew.
    Known(PodIx),
}

/// A pod on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The pod.
    pub pod: PodIx,
    /// The node.
    pub node: Slot,
    /// Weighted sum of the scores; 0 where room had been made: there no node is scored.
    pub total: i64,
    /// Nodes that would have done; 1 where room had been made: no other is looked at.
    pub feasible: u32,
}

/// Why no node will do: nodes by the plugin that refused them first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// By [`Plugin`], filters only.
    pub nodes: [u32; Plugin::FILTERS],
    /// No profile serves the pod's scheduler name.
    pub no_profile: bool,
}

/// Where a pod could go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Feasible nodes with their totals, by slot.
    pub totals: Vec<(Slot, i64)>,
    /// The node that a placement would choose, with its total.
    pub choice: Option<(Slot, i64)>,
    /// Nodes that are not feasible, by plugin.
    pub refusal: Refusal,
}
