// SPDX-License-Identifier: Apache-2.0
//! What happens in a run, as it can be replayed.

use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;

/// One step of a run.
#[derive(Debug, Clone)]
pub enum Step {
    /// The cluster changes.
    Apply(Event),
    /// The scheduler places a pod.
    Place(Pod),
    /// What placements decided about claims is done: the cluster says so.
    Settle,
    /// Both are asked about a pod.
    Ask(Pod, Question),
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Every total, the number of refusals by plugin, and the choice.
    Decision,
    /// The choice as a placement makes it: the pod is placed, and gone again.
    Choice,
    /// Every reason and every score besides.
    Verdict,
    /// Who would have to go.
    Preemption,
}
