// SPDX-License-Identifier: Apache-2.0
//! Dense ids with generations.

use crate::limits::BACKENDS_MAX;
use crate::model::Name;
use crate::table::{BackendId, FrontendId, Shared};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Hands out slots. One that was given back is used again last of all free ones, with another generation: what still holds the
/// old id does not take the new one for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    generations: Vec<u32>,
    free: VecDeque<u32>,
}

impl Slots {
    /// A slot and its generation.
    pub(crate) fn take(&mut self) -> (u32, u32) {
        if let Some(slot) = self.free.pop_front() {
            let generation = &mut self.generations[slot as usize];
            *generation = generation.wrapping_add(1);
            return (slot, *generation);
        }
        let slot = self.len();
        // Generation 0 is nobody's: state that is all zeros belongs to no backend.
        self.generations.push(1);
        (slot, 1)
    }

    pub(crate) fn give_back(&mut self, slot: u32) {
        debug_assert!(self.free.len() > 64 || !self.free.contains(&slot), "given back twice");
        self.free.push_back(slot);
    }

    /// Whether one was given back and is not used again.
    fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Slots ever used.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.generations.len()).unwrap_or(u32::MAX)
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> u32 {
        self.len() - u32::try_from(self.free.len()).unwrap_or(0)
    }
}

/// What a backend is: an endpoint of this name at this address, behind this port of a service.
pub(crate) type Identity = (FrontendId, Name, SocketAddr);

/// Who a backend is: its id, and what all workers share of it.
pub(crate) type Individual = (BackendId, Arc<Shared>);

/// Backends that left and may come back at once: more are not kept in mind.
const RESTING_MAX: usize = 1 << 16;

/// Ids of backends. One that left and comes back while its connections drain has the id that it had, and they go on: an endpoint
/// that is taken out for a moment, by a reload or a flapping source, is no reason to break them.
#[derive(Debug, Clone, Default)]
pub(crate) struct BackendSlots {
    slots: Slots,
    resting: BTreeMap<Identity, (u64, Individual)>,
    /// The same by time.
    until: BTreeSet<(u64, Identity)>,
}

impl BackendSlots {
    /// A backend that is new, or comes back.
    pub(crate) fn take(&mut self, identity: Identity) -> Individual {
        if let Some((until, back)) = self.resting.remove(&identity) {
            self.until.remove(&(until, identity));
            return back;
        }
        // The data plane has 20 bits for a slot: one that rests is used rather than one more than the table may have.
        if !self.slots.has_free() && self.slots.len() as usize >= BACKENDS_MAX {
            self.forget_first();
        }
        let (slot, generation) = self.slots.take();
        (BackendId { slot, generation }, Arc::new(Shared::new(identity.1)))
    }

    /// A backend has left; until then (nanoseconds) it may come back.
    pub(crate) fn rest(&mut self, identity: Identity, gone: Individual, until: u64) {
        self.until.insert((until, identity.clone()));
        if let Some((former, (id, _))) = self.resting.insert(identity.clone(), (until, gone)) {
            self.until.remove(&(former, identity));
            self.slots.give_back(id.slot);
        }
        if self.resting.len() > RESTING_MAX {
            self.forget_first();
        }
    }

    /// A backend has left for good.
    pub(crate) fn give_back(&mut self, id: BackendId) {
        self.slots.give_back(id.slot);
    }

    /// Forgets who cannot come back any more.
    pub(crate) fn expire(&mut self, now: u64) {
        while self.until.first().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, identity)) = self.until.pop_first()
            && let Some((_, (id, _))) = self.resting.remove(&identity)
        {
            self.slots.give_back(id.slot);
        }
    }

    /// Slots ever used.
    pub(crate) fn len(&self) -> u32 {
        self.slots.len()
    }

    /// Backends.
    pub(crate) fn used(&self) -> u32 {
        self.slots.used() - u32::try_from(self.resting.len()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_all_slots_are_taken_those_that_rest_are_used() {
        let web = FrontendId { slot: 0, generation: 1 };
        let name = Name::from("e");
        let identity =
            |number: u32| (web, name.clone(), SocketAddr::from((number.to_be_bytes(), 80)));
        let mut slots = BackendSlots::default();
        let most = u32::try_from(BACKENDS_MAX).unwrap();
        for number in 0..most {
            assert_eq!(slots.take(identity(number)).0.slot, number);
        }
        for number in 0..3 {
            let id = BackendId { slot: number, generation: 1 };
            slots.rest(identity(number), (id, Arc::new(Shared::new(name.clone()))), 100);
        }
        // One comes back, two others come, and no slot is one too many.
        assert_eq!(slots.take(identity(2)).0, BackendId { slot: 2, generation: 1 });
        for (number, slot) in [(most, 0), (most + 1, 1)] {
            assert_eq!(slots.take(identity(number)).0, BackendId { slot, generation: 2 });
        }
        assert_eq!((slots.len(), slots.used()), (most, most));
    }
}
