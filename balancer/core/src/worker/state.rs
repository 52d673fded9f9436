// SPDX-License-Identifier: Apache-2.0
//! A worker's state of backends and frontends: arrays by slot.

use crate::latency::{Latency, Mean};
use crate::random::mix;
use crate::table::{BackendId, FrontendId};
use alloc::vec::Vec;

/// What a worker knows of a backend.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Whose state it is; 0 is nobody's.
    generation: u32,
    /// Connections of this worker.
    pub(crate) active: u32,
    pub(crate) latency: Latency,
    /// Nanoseconds; passed over before then.
    pub(crate) ejected_until: u64,
    /// Smooth weighted round robin: what it is owed.
    pub(crate) owed: i64,
    /// Failures in a row.
    pub(crate) failures: u16,
    /// Ejections in short order.
    pub(crate) ejections: u16,
}

// Times backends times workers: 4.8 MB a worker for 100,000.
const _: () = assert!(size_of::<State>() == 48);

impl State {
    const FRESH: Self = Self {
        generation: 0,
        active: 0,
        latency: Latency::UNKNOWN,
        ejected_until: 0,
        owed: 0,
        failures: 0,
        ejections: 0,
    };
}

/// States of backends.
#[derive(Debug, Default)]
pub(crate) struct States(Vec<State>);

impl States {
    /// Room for slots below `slots`.
    pub(crate) fn reserve(&mut self, slots: u32) {
        if self.0.len() < slots as usize {
            self.0.resize(slots as usize, State::FRESH);
        }
    }

    /// The state of a backend; a fresh one if nothing is known.
    #[inline]
    pub(crate) fn get(&self, id: BackendId) -> &State {
        match self.0.get(id.slot as usize) {
            Some(state) if state.generation == id.generation => state,
            _ => &State::FRESH,
        }
    }

    /// The state of a backend of the worker's own table; a fresh one if the slot was another's.
    #[inline]
    pub(crate) fn of(&mut self, id: BackendId) -> &mut State {
        self.reserve(id.slot + 1);
        let state = &mut self.0[id.slot as usize];
        if state.generation != id.generation {
            *state = State { generation: id.generation, ..State::FRESH };
        }
        state
    }

    /// The state of a backend that may be gone.
    #[inline]
    pub(crate) fn known(&mut self, id: BackendId) -> Option<&mut State> {
        self.0.get_mut(id.slot as usize).filter(|state| state.generation == id.generation)
    }

    /// Forgets a backend. Its connections, which must be counted elsewhere from now on.
    pub(crate) fn retire(&mut self, id: BackendId) -> u32 {
        self.known(id).map_or(0, |state| core::mem::replace(state, State::FRESH).active)
    }
}

/// What a worker knows of a frontend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrontendState {
    generation: u32,
    /// Round robin: whose turn it is.
    pub(crate) cursor: u32,
    pub(crate) mean: Mean,
}

/// States of frontends.
#[derive(Debug)]
pub(crate) struct FrontendStates {
    all: Vec<FrontendState>,
    seed: u64,
}

const FRESH: FrontendState = FrontendState { generation: 0, cursor: 0, mean: Mean::UNKNOWN };

impl FrontendStates {
    pub(crate) fn new(seed: u64) -> Self {
        Self { all: Vec::new(), seed }
    }

    pub(crate) fn reserve(&mut self, slots: u32) {
        if self.all.len() < slots as usize {
            self.all.resize(slots as usize, FRESH);
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: FrontendId) -> &FrontendState {
        match self.all.get(id.slot as usize) {
            Some(state) if state.generation == id.generation => state,
            _ => &FRESH,
        }
    }

    #[inline]
    pub(crate) fn of(&mut self, id: FrontendId) -> &mut FrontendState {
        self.reserve(id.slot + 1);
        let state = &mut self.all[id.slot as usize];
        if state.generation != id.generation {
            // Many balancers that all begin at the first backend would send it their first flows all at once.
            #[expect(clippy::cast_possible_truncation, reason = "any 32 bits do")]
            let cursor = mix(self.seed ^ u64::from(id.slot)) as u32 >> 1;
            *state = FrontendState { generation: id.generation, cursor, mean: Mean::UNKNOWN };
        }
        state
    }

    /// The state of a frontend that may be gone.
    pub(crate) fn known(&mut self, id: FrontendId) -> Option<&mut FrontendState> {
        self.all.get_mut(id.slot as usize).filter(|state| state.generation == id.generation)
    }
}
