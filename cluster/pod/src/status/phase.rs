// SPDX-License-Identifier: Apache-2.0
//! The phase of a pod, as upstream's `getPhase` finds it; and what never happens to one: it does not go back from Running to Pending, an end is for
//! good, and nothing has ended while something runs.

use crate::machine::{Cause, Machine};
use crate::spec::Kind;
use crate::status::succeeds;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

const PENDING: &str = "Pending";
const RUNNING: &str = "Running";
const SUCCEEDED: &str = "Succeeded";
const FAILED: &str = "Failed";

/// Whether a pod in that phase has ended.
pub(crate) fn is_terminal(phase: Option<&str>) -> bool {
    matches!(phase, Some(SUCCEEDED | FAILED))
}

/// The phase of a pod whose containers have these statuses.
pub(crate) fn of(machine: &Machine, status: &PodStatus) -> &'static str {
    match machine.shown.phase.as_deref() {
        Some(SUCCEEDED) => return SUCCEEDED,
        Some(FAILED) => return FAILED,
        _ => {}
    }
    if machine.has_ended() {
        let initialized = machine.stop.as_ref().is_none_or(|stop| stop.cause != Cause::Failed);
        return if initialized && succeeds(machine) { SUCCEEDED } else { FAILED };
    }
    let ran = machine.shown.phase.as_deref() == Some(RUNNING);
    if ran || is_running(machine, status) { RUNNING } else { PENDING }
}

/// Whether a pod that has not ended is more than pending.
fn is_running(machine: &Machine, status: &PodStatus) -> bool {
    let mut counts = Counts::default();
    let find = |name: &str| {
        let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        all.into_iter().find(|status| status.name == name)
    };
    for container in &machine.containers {
        let Some(found) = find(&container.spec.name) else { continue };
        match container.spec.kind {
            Kind::Init => counts.init(found),
            Kind::Sidecar => counts.sidecar(found),
            Kind::Regular => counts.regular(found),
        }
    }
    let pending = counts.pending_init > 0
        || (counts.pending_sidecars > 0 && !counts.regular_ran)
        || counts.waiting > 0;
    !pending && (counts.running > 0 || counts.stopped > 0)
}

#[derive(Default)]
struct Counts {
    pending_init: u32,
    pending_sidecars: u32,
    waiting: u32,
    running: u32,
    stopped: u32,
    regular_ran: bool,
}

/// Runs, has ended, has ended and waits, or waits: the last with nothing before.
fn parts(status: &ContainerStatus) -> (bool, bool, bool) {
    let state = status.state.clone().unwrap_or_default();
    let ended_before = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    (state.running.is_some(), state.terminated.is_some(), state.waiting.is_some() && ended_before)
}

impl Counts {
    fn init(&mut self, status: &ContainerStatus) {
        let (_, ended, waits_again) = parts(status);
        // One that failed, and is not tried again, ends the pod, which is not decided here.
        let over = ended || waits_again;
        self.pending_init += u32::from(!over);
    }

    fn sidecar(&mut self, status: &ContainerStatus) {
        let (running, ended, waits_again) = parts(status);
        self.running += u32::from(running);
        self.pending_sidecars += u32::from(running && status.started != Some(true));
        if !running && !ended && !waits_again {
            self.pending_sidecars += 1;
            self.waiting += 1;
        }
    }

    fn regular(&mut self, status: &ContainerStatus) {
        let (running, ended, waits_again) = parts(status);
        self.running += u32::from(running);
        self.stopped += u32::from(ended || waits_again);
        self.waiting += u32::from(!running && !ended && !waits_again);
        self.regular_ran |= running || ended || waits_again;
    }
}
