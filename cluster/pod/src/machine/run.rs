// SPDX-License-Identifier: Apache-2.0
//! A pod that is to run: what runs in which order, and when there is nothing left to do.

use super::container::PostStart;
use super::{Cause, Container, Machine, Stage};
use crate::command::{Action, Hook};
use crate::reasons::event;
use crate::spec::{Kind, RestartPolicy};

impl Machine {
    pub(super) fn run(&mut self) {
        self.want_volumes();
        self.want_sandbox();
        if self.stop.is_some() || !self.sandbox.is_ready() {
            return;
        }
        self.replace_changed();
        self.run_hooks();
        if !self.initialized {
            self.initialize();
        }
        if self.initialized && self.stop.is_none() {
            for at in 0..self.containers.len() {
                let container = &self.containers[at];
                let wanted = container.spec.kind != Kind::Init && !container.is_live();
                if wanted && !container.is_done(self.spec.restart_policy, None) {
                    self.start(at);
                }
            }
            let policy = self.spec.restart_policy;
            let mut regular =
                self.containers.iter().filter(|container| container.spec.kind == Kind::Regular);
            if regular.all(|container| container.is_done(policy, None)) {
                self.begin_stop(Cause::Completed, self.spec.grace);
            }
        }
    }

    /// Init containers, one after the other; sidecars among them go on.
    fn initialize(&mut self) {
        let (sandbox, policy) = (self.sandbox.attempt, self.spec.restart_policy);
        for at in 0..self.containers.len() {
            let container = &self.containers[at];
            match container.spec.kind {
                Kind::Regular => break,
                Kind::Init if container.is_done(policy, sandbox) => {
                    if container.ended.as_ref().is_some_and(|ended| ended.exit.code != 0) {
                        return self.begin_stop(Cause::Failed, self.spec.grace);
                    }
                }
                Kind::Init => return self.start(at),
                Kind::Sidecar => {
                    if !container.is_live() {
                        self.start(at);
                    }
                    if !self.containers[at].is_started() {
                        return;
                    }
                }
            }
        }
        self.initialized = true;
    }

    /// Containers whose image is another one by now are ended, and started with it.
    fn replace_changed(&mut self) {
        for at in 0..self.containers.len() {
            let container = &self.containers[at];
            let spec = &container.spec;
            let made_of = container.made.as_ref().map(|(making, _)| making.image != spec.image);
            let runs = container.run().is_some_and(|run| run.kill.is_none());
            if !runs || made_of != Some(true) || spec.kind == Kind::Init {
                continue;
            }
            let message = match spec.kind {
                Kind::Regular => {
                    format!("Container {} definition changed, will be restarted", spec.name)
                }
                _ => format!("Init container {} definition changed", spec.name),
            };
            self.containers[at].again = true;
            self.begin_kill(at, self.now + self.spec.grace, message, false);
        }
    }

    /// The image was changed: what the old one was waiting for is over.
    pub(super) fn definition_changed(&mut self, at: usize) {
        let container = &mut self.containers[at];
        if let Stage::Finding(id) | Stage::Pulling(id, _) = container.stage {
            container.stage = Stage::Idle;
            self.books.abandon(id);
        }
        let container = &mut self.containers[at];
        container.pull = crate::backoff::Backoff::default();
        container.pull_error.clear();
        container.retry_at = 0;
    }

    fn run_hooks(&mut self) {
        for at in 0..self.containers.len() {
            let instance = self.containers[at].instance();
            let Some(run) = self.containers[at].run() else { continue };
            let PostStart::Wanted(from) = run.hook else { continue };
            if run.kill.is_some() || !self.is_time(from) {
                continue;
            }
            let id =
                self.books.ask(Action::RunHook { instance, hook: Hook::PostStart, limit: None });
            if let Some(run) = self.containers[at].run_mut() {
                run.hook = PostStart::Open(id);
            }
        }
    }

    /// The hook after the start has failed: the container goes, though it runs.
    pub(super) fn post_start_failed(&mut self, at: usize, message: String) {
        self.tell(at, true, event::FAILED_POST_START, "PostStartHook failed".to_owned());
        self.containers[at].hook_error = message;
        if let Some(run) = self.containers[at].run_mut() {
            run.hook = PostStart::Failed;
        }
        self.begin_kill(at, self.now + self.spec.grace, "FailedPostStartHook".to_owned(), false);
    }

    /// Whether a container that is ended for its probes is started again, whatever it ends with.
    pub(super) fn restarts_anyway(&self, container: &Container) -> bool {
        container.spec.kind == Kind::Sidecar || self.spec.restart_policy != RestartPolicy::Never
    }
}
