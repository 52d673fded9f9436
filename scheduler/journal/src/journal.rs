// SPDX-License-Identifier: Apache-2.0
//! The journal as its owner sees it, and its threads.
//!
//! | thread | does |
//! |---|---|
//! | the owner's | [`Journal::submit`]; takes slices of its state for a snapshot |
//! | committer | gathers what was submitted, writes and syncs it, calls the completion |
//! | keeper | allocates the next segment, removes old ones, notes how far the log is synced |
//! | one per snapshot | writes chunks |

mod committer;
mod keeper;
mod shared;

use crate::disk::Disk;
use crate::disk::real::Folder;
use crate::error::{CommitError, OpenError};
use crate::log::Archive;
use crate::manifest::Manifest;
use crate::recover::{Recovered, Replay, Report, recover};
use crate::snapshot::{self, Ended, Message, Snapshot, Writer};
use crate::store::SnapshotStore;
use crate::store::sled::SledStore;
use committer::{Committer, Submission};
use crossbeam_channel::{Receiver, Sender};
use keeper::Keeper;
pub(crate) use shared::Shared;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

/// Sizes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of a segment. A batch has to fit into half of one.
    pub segment_bytes: u64,
    /// Bytes on disk that are fine however small the state is: below them no snapshot is due.
    pub floor_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        // 16 MiB: at 150,000 placements a second a segment lasts a second. The floor is four of them: two that are written and
        // allocated, two to be removed.
        Self { segment_bytes: 16 << 20, floor_bytes: 64 << 20 }
    }
}

/// Whether batches can be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They can.
    Ok,
    /// The disk has no space. What was submitted before this is still safe; nothing should be submitted until it is [`State::Ok`]
    /// again, which it becomes by itself.
    Full,
    /// The disk failed. What is submitted is completed with an error.
    Failed,
}

/// Counts, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Number of the last batch that is on disk.
    pub durable: u64,
    /// Bytes of the log on disk, allocated ones included.
    pub log_bytes: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// Frames written, each with one sync.
    pub frames: u64,
    /// Bytes of the frames.
    pub frame_bytes: u64,
    /// Snapshots finished.
    pub snapshots: u64,
    /// Snapshots given up.
    pub snapshots_failed: u64,
    /// The state.
    pub state: State,
}

/// Is called on the committer's thread, in the order of submission.
pub type Completion<T> = Box<dyn FnMut(T, Result<(), CommitError>) + Send>;

/// A journal that is open.
pub struct Journal<T: Send + 'static> {
    options: Options,
    disk: Arc<dyn Disk>,
    store: Arc<dyn SnapshotStore>,
    shared: Arc<Shared>,
    archive: Arc<Archive>,
    submit: Option<Sender<Submission<T>>>,
    spare: Receiver<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
    number: u64,
    snapshots: Snapshots,
    /// Held while the journal is open.
    lock: Option<File>,
}

/// What is known of snapshots on the owner's side.
struct Snapshots {
    counts: Option<Manifest>,
    next_id: u64,
    thread: Option<JoinHandle<Ended>>,
    /// Number of the batch at which another one may be tried after a failure.
    not_before: u64,
    /// Bytes that the state was said to have when one was last due, and what a byte of that turned out to take, in thousandths.
    told: u64,
    told_at_begin: u64,
    permille: Option<u64>,
    /// Bytes of frames, since the journal was opened, at which the log has grown enough beside the one being written.
    frames_max: u64,
    done: u64,
    failed: u64,
}

/// What a snapshot's store takes beside the content.
const STORE_BYTES: u64 = 1 << 20;
/// After a snapshot has failed, so many batches pass before the next is tried.
const RETRY_AFTER: u64 = 1_000;

/// What a byte of a state of that size takes in a snapshot. No state takes so much less or more than it was said to, but one that
/// shrank meanwhile might seem to.
fn permille(snapshot_bytes: u64, told: u64) -> u64 {
    (snapshot_bytes * 1_000 / told.max(1)).clamp(250, 4_000)
}

impl<T: Send + 'static> Journal<T> {
    /// Opens the journal in a folder, made if it is not there, and gives its content back through `replay`.
    pub fn open(
        folder: &Path,
        options: Options,
        replay: &mut dyn Replay,
        completion: Completion<T>,
    ) -> Result<(Self, Report), OpenError> {
        let failed = |doing| move |source| OpenError::Disk { doing, source };
        let disk = Folder::open(folder).map_err(failed("make the folder"))?;
        let lock = disk.lock().map_err(failed("take the lock"))?.ok_or(OpenError::InUse)?;
        let store = SledStore::new(folder);
        let (mut journal, report) =
            Self::open_on(Arc::new(disk), Arc::new(store), options, replay, completion)?;
        journal.lock = Some(lock);
        Ok((journal, report))
    }

    /// Opens the journal on any disk. The caller sees to it that nobody else does.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        store: Arc<dyn SnapshotStore>,
        options: Options,
        replay: &mut dyn Replay,
        completion: Completion<T>,
    ) -> Result<(Self, Report), OpenError> {
        let failed = |doing| move |source| OpenError::Disk { doing, source };
        let Recovered { log, snapshot, report } =
            recover(&*disk, &*store, options.segment_bytes, replay)?;
        let shared = Arc::new(Shared::new(log.last()));
        let archive = Arc::clone(log.archive());
        let keeper = Keeper {
            disk: Arc::clone(&disk),
            shared: Arc::clone(&shared),
            archive: Arc::clone(&archive),
            segment_bytes: options.segment_bytes,
            next_ordinal: log.next_ordinal(),
            noted: 0,
        };
        let (submit, receive) = committer::channel();
        let (give_back, spare) = committer::spare();
        let number = log.last();
        let committer = Committer::new(log, Arc::clone(&shared), receive, give_back, completion);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).spawn(work).map_err(failed("start a thread"))
        };
        let threads = vec![
            spawn("journal-keeper", Box::new(move || keeper.run()))?,
            spawn("journal-commit", Box::new(move || committer.run()))?,
        ];
        let snapshots = Snapshots {
            next_id: snapshot.map_or(1, |manifest| manifest.id + 1),
            counts: snapshot,
            thread: None,
            not_before: 0,
            told: 0,
            told_at_begin: 0,
            permille: None,
            frames_max: u64::MAX,
            done: 0,
            failed: 0,
        };
        let submit = Some(submit);
        let journal = Self {
            options,
            disk,
            store,
            shared,
            archive,
            submit,
            spare,
            threads,
            number,
            snapshots,
            lock: None,
        };
        Ok((journal, report))
    }

    /// Whether batches can be made durable at the moment.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// What last went wrong, in words for the operator.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// A buffer for the next batch, with the room of an earlier one.
    pub fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Submits a batch: it is recovered whole or not at all. The completion gets `answer` once the batch, and all before it, are
    /// on disk. An empty batch is not recorded, and completes in its turn. Waits while too much is under way.
    pub fn submit(&mut self, batch: Vec<u8>, answer: T) {
        if !batch.is_empty() {
            self.number += 1;
        }
        self.shared.wait_for_room();
        self.shared.submitted(batch.len());
        if let Some(submit) = &self.submit {
            // The committer ends after this sender only.
            drop(submit.send(Submission { batch, answer }));
        }
    }

    /// Whether everything submitted has completed.
    pub fn is_idle(&self) -> bool {
        self.shared.is_idle()
    }

    /// Number of the last batch that was submitted.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether a snapshot should be begun, with a state of about so many bytes.
    ///
    /// What is on disk stays below 3 x the state: up to 1.6 x before a snapshot, the new one, and what the log grows meanwhile,
    /// see [`Journal::is_pressed`].
    pub fn snapshot_due(&mut self, state_bytes: u64) -> bool {
        self.reap();
        self.snapshots.told = state_bytes;
        let counts = self.snapshots.counts;
        if let (None, Some(manifest)) = (self.snapshots.permille, counts) {
            // It was found when the journal was opened, with a state that is not much older than this one.
            self.snapshots.permille = Some(permille(manifest.bytes, state_bytes));
        }
        let state_bytes = self.state_bytes();
        let new = self.number - counts.map_or(0, |manifest| manifest.start);
        if self.snapshots.thread.is_some() || new == 0 || self.number < self.snapshots.not_before {
            return false;
        }
        // Segments that are about to be removed are no reason for another snapshot.
        let log = self.archive.bytes_after(counts.map_or(0, |manifest| manifest.start));
        let limit = self.options.floor_bytes.max(state_bytes + state_bytes / 5 * 3);
        // On a full disk a snapshot may be what makes room.
        let squeezed = self.state() == State::Full && log > state_bytes;
        // A segment at least is to be won, however wrong the caller's idea of its size is.
        let large = log > self.options.segment_bytes / 2 && self.disk_bytes(log) > limit;
        large || squeezed
    }

    /// What the state takes in a snapshot: what it was said to be, corrected by what the last one showed.
    fn state_bytes(&self) -> u64 {
        // Before there is any, it is taken to be half of that: a snapshot too early does no harm.
        self.snapshots.told.saturating_mul(self.snapshots.permille.unwrap_or(500)) / 1_000
    }

    /// What is on disk with so many bytes of closed segments.
    fn disk_bytes(&self, log: u64) -> u64 {
        let snapshot = self.snapshots.counts.map_or(0, |manifest| manifest.bytes);
        log + 2 * self.options.segment_bytes + snapshot
    }

    /// Whether nothing should be submitted until the snapshot that is being written is done: the log has grown as much beside it
    /// as the bound of what is on disk allows.
    pub fn is_pressed(&mut self) -> bool {
        self.shared.frame_bytes.load(Ordering::Relaxed) > self.snapshots.frames_max
            && self.snapshot_under_way()
    }

    /// Begins a snapshot; `None` while another one is being written.
    pub fn begin_snapshot(&mut self) -> Option<Snapshot> {
        self.reap();
        if self.snapshots.thread.is_some() {
            return None;
        }
        let (send, receive) = snapshot::channel();
        let start = self.number;
        // Below three times the state, or what is fine for a small one, stays what there is, the new snapshot (which takes a
        // little more than its content), and the growth.
        let state_bytes = self.state_bytes();
        let floor = self.options.floor_bytes;
        let bound = (3 * state_bytes).max(state_bytes + floor + floor / 2);
        let taken =
            self.disk_bytes(self.archive.bytes()) + state_bytes + state_bytes / 20 + STORE_BYTES;
        self.snapshots.told_at_begin = self.snapshots.told;
        let growth = bound.saturating_sub(taken).max(self.options.segment_bytes / 2);
        self.snapshots.frames_max = self.shared.frame_bytes.load(Ordering::Relaxed) + growth;
        let id = self.snapshots.next_id;
        self.snapshots.next_id += 1;
        let writer = Writer {
            disk: Arc::clone(&self.disk),
            store: Arc::clone(&self.store),
            shared: Arc::clone(&self.shared),
            receive,
            manifest: Manifest { id, start, ..Manifest::default() },
            before: self.snapshots.counts.map(|manifest| manifest.id),
        };
        let thread = thread::Builder::new().name("journal-snapshot".into());
        self.snapshots.thread = Some(thread.spawn(move || writer.run()).ok()?);
        Some(Snapshot { send, start })
    }

    /// Says that the state has about so many bytes now, when the whole of it was handed out: a snapshot that took long shows what it
    /// takes by the larger of the two ends.
    pub fn note_state(&mut self, state_bytes: u64) {
        self.snapshots.told_at_begin = self.snapshots.told_at_begin.max(state_bytes);
    }

    /// Says that the whole state was handed out. Gives the snapshot back where the disk is behind: try again later.
    pub fn finish_snapshot(&mut self, snapshot: Snapshot) -> Result<(), Snapshot> {
        match snapshot.send.try_send(Message::Finish { end: self.number }) {
            Err(error) if error.is_full() => Err(snapshot),
            // A thread that is gone has failed, which is seen when it is reaped.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether a snapshot is being written.
    pub fn snapshot_under_way(&mut self) -> bool {
        self.reap();
        self.snapshots.thread.is_some()
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        Stats {
            durable: shared.durable(),
            log_bytes: self.archive.bytes() + 2 * self.options.segment_bytes,
            snapshot_bytes: self.snapshots.counts.map_or(0, |manifest| manifest.bytes),
            frames: shared.frames.load(Ordering::Relaxed),
            frame_bytes: shared.frame_bytes.load(Ordering::Relaxed),
            snapshots: self.snapshots.done,
            snapshots_failed: self.snapshots.failed,
            state: self.state(),
        }
    }

    /// Looks whether the snapshot's thread has ended.
    fn reap(&mut self) {
        if self.snapshots.thread.as_ref().is_none_or(|thread| !thread.is_finished()) {
            return;
        }
        let Some(thread) = self.snapshots.thread.take() else { return };
        let ended = thread.join();
        match ended {
            Ok(Ended::Done(manifest)) => {
                self.snapshots.counts = Some(manifest);
                self.snapshots.done += 1;
                let told = self.snapshots.told_at_begin;
                self.snapshots.permille = Some(permille(manifest.bytes, told));
                self.shared.forget(manifest.start);
            }
            Ok(Ended::Given(error)) => {
                self.snapshots.failed += 1;
                self.snapshots.not_before = self.number + RETRY_AFTER;
                if let Some(error) = error {
                    self.shared.note_trouble("write a snapshot", &error);
                }
            }
            Ok(Ended::Unknown(error)) => {
                self.snapshots.failed += 1;
                self.shared.note_trouble("change over to a new snapshot", &error);
                self.shared.fail();
            }
            Err(_) => self.snapshots.failed += 1,
        }
    }

    /// Completes everything submitted, notes how far the log is, and ends the threads. Dropping does the same.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The snapshot first: it may wait for the log.
        self.shared.stop_waiting();
        if let Some(thread) = self.snapshots.thread.take() {
            drop(thread.join());
        }
        self.submit = None;
        // The committer was started last: it ends by itself when the sender is gone, and the keeper after it.
        while let Some(thread) = self.threads.pop() {
            drop(thread.join());
            self.shared.stop();
        }
    }
}

impl<T: Send + 'static> Drop for Journal<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T: Send + 'static> fmt::Debug for Journal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("number", &self.number)
            .field("stats", &self.stats())
            .field("locked", &self.lock.is_some())
            .finish_non_exhaustive()
    }
}
