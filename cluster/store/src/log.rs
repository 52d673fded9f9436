// SPDX-License-Identifier: Apache-2.0
//! The back end on a disk: the journal makes transactions durable, its completion publishes them.

use crate::entry::Event;
use crate::record::{self, Reader, Record};
use crate::shared::Shared;
use crate::state::State;
use crate::txn::{CommitError, Committed, Txn};
use crate::{OpenError, Options, ReadMeta, committed};
use berth_scheduler_journal::disk::Disk;
use berth_scheduler_journal::snapshot::Chunk;
use berth_scheduler_journal::store::SnapshotStore;
use berth_scheduler_journal::{self as journal, Journal, Put, Replay, Snapshot};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Bytes that may be under way, below what makes [`Journal::submit`] wait; and what a small transaction counts as, so that
/// fewer are under way than its channel holds.
const UNDER_WAY: u32 = 3 << 20;
const LEAST: u32 = 16 << 10;
/// How long to wait before looking again whether there is room.
const LOOK: Duration = Duration::from_millis(20);
/// How long a transaction may be under way before it is looked whether the disk still takes any.
const PATIENCE: Duration = Duration::from_secs(1);
/// Objects of a snapshot that are taken under one hold of the lock.
const SLICE: usize = 256;

/// Where the journal lies.
pub(crate) enum Place<'a> {
    Folder(&'a Path),
    Disk(Arc<dyn Disk>, Arc<dyn SnapshotStore>),
}

/// A transaction on its way to the disk.
struct Ticket {
    revision: u64,
    events: Vec<Arc<Event>>,
    answer: oneshot::Sender<bool>,
    /// Room for others once this is done.
    permit: Option<OwnedSemaphorePermit>,
}

pub(crate) struct Log {
    shared: Arc<Shared>,
    sequencer: Mutex<Sequencer>,
    room: Arc<Semaphore>,
    closing: Arc<AtomicBool>,
    version: u32,
    largest: usize,
}

struct Sequencer {
    /// `None` once closed.
    journal: Option<Journal<Ticket>>,
    revision: u64,
    /// Bytes submitted since it was last looked whether a snapshot is due.
    unlooked: usize,
}

struct Read<'a> {
    window: crate::state::Window,
    state: State,
    half: bool,
    read: &'a ReadMeta,
    version: u32,
}

impl Read<'_> {
    fn apply(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(bytes, self.read, self.version);
        while let Some(record) = reader.next()? {
            match record {
                Record::Revision(revision) => self.reached(revision),
                Record::Put(entry) => {
                    self.reached(entry.revision);
                    let entry = Arc::new(entry);
                    self.state.set(&Arc::clone(&entry.key), Some(entry));
                }
                Record::Delete(key, revision) => {
                    self.reached(revision);
                    self.state.set(&key, None);
                }
                Record::Begin => self.half = true,
                Record::End => self.half = false,
            }
        }
        Ok(())
    }

    fn reached(&mut self, revision: u64) {
        self.state.revision = self.state.revision.max(revision);
    }
}

impl Replay for Read<'_> {
    fn begin(&mut self) {
        self.state = State::new(self.window);
        self.half = false;
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.apply(bytes)
    }

    fn batch(&mut self, _number: u64, bytes: &[u8]) -> Result<(), String> {
        self.apply(bytes)
    }

    fn end(&mut self) -> Result<(), String> {
        if self.half {
            return Err(
                "a restore that did not come to its end: empty the folder, restore again".into()
            );
        }
        Ok(())
    }
}

impl Log {
    pub(crate) fn open(
        place: Place<'_>,
        read: &ReadMeta,
        options: &Options,
    ) -> Result<(Arc<Self>, Arc<Shared>), OpenError> {
        let window = options.window();
        let version = options.meta_version;
        let mut reading = Read { window, state: State::new(window), half: false, read, version };
        let shared = Shared::new(State::new(window));
        let publish = Arc::clone(&shared);
        let completion = Box::new(move |ticket: Ticket, result: Result<(), _>| {
            complete(&publish, ticket, result.is_ok());
        });
        let sizes = options.log;
        let (journal, report) = match place {
            Place::Folder(folder) => Journal::open(folder, sizes, &mut reading, completion),
            Place::Disk(disk, store) => {
                Journal::open_on(disk, store, sizes, &mut reading, completion)
            }
        }?;
        if let Some(torn) = &report.torn {
            tracing::warn!(file = torn.file, offset = torn.offset, "the log's end was cut");
        }
        let mut state = reading.state;
        state.oldest = state.revision;
        let revision = state.revision;
        shared.begin(state);
        let sequencer =
            Mutex::new(Sequencer { journal: Some(journal), revision, unlooked: usize::MAX });
        let room = Arc::new(Semaphore::new(UNDER_WAY as usize));
        let closing = Arc::default();
        // A batch has to fit into half a segment.
        let largest = usize::try_from(sizes.segment_bytes / 2).unwrap_or(usize::MAX) - 1_024;
        let log = Self { shared: Arc::clone(&shared), sequencer, room, closing, version, largest };
        Ok((Arc::new(log), shared))
    }

    fn sequencer(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Journal's counts, and its trouble.
    pub(crate) fn stats(&self) -> Option<(journal::Stats, Option<String>)> {
        self.sequencer().journal.as_ref().map(|journal| (journal.stats(), journal.trouble()))
    }

    pub(crate) async fn commit(self: &Arc<Self>, txn: Txn) -> Result<Committed, CommitError> {
        match self.attempt(txn).await {
            Err(conflict @ CommitError::Conflict { .. }) => {
                if let CommitError::Conflict { key, .. } = &conflict {
                    self.settled(Some(key)).await?;
                }
                Err(conflict)
            }
            other => other,
        }
    }

    /// Waits until what is sequenced of a key, or of all, is durable. Nobody may be told of what a power loss may still take: readers
    /// would see what was before, and its revision might become that of another write.
    pub(crate) async fn settled(self: &Arc<Self>, key: Option<&str>) -> Result<(), CommitError> {
        if self.shared.is_under_way(key) {
            let placed = self.attempt(Txn::default()).await;
            placed.map_err(|error| match error {
                CommitError::Unknown(why) => CommitError::Failed(why),
                other => other,
            })?;
        }
        // What was under way may be so no more because the disk has failed.
        match self.writable() {
            Err(failed @ CommitError::Failed(_)) => Err(failed),
            _ => Ok(()),
        }
    }

    async fn attempt(self: &Arc<Self>, txn: Txn) -> Result<Committed, CommitError> {
        let size = size(&txn);
        if size > self.largest {
            return Err(CommitError::Failed(format!("a transaction of {size} bytes is too large")));
        }
        let mut permit = Some(self.room(size).await?);
        let mut txn = Some(txn);
        let (answer, answered) = loop {
            match self.sequence(&mut txn, &mut permit)? {
                Some(sequenced) => break sequenced,
                // The snapshot being written has to come to its end first.
                None => tokio::time::sleep(LOOK).await,
            }
        };
        self.written(answered).await.map(|()| answer)
    }

    /// Waits until a transaction is durable. A disk that takes nothing more may take it later, or never: who waits is told.
    async fn written(&self, mut answered: oneshot::Receiver<bool>) -> Result<(), CommitError> {
        loop {
            match tokio::time::timeout(PATIENCE, &mut answered).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(_) => {
                    let why = "the disk failed while it was written";
                    return Err(CommitError::Unknown(why.into()));
                }
                Err(_) => {
                    if let Err(trouble) = self.writable() {
                        return Err(CommitError::Unknown(trouble.to_string()));
                    }
                }
            }
        }
    }

    async fn room(&self, size: usize) -> Result<OwnedSemaphorePermit, CommitError> {
        let cost = u32::try_from(size).unwrap_or(u32::MAX).clamp(LEAST, UNDER_WAY);
        loop {
            self.writable()?;
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(cost) {
                return Ok(permit);
            }
            // The time is there to notice a disk that runs full meanwhile.
            let waiting = Arc::clone(&self.room).acquire_many_owned(cost);
            if let Ok(Ok(permit)) = tokio::time::timeout(LOOK * 10, waiting).await {
                return Ok(permit);
            }
        }
    }

    fn writable(&self) -> Result<(), CommitError> {
        self.sequencer().writable()
    }

    /// Gives a transaction its place, and to the journal. `None` while that has to wait.
    #[allow(clippy::type_complexity, reason = "what is committed, and when it is")]
    fn sequence(
        self: &Arc<Self>,
        txn: &mut Option<Txn>,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Option<(Committed, oneshot::Receiver<bool>)>, CommitError> {
        let mut sequencer = self.sequencer();
        sequencer.writable()?;
        let next = sequencer.revision + 1;
        let Some(journal) = &mut sequencer.journal else { return Err(closed()) };
        if journal.is_pressed() {
            return Ok(None);
        }
        let Some(taken) = txn.take() else { return Err(closed()) };
        let events = self.shared.prepare(taken, next)?;
        let mut batch = Vec::new();
        let mut revision = next - 1;
        if !events.is_empty() {
            batch = journal.buffer();
            for event in &events {
                record::event(&mut batch, event, self.version);
            }
            if batch.len() > self.largest {
                return Err(CommitError::Failed("a transaction is too large".into()));
            }
            self.shared.note(&events);
            revision = next;
        }
        let answer = committed(revision, &events);
        let (send, receive) = oneshot::channel();
        let bytes = batch.len();
        journal.submit(batch, Ticket { revision, events, answer: send, permit: permit.take() });
        sequencer.revision = revision;
        sequencer.unlooked = sequencer.unlooked.saturating_add(bytes);
        if sequencer.unlooked > self.largest / 4 {
            sequencer.unlooked = 0;
            self.consider_snapshot(&mut sequencer);
        }
        Ok(Some((answer, receive)))
    }

    fn consider_snapshot(self: &Arc<Self>, sequencer: &mut Sequencer) {
        let revision = sequencer.revision;
        let Some(journal) = &mut sequencer.journal else { return };
        let bytes = self.shared.state().bytes;
        if !journal.snapshot_due(bytes) {
            return;
        }
        let Some(snapshot) = journal.begin_snapshot() else { return };
        let log = Arc::clone(self);
        let thread = thread::Builder::new().name("store-snapshot".into());
        if let Err(error) = thread.spawn(move || log.write_snapshot(snapshot, revision)) {
            tracing::warn!(%error, "no thread for a snapshot");
        }
    }

    /// Hands out the state, slice by slice, beginning once it holds all that the journal counts to it.
    fn write_snapshot(&self, mut snapshot: Snapshot, from: u64) {
        while self.shared.state().revision < from {
            if self.closing.load(Ordering::Acquire) || self.writable_failed() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let mut chunk = Chunk::new();
        record::revision(chunk.content(), from);
        let mut cursor: Option<Arc<str>> = None;
        loop {
            let slice = self.slice(cursor.as_ref());
            for entry in &slice {
                record::put(chunk.content(), entry, self.version);
                if chunk.is_full() && !self.hand_out(&mut snapshot, &mut chunk) {
                    return;
                }
            }
            match slice.last() {
                Some(last) => cursor = Some(Arc::clone(&last.key)),
                None => break,
            }
        }
        if !chunk.is_empty() && !self.hand_out(&mut snapshot, &mut chunk) {
            return;
        }
        self.finish(snapshot);
    }

    fn writable_failed(&self) -> bool {
        matches!(self.writable(), Err(CommitError::Failed(_)))
    }

    fn slice(&self, cursor: Option<&Arc<str>>) -> Vec<Arc<crate::Entry>> {
        let state = self.shared.state();
        let from = cursor.map_or(Bound::Unbounded, |key| Bound::Excluded(Arc::clone(key)));
        let range = state.entries.range((from, Bound::Unbounded));
        range.take(SLICE).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Whether the journal took the chunk.
    fn hand_out(&self, snapshot: &mut Snapshot, chunk: &mut Chunk) -> bool {
        let mut full = std::mem::take(chunk);
        while !self.closing.load(Ordering::Acquire) {
            match snapshot.put(full) {
                Put::Taken => return true,
                Put::Busy(chunk) => full = chunk,
                Put::Failed => return false,
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    fn finish(&self, mut snapshot: Snapshot) {
        let bytes = self.shared.state().bytes;
        while !self.closing.load(Ordering::Acquire) {
            let mut sequencer = self.sequencer();
            let Some(journal) = &mut sequencer.journal else { return };
            journal.note_state(bytes);
            match journal.finish_snapshot(snapshot) {
                Ok(()) => return,
                Err(given_back) => snapshot = given_back,
            }
            drop(sequencer);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Writes objects with the revisions they have, then the revision to go on after. The store has to be empty.
    pub(crate) fn restore(
        &self,
        entries: &[crate::Entry],
        revision: u64,
    ) -> Result<(), CommitError> {
        let mut batches = vec![Vec::new()];
        record::begin(&mut batches[0]);
        let mut batch = Vec::new();
        for entry in entries {
            record::put(&mut batch, entry, self.version);
            if batch.len() > self.largest / 4 {
                batches.push(std::mem::take(&mut batch));
            }
        }
        record::revision(&mut batch, revision);
        record::end(&mut batch);
        batches.push(batch);
        let mut sequencer = self.sequencer();
        let Some(journal) = &mut sequencer.journal else { return Err(closed()) };
        let mut last = None;
        for batch in batches {
            if batch.len() > self.largest {
                return Err(CommitError::Failed("an object is too large".into()));
            }
            let (answer, receive) = oneshot::channel();
            let ticket = Ticket { revision: 0, events: Vec::new(), answer, permit: None };
            journal.submit(batch, ticket);
            last = Some(receive);
        }
        sequencer.revision = revision;
        drop(sequencer);
        match last.map(oneshot::Receiver::blocking_recv) {
            Some(Ok(true)) => Ok(()),
            _ => Err(CommitError::Unknown("the disk failed during a restore".into())),
        }
    }

    /// Completes what is under way, and lets go of the folder.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let journal = self.sequencer().journal.take();
        if let Some(journal) = journal {
            journal.close();
        }
    }
}

impl Sequencer {
    fn writable(&self) -> Result<(), CommitError> {
        let Some(journal) = &self.journal else { return Err(closed()) };
        let trouble = || journal.trouble().unwrap_or_else(|| "no reason is known".into());
        match journal.state() {
            journal::State::Ok => Ok(()),
            journal::State::Full => Err(CommitError::Full(trouble())),
            journal::State::Failed => Err(CommitError::Failed(trouble())),
        }
    }
}

fn closed() -> CommitError {
    CommitError::Failed("the store is closed".into())
}

/// Runs on the journal's thread, in the order of submission.
fn complete(shared: &Shared, ticket: Ticket, durable: bool) {
    if durable && !ticket.events.is_empty() {
        shared.publish(&ticket.events, ticket.revision);
    }
    shared.settle(&ticket.events);
    drop(ticket.permit);
    // Who asked may be gone.
    let _ = ticket.answer.send(durable);
}

fn size(txn: &Txn) -> usize {
    let sizes = txn.ops.iter().map(|op| match op {
        crate::Op::Put { body, key, .. } => body.bytes.len() + key.len() + 512,
        crate::Op::Delete { key } => key.len() + 64,
    });
    sizes.sum()
}
