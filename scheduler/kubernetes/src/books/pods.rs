// SPDX-License-Identifier: Apache-2.0
//! Pods by uid: how the API showed them last, and what is under way for them.

use super::Shown;
use super::tell::Wanted;
use berth_scheduler_core::{Backoff, Tick};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{NodeSelectorTerm, Operator, Requirement};
use berth_scheduler_model::pod::Pod;
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The engine has it to be placed, or another scheduler has.
    Waiting,
    /// It has a node, which the API does not show yet.
    Assumed,
    /// Its binding was refused; it is tried again then.
    Resting { until: Tick },
    /// The API shows its node.
    Bound,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) shown: Shown,
    pub(super) stage: Stage,
    /// When it was seen first.
    pub(super) since: Tick,
    /// What was said of it last; that this is on its way; and what is to be said next.
    pub(super) told: Option<Str>,
    pub(super) telling: bool,
    pub(super) wanted: Option<Wanted>,
    /// Where it is to be bound once that has arrived.
    pub(super) held: Option<Str>,
    /// The node that was said to be nominated for it, unless that was taken back.
    pub(super) nominated: Option<Str>,
    /// A nomination that holds no longer, whatever the API still shows.
    pub(super) void: Option<Str>,
    /// Nodes on which its claims came to nothing, the last one last.
    avoided: Vec<Str>,
    refusals: u32,
}

/// Nodes that are avoided at a time: more than a pod tries before its first one is worth another try.
const AVOIDED_MAX: usize = 16;

impl Known {
    pub(super) fn new(shown: Shown, since: Tick) -> Self {
        let told = shown.view.0.unschedulable.as_ref().map(|one| one.message.clone());
        Self {
            shown,
            stage: Stage::Waiting,
            since,
            told,
            telling: false,
            wanted: None,
            held: None,
            nominated: None,
            void: None,
            avoided: Vec::new(),
            refusals: 0,
        }
    }

    /// The API shows it so now; how it was shown before.
    pub(super) fn show(&mut self, shown: &Shown) -> Shown {
        let before = std::mem::replace(&mut self.shown, Arc::clone(shown));
        let [was, is] = [&before, shown].map(|shown| shown.view.0.pod.nominated.as_ref());
        if was != is && was == self.void.as_ref() {
            self.void = None;
        }
        before
    }

    /// The node nominated for it by what the API shows, if that holds.
    pub(super) fn nomination<'a>(&self, shown: &'a Shown) -> Option<&'a Str> {
        shown.view.0.pod.nominated.as_ref().filter(|node| self.void.as_ref() != Some(*node))
    }

    /// Its claims came to nothing on a node: others come first when it is tried again. When all had their turn it begins anew.
    pub(super) fn avoid(&mut self, node: Str) {
        if self.avoided.contains(&node) || self.avoided.len() == AVOIDED_MAX {
            self.avoided.clear();
        }
        self.avoided.push(node);
    }

    /// The pod as the engine is to have it.
    pub(super) fn asked(&self) -> Pod {
        let mut pod = self.shown.view.0.pod.clone();
        pod.nominated = self.nomination(&self.shown).cloned();
        if pod.node.is_none() && !self.avoided.is_empty() {
            let apart = |node: &Str| Requirement {
                key: "metadata.name".into(),
                operator: Operator::NotIn,
                values: vec![node.clone()],
            };
            let fields = self.avoided.iter().map(apart).collect();
            let elsewhere = NodeSelectorTerm { expressions: Vec::new(), fields };
            Arc::make_mut(&mut pod.spec).node_preferred.push((100, elsewhere));
        }
        pod
    }
}

/// All pods that count.
#[derive(Debug, Default)]
pub(super) struct Pods {
    known: HashMap<Str, Known>,
    resting: BTreeSet<(Tick, Str)>,
}

impl Pods {
    pub(super) fn get(&self, uid: &str) -> Option<&Known> {
        self.known.get(uid)
    }

    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut Known> {
        self.known.get_mut(uid)
    }

    pub(super) fn insert(&mut self, known: Known) {
        self.known.insert(known.shown.view.0.pod.uid.clone(), known);
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<Known> {
        self.wake(uid);
        self.known.remove(uid)
    }

    fn wake(&mut self, uid: &str) {
        if let Some((uid, known)) = self.known.get_key_value(uid)
            && let Stage::Resting { until } = known.stage
        {
            self.resting.remove(&(until, uid.clone()));
        }
    }

    /// It stands there now.
    pub(super) fn stage(&mut self, uid: &str, stage: Stage) {
        self.wake(uid);
        if let Some(known) = self.known.get_mut(uid) {
            known.stage = stage;
            if stage == Stage::Bound {
                (known.refusals, known.told, known.held) = (0, None, None);
                known.avoided.clear();
            }
        }
    }

    /// It has a node: what to bind, unless something is on its way that would come after that.
    pub(super) fn assume(&mut self, uid: &str, node: &Str) -> Option<(Shown, Tick)> {
        let known = self.known.get_mut(uid)?;
        known.stage = Stage::Assumed;
        if known.telling {
            known.held = Some(node.clone());
            return None;
        }
        Some((Arc::clone(&known.shown), known.since))
    }

    /// Its binding was refused: it rests. `false`: it is not assumed any more.
    pub(super) fn rest(&mut self, uid: &str, now: Tick, backoff: Backoff) -> bool {
        let Some((key, _)) = self.known.get_key_value(uid) else { return false };
        let key = key.clone();
        let Some(known) = self.known.get_mut(uid) else { return false };
        if known.stage != Stage::Assumed {
            return false;
        }
        let doubled = backoff.initial_ms.saturating_mul(1 << known.refusals.min(20));
        known.refusals += 1;
        // Its condition says something else now.
        known.told = None;
        let until = now + doubled.min(backoff.max_ms);
        known.stage = Stage::Resting { until };
        self.resting.insert((until, key));
        true
    }

    /// A pod that has rested long enough.
    pub(super) fn rested(&mut self, now: Tick) -> Option<Str> {
        let (until, _) = self.resting.first()?;
        if *until > now {
            return None;
        }
        let (_, uid) = self.resting.pop_first()?;
        Some(uid)
    }

    pub(super) fn next_tick(&self) -> Option<Tick> {
        self.resting.first().map(|(until, _)| *until)
    }
}
