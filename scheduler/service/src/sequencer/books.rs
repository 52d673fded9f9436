// SPDX-License-Identifier: Apache-2.0
//! What the service knows of each pod beside the engine: its revision, its spec, its lease; and of each waiting pod, what it
//! waits for. And the timers that follow from it.

use super::specs::SpecId;
use berth_scheduler_core::{Paged, PodIx, Refusal};
use berth_scheduler_model::Str;
use std::collections::{BTreeMap, BTreeSet};

/// Beside the engine's record of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The revision at which it got into its state.
    pub(super) since: u64,
    /// When its lease ends, milliseconds since the Unix epoch; 0: none.
    pub(super) lease_until: u64,
    /// Its spec.
    pub(super) spec: SpecId,
    /// Somebody else bound it.
    pub(super) bound: bool,
    /// Its owner says that it is being deleted.
    pub(super) terminating: bool,
}

impl Entry {
    /// Nothing is known.
    pub(super) const NONE: Self =
        Self { since: 0, lease_until: 0, spec: SpecId::NONE, bound: false, terminating: false };
}

/// A pod that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting<R> {
    /// Since when, and its place among those that came then.
    pub(super) since: u64,
    pub(super) order: u64,
    /// Until when.
    pub(super) deadline: u64,
    pub(super) lease_ms: u64,
    pub(super) hold_ms: u64,
    /// Whom to tell.
    pub(super) stream: Option<R>,
    pub(super) nomination: Option<Nomination>,
    /// Why it was refused the last time.
    pub(super) refusal: Option<Refusal>,
    /// How often it was refused.
    pub(super) attempts: u32,
}

/// Room that is being made for a waiting pod.
#[derive(Debug, Clone)]
pub(super) struct Nomination {
    pub(super) node: Str,
    pub(super) hold_until: u64,
    pub(super) violations: u32,
    /// Uids of the pods that have to go.
    pub(super) victims: Vec<Str>,
}

/// What a timer is about. The order is that in which timers of one moment and pod fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A lease ends.
    Lease,
    /// A nomination is given up.
    Hold,
    /// A pod has waited long enough.
    Deadline,
}

/// The books.
#[derive(Debug)]
pub(super) struct Books<R> {
    entries: Paged<Entry>,
    waiting: BTreeMap<PodIx, Waiting<R>>,
    timers: BTreeSet<(u64, PodIx, Timer)>,
    leases: usize,
    nominated: BTreeSet<PodIx>,
    /// Victims of nominations by uid, and of how many.
    victims: BTreeMap<Str, u32>,
    order: u64,
}

impl<R> Books<R> {
    pub(super) fn new() -> Self {
        Self {
            entries: Paged::default(),
            waiting: BTreeMap::new(),
            timers: BTreeSet::new(),
            leases: 0,
            nominated: BTreeSet::new(),
            victims: BTreeMap::new(),
            order: 0,
        }
    }

    /// A pod is known from now on.
    #[inline]
    pub(super) fn insert(&mut self, pod: PodIx, entry: Entry) {
        let at = pod.index() as usize;
        while at >= self.entries.len() {
            self.entries.push(Entry::NONE);
        }
        self.entries[at] = entry;
        if entry.lease_until != 0 {
            self.leases += 1;
            self.timers.insert((entry.lease_until, pod, Timer::Lease));
        }
    }

    /// What is known of a pod.
    #[inline]
    pub(super) fn get(&self, pod: PodIx) -> Entry {
        self.entries.get(pod.index() as usize).copied().unwrap_or(Entry::NONE)
    }

    /// Changes the revision of a pod.
    pub(super) fn set_since(&mut self, pod: PodIx, since: u64) {
        if let Some(entry) = self.entries.get_mut(pod.index() as usize) {
            entry.since = since;
        }
    }

    /// Ends a pod's lease, one way or the other; whether there was one.
    pub(super) fn end_lease(&mut self, pod: PodIx) -> bool {
        let Some(entry) = self.entries.get_mut(pod.index() as usize) else { return false };
        let until = std::mem::take(&mut entry.lease_until);
        if until == 0 {
            return false;
        }
        self.leases -= 1;
        self.timers.remove(&(until, pod, Timer::Lease));
        true
    }

    /// Forgets a pod; gives back what was known.
    pub(super) fn remove(&mut self, pod: PodIx) -> (Entry, Option<Waiting<R>>) {
        self.end_lease(pod);
        let waiting = self.stop_waiting(pod);
        let entry = self.entries.get_mut(pod.index() as usize);
        (entry.map_or(Entry::NONE, |entry| std::mem::replace(entry, Entry::NONE)), waiting)
    }

    /// A number for the next pod that waits.
    pub(super) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Orders up to this one are taken.
    pub(super) fn skip_order(&mut self, order: u64) {
        self.order = self.order.max(order);
    }

    /// A pod waits.
    pub(super) fn wait(&mut self, pod: PodIx, mut waiting: Waiting<R>) {
        self.timers.insert((waiting.deadline, pod, Timer::Deadline));
        let nomination = waiting.nomination.take();
        self.waiting.insert(pod, waiting);
        self.nominate(pod, nomination);
    }

    /// A pod waits no more; what it waited for.
    pub(super) fn stop_waiting(&mut self, pod: PodIx) -> Option<Waiting<R>> {
        let nomination = self.nominate(pod, None);
        let mut waiting = self.waiting.remove(&pod)?;
        self.timers.remove(&(waiting.deadline, pod, Timer::Deadline));
        waiting.nomination = nomination;
        Some(waiting)
    }

    /// A waiting pod gets a nomination, or loses it (`None`); the one before.
    pub(super) fn nominate(&mut self, pod: PodIx, new: Option<Nomination>) -> Option<Nomination> {
        let waiting = self.waiting.get_mut(&pod)?;
        let old = std::mem::replace(&mut waiting.nomination, new);
        if let Some(old) = &old {
            self.nominated.remove(&pod);
            self.timers.remove(&(old.hold_until, pod, Timer::Hold));
            for uid in &old.victims {
                if let Some(count) = self.victims.get_mut(uid) {
                    *count -= 1;
                    if *count == 0 {
                        self.victims.remove(uid);
                    }
                }
            }
        }
        if let Some(new) = &waiting.nomination {
            self.nominated.insert(pod);
            self.timers.insert((new.hold_until, pod, Timer::Hold));
            for uid in &new.victims {
                *self.victims.entry(uid.clone()).or_default() += 1;
            }
        }
        old
    }

    /// The pods that are nominated to this node.
    pub(super) fn nominated_to(&self, node: &str) -> Vec<PodIx> {
        let there = |pod: &PodIx| {
            let nomination = self.waiting.get(pod).and_then(|waiting| waiting.nomination.as_ref());
            nomination.is_some_and(|nomination| *nomination.node == *node)
        };
        self.nominated.iter().copied().filter(there).collect()
    }

    /// Whether a pod has to go for another.
    pub(super) fn is_victim(&self, uid: &str) -> bool {
        self.victims.contains_key(uid)
    }

    /// A waiting pod.
    pub(super) fn waiting(&self, pod: PodIx) -> Option<&Waiting<R>> {
        self.waiting.get(&pod)
    }

    /// A waiting pod.
    pub(super) fn waiting_mut(&mut self, pod: PodIx) -> Option<&mut Waiting<R>> {
        self.waiting.get_mut(&pod)
    }

    /// Why waiting pods were refused the last time.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.waiting.values().filter_map(|waiting| waiting.refusal.as_ref())
    }

    /// Whether no pod waits.
    pub(super) fn nobody_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next timer fires.
    pub(super) fn next_timer(&self) -> Option<u64> {
        self.timers.first().map(|timer| timer.0)
    }

    /// The next timer that fires at `now` or before; it is gone then.
    pub(super) fn due(&mut self, now: u64) -> Option<(PodIx, Timer)> {
        let (at, pod, timer) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        Some((pod, timer))
    }

    /// Pods with a lease, and with a nomination.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.leases, self.nominated.len())
    }
}
