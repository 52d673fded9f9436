// SPDX-License-Identifier: Apache-2.0
//! What controllers are made of: what they are given, a queue, and what is known. Changes go into what is known and into the queue, and
//! what is queued is worked off beside.

use crate::context::Context;
use crate::queue::{self, Key, Outcome, Work};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes that are read at a time.
pub(crate) const CHANGES: usize = 256;

/// A controller over what it knows.
#[derive(Debug)]
pub(crate) struct Controller<S> {
    pub(crate) context: Context,
    pub(crate) work: Work,
    state: Mutex<S>,
}

impl<S> Controller<S> {
    pub(crate) fn new(context: Context, state: S) -> Arc<Self> {
        Arc::new(Self { context, work: Work::new(), state: Mutex::new(state) })
    }

    /// What is known.
    pub(crate) fn state(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what changes, and works on at most so many keys at a time, until one of both ends.
    pub(crate) async fn run<F>(
        self: Arc<Self>,
        at_once: usize,
        intake: impl Future<Output = ()>,
        sync: impl Fn(Arc<Self>, Key) -> F,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let work = queue::run(self.work.clone(), at_once, |key| sync(Arc::clone(&self), key));
        // In a fixed order, as everywhere: the same seed gives the same run.
        tokio::select! { biased; () = intake => {}, () = work => {} }
    }
}
