// SPDX-License-Identifier: Apache-2.0
//! One container of the pod: what the machine knows of it.
//!
//! ```text
//!          ┌──────────────────────────── ended, or failed ────────────────────────────┐
//!          ▼                                                                           │
//!   Idle ──▶ Finding ──▶ (Pulling) ──▶ Creating ──▶ Made ──▶ Starting ──▶ Running ─────┘
//! ```
//!
//! `Creating` and `Starting` without a command are in doubt: the engine did not answer, and is asked what it has.

use crate::backoff::Backoff;
use crate::command::{CommandId, Instance, Making};
use crate::event::Exit;
use crate::probe::Prober;
use crate::reasons;
use crate::spec::{ContainerSpec, Kind, RestartPolicy};
use crate::time::Millis;

/// Where a container is in its life.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Nothing is under way.
    Idle,
    /// Its image is looked for.
    Finding(CommandId),
    /// Its image is pulled, since then.
    Pulling(CommandId, Millis),
    /// It is made.
    Creating(Option<CommandId>, Making),
    /// It is made, and not started.
    Made,
    /// It is started.
    Starting(Option<CommandId>),
    /// It runs.
    Running(Box<Run>),
}

/// A container that runs.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) started_at: Millis,
    /// Since when the machine knows.
    pub(crate) known_at: Millis,
    pub(crate) hook: PostStart,
    pub(crate) probers: [Option<Prober>; 3],
    /// Whether its startup probe has been good once.
    pub(crate) up: bool,
    pub(crate) kill: Option<Kill>,
}

impl Run {
    /// Whether its hook after the start has failed.
    pub(crate) fn hook_failed(&self) -> bool {
        self.hook == PostStart::Failed
    }

    /// The hook before its end, if that runs.
    pub(crate) fn hook_before_end(&self) -> Option<CommandId> {
        match self.kill.as_ref()?.step {
            KillStep::Hook(id) => Some(id),
            _ => None,
        }
    }
}

/// The hook after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostStart {
    /// It is to be run, from then on.
    Wanted(Millis),
    /// It runs.
    Open(CommandId),
    /// It has ended well, or there is none.
    Done,
    /// It has failed.
    Failed,
}

/// A container that is being ended.
#[derive(Debug, Clone)]
pub(crate) struct Kill {
    /// Until when it may take.
    pub(crate) deadline: Millis,
    /// Whether sidecars wait for their turn.
    pub(crate) ordered: bool,
    pub(crate) step: KillStep,
}

/// How far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillStep {
    /// The pod is leaving the rotation of its services.
    Rotation,
    /// The hook before the end is to be run, from then on.
    WantsHook(Millis),
    /// The hook before the end runs.
    Hook(CommandId),
    /// Others end first.
    Turn,
    /// It was told to end, first at that time. Without a command and before `again` it has heard.
    Signalled { at: Millis, open: Option<CommandId>, again: Option<Millis> },
    /// It is ended, for the how manieth time.
    Killed { open: Option<CommandId>, again: Millis, tries: u32 },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) reason: String,
    /// The engine's id; empty where it is not known.
    pub(crate) id: String,
    /// In which sandbox it ran.
    pub(crate) sandbox: Option<u32>,
    /// Whether it ended with the engine: the next attempt does not wait.
    pub(crate) forgiven: bool,
    /// Whether the wait before the next attempt is over and counted.
    pub(crate) counted: bool,
}

impl Ended {
    pub(crate) fn new(exit: Exit, id: &str, sandbox: Option<u32>) -> Self {
        let reason = match exit.code {
            _ if exit.oom => reasons::ended::OOM,
            0 => reasons::ended::COMPLETED,
            _ => reasons::ended::ERROR,
        };
        let (reason, id) = (reason.to_owned(), id.to_owned());
        Self { exit, reason, id, sandbox, forgiven: false, counted: false }
    }

    /// Of one that is gone without a trace.
    pub(crate) fn unknown(message: &str) -> Self {
        let message = message.to_owned();
        let exit = Exit { code: reasons::ended::UNKNOWN_CODE, message, ..Exit::default() };
        let reason = reasons::ended::UNKNOWN.to_owned();
        Self { reason, ..Self::new(exit, "", None) }
    }
}

/// Why a container does not run: reason and message.
pub(crate) type Waiting = (&'static str, String);

/// One container of the pod.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) spec: ContainerSpec,
    pub(crate) stage: Stage,
    /// What the newest attempt was made of; its engine's id.
    pub(crate) made: Option<(Making, String)>,
    /// How the newest attempt that was started ended; until the next one is started.
    pub(crate) ended: Option<Ended>,
    /// How the one before it ended.
    pub(crate) last: Option<Ended>,
    /// The one before it, kept for its logs.
    pub(crate) kept: Option<Instance>,
    /// The restart count: the number of the newest attempt.
    pub(crate) restarts: u32,
    /// The image's id, once it is known.
    pub(crate) image_id: String,
    pub(crate) crash: Backoff,
    /// The same before the newest attempt.
    pub(crate) crash_before: Backoff,
    pub(crate) pull: Backoff,
    /// What the last pull failed of.
    pub(crate) pull_error: String,
    /// Not before then.
    pub(crate) retry_at: Millis,
    pub(crate) waiting: Option<Waiting>,
    /// What it waits for from then on.
    pub(crate) next_waiting: Option<(Millis, Waiting)>,
    /// What its hook after the start failed of.
    pub(crate) hook_error: String,
    /// It is started again whatever its policy says, for its spec has changed.
    pub(crate) again: bool,
}

impl Container {
    pub(crate) fn new(spec: ContainerSpec) -> Self {
        Self {
            spec,
            stage: Stage::Idle,
            made: None,
            ended: None,
            last: None,
            kept: None,
            restarts: 0,
            image_id: String::new(),
            crash: Backoff::default(),
            crash_before: Backoff::default(),
            pull: Backoff::default(),
            pull_error: String::new(),
            retry_at: 0,
            waiting: None,
            next_waiting: None,
            hook_error: String::new(),
            again: false,
        }
    }

    /// As events name it.
    pub(crate) fn field_path(&self) -> String {
        let list = if self.spec.kind == Kind::Regular { "containers" } else { "initContainers" };
        format!("spec.{list}{{{}}}", self.spec.name)
    }

    /// The newest attempt in the engine; without id if there is none.
    pub(crate) fn instance(&self) -> Instance {
        let id = self.made.as_ref().map(|(_, id)| id.clone()).unwrap_or_default();
        Instance { container: self.spec.name.clone(), attempt: self.restarts, id }
    }

    /// The number of the next attempt.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.restarts + u32::from(self.made.is_some() || self.ended.is_some())
    }

    pub(crate) fn run(&self) -> Option<&Run> {
        match &self.stage {
            Stage::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.stage {
            Stage::Running(run) => Some(run),
            _ => None,
        }
    }

    /// Whether it may be running.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Creating(..) | Stage::Starting(_) | Stage::Running(_))
    }

    /// Whether an answer of the engine about it is in doubt.
    pub(crate) fn in_doubt(&self) -> bool {
        matches!(self.stage, Stage::Creating(None, _) | Stage::Starting(None))
    }

    /// Whether others may count on it: it runs, its hook has ended, and its startup probe is good.
    pub(crate) fn is_started(&self) -> bool {
        self.run().is_some_and(|run| run.hook == PostStart::Done && run.up)
    }

    /// Whether it can be sent work; of an init container, whether it has done its work.
    pub(crate) fn is_ready(&self) -> bool {
        if self.spec.kind == Kind::Init {
            return self.ended.as_ref().is_some_and(|ended| ended.exit.code == 0)
                && matches!(self.stage, Stage::Idle);
        }
        let readiness =
            |run: &Run| run.probers[2].as_ref().is_none_or(|prober| prober.verdict == Some(true));
        self.is_started() && self.run().is_some_and(readiness)
    }

    /// Whether it was made in this sandbox.
    pub(crate) fn is_in(&self, sandbox: u32) -> bool {
        self.made.as_ref().is_some_and(|(making, _)| making.sandbox_attempt == sandbox)
    }

    /// Whether it has done its work, and need not run again in this sandbox.
    pub(crate) fn is_done(&self, policy: RestartPolicy, sandbox: Option<u32>) -> bool {
        let Some(ended) = self.ended.as_ref().filter(|_| matches!(self.stage, Stage::Idle)) else {
            return false;
        };
        match self.spec.kind {
            Kind::Init if ended.exit.code == 0 => sandbox.is_none() || ended.sandbox == sandbox,
            _ => !self.restarts_after(policy, ended),
        }
    }

    /// Whether it is started again after such an end.
    pub(crate) fn restarts_after(&self, policy: RestartPolicy, ended: &Ended) -> bool {
        if self.again {
            return true;
        }
        match (self.spec.kind, policy) {
            (Kind::Sidecar, _) | (Kind::Regular, RestartPolicy::Always) => true,
            (_, RestartPolicy::Never) => false,
            (_, _) => ended.exit.code != 0,
        }
    }
}
