// SPDX-License-Identifier: Apache-2.0
//! What the journal's threads share.

use super::State;
use crate::log::Prepared;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes under way above which submitting waits: a quarter of a segment, so that they fit into the present or the next one.
const UNDER_WAY_MAX: u64 = 4 << 20;

/// Shared state.
#[derive(Debug)]
pub(crate) struct Shared {
    state: AtomicU8,
    durable: AtomicU64,
    /// Submissions, and their bytes, that are not completed.
    under_way: AtomicU64,
    under_way_bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) frame_bytes: AtomicU64,
    work: Mutex<Work>,
    /// Something in `work` changed, or a group was completed.
    changed: Condvar,
    /// There is something to do for the keeper. (Its own, lest it wakes for each group.)
    keeper: Condvar,
}

/// What threads ask of one another.
#[derive(Debug, Default)]
struct Work {
    next: Option<Prepared>,
    forget: Option<u64>,
    stop: bool,
    stop_waiting: bool,
    trouble: Option<String>,
}

/// What the keeper should do.
pub(crate) struct Tasks {
    pub(crate) prepare: bool,
    pub(crate) forget: Option<u64>,
    pub(crate) stop: bool,
}

impl Shared {
    pub(crate) fn new(durable: u64) -> Self {
        Self {
            state: AtomicU8::new(State::Ok as u8),
            durable: AtomicU64::new(durable),
            under_way: AtomicU64::new(0),
            under_way_bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            frame_bytes: AtomicU64::new(0),
            work: Mutex::new(Work::default()),
            changed: Condvar::new(),
            keeper: Condvar::new(),
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Ok,
            1 => State::Full,
            _ => State::Failed,
        }
    }

    /// Says whether there is space. A failure stays one.
    pub(crate) fn set_full(&self, full: bool) {
        let (from, to) = if full { (State::Ok, State::Full) } else { (State::Full, State::Ok) };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        // A failed exchange means that it says so already, or has failed.
        let _ = self.state.compare_exchange(from as u8, to as u8, order.0, order.1);
    }

    pub(crate) fn fail(&self) {
        self.state.store(State::Failed as u8, Ordering::Release);
        self.changed.notify_all();
    }

    /// Notes what went wrong, for the operator.
    pub(crate) fn note_trouble(&self, doing: &str, error: &std::io::Error) {
        self.work().trouble = Some(format!("cannot {doing}: {error}"));
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.work().trouble.clone()
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }

    pub(crate) fn submitted(&self, bytes: usize) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.under_way_bytes.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// A group is on disk.
    pub(crate) fn wrote(&self, last: u64, bytes: u64) {
        self.durable.store(last, Ordering::Release);
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.frame_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many submissions have completed.
    pub(crate) fn completed(&self, submissions: u64, bytes: u64) {
        self.under_way_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.under_way.fetch_sub(submissions, Ordering::AcqRel);
        // The lock orders this with the check of who begins to wait.
        drop(self.work());
        self.changed.notify_all();
    }

    /// Waits while too many bytes are under way.
    pub(crate) fn wait_for_room(&self) {
        let full = || self.under_way_bytes.load(Ordering::Acquire) > UNDER_WAY_MAX;
        if !full() {
            return;
        }
        let mut work = self.work();
        while full() {
            work = self.wait(work, Duration::from_millis(100));
        }
    }

    /// Waits until all batches up to `number` are on disk; `false` if that will not be.
    pub(crate) fn wait_durable(&self, number: u64) -> bool {
        let mut work = self.work();
        while self.durable() < number {
            if self.state() == State::Failed || work.stop_waiting {
                return false;
            }
            work = self.wait(work, Duration::from_millis(100));
        }
        true
    }

    /// Takes the prepared segment, waiting until there is one; `None` when the journal failed or stops.
    pub(crate) fn take_next(&self) -> Option<Prepared> {
        let mut work = self.work();
        loop {
            if let Some(next) = work.next.take() {
                self.keeper.notify_all();
                return Some(next);
            }
            // When stopping, a segment that is just being made is still waited for.
            let given_up = work.stop_waiting && self.state() == State::Full;
            if given_up || self.state() == State::Failed {
                return None;
            }
            work = self.wait(work, Duration::from_millis(100));
        }
    }

    /// Pauses before a full disk is tried again; `false` when the journal is being closed.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let work = self.work();
        !work.stop_waiting && !self.wait(work, time).stop_waiting
    }

    /// Whether the journal is being closed.
    pub(crate) fn stops(&self) -> bool {
        self.work().stop_waiting
    }

    pub(crate) fn put_next(&self, next: Prepared) {
        self.work().next = Some(next);
        self.changed.notify_all();
    }

    pub(crate) fn forget(&self, number: u64) {
        self.work().forget = Some(number);
        self.keeper.notify_all();
    }

    pub(crate) fn stop_waiting(&self) {
        self.work().stop_waiting = true;
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.work().stop = true;
        self.keeper.notify_all();
    }

    /// Waits for something to do, or for the time to pass.
    pub(crate) fn tasks(&self, time: Duration) -> Tasks {
        let mut work = self.work();
        if work.next.is_some() && work.forget.is_none() && !work.stop {
            let waited = self.keeper.wait_timeout(work, time);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Tasks { prepare: work.next.is_none(), forget: work.forget.take(), stop: work.stop }
    }

    fn wait<'a>(&self, work: MutexGuard<'a, Work>, time: Duration) -> MutexGuard<'a, Work> {
        let waited = self.changed.wait_timeout(work, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
