// SPDX-License-Identifier: Apache-2.0
//! Why pods wait, and who is told.
//!
//! Pods of one class meet one verdict, and the engine tries one of them: all are told. Words need a look at every node, so they are
//! kept for a while, by the spec that the engine shares among replicas.

use super::pods::Stage;
use super::{Books, Shown, Step};
use berth_scheduler_core::{Engine, PodIx, QueuePart, Refusal, Tick, words};
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::{Pod, PodSpec};
use hashbrown::HashMap;
use std::sync::Arc;

/// Words are used again for so long, in milliseconds.
const FRESH: Tick = 1_000;
/// Words kept; all are forgotten when there are more.
const WORDS_MAX: usize = 4_096;

/// What a pod's status is to say of the node nominated for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nomination {
    /// What it says.
    AsItIs,
    /// That there is none.
    Nothing,
    /// That room is being made for it there.
    To(Str),
}

/// What a pod is told.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The pod.
    pub pod: Shown,
    /// Why, in kube-scheduler's words; none if it was not refused, but lost its nomination.
    pub message: Option<Str>,
    /// Where room is being made for it.
    pub nomination: Nomination,
    /// It was tried just now, and does not merely wait like one that was.
    pub tried: bool,
    /// Its status says something else.
    pub change: bool,
}

/// What a pod is to be told.
#[derive(Debug)]
pub(super) struct Wanted {
    message: Option<Str>,
    nomination: Nomination,
    tried: bool,
}

/// Words by spec. A spec that is held here cannot be another one's address.
#[derive(Debug, Default)]
pub(super) struct Words(HashMap<usize, (Arc<PodSpec>, Tick, Str)>);

impl Books {
    /// A pod was tried and refused.
    pub(super) fn refused(
        &mut self,
        now: Tick,
        pod: PodIx,
        refusal: &Refusal,
        nomination: Nomination,
    ) {
        let makes_room = matches!(nomination, Nomination::To(_));
        let message = self.words(now, pod, refusal.no_profile, makes_room);
        self.tell(pod, Some(&message), nomination, true);
        if self.engine.queue_part(pod) == Some(QueuePart::Unschedulable) {
            for other in self.engine.waiting_with(pod) {
                if other != pod {
                    self.tell(other, Some(&message), Nomination::AsItIs, false);
                }
            }
        }
    }

    /// A pod came to wait: maybe with others that were refused, and then it will not be tried.
    pub(super) fn joined(&mut self, now: Tick, pod: PodIx) {
        if self.engine.queue_part(pod) == Some(QueuePart::Unschedulable) {
            let message = self.words(now, pod, false, false);
            self.tell(pod, Some(&message), Nomination::AsItIs, false);
        }
    }

    fn words(&mut self, now: Tick, pod: PodIx, no_profile: bool, nominated: bool) -> Str {
        let view = self.engine.pod(pod);
        let (spec, nodes) = (Arc::clone(view.spec), self.engine.nodes());
        let key = Arc::as_ptr(&spec) as usize;
        if let Some((_, made, words)) = self.words.0.get(&key)
            && now < made + FRESH
            && !nominated
        {
            return words.clone();
        }
        let asked = asked(&self.engine, pod);
        let explanation = self.engine.explain(&asked);
        let mut text = words::message(&explanation, nodes);
        // Where room is made, upstream says no more; and without nodes there is nothing to say it of.
        if !nominated && !no_profile && nodes > 0 && explanation.unsupported.is_empty() {
            let preemption = self.engine.explain_preemption(&asked);
            text.push(' ');
            text.push_str(&words::preemption(&explanation, &preemption, nodes));
        }
        let text: Str = text.into();
        if nominated {
            return text;
        }
        if self.words.0.len() >= WORDS_MAX {
            self.words.0.clear();
        }
        self.words.0.insert(key, (spec, now, text.clone()));
        text
    }

    pub(super) fn tell(
        &mut self,
        pod: PodIx,
        message: Option<&Str>,
        nomination: Nomination,
        tried: bool,
    ) {
        let Some(known) = self.pods.get_mut(self.engine.pod_id(pod).uid) else { return };
        match &nomination {
            Nomination::AsItIs => {}
            Nomination::Nothing => {
                let shown = known.shown.view.0.pod.nominated.clone();
                (known.void, known.nominated) = (shown.or(known.nominated.take()), None);
            }
            Nomination::To(node) => {
                known.nominated = Some(node.clone());
                known.void = known.void.take().filter(|void| void != node);
            }
        }
        let news = message.is_some_and(|message| known.told.as_ref() != Some(message))
            || nomination != Nomination::AsItIs;
        if !news && !tried {
            return;
        }
        let before = known.wanted.take();
        let waits = before.is_some() || known.telling;
        let mut wanted = Wanted { message: message.cloned(), nomination, tried };
        // What was not said yet still holds: that room is being made, that it was refused.
        if let Some(before) = before {
            wanted.message = wanted.message.or(before.message);
            wanted.tried |= before.tried;
            if wanted.nomination == Nomination::AsItIs {
                wanted.nomination = before.nomination;
            }
        }
        known.wanted = Some(wanted);
        if !waits {
            self.tells.push_back(known.shown.view.0.pod.uid.clone());
        }
    }

    /// The next pod to be told why it waits; if its status is to be changed, [`told`](Self::told) has to follow.
    pub fn next_tell(&mut self) -> Option<Refused> {
        while let Some(uid) = self.tells.pop_front() {
            let Some(known) = self.pods.get_mut(&uid) else { continue };
            let Some(Wanted { message, nomination, tried }) = known.wanted.take() else { continue };
            if known.stage != Stage::Waiting {
                continue;
            }
            let says = message.as_ref().is_some_and(|_| known.told != message);
            let change = says || nomination != Nomination::AsItIs;
            if change {
                known.telling = true;
                known.told = message.clone().or(known.told.take());
            }
            let pod = Arc::clone(&known.shown);
            return Some(Refused { pod, message, nomination, tried, change });
        }
        None
    }

    /// What a pod was to be told has arrived, or could not be said: `false`, and it is said again when it is refused again.
    pub fn told(&mut self, uid: &str, done: bool) {
        let Some(known) = self.pods.get_mut(uid) else { return };
        known.telling = false;
        if !done {
            known.told = None;
        }
        if known.wanted.is_some() {
            self.tells.push_back(known.shown.view.0.pod.uid.clone());
        }
        if let Some(node) = known.held.take() {
            let (pod, since) = (Arc::clone(&known.shown), known.since);
            let ix = self.engine.find_pod(uid);
            let claims = ix.map(|ix| self.engine.bindings(ix).to_vec()).unwrap_or_default();
            self.steps.push_back(Step::Bind { pod, node, since, claims });
        }
    }
}

/// A pod that waits, as the engine has it.
pub(super) fn asked(engine: &Engine, pod: PodIx) -> Pod {
    let view = engine.pod(pod);
    Pod {
        uid: view.id.uid.into(),
        namespace: view.id.namespace.into(),
        name: view.id.name.into(),
        spec: Arc::clone(view.spec),
        node: None,
        nominated: view.nominated.map(|slot| engine.node_name(slot).clone()),
        started: None,
        terminating: false,
        preempted: false,
    }
}
