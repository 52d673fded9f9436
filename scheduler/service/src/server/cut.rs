// SPDX-License-Identifier: Apache-2.0
//! Cutting connections of clients that do not read: a task looks now and then for streams that have had answers ready for too
//! long.

use berth_proto_serve::stopped;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch as signal;

/// Something that may be left unread.
pub(super) trait Readable: std::fmt::Debug + Send + Sync {
    /// Since when something is ready that is not read; `None`: nothing is.
    fn unread_since(&self) -> Option<Instant>;
    /// Gives it up.
    fn cut(&self);
}

/// Looks for what is left unread.
#[derive(Debug, Clone, Default)]
pub(super) struct Cutter(Arc<Mutex<Vec<Weak<dyn Readable>>>>);

impl Cutter {
    /// Looks after this from now on.
    pub(super) fn add(&self, readable: Weak<dyn Readable>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(readable);
    }

    /// Looks now and then.
    pub(super) async fn run(self, patience: Duration, mut stopping: signal::Receiver<bool>) {
        let mut interval = tokio::time::interval((patience / 4).max(Duration::from_millis(10)));
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                _ = interval.tick() => {}
            }
            let mut late = Vec::new();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|readable| {
                let Some(readable) = readable.upgrade() else { return false };
                if readable.unread_since().is_some_and(|since| since.elapsed() > patience) {
                    late.push(readable);
                }
                true
            });
            for readable in late {
                readable.cut();
            }
        }
    }
}
