// SPDX-License-Identifier: Apache-2.0
//! What is on an engine, as far as it is this agent's.

use crate::labels::{self, Agent, Identity};
use crate::moment::Moment;
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A sandbox or a container of this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The engine's id of it.
    pub id: String,
    /// Which part of which pod it is.
    pub identity: Identity,
    /// What it was made to be, as a digest.
    pub spec: String,
    /// What the agent wanted to know again.
    pub facts: BTreeMap<String, String>,
    /// How it is.
    pub state: State,
    /// Its image's id.
    pub image_id: String,
    /// The name or id that its image was asked for by.
    pub image: String,
    /// When it was made.
    pub created: Option<Moment>,
    /// Of a sandbox: its addresses, as far as it has a network of its own and runs.
    pub addresses: Vec<IpAddr>,
    /// The file that its output goes to, on the engine's host.
    pub log_path: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is open.
    pub stdin: bool,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where in its life.
    pub phase: Phase,
    /// What it ended with. Of one that could not be started, what a shell would say.
    pub exit_code: i32,
    /// Whether the kernel killed a process in it for want of memory since it started.
    pub oom_killed: bool,
    /// When it last started.
    pub started: Option<Moment>,
    /// When it last ended.
    pub finished: Option<Moment>,
    /// Why it could not be started.
    pub error: String,
    /// Its first process, as the engine's host numbers them; 0 if it does not run.
    pub pid: i32,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It never ran.
    Created,
    /// It runs.
    Running,
    /// Somebody has frozen it.
    Paused,
    /// It ended.
    Exited,
    /// It is being removed, or that failed and is to be tried again.
    Removing,
}

/// All that an agent has on an engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Sandboxes, by pod and attempt.
    pub sandboxes: Vec<Seen>,
    /// Containers, by pod, name and attempt.
    pub containers: Vec<Seen>,
    /// Ids of what the agent has run for a moment only, and was to be removed: remove it.
    pub left_over: Vec<String>,
}

/// Reads what the engine tells of a container. None if it is not this agent's.
pub(crate) fn seen(agent: &Agent, found: ContainerInspectResponse) -> Option<Seen> {
    let config = found.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default().into_iter().collect();
    let name = found.name.unwrap_or_default();
    let read = labels::read(agent, name.trim_start_matches('/'), &labels)?;
    let networks = found.network_settings.and_then(|settings| settings.networks);
    let networks: BTreeMap<_, _> = networks.unwrap_or_default().into_iter().collect();
    let texts = networks.into_values().flat_map(|end| [end.ip_address, end.global_ipv6_address]);
    Some(Seen {
        id: found.id.unwrap_or_default(),
        identity: read.identity,
        spec: read.spec,
        facts: read.facts,
        state: state(found.state.unwrap_or_default()),
        image_id: found.image.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        created: found.created.and_then(|text| Moment::parse(&text)),
        addresses: texts.flatten().filter_map(|text| text.parse().ok()).collect(),
        log_path: found.log_path.unwrap_or_default(),
        tty: config.tty.unwrap_or(false),
        stdin: config.open_stdin.unwrap_or(false),
    })
}

fn state(state: ContainerState) -> State {
    let phase = match state.status {
        Some(ContainerStateStatusEnum::CREATED) => Phase::Created,
        Some(ContainerStateStatusEnum::RUNNING) => Phase::Running,
        Some(ContainerStateStatusEnum::PAUSED) => Phase::Paused,
        Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD) => {
            Phase::Removing
        }
        // Ours are never restarted by the engine. Whatever else there will be: its process tells.
        _ if state.running == Some(true) => Phase::Running,
        _ => Phase::Exited,
    };
    let small = |number: Option<i64>| number.and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    let moment = |text: Option<String>| text.and_then(|text| Moment::parse(&text));
    State {
        phase,
        exit_code: small(state.exit_code),
        oom_killed: state.oom_killed.unwrap_or(false),
        started: moment(state.started_at),
        finished: moment(state.finished_at),
        error: state.error.unwrap_or_default(),
        pid: small(state.pid),
    }
}
