// SPDX-License-Identifier: Apache-2.0
//! What the scheduler knows and has under way. No IO and no clock: changes and answers go in, steps come out.
//!
//! ```text
//!            change               next            answer: bound, and the change that shows it
//! (new) ───────────────▶ waiting ──────▶ assumed ─────────────────────────────▶ bound
//!                           ▲              │ answer: refused
//!                           └── resting ◀──┘ for longer each time
//! ```
//!
//! A pod that is assumed keeps its room until a definite answer: as long as nothing is known of a call, it may have been done.

mod nominations;
mod pods;
mod tell;

use crate::feed::Input;
use crate::view::PodView;
use berth_cluster_client::{Change, Item};
use berth_scheduler_core::{Backoff, Binding, Decided, Engine, PodIx, Tick};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use pods::{Known, Pods, Stage};
use std::collections::VecDeque;
use std::sync::Arc;
use tell::Words;
pub use tell::{Nomination, Refused};

/// A pod as the API showed it last.
pub(crate) type Shown = Arc<Item<PodView>>;

/// Something to do.
#[derive(Debug)]
pub enum Step {
    /// A pod goes to a node: bind it, and say what came of it by [`Books::answered`].
    Bind {
        /// The pod.
        pod: Shown,
        /// Its node.
        node: Str,
        /// When it was seen first.
        since: Tick,
        /// What was decided about its claims: to be done before.
        claims: Vec<Binding>,
    },
    /// A pod goes, so that another one gets its room; if it does not, [`Books::stays`] has to follow.
    Evict(Victim),
}

/// A pod that goes for another one.
#[derive(Debug, Clone)]
pub struct Victim {
    /// The pod.
    pub pod: Shown,
    /// Whom it goes for.
    pub by: Shown,
    /// Where.
    pub node: Str,
}

/// What came of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is bound.
    Bound,
    /// It is not, and will not be by this call.
    Refused,
    /// Its claims came to nothing on that node.
    NoVolume,
}

/// What the scheduler knows.
#[derive(Debug)]
pub struct Books {
    engine: Engine,
    pods: Pods,
    backoff: Backoff,
    words: Words,
    steps: VecDeque<Step>,
    /// Uids of pods that are to be told something.
    tells: VecDeque<Str>,
}

impl Books {
    /// Books around an engine that knows nothing yet; `backoff` is the engine's.
    pub fn new(engine: Engine, backoff: Backoff) -> Self {
        let (steps, tells) = (VecDeque::new(), VecDeque::new());
        Self { engine, pods: Pods::default(), backoff, words: Words::default(), steps, tells }
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn take(&mut self, now: Tick, input: Input) {
        match input {
            Input::Pod(change) => self.pod(now, &change),
            Input::State(event) => self.state(now, event),
        }
    }

    /// Something other than a pod changed.
    pub fn state(&mut self, now: Tick, event: Event) {
        self.engine.apply_at(now, event);
    }

    /// A pod came, changed, or went.
    pub fn pod(&mut self, now: Tick, change: &Change<PodView>) {
        match &change.after {
            Some(after) if counts(after) => self.shown(now, after),
            Some(_) | None => {
                if let Some(gone) = change.after.as_ref().or(change.before.as_ref()) {
                    self.gone(now, &gone.id.uid);
                }
            }
        }
    }

    fn gone(&mut self, now: Tick, uid: &str) {
        if let Some(known) = self.pods.remove(uid) {
            let uid = known.shown.view.0.pod.uid.clone();
            self.engine.apply_at(now, Event::PodGone { uid });
        }
    }

    fn shown(&mut self, now: Tick, after: &Shown) {
        let pod = &after.view.0.pod;
        let Some(known) = self.pods.get_mut(&pod.uid) else {
            self.pods.insert(Known::new(Arc::clone(after), now));
            self.apply(now, &pod.uid);
            return;
        };
        let before = known.show(after);
        let nominations = [&before, after].map(|shown| known.nomination(shown).cloned());
        let before = &before.view.0.pod;
        match known.stage {
            // It has its room already, or waits until it is tried again: what it is then decides.
            Stage::Assumed | Stage::Resting { .. } if pod.node.is_none() => {}
            _ if before == pod => {}
            Stage::Waiting if pod.node.is_none() && only_nomination_differs(before, pod) => {
                self.renominate(&nominations, &pod.uid);
            }
            _ => self.apply(now, &pod.uid),
        }
    }

    /// Tells the engine of a pod as it is now.
    fn apply(&mut self, now: Tick, uid: &str) {
        let Some(pod) = self.pods.get(uid).map(Known::asked) else { return };
        let stage = if pod.node.is_some() { Stage::Bound } else { Stage::Waiting };
        self.engine.apply_at(now, Event::Pod(Box::new(pod)));
        self.pods.stage(uid, stage);
        if let Some(ix) = self.engine.find_pod(uid) {
            self.joined(now, ix);
        }
    }

    /// The next thing to do, if there is one now.
    pub fn next(&mut self, now: Tick) -> Option<Step> {
        while let Some(uid) = self.pods.rested(now) {
            self.apply(now, &uid);
        }
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            match self.engine.next(now)? {
                Decided::Placed(placement) => {
                    let node = self.engine.node_name(placement.node).clone();
                    let uid = self.engine.pod_id(placement.pod).uid;
                    if let Some((pod, since)) = self.pods.assume(uid, &node) {
                        let claims = self.engine.bindings(placement.pod).to_vec();
                        self.steps.push_back(Step::Bind { pod, node, since, claims });
                    }
                }
                Decided::Waits { pod, refusal, eviction } => {
                    let nomination = self.nominated(pod, eviction.as_ref());
                    self.refused(now, pod, &refusal, nomination);
                    if let Some(eviction) = eviction {
                        self.take_nominations(pod, &eviction);
                        let node = self.engine.node_name(eviction.node).clone();
                        self.evict(pod, &eviction.victims, &node);
                    }
                }
            }
        }
    }

    fn evict(&mut self, by: PodIx, victims: &[PodIx], node: &Str) {
        let Some(by) = self.shown_of(by) else { return };
        for ix in victims {
            let Some(pod) = self.shown_of(*ix) else { continue };
            let victim = Victim { pod, by: Arc::clone(&by), node: node.clone() };
            self.steps.push_back(Step::Evict(victim));
            // It is not asked to go twice.
            self.engine.mark_preempted(*ix, true);
        }
    }

    fn shown_of(&self, pod: PodIx) -> Option<Shown> {
        self.pods.get(self.engine.pod_id(pod).uid).map(|known| Arc::clone(&known.shown))
    }

    /// An eviction could not be carried out: the pod stays.
    pub fn stays(&mut self, uid: &str) {
        let shown = self.pods.get(uid).is_some_and(|known| known.shown.view.0.pod.terminating);
        if let Some(ix) = self.engine.find_pod(uid).filter(|_| !shown) {
            self.engine.mark_preempted(ix, false);
        }
    }

    /// When [`next`](Self::next) may have something to do although nothing happens.
    pub fn next_tick(&self) -> Option<Tick> {
        self.engine.next_tick().into_iter().chain(self.pods.next_tick()).min()
    }

    /// What came of a binding. A pod that was refused keeps nothing of the room that it had, and is tried again after a while.
    pub fn answered(&mut self, now: Tick, uid: &str, answer: Answer) {
        if answer == Answer::Bound || !self.pods.rest(uid, now, self.backoff) {
            return;
        }
        let ix = self.engine.find_pod(uid);
        let node = ix.and_then(|ix| self.engine.node_name_of(ix)).cloned();
        if let (Some(known), Some(node)) = (self.pods.get_mut(uid), node) {
            // It is no longer to go there.
            (known.nominated, known.void) = (None, Some(node.clone()));
            if answer == Answer::NoVolume {
                known.avoid(node);
            }
        }
        // It is known again when it is tried again.
        self.engine.release(uid);
    }
}

/// Whether a pod is one of those that the engine knows: not finished, and not on its way out without ever having had a node.
fn counts(shown: &Shown) -> bool {
    let object = &shown.view.0;
    !object.finished && (object.pod.node.is_some() || !object.pod.terminating)
}

fn only_nomination_differs(
    before: &berth_scheduler_model::pod::Pod,
    after: &berth_scheduler_model::pod::Pod,
) -> bool {
    let nominated = after.nominated.clone();
    berth_scheduler_model::pod::Pod { nominated, ..before.clone() } == *after
}
