// SPDX-License-Identifier: Apache-2.0
//! Statuses of containers; and what an old one tells a new machine.

use crate::event::Exit;
use crate::machine::{Container, Ended, Machine, Stage};
use crate::reasons::{ended, waiting};
use crate::spec::{ContainerSpec, Kind, Spec};
use crate::time::{stamp, unstamp};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, PodStatus,
};

/// What ids of this engine begin with.
const ENGINE: &str = "docker://";

/// Reasons that a new machine takes over from an old status.
const KNOWN: [&str; 10] = [
    waiting::CRASH,
    waiting::PULL,
    waiting::PULL_BACKOFF,
    waiting::NEVER_PULL,
    waiting::INSPECT,
    waiting::INVALID_NAME,
    waiting::CONFIG,
    waiting::CREATE,
    waiting::RUN,
    waiting::POST_START,
];

/// What a container waits for of which nothing else is known.
pub(crate) fn default_wait(spec: &Spec) -> &'static str {
    let init = spec.containers.iter().any(|container| container.kind != Kind::Regular);
    if init { waiting::INITIALIZING } else { waiting::CREATING }
}

/// The status of a container.
pub(crate) fn of(machine: &Machine, container: &Container) -> ContainerStatus {
    let mut status = ContainerStatus {
        name: container.spec.name.clone(),
        image: container.spec.image.clone(),
        ready: container.is_ready(),
        started: Some(container.is_started()),
        restart_count: i32::try_from(restarts(container)).unwrap_or(i32::MAX),
        ..ContainerStatus::default()
    };
    let (state, last) = states(machine, container);
    status.state = Some(state);
    status.last_state = Some(last.map(terminated).unwrap_or_default());
    let id = match (&container.stage, &container.ended, &container.last) {
        (Stage::Running(_), ..) => container.made.as_ref().map(|(_, id)| id.as_str()),
        (_, Some(ended), _) | (_, None, Some(ended)) => Some(ended.id.as_str()),
        _ => None,
    };
    if let Some(id) = id {
        status.container_id = (!id.is_empty()).then(|| format!("{ENGINE}{id}"));
        status.image_id.clone_from(&container.image_id);
    }
    status
}

/// The restart count: of an attempt that has not run yet it is not shown.
fn restarts(container: &Container) -> u32 {
    let coming =
        matches!(container.stage, Stage::Made | Stage::Starting(_)) && container.ended.is_some();
    container.restarts.saturating_sub(u32::from(coming))
}

/// The state, and the end that is shown as the last one.
fn states<'a>(
    machine: &'a Machine,
    container: &'a Container,
) -> (ContainerState, Option<&'a Ended>) {
    let last = container.last.as_ref();
    if let Stage::Running(run) = &container.stage {
        let running = ContainerStateRunning { started_at: Some(stamp(run.started_at)) };
        return (ContainerState { running: Some(running), ..ContainerState::default() }, last);
    }
    let policy = machine.spec.restart_policy;
    let comes_back =
        |ended: &Ended| machine.stop.is_none() && container.restarts_after(policy, ended);
    match (&container.waiting, &container.ended) {
        (Some((reason, message)), Some(ended)) if comes_back(ended) => {
            (waits(reason, message), Some(ended))
        }
        (_, Some(ended)) => (terminated(ended), last),
        (waiting, None) => {
            let plain = machine.containers.iter().all(|other| other.spec.kind == Kind::Regular);
            if machine.has_ended()
                && (plain || machine.initialized)
                && container.spec.kind != Kind::Init
            {
                return (terminated(&Ended::unknown(ended::LOST_AT_END)), last);
            }
            let state = match waiting {
                Some((reason, message)) => waits(reason, message),
                None => waits(default_wait(&machine.spec), ""),
            };
            (state, last)
        }
    }
}

fn waits(reason: &str, message: &str) -> ContainerState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(ended: &Ended) -> ContainerState {
    let Exit { code, started_at, finished_at, message, .. } = &ended.exit;
    let known = ended.reason != ended::UNKNOWN || *finished_at > 0;
    let terminated = ContainerStateTerminated {
        container_id: (!ended.id.is_empty()).then(|| format!("{ENGINE}{}", ended.id)),
        exit_code: *code,
        reason: Some(ended.reason.clone()),
        message: (!message.is_empty()).then(|| message.clone()),
        started_at: known.then(|| stamp(*started_at)),
        finished_at: known.then(|| stamp(*finished_at)),
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// What a status says of this container.
pub(crate) fn known<'a>(
    status: &'a PodStatus,
    spec: &ContainerSpec,
) -> Option<&'a ContainerStatus> {
    let list = if spec.kind == Kind::Regular {
        &status.container_statuses
    } else {
        &status.init_container_statuses
    };
    list.iter().flatten().find(|status| status.name == spec.name)
}

/// Whether a status is of that container of the engine.
pub(crate) fn is_of(status: &ContainerStatus, id: &str) -> bool {
    status.container_id.as_deref().and_then(|known| known.strip_prefix(ENGINE)) == Some(id)
}

/// What the container waits for, if that is more than the beginning of everything.
pub(crate) fn waiting_of(status: &ContainerStatus) -> Option<(&'static str, String)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = KNOWN.into_iter().find(|reason| waiting.reason.as_deref() == Some(reason))?;
    Some((reason, waiting.message.clone().unwrap_or_default()))
}

/// How the attempt before ended.
pub(crate) fn last_end(status: &ContainerStatus) -> Option<Ended> {
    status.last_state.as_ref()?.terminated.as_ref().map(end_of)
}

/// An end that a status tells of.
pub(crate) fn end_of(terminated: &ContainerStateTerminated) -> Ended {
    let exit = Exit {
        code: terminated.exit_code,
        oom: false,
        started_at: terminated.started_at.as_ref().map_or(0, unstamp),
        finished_at: terminated.finished_at.as_ref().map_or(0, unstamp),
        message: terminated.message.clone().unwrap_or_default(),
    };
    let id = terminated.container_id.as_deref().unwrap_or_default();
    let mut ended = Ended::new(exit, id.strip_prefix(ENGINE).unwrap_or(id), None);
    if let Some(reason) = &terminated.reason {
        ended.reason.clone_from(reason);
    }
    ended
}
