// SPDX-License-Identifier: Apache-2.0
//! Pods by uid: how the API showed them last, and what is under way for them.

use super::Shown;
use super::tell::Wanted;
use berth_scheduler_core::{Backoff, Tick};
use berth_scheduler_model::Str;
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
    refusals: u32,
}

impl Known {
    pub(super) fn new(shown: Shown, since: Tick) -> Self {
        let told = shown.view.0.unschedulable.as_ref().map(|one| one.message.clone());
        let stage = Stage::Waiting;
        Self { shown, stage, since, told, telling: false, wanted: None, held: None, refusals: 0 }
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
        let until = now + doubled.min(backoff.max_ms);
        known.stage = Stage::Resting { until };
        self.resting.insert((until, key));
        true
    }

    /// A pod that has rested long enough.
    pub(super) fn rested(&mut self, now: Tick) -> Option<Shown> {
        let (until, _) = self.resting.first()?;
        if *until > now {
            return None;
        }
        let (_, uid) = self.resting.pop_first()?;
        self.known.get(&uid).map(|known| Arc::clone(&known.shown))
    }

    pub(super) fn next_tick(&self) -> Option<Tick> {
        self.resting.first().map(|(until, _)| *until)
    }
}
