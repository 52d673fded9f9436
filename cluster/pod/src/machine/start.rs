// SPDX-License-Identifier: Apache-2.0
//! From nothing to a running container: the wait after a crash, the image, making, starting.

use super::container::{Container, PostStart, Run, Stage};
use super::sandbox::VolumesStage;
use super::{Ended, Machine, RETRY, SHOWN};
use crate::command::{Action, Making};
use crate::event::{Exit, Failure};
use crate::image::{self, PullPolicy};
use crate::probe::Prober;
use crate::reasons::{ended, event, waiting};
use crate::spec::{ContainerSpec, Kind};
use crate::time::{Millis, SECOND, go_duration};

/// After an engine did not answer, and nothing is in doubt.
const AGAIN: Millis = SECOND;

impl Machine {
    /// Takes the next step towards a running container, if none is under way.
    pub(super) fn start(&mut self, at: usize) {
        let retry_at = self.containers[at].retry_at;
        let ready = self.volumes.stage == VolumesStage::Ready && self.sandbox.is_ready();
        let idle = matches!(self.containers[at].stage, Stage::Idle);
        let made = matches!(self.containers[at].stage, Stage::Made);
        if idle && ready && !self.has_stray(at) && self.is_time(retry_at) {
            self.begin(at);
        } else if made && self.is_time(retry_at) {
            let instance = self.containers[at].instance();
            let id = self.books.ask(Action::StartContainer(instance));
            self.containers[at].stage = Stage::Starting(Some(id));
        }
    }

    /// Begins, if the wait after the last end is over.
    fn begin(&mut self, at: usize) {
        let now = self.now;
        if let Some(until) = self.held_up(at) {
            self.is_time(until);
            return;
        }
        let container = &mut self.containers[at];
        container.next_waiting = None;
        if let Some(ended) = &mut container.ended {
            if ended.forgiven || ended.counted {
                container.crash.again(now);
            } else {
                container.crash_before = container.crash;
                container.crash.next(ended.exit.finished_at.min(now), now);
            }
            ended.counted = true;
        }
        let ContainerSpec { name, image, .. } = container.spec.clone();
        if let Err(why) = image::check(&image) {
            let message = format!(
                "Failed to apply default image tag {image:?}: couldn't parse image reference {image:?}: {why}"
            );
            self.tell(at, true, event::INSPECT_FAILED, message.clone());
            return self.image_fails(at, waiting::INVALID_NAME, message);
        }
        let id = self.books.ask(Action::FindImage { container: name, image });
        self.containers[at].stage = Stage::Finding(id);
    }

    /// Until when the last end holds it up.
    fn held_up(&mut self, at: usize) -> Option<Millis> {
        let (now, described) = (self.now, self.spec.described());
        let container = &mut self.containers[at];
        let ended = container.ended.as_ref().filter(|ended| !ended.forgiven && !ended.counted)?;
        let until = container.crash.until(ended.exit.finished_at.min(now), now)?;
        let shown = container.waiting.as_ref().is_some_and(|(reason, _)| *reason == waiting::CRASH);
        if !shown && container.next_waiting.is_none() {
            let wait = go_duration(container.crash.wait());
            let name = &container.spec.name;
            let message =
                format!("back-off {wait} restarting failed container={name} pod={described}");
            container.next_waiting = Some((now + SHOWN, (waiting::CRASH, message)));
        }
        Some(until)
    }

    /// It cannot be started for now.
    fn cannot_start(&mut self, at: usize, reason: &'static str, message: String) {
        let retry_at = self.now + RETRY;
        let container = &mut self.containers[at];
        container.stage = Stage::Idle;
        container.waiting = Some((reason, message));
        container.next_waiting = None;
        container.retry_at = retry_at;
    }

    fn image_fails(&mut self, at: usize, reason: &'static str, message: String) {
        self.cannot_start(at, reason, message);
        self.tell_error(at, reason);
    }

    /// The engine did not answer a question that changes nothing.
    fn ask_again(&mut self, at: usize) {
        self.containers[at].stage = Stage::Idle;
        self.containers[at].retry_at = self.now + AGAIN;
    }

    pub(super) fn image_found(&mut self, at: usize, found: Option<String>) {
        let ContainerSpec { image, pull, .. } = self.containers[at].spec.clone();
        match (found, pull) {
            (Some(image_id), PullPolicy::IfNotPresent | PullPolicy::Never) => {
                let message = format!("Container image {image:?} already present on machine");
                self.tell(at, false, event::PULLED, message);
                self.create(at, image_id);
            }
            (None, PullPolicy::Never) => {
                let message =
                    format!("Container image {image:?} is not present with pull policy of Never");
                self.tell(at, true, event::NEVER_PULL, message.clone());
                self.image_fails(at, waiting::NEVER_PULL, message);
            }
            (_, PullPolicy::Always) | (None, PullPolicy::IfNotPresent) => self.pull(at, image),
        }
    }

    pub(super) fn image_not_looked_for(&mut self, at: usize, failure: Failure) {
        match failure {
            Failure::Unreachable(_) => self.ask_again(at),
            Failure::Refused(why) | Failure::Config(why) | Failure::Fatal { message: why, .. } => {
                let message =
                    format!("Failed to inspect image {:?}: {why}", self.containers[at].spec.image);
                self.tell(at, true, event::INSPECT_FAILED, message.clone());
                self.image_fails(at, waiting::INSPECT, message);
            }
        }
    }

    fn pull(&mut self, at: usize, image: String) {
        let now = self.now;
        if let Some(until) = self.containers[at].pull.held(now) {
            let message = self.pull_backoff(at);
            self.cannot_start(at, waiting::PULL_BACKOFF, message);
            self.containers[at].retry_at = until;
            return;
        }
        self.tell(at, false, event::PULLING, format!("Pulling image {image:?}"));
        let container = self.containers[at].spec.name.clone();
        let id = self.books.ask(Action::PullImage { container, image });
        self.containers[at].stage = Stage::Pulling(id, now);
    }

    fn pull_backoff(&self, at: usize) -> String {
        let container = &self.containers[at];
        let error = &container.pull_error;
        let mut message = format!("Back-off pulling image {:?}", container.spec.image);
        if !error.is_empty() {
            message.push_str(": ErrImagePull: ");
            message.push_str(error);
        }
        message
    }

    pub(super) fn image_pulled(&mut self, at: usize, since: Millis, image_id: String, bytes: u64) {
        let took = go_duration(self.now.saturating_sub(since));
        let image = &self.containers[at].spec.image;
        let message = format!(
            "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {bytes} bytes."
        );
        self.tell(at, false, event::PULLED, message);
        self.create(at, image_id);
    }

    pub(super) fn image_not_pulled(&mut self, at: usize, failure: Failure) {
        let why = match failure {
            Failure::Unreachable(_) => return self.ask_again(at),
            Failure::Refused(why) | Failure::Config(why) | Failure::Fatal { message: why, .. } => {
                why
            }
        };
        let image = &self.containers[at].spec.image;
        let message = format!("Failed to pull image {image:?}: {why}");
        self.tell(at, true, event::FAILED, message);
        self.image_fails(at, waiting::PULL, why.clone());
        let now = self.now;
        let container = &mut self.containers[at];
        container.pull_error = why;
        container.pull.next(now, now);
        container.retry_at = container.pull.held(now).unwrap_or(now);
        let message = self.pull_backoff(at);
        self.containers[at].next_waiting = Some((now + SHOWN, (waiting::PULL_BACKOFF, message)));
    }

    fn create(&mut self, at: usize, image_id: String) {
        let container = &self.containers[at];
        let making = Making {
            container: container.spec.name.clone(),
            attempt: container.next_attempt(),
            sandbox: self.sandbox.id.clone(),
            sandbox_attempt: self.sandbox.attempt.unwrap_or(0),
            image: container.spec.image.clone(),
            image_id,
            backoff: if container.ended.is_some() { container.crash.wait() } else { 0 },
        };
        if !self.sandbox.is_ready() {
            // It ended while the image came.
            self.containers[at].stage = Stage::Idle;
            return;
        }
        let id = self.books.ask(Action::CreateContainer(making.clone()));
        self.containers[at].stage = Stage::Creating(Some(id), making);
    }

    pub(super) fn created(&mut self, at: usize, making: Making, id: String) {
        self.take_made(at, making, id);
        let message = format!("Created container: {}", self.containers[at].spec.name);
        self.tell(at, false, event::CREATED, message);
    }

    /// There is a container of this attempt. The one before it is kept for its logs, the one before that goes.
    pub(super) fn take_made(&mut self, at: usize, making: Making, id: String) {
        let container = &mut self.containers[at];
        let old = container.made.is_some().then(|| container.instance());
        let gone = if old.is_some() { std::mem::replace(&mut container.kept, old) } else { None };
        container.restarts = making.attempt;
        container.image_id.clone_from(&making.image_id);
        container.made = Some((making, id));
        container.again = false;
        container.stage = Stage::Made;
        container.retry_at = 0;
        if let Some(gone) = gone {
            self.discard(gone);
        }
    }

    pub(super) fn not_created(&mut self, at: usize, making: Making, failure: Failure) {
        match failure {
            // It may be there or not.
            Failure::Unreachable(_) => self.containers[at].stage = Stage::Creating(None, making),
            Failure::Config(message) => {
                self.tell_error(at, &message);
                self.cannot_start(at, waiting::CONFIG, message);
            }
            Failure::Refused(message) | Failure::Fatal { message, .. } => {
                self.tell_error(at, &message);
                self.cannot_start(at, waiting::CREATE, message);
            }
        }
    }

    pub(super) fn started(&mut self, at: usize, started_at: Millis) {
        let message = format!("Started container {}", self.containers[at].spec.name);
        self.tell(at, false, event::STARTED, message);
        let now = self.now;
        let container = &mut self.containers[at];
        let hook = if container.spec.post_start { PostStart::Wanted(now) } else { PostStart::Done };
        let probers =
            container.spec.probes.map(|probe| probe.map(|spec| Prober::new(spec, started_at)));
        let up = probers[0].is_none();
        set_running(container, Run { started_at, known_at: now, hook, probers, up, kill: None });
    }

    pub(super) fn not_started(&mut self, at: usize, failure: Failure) {
        let message = match failure {
            Failure::Unreachable(_) => return self.containers[at].stage = Stage::Starting(None),
            Failure::Refused(message)
            | Failure::Config(message)
            | Failure::Fatal { message, .. } => message,
        };
        self.tell_error(at, &message);
        let exit = Exit {
            code: ended::START_CODE,
            finished_at: self.now,
            message: message.clone(),
            ..Exit::default()
        };
        let container = &mut self.containers[at];
        let mut end = container.end(exit);
        ended::START.clone_into(&mut end.reason);
        container.close(end);
        container.waiting = Some((waiting::RUN, message));
    }

    /// A container of the pod has ended, with the engine or by itself.
    pub(super) fn died(&mut self, at: usize, exit: Exit, forgiven: bool) {
        match &self.containers[at].stage {
            Stage::Running(run) => {
                let hook = if let PostStart::Open(id) = run.hook { Some(id) } else { None };
                let probes = run.probers.iter().flatten().filter_map(Prober::open);
                let open: Vec<_> =
                    hook.into_iter().chain(probes).chain(run.hook_before_end()).collect();
                for id in open {
                    self.books.abandon(id);
                }
            }
            Stage::Starting(open) => {
                // Its result is known by now.
                if let Some(id) = *open {
                    self.books.close(id);
                }
                self.started(at, exit.started_at);
            }
            Stage::Made => self.started(at, exit.started_at),
            Stage::Idle | Stage::Finding(_) | Stage::Pulling(..) | Stage::Creating(..) => return,
        }
        let container = &mut self.containers[at];
        let mut end = container.end(exit);
        end.forgiven = forgiven;
        container.close(end);
    }
}

/// The container runs, and what held it up is over.
pub(super) fn set_running(container: &mut Container, run: Run) {
    if let Some(ended) = container.ended.take() {
        container.last = Some(ended);
    }
    container.waiting = None;
    container.next_waiting = None;
    container.stage = Stage::Running(Box::new(run));
}

impl Container {
    /// Such an end of the newest attempt.
    pub(super) fn end(&self, exit: Exit) -> Ended {
        let (sandbox, id) = match &self.made {
            Some((making, id)) => (Some(making.sandbox_attempt), id.as_str()),
            None => (None, ""),
        };
        Ended::new(exit, id, sandbox)
    }

    /// The newest attempt has ended so.
    pub(super) fn close(&mut self, end: Ended) {
        if let Some(before) = self.ended.replace(end) {
            self.last = Some(before);
        }
        let post_start = self.run().is_some_and(Run::hook_failed);
        self.stage = Stage::Idle;
        self.retry_at = 0;
        self.next_waiting = None;
        self.waiting = None;
        if post_start && self.spec.kind != Kind::Init {
            self.waiting = Some((waiting::POST_START, std::mem::take(&mut self.hook_error)));
        }
    }
}
