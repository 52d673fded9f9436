// SPDX-License-Identifier: Apache-2.0
//! What the engine has of a pod, held against what the machine knows: at its beginning, after the engine was away, and when an answer is in doubt.

use super::container::{Container, PostStart, Run, Stage};
use super::sandbox::SandboxStage;
use super::start::set_running;
use super::{Cause, Ended, Machine, RETRY};
use crate::backoff::{Backoff, doubling};
use crate::command::{Action, CommandId, Instance, Making};
use crate::event::{ContainerView, Exit, State, View};
use crate::probe::Prober;
use crate::reasons::ended;
use crate::status;
use crate::time::{Millis, SECOND};

/// An engine that goes down ends its containers before it stops answering, and takes up to this long (Docker's own limit is 15 s): what ended in
/// that time ended with it.
const GOING_DOWN: Millis = 20 * SECOND;

/// Something of this pod that has no place in it; it is removed. Bounded by what the engine has.
#[derive(Debug, Clone)]
pub(crate) struct Stray {
    what: Left,
    /// Whether it may run, so that no other of its name may be made.
    live: bool,
    open: Option<CommandId>,
    again: Millis,
    tries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Left {
    Container(Instance),
    Sandbox(u32, String),
}

impl Machine {
    /// Takes over what the engine has.
    pub(super) fn adopt(&mut self, view: View) {
        self.adopt_sandbox(&view);
        for at in 0..self.containers.len() {
            let name = self.containers[at].spec.name.clone();
            let mut views: Vec<&ContainerView> =
                view.containers.iter().filter(|found| found.making.container == name).collect();
            views.sort_by_key(|found| std::cmp::Reverse(found.making.attempt));
            self.adopt_container(at, &views);
        }
        self.find_strays(&view);
        let attempt = self.sandbox.attempt;
        let here = |container: &Container| attempt.is_some_and(|attempt| container.is_in(attempt));
        let regular = |container: &&Container| container.spec.kind == crate::spec::Kind::Regular;
        self.initialized =
            self.sandbox.is_ready() && self.containers.iter().filter(regular).any(here);
        if status::phase::is_terminal(self.shown.phase.as_deref()) {
            self.begin_stop(Cause::Finished, self.spec.grace);
        }
        if let Some(grace) = self.spec.deletion {
            self.begin_stop(Cause::Deleted, grace);
        }
    }

    fn adopt_sandbox(&mut self, view: &View) {
        let addresses = self.shown.pod_ips.iter().flatten().map(|address| address.ip.clone());
        self.sandbox.addresses = addresses.collect();
        let joined = view.containers.iter().map(|found| found.making.sandbox_attempt).max();
        let Some(newest) = view.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt) else {
            return self.sandbox.remember(joined);
        };
        self.sandbox.remember(Some(newest.attempt));
        self.sandbox.id.clone_from(&newest.id);
        self.sandbox.stage = if newest.running { SandboxStage::Ready } else { SandboxStage::Dead };
        self.sandbox.known_at = self.now;
        if newest.running {
            self.sandbox.addresses.clone_from(&newest.addresses);
        }
    }

    /// `views`: what the engine has of that container, the newest attempt first.
    fn adopt_container(&mut self, at: usize, views: &[&ContainerView]) {
        let old = status::containers::known(&self.shown, &self.containers[at].spec).cloned();
        let Some(newest) = views.first() else {
            return self.adopt_nothing(at, old.as_ref());
        };
        let now = self.now;
        let container = &mut self.containers[at];
        container.last = old.as_ref().and_then(status::containers::last_end);
        if let Some(before) = views.get(1)
            && let State::Exited(exit) = &before.state
        {
            container.made = Some((before.making.clone(), before.id.clone()));
            container.restarts = before.making.attempt;
            container.kept = Some(container.instance());
            container.last = Some(container.end(exit.clone()));
        }
        container.restarts = newest.making.attempt;
        container.image_id.clone_from(&newest.making.image_id);
        container.made = Some((newest.making.clone(), newest.id.clone()));
        let since = match &newest.state {
            State::Created => now,
            State::Running { started_at } => *started_at,
            State::Exited(exit) => exit.started_at,
        };
        container.crash = Backoff::restored(newest.making.backoff, since);
        match &newest.state {
            State::Created => {
                // How the one before it ended is shown until it runs.
                container.ended = container.kept.is_some().then(|| container.last.take()).flatten();
                container.stage = Stage::Made;
            }
            State::Running { started_at } => {
                let same = old.as_ref().filter(|old| status::containers::is_of(old, &newest.id));
                let (up, ready) =
                    same.map_or((false, false), |old| (old.started == Some(true), old.ready));
                self.resume(at, *started_at, up, ready);
            }
            State::Exited(exit) => {
                container.ended = Some(container.end(exit.clone()));
                container.waiting = old.as_ref().and_then(status::containers::waiting_of);
            }
        }
    }

    /// A container that runs and is left alone: what was known of it goes on.
    fn resume(&mut self, at: usize, started_at: Millis, up: bool, ready: bool) {
        let now = self.now;
        let key = format!("{}/{}", self.spec.uid, self.containers[at].spec.name);
        let container = &mut self.containers[at];
        let probes = container.spec.probes;
        let up = up || probes[0].is_none();
        let verdicts = [up.then_some(true), None, (up && ready).then_some(true)];
        let mut probers = [None, None, None];
        for (which, prober) in probers.iter_mut().enumerate() {
            let part = spread(&key, which as u64);
            *prober = probes[which]
                .map(|spec| Prober::resumed(spec, started_at, now, verdicts[which], part));
        }
        // That its hook was run is known by its running: it is not run again.
        let hook = PostStart::Done;
        set_running(container, Run { started_at, known_at: now, hook, probers, up, kill: None });
    }

    /// The engine has nothing: what the API has is all that is known.
    fn adopt_nothing(
        &mut self,
        at: usize,
        old: Option<&k8s_openapi::api::core::v1::ContainerStatus>,
    ) {
        let Some(old) = old else { return };
        let policy = self.spec.restart_policy;
        let deleted = self.spec.deletion.is_some();
        let container = &mut self.containers[at];
        container.restarts = u32::try_from(old.restart_count).unwrap_or(0);
        container.image_id.clone_from(&old.image_id);
        container.last = status::containers::last_end(old);
        let state = old.state.as_ref();
        if let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) {
            container.ended = Some(status::containers::end_of(terminated));
        } else if state.is_some_and(|state| state.running.is_some()) {
            // It ran, and nobody can say how it ended. A container that may not run twice is not started again.
            let text = if deleted { ended::LOST_AT_END } else { ended::LOST };
            let lost = Ended { forgiven: true, ..Ended::unknown(text) };
            if !deleted && container.restarts_after(policy, &lost) {
                container.waiting =
                    Some((status::containers::default_wait(&self.spec), String::new()));
            }
            container.ended = Some(lost);
        } else {
            container.ended = container.last.take();
            container.waiting = status::containers::waiting_of(old);
        }
    }

    /// What of the pod the machine has no place for.
    fn find_strays(&mut self, view: &View) {
        for sandbox in &view.sandboxes {
            if Some(sandbox.attempt) != self.sandbox.attempt {
                self.discard_left(Left::Sandbox(sandbox.attempt, sandbox.id.clone()), false);
            }
        }
        for found in &view.containers {
            let Making { container: name, attempt, .. } = &found.making;
            let known = self.containers.iter().find(|container| container.spec.name == *name);
            let has_place = known.is_some_and(|container| {
                let kept = container.kept.as_ref().is_some_and(|kept| kept.attempt == *attempt);
                let coming = matches!(&container.stage, Stage::Creating(_, making) if making.attempt == *attempt);
                let newest = container.made.is_some() && container.restarts == *attempt;
                kept || coming || newest
            });
            if !has_place {
                let instance =
                    Instance { container: name.clone(), attempt: *attempt, id: found.id.clone() };
                let live = matches!(found.state, State::Running { .. });
                self.discard_left(Left::Container(instance), live);
            }
        }
    }

    /// The engine has this by now. Only what was there when it was asked can be missing.
    pub(super) fn reconcile(&mut self, view: View, forgiven: bool) {
        self.reconcile_sandbox(&view);
        for at in 0..self.containers.len() {
            let container = &self.containers[at];
            let attempt = match &container.stage {
                Stage::Creating(_, making) => making.attempt,
                _ => container.restarts,
            };
            let name = container.spec.name.clone();
            let here = |found: &&ContainerView| {
                found.making.container == name && found.making.attempt == attempt
            };
            let found = view.containers.iter().find(here).cloned();
            self.reconcile_container(at, found, view.taken_at, forgiven);
        }
        self.find_strays(&view);
    }

    fn reconcile_sandbox(&mut self, view: &View) {
        let attempt = self.sandbox.attempt;
        let found = view.sandboxes.iter().find(|sandbox| Some(sandbox.attempt) == attempt);
        match (self.sandbox.stage, found) {
            (SandboxStage::Ready, None) if self.sandbox.known_at < view.taken_at => {
                self.sandbox.stage = SandboxStage::Dead;
            }
            (SandboxStage::Ready, Some(found)) if !found.running => {
                self.sandbox.stage = SandboxStage::Dead;
            }
            (SandboxStage::Creating(None), Some(found)) => {
                self.sandbox_ready(found.id.clone(), found.addresses.clone());
                if !found.running {
                    self.sandbox.stage = SandboxStage::Dead;
                }
            }
            (SandboxStage::Creating(None), None) => self.sandbox.stage = SandboxStage::Absent,
            _ => {}
        }
    }

    fn reconcile_container(
        &mut self,
        at: usize,
        found: Option<ContainerView>,
        taken_at: Millis,
        forgiven: bool,
    ) {
        let container = &mut self.containers[at];
        match (&container.stage, found) {
            (Stage::Creating(None, _), Some(found)) => {
                self.created(at, found.making.clone(), found.id.clone());
                self.reconcile_container(at, Some(found), taken_at, forgiven);
            }
            (Stage::Creating(None, _), None) => container.stage = Stage::Idle,
            (Stage::Starting(None) | Stage::Made, Some(found)) => match found.state {
                State::Created => container.stage = Stage::Made,
                State::Running { started_at } => self.started(at, started_at),
                State::Exited(exit) => self.died(at, exit, forgiven),
            },
            (Stage::Starting(None), None) => self.unmake(at),
            (Stage::Starting(Some(_)) | Stage::Running(_), Some(found)) => {
                if let State::Exited(exit) = found.state {
                    self.died(at, exit, forgiven);
                }
            }
            (Stage::Running(run), None) if run.known_at < taken_at => {
                let exit = Exit {
                    code: ended::UNKNOWN_CODE,
                    started_at: run.started_at,
                    finished_at: self.now,
                    ..Exit::default()
                };
                self.died(at, exit, forgiven);
                if let Some(end) = &mut self.containers[at].ended {
                    ended::UNKNOWN.clone_into(&mut end.reason);
                    ended::LOST.clone_into(&mut end.exit.message);
                }
            }
            _ => {}
        }
    }

    pub(super) fn engine_went(&mut self) {
        self.engine_gone = true;
        let since = self.now.saturating_sub(GOING_DOWN);
        for container in &mut self.containers {
            let Some(ended) =
                container.ended.as_mut().filter(|ended| ended.exit.finished_at >= since)
            else {
                continue;
            };
            if ended.counted && !ended.forgiven {
                container.crash = container.crash_before;
            }
            ended.forgiven = true;
            container.next_waiting = None;
        }
    }

    pub(super) fn engine_back(&mut self, view: View) {
        self.engine_gone = false;
        self.begin_stop_again();
        self.give_up_open();
        self.reconcile(view, true);
        self.look.wanted_at = None;
        for container in &mut self.containers {
            container.retry_at = container.retry_at.min(self.now);
        }
    }

    pub(super) fn discard(&mut self, instance: Instance) {
        self.discard_left(Left::Container(instance), false);
    }

    fn discard_left(&mut self, what: Left, live: bool) {
        let same = |stray: &Stray| match (&stray.what, &what) {
            (Left::Container(known), Left::Container(new)) => {
                known.container == new.container && known.attempt == new.attempt
            }
            (Left::Sandbox(known, _), Left::Sandbox(new, _)) => known == new,
            _ => false,
        };
        if !self.strays.iter().any(same) {
            self.strays.push(Stray { what, live, open: None, again: 0, tries: 0 });
        }
    }

    /// Whether a container of this name is being removed that may run: no other is made meanwhile.
    pub(super) fn has_stray(&self, at: usize) -> bool {
        let name = &self.containers[at].spec.name;
        self.strays.iter().any(|stray| {
            stray.live
                && matches!(&stray.what, Left::Container(instance) if instance.container == *name)
        })
    }

    pub(super) fn remove_strays(&mut self) {
        for which in 0..self.strays.len() {
            let Stray { what, open, again, .. } = self.strays[which].clone();
            if open.is_none() && self.is_time(again) {
                let id = self.books.ask(match what {
                    Left::Container(instance) => Action::RemoveContainer(instance),
                    Left::Sandbox(attempt, id) => Action::RemoveSandbox { attempt, id },
                });
                self.strays[which].open = Some(id);
            }
        }
    }

    pub(super) fn stray_answered(&mut self, id: CommandId, failed: bool) {
        let now = self.now;
        let Some(which) = self.strays.iter().position(|stray| stray.open == Some(id)) else {
            return;
        };
        if !failed {
            self.strays.remove(which);
            return;
        }
        let stray = &mut self.strays[which];
        stray.open = None;
        stray.tries += 1;
        stray.again = now + doubling(SECOND, RETRY, stray.tries);
    }
}

/// A number that is another for each container and probe, and the same each time (FNV-1a).
fn spread(key: &str, which: u64) -> u64 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash ^ which).wrapping_mul(0x100_0000_01b3) >> 16
}
