// SPDX-License-Identifier: Apache-2.0
//! What the containers of a pod stand on: its volumes and its sandbox.

use super::{Cause, Container, Machine, RETRY, Stage};
use crate::backoff::doubling;
use crate::command::{Action, CommandId};
use crate::event::Failure;
use crate::reasons::event;
use crate::spec::{Kind, RestartPolicy};
use crate::time::{Millis, SECOND};

/// The first wait and the longest after volumes could not be made, as upstream's volume operations have them.
const VOLUMES_FIRST: Millis = 500;
const VOLUMES_LONGEST: Millis = 122 * SECOND;

/// Where the volumes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum VolumesStage {
    /// They are to be made. What is there already stays: containers may be using it.
    #[default]
    Wanted,
    /// They are made.
    Asked(CommandId),
    /// They are there.
    Ready,
    /// They are to be taken down.
    Unwanted,
    /// They are taken down.
    Leaving(CommandId),
    /// They are gone.
    Gone,
}

/// The volumes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volumes {
    pub(crate) stage: VolumesStage,
    tries: u32,
    retry_at: Millis,
}

/// Where the sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SandboxStage {
    /// There is none.
    #[default]
    Absent,
    /// It is made; without a command that is in doubt.
    Creating(Option<CommandId>),
    /// It runs.
    Ready,
    /// It has ended, or its containers must leave it.
    Dead,
    /// It is removed.
    Removing(CommandId),
}

/// The sandbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sandbox {
    pub(crate) stage: SandboxStage,
    /// The how manieth it is, or was; `None` before the first one.
    pub(crate) attempt: Option<u32>,
    pub(crate) id: String,
    /// The pod's addresses; those of the last sandbox stay until there is another.
    pub(crate) addresses: Vec<String>,
    /// Since when the machine knows that it runs.
    pub(crate) known_at: Millis,
    /// The one that is being made was said to have ended.
    died_early: bool,
    /// Users know that it has ended.
    told: bool,
    /// Whether the newest attempt has run.
    made: bool,
    /// It is not made before then.
    create_at: Millis,
    /// It is not removed before then; how often that has failed.
    remove_at: Millis,
    tries: u32,
}

impl Sandbox {
    pub(crate) fn in_doubt(&self) -> bool {
        self.stage == SandboxStage::Creating(None)
    }

    /// It was there before this machine was.
    pub(super) fn remember(&mut self, attempt: Option<u32>) {
        self.attempt = attempt;
        self.made = attempt.is_some();
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.stage == SandboxStage::Ready
    }
}

impl Machine {
    pub(super) fn want_volumes(&mut self) {
        let retry_at = self.volumes.retry_at;
        if self.volumes.stage == VolumesStage::Wanted && self.is_time(retry_at) {
            self.volumes.stage = VolumesStage::Asked(self.books.ask(Action::PrepareVolumes));
        }
    }

    pub(super) fn volumes_answered(&mut self, failure: Option<Failure>) {
        match failure {
            None => self.volumes = Volumes { stage: VolumesStage::Ready, ..Volumes::default() },
            Some(Failure::Fatal { reason, message }) => self.reject(reason, message),
            Some(failure) => {
                self.volumes_failed();
                self.volumes.stage = VolumesStage::Wanted;
                if let Failure::Refused(message) | Failure::Config(message) = failure {
                    self.tell_pod(true, event::FAILED_MOUNT, message);
                }
            }
        }
    }

    fn volumes_failed(&mut self) {
        self.volumes.tries += 1;
        self.volumes.retry_at =
            self.now + doubling(VOLUMES_FIRST, VOLUMES_LONGEST, self.volumes.tries);
    }

    /// Takes the volumes down. Gives whether they are gone.
    pub(super) fn leave_volumes(&mut self) -> bool {
        match self.volumes.stage {
            VolumesStage::Gone => return true,
            VolumesStage::Leaving(_) => return false,
            VolumesStage::Unwanted => {}
            stage => {
                // The agent carries out what concerns a pod's volumes in order, so that the one does not run into the other.
                if let VolumesStage::Asked(id) = stage {
                    self.books.abandon(id);
                }
                self.volumes = Volumes { stage: VolumesStage::Unwanted, ..Volumes::default() };
            }
        }
        let retry_at = self.volumes.retry_at;
        if self.is_time(retry_at) {
            self.volumes.stage = VolumesStage::Leaving(self.books.ask(Action::TearDownVolumes));
        }
        false
    }

    pub(super) fn volumes_left(&mut self, failure: Option<Failure>) {
        self.volumes.stage =
            if failure.is_some() { VolumesStage::Unwanted } else { VolumesStage::Gone };
        let Some(failure) = failure else { return };
        self.volumes_failed();
        if let Failure::Refused(message)
        | Failure::Config(message)
        | Failure::Fatal { message, .. } = failure
        {
            self.tell_pod(true, event::FAILED_UNMOUNT, message);
        }
    }

    /// The sandbox as it must be for containers to run.
    pub(super) fn want_sandbox(&mut self) {
        match self.sandbox.stage {
            SandboxStage::Absent if self.containers.iter().any(Container::is_live) => {
                self.leave_sandbox();
            }
            SandboxStage::Absent => self.create_sandbox(),
            SandboxStage::Dead => self.leave_sandbox(),
            SandboxStage::Creating(_) | SandboxStage::Ready | SandboxStage::Removing(_) => {}
        }
    }

    fn create_sandbox(&mut self) {
        if self.volumes.stage != VolumesStage::Ready {
            return;
        }
        if !self.needs_sandbox() {
            return self.begin_stop(Cause::Completed, self.spec.grace);
        }
        let create_at = self.sandbox.create_at;
        if self.is_time(create_at) {
            // One that could not be made is tried again under its number, so that what is half made is found.
            let attempt =
                self.sandbox.attempt.map_or(0, |attempt| attempt + u32::from(self.sandbox.made));
            self.sandbox.attempt = Some(attempt);
            self.sandbox.made = false;
            self.sandbox.id.clear();
            self.sandbox.died_early = false;
            let id = self.books.ask(Action::CreateSandbox { attempt });
            self.sandbox.stage = SandboxStage::Creating(Some(id));
        }
    }

    /// Everything leaves a sandbox that has ended.
    fn leave_sandbox(&mut self) {
        if !self.sandbox.told {
            self.sandbox.told = true;
            if self.needs_sandbox() {
                let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
                self.tell_pod(false, event::SANDBOX_CHANGED, message);
            }
        }
        for at in 0..self.containers.len() {
            let container = &mut self.containers[at];
            match container.stage {
                Stage::Finding(id) | Stage::Pulling(id, _) => {
                    container.stage = Stage::Idle;
                    self.books.abandon(id);
                }
                Stage::Made => self.unmake(at),
                Stage::Running(ref run) if run.kill.is_none() => {
                    let message = format!("Stopping container {}", container.spec.name);
                    let deadline = self.now + self.spec.grace;
                    self.begin_kill(at, deadline, message, true);
                }
                Stage::Running(_) | Stage::Idle | Stage::Creating(..) | Stage::Starting(_) => {}
            }
        }
    }

    /// A container that was made for this sandbox and never started is of no use in the next one.
    pub(super) fn unmake(&mut self, at: usize) {
        let container = &mut self.containers[at];
        let instance = container.instance();
        container.made = None;
        container.stage = Stage::Idle;
        if container.ended.is_some() {
            container.restarts = container.restarts.saturating_sub(1);
        }
        self.discard(instance);
    }

    /// Whether there is anything left to do in a new sandbox: as upstream's `computePodActions` decides.
    fn needs_sandbox(&self) -> bool {
        let policy = self.spec.restart_policy;
        let ran = |container: &Container| container.made.is_some() || container.ended.is_some();
        if policy == RestartPolicy::Never
            && self.sandbox.attempt.is_some()
            && self.containers.iter().any(ran)
        {
            return false;
        }
        let mut regular =
            self.containers.iter().filter(|container| container.spec.kind == Kind::Regular);
        let succeeded = |container: &Container| {
            container.ended.as_ref().is_some_and(|ended| ended.exit.code == 0)
        };
        regular.any(|container| {
            policy != RestartPolicy::OnFailure || container.is_live() || !succeeded(container)
        })
    }

    /// Removes a sandbox that has ended, once nothing runs in it.
    pub(super) fn sandbox_after_kills(&mut self) {
        let live = self.containers.iter().any(Container::is_live);
        if self.sandbox.stage == SandboxStage::Dead && !live {
            self.remove_sandbox();
        }
    }

    /// Removes the sandbox. Gives whether there is none.
    pub(super) fn remove_sandbox(&mut self) -> bool {
        match self.sandbox.stage {
            SandboxStage::Absent => return true,
            SandboxStage::Creating(_) | SandboxStage::Removing(_) => return false,
            SandboxStage::Ready | SandboxStage::Dead => self.sandbox.stage = SandboxStage::Dead,
        }
        let remove_at = self.sandbox.remove_at;
        if self.is_time(remove_at) {
            let (attempt, id) = (self.sandbox.attempt.unwrap_or(0), self.sandbox.id.clone());
            let id = self.books.ask(Action::RemoveSandbox { attempt, id });
            self.sandbox.stage = SandboxStage::Removing(id);
        }
        false
    }

    pub(super) fn sandbox_removed(&mut self, failure: Option<Failure>) {
        let Some(failure) = failure else {
            self.sandbox.stage = SandboxStage::Absent;
            self.sandbox.tries = 0;
            self.sandbox.remove_at = 0;
            return;
        };
        self.sandbox.stage = SandboxStage::Dead;
        self.sandbox.tries += 1;
        self.sandbox.remove_at = self.now + doubling(SECOND, RETRY, self.sandbox.tries);
        if let Failure::Refused(message)
        | Failure::Config(message)
        | Failure::Fatal { message, .. } = failure
        {
            self.tell_pod(true, event::FAILED_KILL, format!("error killing pod: {message}"));
        }
    }

    /// It runs.
    pub(super) fn sandbox_ready(&mut self, id: String, addresses: Vec<String>) {
        let dead = self.sandbox.died_early;
        self.sandbox = Sandbox {
            stage: if dead { SandboxStage::Dead } else { SandboxStage::Ready },
            attempt: self.sandbox.attempt,
            id,
            addresses,
            known_at: self.now,
            made: true,
            ..Sandbox::default()
        };
        self.initialized = false;
    }

    pub(super) fn sandbox_failed(&mut self, failure: Failure) {
        match failure {
            Failure::Unreachable(_) => {
                self.sandbox.stage = SandboxStage::Creating(None);
                return;
            }
            Failure::Fatal { reason, message } => self.reject(reason, message),
            Failure::Refused(message) | Failure::Config(message) => {
                // While it ends, nobody misses it.
                if self.stop.is_none() {
                    self.tell_pod(
                        true,
                        event::FAILED_SANDBOX,
                        format!("Failed to create pod sandbox: {message}"),
                    );
                }
            }
        }
        // What was half made goes before the next try, and before the pod does.
        self.sandbox.stage = SandboxStage::Dead;
        self.sandbox.told = true;
        self.sandbox.create_at = self.now + RETRY;
    }

    pub(super) fn sandbox_died(&mut self, attempt: u32) {
        if self.sandbox.attempt != Some(attempt) {
            return;
        }
        match self.sandbox.stage {
            SandboxStage::Creating(_) => self.sandbox.died_early = true,
            SandboxStage::Ready => self.sandbox.stage = SandboxStage::Dead,
            SandboxStage::Absent | SandboxStage::Dead | SandboxStage::Removing(_) => {}
        }
    }

    /// The pod cannot run here, ever.
    pub(super) fn reject(&mut self, reason: String, message: String) {
        self.begin_stop(Cause::Fatal { reason, message }, self.spec.grace);
    }
}
