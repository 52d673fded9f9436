// SPDX-License-Identifier: Apache-2.0
//! Results of commands, led to whom they concern. A result that nobody waits for any more counts for nothing.

use super::Machine;
use super::container::{PostStart, Stage};
use super::sandbox::{SandboxStage, VolumesStage};
use crate::command::{Action, CommandId, Hook};
use crate::event::{Answer, Failure, Outcome};
use crate::time::SECOND;

/// A hook whose engine did not answer is run again after this long.
const HOOK_AGAIN: u64 = SECOND;

impl Machine {
    pub(super) fn answered(&mut self, id: CommandId, outcome: Outcome) {
        let Some(action) = self.books.close(id) else { return };
        match action {
            Action::PrepareVolumes if self.volumes.stage == VolumesStage::Asked(id) => {
                self.volumes_answered(failure(outcome));
            }
            Action::TearDownVolumes if self.volumes.stage == VolumesStage::Leaving(id) => {
                self.volumes_left(failure(outcome));
            }
            Action::CreateSandbox { .. }
                if self.sandbox.stage == SandboxStage::Creating(Some(id)) =>
            {
                match outcome {
                    Outcome::SandboxReady { id, addresses } => self.sandbox_ready(id, addresses),
                    other => self.sandbox_failed(unfit(other)),
                }
            }
            Action::RemoveSandbox { .. } if self.sandbox.stage == SandboxStage::Removing(id) => {
                self.sandbox_removed(failure(outcome));
            }
            Action::RemoveSandbox { .. } | Action::RemoveContainer(_) => {
                self.stray_answered(id, failure(outcome).is_some());
            }
            Action::LeaveRotation { .. } => {
                // If it failed, nothing is confirmed, and the time that it may take is waited.
                if let Outcome::RotationLeft { late } = outcome {
                    self.rotation_left(&late);
                }
            }
            Action::Look => self.looked(outcome),
            action => self.container_answered(action, id, outcome),
        }
    }

    fn looked(&mut self, outcome: Outcome) {
        self.look.open = None;
        match outcome {
            Outcome::Looked(view) => {
                self.look.tries = 0;
                self.reconcile(view, false);
            }
            _ => self.want_look(self.now + super::RETRY),
        }
    }

    fn container_answered(&mut self, action: Action, id: CommandId, outcome: Outcome) {
        let name = match &action {
            Action::FindImage { container, .. } | Action::PullImage { container, .. } => container,
            Action::CreateContainer(making) => &making.container,
            Action::StartContainer(instance)
            | Action::RunHook { instance, .. }
            | Action::Probe { instance, .. }
            | Action::Signal { instance, .. }
            | Action::Kill(instance) => &instance.container,
            _ => return,
        };
        let Some(at) = self.containers.iter().position(|container| container.spec.name == *name)
        else {
            return;
        };
        match (&self.containers[at].stage, action) {
            (Stage::Finding(open), Action::FindImage { .. }) if *open == id => match outcome {
                Outcome::ImageFound { image_id } => self.image_found(at, Some(image_id)),
                Outcome::ImageAbsent => self.image_found(at, None),
                other => self.image_not_looked_for(at, unfit(other)),
            },
            (Stage::Pulling(open, since), Action::PullImage { .. }) if *open == id => match outcome
            {
                Outcome::ImagePulled { image_id, bytes } => {
                    self.image_pulled(at, *since, image_id, bytes);
                }
                other => self.image_not_pulled(at, unfit(other)),
            },
            (Stage::Creating(open, _), Action::CreateContainer(making)) if *open == Some(id) => {
                match outcome {
                    Outcome::Created { id } => self.created(at, making, id),
                    other => self.not_created(at, making, unfit(other)),
                }
            }
            (Stage::Starting(open), Action::StartContainer(_)) if *open == Some(id) => {
                match outcome {
                    Outcome::Started { at: started_at } => self.started(at, started_at),
                    other => self.not_started(at, unfit(other)),
                }
            }
            (Stage::Running(_), action) => self.running_answered(at, action, id, outcome),
            _ => {}
        }
    }

    fn running_answered(&mut self, at: usize, action: Action, id: CommandId, outcome: Outcome) {
        match action {
            Action::RunHook { hook: Hook::PostStart, .. } => {
                self.post_start_answered(at, id, failure(outcome));
            }
            Action::RunHook { hook: Hook::PreStop, .. } => {
                self.pre_stop_answered(at, id, failure(outcome));
            }
            Action::Probe { probe, .. } => {
                let answer = match outcome {
                    Outcome::Probed(answer) => answer,
                    other => Answer::Unknown(text(unfit(other))),
                };
                self.probe_answered(at, probe, id, &answer);
            }
            Action::Signal { .. } => self.signal_answered(at, id, failure(outcome).is_some()),
            Action::Kill(_) => self.kill_answered(at, id, failure(outcome)),
            _ => {}
        }
    }

    fn post_start_answered(&mut self, at: usize, id: CommandId, failure: Option<Failure>) {
        let again = self.now + HOOK_AGAIN;
        let Some(run) = self.containers[at].run_mut() else { return };
        if run.hook != PostStart::Open(id) {
            return;
        }
        match failure {
            None => run.hook = PostStart::Done,
            // It may have run; that it can run twice is what users are told of hooks.
            Some(Failure::Unreachable(_)) => run.hook = PostStart::Wanted(again),
            Some(failure) => self.post_start_failed(at, text(failure)),
        }
    }

    /// What the engine was asked is not known to have been done: it went away meanwhile.
    pub(super) fn give_up_open(&mut self) {
        let of_engine = |action: &Action| {
            !matches!(
                action,
                Action::PrepareVolumes | Action::TearDownVolumes | Action::LeaveRotation { .. }
            )
        };
        let open: Vec<CommandId> =
            self.books.open().filter(|(_, action)| of_engine(action)).map(|(id, _)| id).collect();
        for id in open {
            let failure = Failure::Unreachable("the engine went away".to_owned());
            self.answered(id, Outcome::Failed(failure));
        }
    }
}

/// What failed, of a command that only has to be done.
fn failure(outcome: Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    }
}

/// What failed; an outcome of another kind of command does not say anything about this one.
fn unfit(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => Failure::Unreachable(format!("an outcome that does not fit: {other:?}")),
    }
}

fn text(failure: Failure) -> String {
    match failure {
        Failure::Unreachable(text)
        | Failure::Refused(text)
        | Failure::Config(text)
        | Failure::Fatal { message: text, .. } => text,
    }
}
