// SPDX-License-Identifier: Apache-2.0
//! The thread that keeps the log's folder: a segment ready ahead, old ones removed, a note of how far the log is synced.

use super::Shared;
use crate::disk::Disk;
use crate::log::{Archive, prepare};
use crate::manifest::write_synced;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks by itself: the note is so much behind at most while the log rests.
const LOOK: Duration = Duration::from_millis(50);
/// How often a full disk is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);

pub(crate) struct Keeper {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) segment_bytes: u64,
    pub(crate) next_ordinal: u32,
    /// Up to which batch the note says.
    pub(crate) noted: u64,
}

impl Keeper {
    pub(crate) fn run(mut self) {
        loop {
            let tasks = self.shared.tasks(LOOK);
            if let Some(number) = tasks.forget {
                // What cannot be removed goes with the next snapshot.
                drop(self.archive.forget(&*self.disk, number));
            }
            let durable = self.shared.durable();
            if durable > self.noted && write_synced(&*self.disk, durable).is_ok() {
                self.noted = durable;
            }
            if tasks.stop {
                return;
            }
            if tasks.prepare {
                match prepare(&*self.disk, self.next_ordinal, self.segment_bytes) {
                    Ok(next) => {
                        self.next_ordinal += 1;
                        self.shared.put_next(next);
                        self.shared.set_full(false);
                    }
                    // Whatever the reason: without a segment there is no room. Nothing acknowledged is in it, so it may be
                    // tried again.
                    Err(error) => {
                        self.shared.note_trouble("make a segment of the log", &error);
                        self.shared.set_full(true);
                        self.shared.pause(TRY_AGAIN);
                    }
                }
            }
        }
    }
}
