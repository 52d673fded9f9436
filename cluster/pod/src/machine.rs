// SPDX-License-Identifier: Apache-2.0
//! The machine itself: what it knows, and how an event becomes commands.
//!
//! An event changes what is known (`answers`, `adopt`, and here); then `step` compares it with what is wanted, and asks for what is
//! missing: `run` while the pod is to run, `stop` when it is to end, `kill` and `probing` for single containers. What is under way is known by the
//! command that is open for it, so `step` can be taken at any time, and asks for nothing twice.

mod adopt;
mod answers;
mod books;
mod container;
mod kill;
mod notices;
mod probing;
mod run;
mod sandbox;
mod start;
mod stop;

pub(crate) use container::{Container, Ended, Stage};
pub(crate) use stop::{Cause, Stop};

use crate::command::{Action, Command, CommandId};
use crate::event::{Event, View};
use crate::spec::Spec;
use crate::status;
use crate::time::{Millis, SECOND};
use books::Books;
use k8s_openapi::api::core::v1::PodStatus;
use sandbox::{Sandbox, Volumes};

/// After an engine's refusal the same is tried again after this long, as upstream's pod workers do.
const RETRY: Millis = 10 * SECOND;
/// How long after an answer failed to come the engine is asked what it has; doubles up to [`RETRY`].
const LOOK: Millis = SECOND;
/// A reason is shown this long before the wait that follows it is: who watches sees both.
const SHOWN: Millis = SECOND;
/// Steps after one event; each makes some progress, and no chain is this long.
const STEPS_MAX: usize = 32;

/// What of the node the machine needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The node's addresses, the first one first.
    pub host_ips: Vec<String>,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// To be carried out; in this order where one waits for another's effect on the API.
    pub commands: Vec<Command>,
    /// When the machine wants to be called if nothing happens before.
    pub wake: Option<Millis>,
}

/// The life of one pod.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) spec: Spec,
    pub(crate) node: Node,
    pub(crate) now: Millis,
    pub(crate) started_at: Millis,
    books: Books,
    volumes: Volumes,
    pub(crate) sandbox: Sandbox,
    pub(crate) containers: Vec<Container>,
    /// Whether all init containers have ended well in this sandbox.
    pub(crate) initialized: bool,
    pub(crate) stop: Option<Stop>,
    strays: Vec<adopt::Stray>,
    engine_gone: bool,
    look: Look,
    /// The status that was published last.
    pub(crate) shown: PodStatus,
    wake: Option<Millis>,
    concluded: bool,
}

/// A look at what the engine has.
#[derive(Debug, Clone, Default)]
struct Look {
    wanted_at: Option<Millis>,
    open: Option<CommandId>,
    tries: u32,
}

impl Machine {
    /// A pod of which the engine has `view`, which is empty for a new pod. The first event makes it move.
    pub fn new(spec: Spec, node: Node, view: View, now: Millis) -> Self {
        let shown = spec.status.clone();
        let started_at = shown.start_time.as_ref().map_or(now, crate::time::unstamp);
        let containers = spec.containers.iter().cloned().map(Container::new).collect();
        let mut machine = Self {
            spec,
            node,
            now,
            started_at,
            books: Books::default(),
            volumes: Volumes::default(),
            sandbox: Sandbox::default(),
            containers,
            initialized: false,
            stop: None,
            strays: Vec::new(),
            engine_gone: false,
            look: Look::default(),
            shown,
            wake: None,
            concluded: false,
        };
        machine.adopt(view);
        machine
    }

    /// Takes an event at `now`, and says what is to be done.
    pub fn handle(&mut self, now: Millis, event: Event) -> Output {
        self.now = self.now.max(now);
        self.wake = None;
        if !self.concluded {
            self.apply(event);
            self.settle();
        }
        Output { commands: self.books.take(), wake: self.wake }
    }

    /// Commands whose results have not come. An agent that lost one carries it out again.
    pub fn open(&self) -> Vec<Command> {
        self.books.open().map(|(id, action)| Command { id, action: action.clone() }).collect()
    }

    /// The status that was published last.
    pub fn status(&self) -> &PodStatus {
        &self.shown
    }

    /// Whether the pod is gone, and the machine has nothing more to say.
    pub fn is_concluded(&self) -> bool {
        self.concluded
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Pod(spec) => self.updated(*spec),
            Event::Gone => self.gone(),
            Event::Result { id, outcome } => self.answered(id, outcome),
            Event::ContainerDied { container, attempt, exit } => {
                let at = self.containers.iter().position(|known| known.spec.name == container);
                if let Some(at) = at.filter(|at| self.containers[*at].restarts == attempt) {
                    self.died(at, exit, self.engine_gone);
                }
            }
            Event::SandboxDied { attempt } => self.sandbox_died(attempt),
            Event::EngineGone => self.engine_went(),
            Event::EngineBack(view) => self.engine_back(view),
            Event::Seen(view) => self.reconcile(view, false),
            Event::Shutdown { grace } => {
                self.begin_stop(Cause::Shutdown, grace.min(self.spec.grace));
            }
            Event::Tick => {}
        }
    }

    fn updated(&mut self, spec: Spec) {
        if spec.uid != self.spec.uid {
            // Another pod of the same name: this one is gone.
            return self.gone();
        }
        let deletion = spec.deletion;
        for fresh in &spec.containers {
            let Some(at) = self.containers.iter().position(|known| known.spec.name == fresh.name)
            else {
                continue;
            };
            let changed = self.containers[at].spec.image != fresh.image;
            self.containers[at].spec = fresh.clone();
            if changed {
                self.definition_changed(at);
            }
        }
        self.spec = spec;
        if let Some(grace) = deletion {
            self.begin_stop(Cause::Deleted, grace);
        }
    }

    fn gone(&mut self) {
        self.begin_stop(Cause::Deleted, 0);
        if let Some(stop) = &mut self.stop {
            stop.gone = true;
        }
    }

    /// Takes steps until none is left to take.
    fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let before = (self.books.count(), self.stop.is_some(), self.initialized);
            self.wake = None;
            self.step();
            if self.concluded
                || before == (self.books.count(), self.stop.is_some(), self.initialized)
            {
                break;
            }
        }
    }

    fn step(&mut self) {
        let before = self.books.count();
        self.check_deadline();
        if !self.engine_gone {
            self.look();
            self.remove_strays();
            if self.stop.is_none() {
                self.run();
            }
            if self.stop.is_some() {
                self.wind_down();
            }
            self.advance_kills();
            self.ask_probes();
            self.sandbox_after_kills();
        }
        self.show_waits();
        if self.books.count() == before {
            // Nothing more is to be done for now: this is what there is.
            self.publish();
            if !self.engine_gone && self.stop.is_some() {
                self.finish();
            }
        }
    }

    /// Asks to be called at `at`, if that is still to come.
    fn wake_at(&mut self, at: Millis) {
        let at = at.max(self.now + 1);
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Whether it is `at`; if not, the machine is called then.
    fn is_time(&mut self, at: Millis) -> bool {
        if self.now >= at {
            return true;
        }
        self.wake_at(at);
        false
    }

    fn want_look(&mut self, at: Millis) {
        let at = self.look.wanted_at.map_or(at, |wanted| wanted.min(at));
        self.look.wanted_at = Some(at);
    }

    /// Asks what the engine has, if an answer is in doubt.
    fn look(&mut self) {
        if self.look.open.is_some() {
            return;
        }
        let doubt = self.containers.iter().any(Container::in_doubt) || self.sandbox.in_doubt();
        if doubt && self.look.wanted_at.is_none() {
            self.look.tries += 1;
            let after = crate::backoff::doubling(LOOK, RETRY, self.look.tries);
            self.want_look(self.now + after);
        }
        let Some(at) = self.look.wanted_at else { return };
        if self.is_time(at) {
            self.look.wanted_at = None;
            self.look.open = Some(self.books.ask(Action::Look));
        }
    }

    /// Waits that become visible.
    fn show_waits(&mut self) {
        for at in 0..self.containers.len() {
            let Some((from, _)) = self.containers[at].next_waiting else { continue };
            if self.is_time(from)
                && let Some((_, waiting)) = self.containers[at].next_waiting.take()
            {
                self.tell_wait(at, &waiting);
                self.containers[at].waiting = Some(waiting);
            }
        }
    }

    /// Publishes the status if it has changed.
    fn publish(&mut self) {
        if self.stop.as_ref().is_some_and(|stop| stop.gone) {
            return;
        }
        let status = status::of(self);
        if status != self.shown {
            self.shown = status.clone();
            self.books.say(Action::Publish(Box::new(status)));
        }
    }
}
