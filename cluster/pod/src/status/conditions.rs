// SPDX-License-Identifier: Apache-2.0
//! Conditions of the pod.

use super::{end_reason, phase, succeeds};
use crate::machine::{Cause, Container, Machine};
use crate::reasons::pod;
use crate::spec::Kind;
use crate::time::stamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

const SANDBOX: &str = "PodReadyToStartContainers";
const INITIALIZED: &str = "Initialized";
const READY: &str = "Ready";
const CONTAINERS_READY: &str = "ContainersReady";
const SCHEDULED: &str = "PodScheduled";
const DISRUPTION: &str = "DisruptionTarget";
/// Those that the machine answers for; others are left as they are.
const OWN: [&str; 5] = [SANDBOX, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED];

/// What a condition is: true, or false with reason and message, which may be empty.
type Verdict = Result<&'static str, (&'static str, String)>;

/// All conditions, those of others first.
pub(super) fn of(machine: &Machine, status: &PodStatus) -> Vec<PodCondition> {
    let theirs = machine.spec.status.conditions.iter().flatten();
    let foreign = theirs.filter(|condition| !OWN.contains(&condition.type_.as_str()));
    let mut all: Vec<PodCondition> = foreign.cloned().collect();
    if machine.stop.as_ref().is_some_and(|stop| stop.cause == Cause::Shutdown) {
        all.retain(|condition| condition.type_ != DISRUPTION);
        let mut condition = own(machine, DISRUPTION, Ok(pod::BY_KUBELET));
        condition.message = Some(pod::SHUTDOWN_MESSAGE.to_owned());
        all.push(condition);
    }
    let sandbox = if machine.sandbox.is_ready() { Ok("") } else { Err(("", String::new())) };
    let containers = containers_ready(machine, status);
    let ready = containers.clone().and_then(|_| gates(machine, &all));
    for (type_, verdict) in [
        (SANDBOX, sandbox),
        (INITIALIZED, initialized(machine, status)),
        (READY, ready),
        (CONTAINERS_READY, containers),
        (SCHEDULED, Ok("")),
    ] {
        all.push(own(machine, type_, verdict));
    }
    all
}

/// One of the machine's own. The time of its last transition stays as long as its status does.
fn own(machine: &Machine, type_: &str, verdict: Verdict) -> PodCondition {
    let (status, reason, message) = match verdict {
        Ok(reason) => ("True", reason, String::new()),
        Err((reason, message)) => ("False", reason, message),
    };
    let published =
        machine.shown.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    let since = published.filter(|condition| condition.status == status);
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        message: (!message.is_empty()).then_some(message),
        last_transition_time: since
            .and_then(|condition| condition.last_transition_time.clone())
            .or(Some(stamp(machine.now))),
        observed_generation: published.and_then(|condition| condition.observed_generation),
        last_probe_time: None,
    }
}

fn names(containers: &[&Container]) -> String {
    let names: Vec<_> = containers.iter().map(|container| container.spec.name.as_str()).collect();
    format!("[{}]", names.join(" "))
}

fn initialized(machine: &Machine, status: &PodStatus) -> Verdict {
    if status.phase.as_deref() == Some("Succeeded") {
        return Ok(pod::COMPLETED);
    }
    let ran = |container: &Container| {
        container.run().is_some() || container.ended.is_some() || container.last.is_some()
    };
    let regular = |container: &&Container| container.spec.kind == Kind::Regular;
    // Sidecars that are started again do not undo what was reached once.
    if machine
        .containers
        .iter()
        .filter(regular)
        .any(|container| container.is_started() || ran(container))
    {
        return Ok("");
    }
    let incomplete = |container: &&Container| match container.spec.kind {
        Kind::Init => !container.is_ready(),
        Kind::Sidecar => !container.is_started(),
        Kind::Regular => false,
    };
    let incomplete: Vec<_> = machine.containers.iter().filter(incomplete).collect();
    if incomplete.is_empty() {
        return Ok("");
    }
    Err((
        pod::NOT_INITIALIZED,
        format!("containers with incomplete status: {}", names(&incomplete)),
    ))
}

fn containers_ready(machine: &Machine, status: &PodStatus) -> Verdict {
    if phase::is_terminal(status.phase.as_deref()) {
        return Err((end_reason(status.phase.as_deref() == Some("Succeeded")), String::new()));
    }
    if machine.stop.as_ref().is_some_and(|stop| !stop.deleted) {
        // Services must know at once that it ends, though its phase is that of an end only when nothing runs any more.
        return Err((end_reason(succeeds(machine)), String::new()));
    }
    let unready =
        |container: &&Container| container.spec.kind != Kind::Init && !container.is_ready();
    let unready: Vec<_> = machine.containers.iter().filter(unready).collect();
    if unready.is_empty() {
        return Ok("");
    }
    Err((pod::NOT_READY, format!("containers with unready status: {}", names(&unready))))
}

fn gates(machine: &Machine, conditions: &[PodCondition]) -> Verdict {
    let mut missing = Vec::new();
    for gate in &machine.spec.readiness_gates {
        match conditions.iter().find(|condition| condition.type_ == *gate) {
            None => missing.push(format!(
                "corresponding condition of pod readiness gate {gate:?} does not exist."
            )),
            Some(condition) if condition.status != "True" => {
                let status = &condition.status;
                missing.push(format!(
                    "the status of pod readiness gate {gate:?} is not \"True\", but {status}"
                ));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() { Ok("") } else { Err((pod::GATES, missing.join(", "))) }
}
