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
    /// It is nominated to a node, and waits apart from its class: what is refused to the class for the sake of its room is not
    /// refused to it.
    apart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Class,
    Single,
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
    /// Active pods that wait apart from their classes.
    singles: BTreeSet<(Reverse<i32>, Place)>,
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
        let entry = Entry {
            class,
            priority,
            place,
            attempts: 0,
            until: 0,
            part: Part::Class,
            apart: false,
        };
        self.entries.insert(pod, entry);
        self.add_to_class(class, priority, place);
    }

    /// A pod waits for its gates to be removed.
    pub(crate) fn insert_gated(&mut self, pod: PodIx) {
        self.gated.insert(pod);
        let place = (0, 0, pod);
        let class = ClassId::NONE;
        let entry = Entry {
            class,
            priority: 0,
            place,
            attempts: 0,
            until: 0,
            part: Part::Gated,
            apart: false,
        };
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
            Part::Single => {
                self.singles.remove(&(Reverse(entry.priority), entry.place));
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
            let of_class = self.active.first().map(|(priority, place, _)| (*priority, *place));
            let single = self.singles.first().copied();
            let (_, place) = of_class.into_iter().chain(single).min()?;
            let pod = place.2;
            let entry = self.entries.get(&pod).expect("listed pods have an entry");
            if entry.until <= now {
                return Some((pod, entry.class));
            }
            self.back_off(pod, entry.until);
        }
    }

    /// An active pod is not tried before `until`.
    fn back_off(&mut self, pod: PodIx, until: Tick) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        entry.until = until;
        let part = core::mem::replace(&mut entry.part, Part::BackingOff);
        let (class, priority, place) = (entry.class, entry.priority, entry.place);
        if part == Part::Single {
            self.singles.remove(&(Reverse(priority), place));
        } else {
            self.take_from_class(class, place);
        }
        self.backing_off.insert((until, pod));
    }

    /// The first pod was refused by these plugins: it backs off, and its class is parked, unless it waits apart from it.
    pub(crate) fn refused(&mut self, pod: PodIx, now: Tick, plugins: u16) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        let doubled = self.backoff.initial_ms.saturating_mul(1 << entry.attempts.min(20));
        entry.attempts += 1;
        let until = now + doubled.min(self.backoff.max_ms);
        if entry.part == Part::Single {
            self.back_off(pod, until);
            return;
        }
        entry.until = until;
        let class = entry.class;
        self.park(class, now, plugins);
    }

    /// A pod was refused, but others were asked to make room for it: it waits apart from its class, which goes on.
    pub(crate) fn nominated(&mut self, pod: PodIx, now: Tick) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        entry.attempts += 1;
        self.back_off(pod, now + self.backoff.initial_ms);
    }

    /// A pod waits apart from its class from now on, or no longer.
    pub(crate) fn set_apart(&mut self, pod: PodIx, apart: bool) {
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        if core::mem::replace(&mut entry.apart, apart) == apart {
            return;
        }
        let (class, priority, place) = (entry.class, entry.priority, entry.place);
        match entry.part {
            Part::Class => {
                entry.part = Part::Single;
                self.take_from_class(class, place);
                self.singles.insert((Reverse(priority), place));
            }
            Part::Single => {
                entry.part = Part::Class;
                self.singles.remove(&(Reverse(priority), place));
                self.add_to_class(class, priority, place);
            }
            // It goes where it belongs when that is over.
            Part::BackingOff | Part::Gated => {}
        }
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

    /// Puts a pod that backed off back to where it waits.
    fn release_from_backoff(&mut self, pod: PodIx, until: Tick) {
        self.backing_off.remove(&(until, pod));
        let Some(entry) = self.entries.get_mut(&pod) else { return };
        let (class, priority, place) = (entry.class, entry.priority, entry.place);
        if entry.apart {
            entry.part = Part::Single;
            self.singles.insert((Reverse(priority), place));
        } else {
            entry.part = Part::Class;
            self.add_to_class(class, priority, place);
        }
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
        let before = core::mem::replace(&mut entry.priority, priority);
        let (place, part) = (entry.place, entry.part);
        if old != class && part == Part::Class {
            self.take_from_class(old, place);
            self.add_to_class(class, priority, place);
        }
        if before != priority && part == Part::Single {
            self.singles.remove(&(Reverse(before), place));
            self.singles.insert((Reverse(priority), place));
        }
    }

    /// All pods of a class, in order.
    pub(crate) fn of_class(&self, class: ClassId) -> Vec<PodIx> {
        self.classes.get(&class).map(|w| w.pods.iter().map(|p| p.2).collect()).unwrap_or_default()
    }

    /// The active pods of a class that wait apart from it.
    pub(crate) fn apart_of_class(&self, class: ClassId) -> Vec<PodIx> {
        let pods = self.singles.iter().map(|(_, place)| place.2);
        pods.filter(|pod| self.entries.get(pod).is_some_and(|e| e.class == class)).collect()
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
            Part::Single => QueuePart::Active,
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
