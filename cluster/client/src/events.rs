// SPDX-License-Identifier: Apache-2.0
//! Events about objects: what a component tells users of what it did, beside its logs.
//!
//! A [`Recorder`] never makes its component wait: what cannot be sent as fast as it comes is counted and left out. What happens again within
//! ten minutes goes into the series of the event that tells it already; an object about which too much is told is left in peace.

mod book;
mod form;
mod lanes;
mod post;

use crate::api::Api;
use crate::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Events that wait between a component and the task that sends them: some seconds of the fastest component's.
const QUEUE: usize = 16_384;
/// How long a flush waits at most: more than the retries of one event take.
const FLUSH: Duration = Duration::from_secs(30);
/// Microseconds between two warnings about events that were left out.
const WARN_EVERY: i64 = 60_000_000;

/// Whether an event tells of something usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// As it should be.
    Normal,
    /// Somebody may have to look at it.
    Warning,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The object that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for a kind without.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; may be empty.
    pub uid: String,
    /// Its version; may be empty.
    pub resource_version: String,
    /// The part of it that is meant, such as `spec.containers{web}`; empty for all of it.
    pub field_path: String,
}

/// Something that happened.
#[derive(Debug, Clone)]
struct Happening {
    about: Reference,
    kind: Type,
    reason: Box<str>,
    action: Box<str>,
    message: String,
    /// Microseconds since the Unix epoch.
    at: i64,
}

/// What goes to the task that sends.
#[derive(Debug)]
enum Told {
    Event(Box<Happening>),
    Flush(oneshot::Sender<()>),
}

/// Records events. Clones are one recorder; when the last is dropped, what is queued is still sent.
#[derive(Debug, Clone)]
pub struct Recorder {
    to: mpsc::Sender<Told>,
    clock: Clock,
    counts: Arc<Counts>,
}

/// Since the start.
#[derive(Debug)]
struct Counts {
    /// Found no place in the queue.
    left_out: AtomicU64,
    /// Could not be sent.
    failed: AtomicU64,
    /// When a warning may be given again.
    warn: AtomicI64,
}

impl Default for Counts {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { left_out: zero(), failed: zero(), warn: AtomicI64::new(i64::MIN) }
    }
}

impl Counts {
    /// Whether to warn now.
    fn warns(&self, now: i64) -> bool {
        let free = |next: i64| (next <= now).then(|| now.saturating_add(WARN_EVERY));
        self.warn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
    }
}

impl Recorder {
    /// One that tells what this component does. Has to be called within a runtime.
    pub fn start(api: Api, component: &str, clock: Clock) -> Self {
        let (to, from) = mpsc::channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let book = book::Book::new(component);
        tokio::spawn(post::run(api, book, clock, from, Arc::clone(&counts)));
        Self { to, clock, counts }
    }

    /// Tells of something. `action` says what was done, in one word; where it is empty, the reason stands for it. A message longer
    /// than 1,024 bytes is cut.
    pub fn record(
        &self,
        about: &Reference,
        kind: Type,
        reason: &str,
        action: &str,
        message: String,
    ) {
        let action = if action.is_empty() { reason } else { action };
        let at = self.clock.micros();
        let happening = Happening {
            about: about.clone(),
            kind,
            reason: reason.into(),
            action: action.into(),
            message,
            at,
        };
        if self.to.try_send(Told::Event(Box::new(happening))).is_err() {
            let left_out = self.counts.left_out.fetch_add(1, Ordering::Relaxed) + 1;
            if self.counts.warns(at) {
                tracing::warn!(left_out, "events come faster than they can be sent");
            }
        }
    }

    /// How many found no place in the queue, since the start.
    pub fn left_out(&self) -> u64 {
        self.counts.left_out.load(Ordering::Relaxed)
    }

    /// How many could not be sent, since the start.
    pub fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }

    /// Waits until all that was recorded has been sent or given up, half a minute at most; tells whether it came so far.
    pub async fn flush(&self) -> bool {
        let (done, told) = oneshot::channel();
        let flushed = async { self.to.send(Told::Flush(done)).await.is_ok() && told.await.is_ok() };
        tokio::time::timeout(FLUSH, flushed).await.unwrap_or(false)
    }
}
