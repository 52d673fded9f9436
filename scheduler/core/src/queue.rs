// SPDX-License-Identifier: Apache-2.0
//! The queue of pending pods: active, backing off, unschedulable, gated.
//!
//! Pods wait by class. Pods of one class meet the same verdict, so when the first of a class is refused, all of it is parked
//! without trying each; when an event may help a class, its first pod is tried, and only as long as pods find a place does the
//! next one follow. A pod that was itself refused backs off before it is tried again, twice as long each time.
//!
//! ```text
//!            enqueue            next: refused               event that may help
//! (new) ───────────▶ active ───────────────▶ parked ───────────────────────────▶ active
//!   │ gates             ▲  │ next: placed        │ its backoff is not over            ▲
//!   ▼                   │  ▼                     └──────────▶ backing off ────────────┘
//! gated ────────────────┘ (gone)                                tick: over
//! ```
//!
//! Order: higher priority first, then who waits longer (plugin queuesort), then uid order of arrival.

use crate::Slot;
use crate::class::ClassId;
use crate::peers::PeerId;
use crate::pods::PodIx;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Milliseconds since the shell's epoch; time is an input.
pub type Tick = u64;

/// How long a refused pod backs off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first refusal, in milliseconds (`podInitialBackoffSeconds`).
    pub initial_ms: u64,
    /// At most, in milliseconds (`podMaxBackoffSeconds`).
    pub max_ms: u64,
    /// A parked pod is tried again after so long even if no event seemed to help, in milliseconds.
    pub flush_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial_ms: 1_000, max_ms: 10_000, flush_ms: 300_000 }
    }
}

/// Something happened that may help pods that were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A pod of that peer left a node: room, and one less to keep away from.
    Left(Slot, PeerId),
    /// A pod of that peer came onto a node: one more to be near to.
    Came(Slot, PeerId),
    /// A node's own fields changed, or it is new.
    Node(Slot),
    /// Anything else: namespaces, Services, storage, budgets.
    Other,
}

/// So many hints are kept apart; more of them count as `Other`.
const HINTS_MAX: usize = 1_024;

/// A pod's place in its class: since when it waits, and which it is.
type Place = (Tick, u64, PodIx);

/// Pods of one class that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pods: BTreeSet<Place>,
    /// Parked since then, because of these plugins (a bit each); `None`: active.
    pub(crate) parked: Option<(Tick, u16)>,
    priority: i32,
}

/// What the queue knows of a pod.
#[derive(Debug, Clone, Copy)]
struct Entry {
    class: ClassId,
    priority: i32,
    place: Place,
    attempts: u32,
    /// Not to be tried before.
    until: Tick,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Class,
    BackingOff,
    Gated,
}

/// The parts of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuePart {
    /// Will be tried next.
    Active,
    /// Waits for its backoff to end.
    BackingOff,
    /// Waits for an event that may help.
    Unschedulable,
    /// Waits for its scheduling gates to be removed.
    Gated,
}

/// Sizes of the queue's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueSizes {
    /// Will be tried next.
    pub active: usize,
    /// Wait for their backoff to end.
    pub backoff: usize,
    /// Wait for an event that may help.
    pub unschedulable: usize,
    /// Wait for their scheduling gates to be removed.
    pub gated: usize,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BTreeMap<PodIx, Entry>,
    classes: BTreeMap<ClassId, Waiting>,
    /// Active classes by their first pod.
    active: BTreeSet<(Reverse<i32>, Place, ClassId)>,
    backing_off: BTreeSet<(Tick, PodIx)>,
    gated: BTreeSet<PodIx>,
    parked: usize,
    parked_epoch: u64,
    hints: Vec<Hint>,
    overflow: bool,
    backoff: Backoff,
    serial: u64,
}

impl Queue {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self { backoff, ..Self::default() }
    }

    /// A pod waits from `since` on.
    pub(crate) fn insert(&mut self, pod: PodIx, class: ClassId, priority: i32, since: Tick) {
        self.serial += 1;
        let place = (since, self.serial, pod);
        let entry = Entry { class, priority, place, attempts: 0, until: 0, part: Part::Class };
        self.entries.insert(pod, entry);
        self.add_to_class(class, priority, place);
    }

    /// A pod waits for its gates to be removed.
    pub(crate) fn insert_gated(&mut self, pod: PodIx) {
        self.gated.insert(pod);
        let place = (0, 0, pod);
        let class = ClassId::NONE;
        let entry = Entry { class, priority: 0, place, attempts: 0, until: 0, part: Part::Gated };
        self.entries.insert(pod, entry);
    }

    fn add_to_class(&mut self, class: ClassId, priority: i32, place: Place) {
        self.parked_epoch += 1;
        let waiting = self.classes.entry(class).or_default();
        waiting.priority = priority;
        let first = waiting.pods.first().copied();
        waiting.pods.insert(place);
        if waiting.parked.is_some() {
            self.parked += 1;
        } else if first.is_none_or(|first| place < first) {
            if let Some(first) = first {
                self.active.remove(&(Reverse(priority), first, class));
            }
            self.active.insert((Reverse(priority), place, class));
        }
    }

    /// Takes a pod out, wherever it is. `false`: it is not here.
    pub(crate) fn remove(&mut self, pod: PodIx) -> bool {
        let Some(entry) = self.entries.remove(&pod) else { return false };
        match entry.part {
            Part::Gated => {
                self.gated.remove(&pod);
            }
            Part::BackingOff => {
                self.backing_off.remove(&(entry.until, pod));
            }
            Part::Class => self.take_from_class(entry.class, entry.place),
        }
        true
    }

    fn take_from_class(&mut self, class: ClassId, place: Place) {
        self.parked_epoch += 1;
        let Some(waiting) = self.classes.get_mut(&class) else { return };
        let was_first = waiting.pods.first() == Some(&place);
        waiting.pods.remove(&place);
        if waiting.parked.is_some() {
            self.parked -= 1;
        } else if was_first {
            self.active.remove(&(Reverse(waiting.priority), place, class));
            if let Some(next) = waiting.pods.first() {
                self.active.insert((Reverse(waiting.priority), *next, class));
            }
        }
        if waiting.pods.is_empty() {
            self.classes.remove(&class);
        }
    }

    /// The pod to try next. It stays in the queue until it is removed or refused.
    pub(crate) fn first(&mut self, now: Tick) -> Option<(PodIx, ClassId)> {
        loop {
            let (_, place, class) = *self.active.first()?;
            let pod = place.2;
            let entry = self.entries.get_mut(&pod).expect("listed pods have an entry");
            if entry.until <= now {
                return Some((pod, class));
            }
            entry.part = Part::BackingOff;
            let until = entry.until;
            self.take_from_class(class, place);
            self.backing_off.insert((until, pod));
        }
    }

    /// The first pod of a class was refused by these plugins: it backs off, and its class is parked.
    pub(crate) fn refused(&mut self, pod: PodIx, now: Tick, plugins: u16) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        let doubled = self.backoff.initial_ms.saturating_mul(1 << entry.attempts.min(20));
        entry.attempts += 1;
        entry.until = now + doubled.min(self.backoff.max_ms);
        let class = entry.class;
        self.park(class, now, plugins);
    }

    /// A pod was refused, but others were asked to make room for it: it waits apart from its class, which goes on.
    pub(crate) fn nominated(&mut self, pod: PodIx, now: Tick) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        entry.attempts += 1;
        let (class, place) = (entry.class, entry.place);
        entry.until = now + self.backoff.initial_ms;
        entry.part = Part::BackingOff;
        let until = entry.until;
        self.take_from_class(class, place);
        self.backing_off.insert((until, pod));
    }

    fn park(&mut self, class: ClassId, now: Tick, plugins: u16) {
        self.parked_epoch += 1;
        let Some(waiting) = self.classes.get_mut(&class) else { return };
        if waiting.parked.is_none() {
            if let Some(first) = waiting.pods.first() {
                self.active.remove(&(Reverse(waiting.priority), *first, class));
            }
            self.parked += waiting.pods.len();
        }
        waiting.parked = Some((now, plugins));
    }

    /// A parked class may be tried again.
    pub(crate) fn wake(&mut self, class: ClassId) {
        self.parked_epoch += 1;
        let Some(waiting) = self.classes.get_mut(&class) else { return };
        if waiting.parked.take().is_some() {
            self.parked -= waiting.pods.len();
            if let Some(first) = waiting.pods.first() {
                self.active.insert((Reverse(waiting.priority), *first, class));
            }
        }
    }

    /// A pod that backs off is tried at once: the room it waited for is there.
    pub(crate) fn hurry(&mut self, pod: PodIx) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        let until = core::mem::take(&mut entry.until);
        if entry.part == Part::BackingOff {
            self.release_from_backoff(pod, until);
        }
    }

    /// Puts a pod that backed off back into its class.
    fn release_from_backoff(&mut self, pod: PodIx, until: Tick) {
        self.backing_off.remove(&(until, pod));
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        entry.part = Part::Class;
        let (class, priority, place) = (entry.class, entry.priority, entry.place);
        self.add_to_class(class, priority, place);
    }

    /// Pods whose backoff is over become active, and classes that were parked for long are tried again.
    pub(crate) fn tick(&mut self, now: Tick) {
        while let Some((until, pod)) = self.backing_off.first().copied()
            && until <= now
        {
            self.release_from_backoff(pod, until);
        }
        let long =
            |w: &Waiting| w.parked.is_some_and(|(since, _)| since + self.backoff.flush_ms <= now);
        let due: Vec<ClassId> =
            self.classes.iter().filter(|(_, w)| long(w)).map(|(class, _)| *class).collect();
        for class in due {
            self.wake(class);
        }
    }

    /// When `tick` has something to do next.
    pub(crate) fn next_tick(&self) -> Option<Tick> {
        let backoff = self.backing_off.first().map(|(until, _)| *until);
        let flush = self
            .classes
            .values()
            .filter_map(|w| w.parked.map(|(since, _)| since + self.backoff.flush_ms))
            .min();
        backoff.into_iter().chain(flush).min()
    }

    /// Takes a hint down, if anyone waits for one.
    #[inline]
    pub(crate) fn hint(&mut self, hint: Hint) {
        if self.parked == 0 {
            return;
        }
        if self.hints.len() < HINTS_MAX {
            self.hints.push(hint);
        } else {
            self.overflow = true;
        }
    }

    /// Takes the hints: those since the last time, and whether there were more.
    pub(crate) fn take_hints(&mut self, into: &mut Vec<Hint>) -> bool {
        into.clear();
        core::mem::swap(&mut self.hints, into);
        core::mem::take(&mut self.overflow)
    }

    /// Changes with the parked classes, and with what refused them.
    pub(crate) fn parked_epoch(&self) -> u64 {
        self.parked_epoch
    }

    /// Parked classes with the plugins that refused them.
    pub(crate) fn parked(&self) -> impl Iterator<Item = (ClassId, u16)> {
        self.classes.iter().filter_map(|(class, w)| Some((*class, w.parked?.1)))
    }

    /// A parked class is kept from nodes by these plugins, too.
    pub(crate) fn widen(&mut self, class: ClassId, plugins: u16) {
        if let Some((_, have)) = self.classes.get_mut(&class).and_then(|w| w.parked.as_mut())
            && *have | plugins != *have
        {
            *have |= plugins;
            self.parked_epoch += 1;
        }
    }

    /// A class was recompiled under another number: its pods move.
    pub(crate) fn reclass(&mut self, pod: PodIx, class: ClassId, priority: i32) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        let old = core::mem::replace(&mut entry.class, class);
        entry.priority = priority;
        if old != class && entry.part == Part::Class {
            let place = entry.place;
            self.take_from_class(old, place);
            self.add_to_class(class, priority, place);
        }
    }

    /// All pods of a class, in order.
    pub(crate) fn of_class(&self, class: ClassId) -> Vec<PodIx> {
        self.classes.get(&class).map(|w| w.pods.iter().map(|p| p.2).collect()).unwrap_or_default()
    }

    /// The class a pod waits in; `None` for a gated one.
    pub(crate) fn class_of(&self, pod: PodIx) -> Option<ClassId> {
        self.entries.get(&pod).map(|e| e.class).filter(|class| *class != ClassId::NONE)
    }

    /// Where a pod waits.
    pub(crate) fn part_of(&self, pod: PodIx) -> Option<QueuePart> {
        let entry = self.entries.get(&pod)?;
        Some(match entry.part {
            Part::Gated => QueuePart::Gated,
            Part::BackingOff => QueuePart::BackingOff,
            Part::Class => match self.classes.get(&entry.class) {
                Some(waiting) if waiting.parked.is_some() => QueuePart::Unschedulable,
                _ => QueuePart::Active,
            },
        })
    }

    /// Whether a pod waits here.
    pub(crate) fn contains(&self, pod: PodIx) -> bool {
        self.entries.contains_key(&pod)
    }

    /// Sizes of the parts.
    pub(crate) fn sizes(&self) -> QueueSizes {
        let gated = self.gated.len();
        let backoff = self.backing_off.len();
        QueueSizes {
            active: self.entries.len() - self.parked - backoff - gated,
            backoff,
            unschedulable: self.parked,
            gated,
        }
    }
}
