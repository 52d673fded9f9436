// SPDX-License-Identifier: Apache-2.0
//! The end of a running container:
//!
//! ```text
//!   (out of rotation) ──▶ (preStop) ──▶ (its turn) ──▶ SIGTERM ──▶ SIGKILL, not before the grace is over
//! ```
//!
//! The grace runs from the beginning. What is left of it when the hook has ended, or others had their turn, is for SIGTERM; that is never less
//! than [`TERM_MIN`].

use super::container::{Kill, KillStep, PostStart};
use super::{Container, Machine, RETRY};
use crate::backoff::doubling;
use crate::command::{Action, CommandId, Hook};
use crate::event::Failure;
use crate::reasons::event;
use crate::spec::Kind;
use crate::time::{Millis, SECOND};

/// A container has this long after SIGTERM, though its grace be over: upstream's minimum, so that a hook that took all of it does not lead
/// to a SIGKILL out of the blue.
pub(crate) const TERM_MIN: Millis = 2 * SECOND;
/// A signal that was not delivered is sent again after this long.
const SIGNAL_AGAIN: Millis = SECOND;

impl Machine {
    /// Ends a running container until `deadline`; one that is ended already has no more time than that.
    pub(super) fn begin_kill(
        &mut self,
        at: usize,
        deadline: Millis,
        message: String,
        ordered: bool,
    ) {
        let step = if self.stop.is_some() { KillStep::Rotation } else { KillStep::WantsHook(0) };
        let Some(run) = self.containers[at].run_mut() else { return };
        if let Some(kill) = &mut run.kill {
            kill.deadline = kill.deadline.min(deadline);
            return;
        }
        run.kill = Some(Kill { deadline, ordered, step });
        let hook = if let PostStart::Open(id) = run.hook { Some(id) } else { None };
        // It need not prove any more that it is up or lives; whether it can be sent work is asked until its end.
        let probers = run.probers.iter_mut().take(2).flatten();
        let mut open: Vec<CommandId> = hook.into_iter().collect();
        for prober in probers {
            prober.hold();
            open.extend(prober.open());
            prober.dropped(self.now);
        }
        for id in open {
            self.books.abandon(id);
        }
        self.tell(at, false, event::KILLING, message);
    }

    /// Nobody gets more time than until `deadline`.
    pub(super) fn shorten_kills(&mut self, deadline: Millis) {
        for container in &mut self.containers {
            if let Some(kill) = container.run_mut().and_then(|run| run.kill.as_mut()) {
                kill.deadline = kill.deadline.min(deadline);
            }
        }
    }

    pub(super) fn advance_kills(&mut self) {
        for at in 0..self.containers.len() {
            while let Some(next) = self.next_kill_step(at) {
                if let Some(kill) = self.containers[at].run_mut().and_then(|run| run.kill.as_mut())
                {
                    kill.step = next;
                }
            }
        }
    }

    fn next_kill_step(&mut self, at: usize) -> Option<KillStep> {
        let container = &self.containers[at];
        let Kill { deadline, ordered, step } = *container.run()?.kill.as_ref()?;
        let pre_stop = container.spec.pre_stop;
        match step {
            KillStep::Rotation => self.is_out_of_rotation().then_some(KillStep::WantsHook(0)),
            KillStep::WantsHook(_) if !pre_stop || self.is_time(deadline) => Some(KillStep::Turn),
            KillStep::WantsHook(from) => {
                if !self.is_time(from) {
                    return None;
                }
                let (instance, limit) = (self.containers[at].instance(), Some(deadline - self.now));
                let id = self.books.ask(Action::RunHook { instance, hook: Hook::PreStop, limit });
                Some(KillStep::Hook(id))
            }
            KillStep::Hook(id) => {
                if !self.is_time(deadline) {
                    return None;
                }
                self.books.abandon(id);
                Some(KillStep::Turn)
            }
            KillStep::Turn => {
                let turn = !ordered || self.is_turn(at) || self.is_time(deadline);
                turn.then(|| KillStep::Signalled {
                    at: self.now,
                    open: Some(self.signal(at)),
                    again: None,
                })
            }
            KillStep::Signalled { at: since, open, again } => {
                if self.is_time(deadline.max(since + TERM_MIN)) {
                    return Some(KillStep::Killed {
                        open: Some(self.kill(at)),
                        again: 0,
                        tries: 1,
                    });
                }
                let again = again.filter(|_| open.is_none())?;
                self.is_time(again).then(|| KillStep::Signalled {
                    at: since,
                    open: Some(self.signal(at)),
                    again: None,
                })
            }
            KillStep::Killed { open: None, again, tries } => {
                let tries = tries.saturating_add(1);
                self.is_time(again).then(|| KillStep::Killed {
                    open: Some(self.kill(at)),
                    again: 0,
                    tries,
                })
            }
            KillStep::Killed { open: Some(_), .. } => None,
        }
    }

    fn signal(&mut self, at: usize) -> CommandId {
        let (instance, signal) =
            (self.containers[at].instance(), self.containers[at].spec.stop_signal.clone());
        self.books.ask(Action::Signal { instance, signal })
    }

    fn kill(&mut self, at: usize) -> CommandId {
        let instance = self.containers[at].instance();
        self.books.ask(Action::Kill(instance))
    }

    /// Sidecars end after all others, the last one first.
    fn is_turn(&self, at: usize) -> bool {
        let before = |(other, container): (usize, &Container)| match container.spec.kind {
            Kind::Regular => true,
            Kind::Sidecar => other > at,
            Kind::Init => false,
        };
        let is_sidecar = self.containers[at].spec.kind == Kind::Sidecar;
        let mut others = self.containers.iter().enumerate();
        !is_sidecar
            || !others.any(|(other, container)| before((other, container)) && container.is_live())
    }

    pub(super) fn pre_stop_answered(&mut self, at: usize, id: CommandId, failure: Option<Failure>) {
        let again = self.now + SIGNAL_AGAIN;
        let Some(kill) = self.containers[at].run_mut().and_then(|run| run.kill.as_mut()) else {
            return;
        };
        if kill.step != KillStep::Hook(id) {
            return;
        }
        match failure {
            Some(Failure::Unreachable(_)) => kill.step = KillStep::WantsHook(again),
            None => kill.step = KillStep::Turn,
            Some(_) => {
                kill.step = KillStep::Turn;
                // What it said may be secret, and stays out of the event.
                self.tell(at, true, event::FAILED_PRE_STOP, "PreStopHook failed".to_owned());
            }
        }
    }

    pub(super) fn signal_answered(&mut self, at: usize, id: CommandId, failed: bool) {
        let retry = failed.then_some(self.now + SIGNAL_AGAIN);
        let Some(kill) = self.containers[at].run_mut().and_then(|run| run.kill.as_mut()) else {
            return;
        };
        if let KillStep::Signalled { open, again, .. } = &mut kill.step
            && *open == Some(id)
        {
            (*open, *again) = (None, retry);
        }
    }

    /// Nothing survives SIGKILL; if its death is not heard of, the engine is asked.
    pub(super) fn kill_answered(&mut self, at: usize, id: CommandId, failure: Option<Failure>) {
        let now = self.now;
        let Some(kill) = self.containers[at].run_mut().and_then(|run| run.kill.as_mut()) else {
            return;
        };
        let KillStep::Killed { open, again, tries } = &mut kill.step else { return };
        if *open != Some(id) {
            return;
        }
        *open = None;
        *again = now + if failure.is_some() { doubling(SECOND, RETRY, *tries) } else { RETRY };
        let (look_at, first) = (*again, *tries == 1);
        self.want_look(look_at);
        if let Some(
            Failure::Refused(why) | Failure::Config(why) | Failure::Fatal { message: why, .. },
        ) = failure
            && first
        {
            self.tell_pod(true, event::FAILED_KILL, format!("error killing pod: {why}"));
        }
    }
}
