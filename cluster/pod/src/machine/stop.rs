// SPDX-License-Identifier: Apache-2.0
//! The end of a pod: out of rotation, its containers in order, its sandbox, its volumes, and, if it is deleted, all that is left.

use super::container::{Container, Stage};
use super::{Machine, kill};
use crate::command::{Action, CommandId};
use crate::reasons::{event, pod};
use crate::spec::Kind;
use crate::time::{Millis, SECOND, go_duration};

/// How long it is waited for that no service sends new connections, inside the grace. A data plane that confirms later than this is dead or cut
/// off, and must not hold up the end of a pod.
pub(crate) const ROTATION: Millis = 2 * SECOND;
/// The shortest grace of a deletion, as upstream has it: a force deletion still sends SIGTERM first.
pub(crate) const DELETION_MIN: Millis = SECOND;

/// Why a pod ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is deleted.
    Deleted,
    /// All its containers have done their work, or have failed for good.
    Completed,
    /// It could not be initialised.
    Failed,
    /// It has been active for too long.
    Deadline,
    /// The machine goes down.
    Shutdown,
    /// It cannot run here.
    Fatal { reason: String, message: String },
    /// The API says that it has ended.
    Finished,
}

/// Whether services still send connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rotation {
    /// It is to be asked for.
    Wanted,
    /// It is waited for until then.
    Asked(CommandId, Millis),
    /// It is left, or not waited for any longer.
    Over,
}

/// A pod that ends.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    pub(crate) deleted: bool,
    /// The API does not have it any more: nothing is published.
    pub(crate) gone: bool,
    grace: Millis,
    deadline: Millis,
    rotation: Rotation,
    /// Whether its containers are being removed.
    removing: bool,
}

impl Stop {
    /// Reason and message of the pod's failure, if it did not fail by its containers.
    pub(crate) fn failure(&self) -> Option<(&str, &str)> {
        match &self.cause {
            Cause::Deadline => Some((event::DEADLINE, pod::DEADLINE_MESSAGE)),
            Cause::Shutdown => Some((pod::SHUTDOWN, pod::SHUTDOWN_MESSAGE)),
            Cause::Fatal { reason, message } => Some((reason, message)),
            Cause::Deleted | Cause::Completed | Cause::Failed | Cause::Finished => None,
        }
    }
}

impl Machine {
    /// The pod is to end within `grace`. One that is ending has no more time than that.
    pub(super) fn begin_stop(&mut self, cause: Cause, grace: Millis) {
        let deleted = cause == Cause::Deleted;
        let grace = if deleted { grace.max(DELETION_MIN) } else { grace };
        let deadline = self.now.saturating_add(grace);
        let Some(stop) = &mut self.stop else {
            let (gone, rotation, removing) = (false, Rotation::Wanted, false);
            self.stop = Some(Stop { cause, deleted, gone, grace, deadline, rotation, removing });
            return;
        };
        stop.deleted |= deleted;
        stop.grace = stop.grace.min(grace);
        if deadline < stop.deadline {
            stop.deadline = deadline;
            self.shorten_kills(deadline);
        }
    }

    /// The engine is back: an end that could not begin without it begins now, with its whole grace.
    pub(super) fn begin_stop_again(&mut self) {
        let now = self.now;
        if let Some(stop) = self.stop.as_mut().filter(|stop| stop.rotation == Rotation::Wanted) {
            stop.deadline = now.saturating_add(stop.grace);
        }
    }

    pub(super) fn check_deadline(&mut self) {
        let Some(limit) = self.spec.active_deadline.filter(|_| self.stop.is_none()) else { return };
        if self.is_time(self.started_at.saturating_add(limit)) {
            self.begin_stop(Cause::Deadline, self.spec.grace);
            self.tell_pod(false, event::DEADLINE, pod::DEADLINE_MESSAGE.to_owned());
        }
    }

    pub(super) fn wind_down(&mut self) {
        let Some(stop) = &self.stop else { return };
        let (deadline, grace) = (stop.deadline, stop.grace);
        // Who was being ended before has less time than it was given only if somebody outside wants that.
        let shortens = stop.deleted || stop.cause == Cause::Shutdown;
        self.leave_rotation();
        for at in 0..self.containers.len() {
            let container = &mut self.containers[at];
            container.next_waiting = None;
            match container.stage {
                Stage::Finding(id) | Stage::Pulling(id, _) => {
                    container.stage = Stage::Idle;
                    self.books.abandon(id);
                }
                Stage::Running(ref run) if run.kill.is_none() || shortens => {
                    let message = format!("Stopping container {}", container.spec.name);
                    // One whose start was under way has its time too.
                    let deadline = deadline.max(run.known_at.saturating_add(grace));
                    self.begin_kill(at, deadline, message, true);
                }
                Stage::Running(_)
                | Stage::Idle
                | Stage::Made
                | Stage::Creating(..)
                | Stage::Starting(_) => {}
            }
        }
    }

    fn leave_rotation(&mut self) {
        let Some(Stop { rotation, grace, .. }) = self.stop else { return };
        let next = match rotation {
            Rotation::Wanted => {
                let serves = |container: &Container| {
                    container.spec.kind != Kind::Init && container.run().is_some()
                };
                if self.containers.iter().any(serves) {
                    // Of a short grace the half is left for SIGTERM.
                    let limit = ROTATION.min(grace / 2);
                    let id = self.books.ask(Action::LeaveRotation { limit });
                    Rotation::Asked(id, self.now + limit)
                } else {
                    Rotation::Over
                }
            }
            Rotation::Asked(id, until) => {
                if !self.is_time(until) {
                    return;
                }
                self.books.abandon(id);
                let limit = go_duration(ROTATION.min(grace / 2));
                let message = format!(
                    "It was not confirmed within {limit} that no service sends new connections; going on"
                );
                self.tell_pod(true, event::ROTATION, message);
                Rotation::Over
            }
            Rotation::Over => return,
        };
        if let Some(stop) = &mut self.stop {
            stop.rotation = next;
        }
    }

    pub(super) fn rotation_left(&mut self, late: &[String]) {
        if let Some(stop) = &mut self.stop {
            stop.rotation = Rotation::Over;
        }
        if !late.is_empty() {
            let message = format!(
                "Nodes that did not confirm that they send no new connections: {}",
                late.join(", ")
            );
            self.tell_pod(true, event::ROTATION, message);
        }
    }

    pub(super) fn is_out_of_rotation(&self) -> bool {
        self.stop.as_ref().is_none_or(|stop| stop.rotation == Rotation::Over)
    }

    /// Whether everything of a pod that ends has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.stop.is_some() && !self.containers.iter().any(Container::is_live)
    }

    /// After the containers: the sandbox, the volumes, and of a deleted pod all the rest.
    pub(super) fn finish(&mut self) {
        if !self.has_ended() || !self.remove_sandbox() || !self.leave_volumes() {
            return;
        }
        let Some(stop) = self.stop.as_mut().filter(|stop| stop.deleted) else { return };
        if !stop.removing {
            stop.removing = true;
            let made = self
                .containers
                .iter()
                .filter(|container| container.made.is_some())
                .map(Container::instance);
            let left: Vec<_> = made
                .chain(self.containers.iter().filter_map(|container| container.kept.clone()))
                .collect();
            for instance in left {
                self.discard(instance);
            }
            self.remove_strays();
        }
        if self.strays.is_empty() {
            self.concluded = true;
            self.books.say(Action::Conclude);
        }
    }
}

// The bounds of one end fit together: who waits for the rotation still has a SIGTERM.
const _: () = assert!(DELETION_MIN / 2 < ROTATION && kill::TERM_MIN >= DELETION_MIN);
