// SPDX-License-Identifier: Apache-2.0
//! Counts of things that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many are open.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge(Arc<AtomicU32>);

/// One that is open.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicU32>);

impl Gauge {
    /// One more, until what is given back is dropped.
    pub(super) fn open(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.0))
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
