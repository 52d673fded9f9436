// SPDX-License-Identifier: Apache-2.0
//! What the control plane shows of itself: to its gRPC clients, to metrics, to pages.

use crate::plane::{Applied, Identity, Unserved};
use crate::problem::Problems;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Upper bounds of the time from the receipt of a change to its effect, in nanoseconds. The promise is a millisecond at the 99th
/// percentile for one endpoint; whole configurations take up to some seconds.
pub const EFFECT_BOUNDS_NS: [u64; 12] = [
    50_000,
    100_000,
    200_000,
    300_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    20_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// How long changes took until they were in effect.
#[derive(Debug, Default)]
pub struct Effect {
    buckets: [AtomicU64; EFFECT_BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

impl Effect {
    fn note(&self, took_ns: u64) {
        let bucket = EFFECT_BOUNDS_NS.partition_point(|bound| *bound < took_ns);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(took_ns, Ordering::Relaxed);
    }

    /// One count for each bound, and one for all above; not cumulative. And the sum in nanoseconds.
    #[must_use]
    pub fn read(&self) -> (Vec<u64>, u64) {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        (buckets, self.sum_ns.load(Ordering::Relaxed))
    }
}

/// How the configuration file fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileStatus {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it as it stands; the running table is the last one that was right.
    pub problems: Option<Problems>,
    /// Times that it was taken.
    pub taken: u64,
    /// Times that it was refused.
    pub refused: u64,
}

/// What troubles the data plane; `None` is nothing.
pub type Trouble = Option<String>;

/// What is known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Revision of the table.
    pub revision: u64,
    /// Services.
    pub services: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// Endpoints' ports that active checks found unhealthy.
    pub unhealthy: usize,
    /// Addresses that are not served.
    pub unserved: Vec<Unserved>,
    /// Who the data plane is.
    pub plane: Identity,
    /// What troubles it.
    pub trouble: Trouble,
    /// The configuration file, if there is one.
    pub file: Option<FileStatus>,
    /// There is something to serve, or it is known that there is nothing: the first configuration has been taken.
    pub ready: bool,
    /// The configuration file, if there is one, has been looked at: other sources may speak.
    pub open: bool,
}

/// What the service shows of itself.
#[derive(Debug)]
pub struct Shared {
    begun: Instant,
    moment: Mutex<Moment>,
    effect: Effect,
    taken: AtomicU64,
    refused: AtomicU64,
    overloaded: AtomicU64,
    /// Counts up when a source lets go of something, or moves it: what another one was refused may be right now.
    released: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            moment: Mutex::new(Moment::default()),
            effect: Effect::default(),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
            released: AtomicU64::new(0),
        }
    }

    /// What is known now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.lock().clone()
    }

    /// Whether sources other than the configuration file may speak.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().open
    }

    /// A source for which the service waits to be ready has been taken for the first time.
    pub fn first_taken(&self) {
        self.lock().ready = true;
    }

    /// What the data plane said last.
    pub(crate) fn last(&self) -> Applied {
        let moment = self.lock();
        Applied { revision: moment.revision, unserved: moment.unserved.clone() }
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.lock().trouble.is_some()
    }

    /// How often a source has let go of something: what was refused before may be right after.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    pub(crate) fn release(&self) {
        self.released.fetch_add(1, Ordering::Release);
    }

    /// Since when the service runs.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// How long changes took until they were in effect.
    #[must_use]
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// Updates that were taken, refused, and not looked at for overload.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        [&self.taken, &self.refused, &self.overloaded].map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn overloaded(&self) {
        self.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, took_ns: u64) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.effect.note(took_ns);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Moment)) {
        change(&mut self.lock());
    }

    pub(crate) fn applied(&self, applied: &Applied) {
        let mut moment = self.lock();
        moment.revision = applied.revision;
        if moment.unserved != applied.unserved {
            moment.unserved.clone_from(&applied.unserved);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Moment> {
        self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
