// SPDX-License-Identifier: Apache-2.0
//! The store as its users see it.

use crate::backup;
use crate::committed;
use crate::entry::{Entry, Meta};
use crate::etcd::Etcd;
use crate::log::{Log, Place};
use crate::shared::Shared;
use crate::state::{Compacted, Listing, State, Window};
use crate::txn::{CommitError, Committed, Compare, Op, Txn};
use crate::watch::{Ended, Interest, Watch, WatchError};
use berth_scheduler_journal::disk::Disk;
use berth_scheduler_journal::store::SnapshotStore;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Tells what is to be known of an object from its key and JSON. Used where it was noted by another version.
pub type ReadMeta = Arc<dyn Fn(&str, &[u8]) -> Meta + Send + Sync>;

/// Sizes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of events that are kept to be read and watched again.
    pub history_bytes: usize,
    /// For how long they are kept at most. An etcd's own past is forgotten after once to twice this time.
    pub history_age: Duration,
    /// So many events are kept however large and old they are.
    pub history_events: usize,
    /// Sizes of the log.
    pub log: berth_scheduler_journal::Options,
    /// To be raised when [`ReadMeta`] begins to tell something else: what was noted before is then read anew.
    pub meta_version: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_bytes: 64 << 20,
            history_age: Duration::from_mins(10),
            history_events: 10_000,
            log: berth_scheduler_journal::Options::default(),
            meta_version: 1,
        }
    }
}

impl Options {
    pub(crate) fn window(&self) -> Window {
        Window { bytes: self.history_bytes, age: self.history_age, least: self.history_events }
    }
}

/// Why a store cannot be opened or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not said where.
    #[error(
        "{0:?} is no store: memory, sled:FOLDER or etcd:URL[,URL...][?ca=FILE&cert=FILE&key=FILE]"
    )]
    Spec(String),
    /// The address of the etcd, or a file for TLS, is of no use.
    #[error("the etcd cannot be addressed: {0}")]
    Address(String),
    /// The etcd does not answer, or what it holds cannot be read.
    #[error("the etcd cannot be used: {0}")]
    Etcd(String),
    /// There is no thread to wait on.
    #[error("the runtime is shutting down")]
    Runtime,
    /// The folder cannot be used.
    #[error(transparent)]
    Log(#[from] berth_scheduler_journal::OpenError),
    /// A backup cannot be read.
    #[error("cannot read the backup")]
    Read(#[from] io::Error),
    /// A backup is damaged.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// A restore needs an empty store.
    #[error("the store to restore into is not empty")]
    NotEmpty,
    /// What was restored could not be written.
    #[error("cannot write what is restored")]
    Write(#[from] CommitError),
}

/// Why the present revision is not known.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store does not answer: {0}")]
pub struct Error(pub String);

/// Counts, for metrics.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The present revision.
    pub revision: u64,
    /// The oldest one that can be read.
    pub oldest: u64,
    /// Objects.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Watches.
    pub watchers: usize,
    /// Events that are kept.
    pub events: usize,
    /// Their bytes.
    pub event_bytes: usize,
    /// The log's counts.
    pub log: Option<berth_scheduler_journal::Stats>,
    /// What last went wrong, in words for the operator.
    pub trouble: Option<String>,
}

/// A revisioned key-value store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    back: Back,
    meta_version: u32,
}

enum Back {
    /// Holds the sequencer's place; the revision is the state's.
    Memory(Mutex<bool>),
    Log(Arc<Log>),
    Etcd(Arc<Etcd>),
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match &self.back {
            Back::Memory(_) => {}
            Back::Log(log) => log.close(),
            Back::Etcd(etcd) => etcd.stop(),
        }
    }
}

impl Store {
    /// A store that is gone with the process.
    pub fn memory(options: Options) -> Self {
        let shared = Shared::new(State::new(options.window()));
        Self::new(shared, Back::Memory(Mutex::new(true)), &options)
    }

    fn new(shared: Arc<Shared>, back: Back, options: &Options) -> Self {
        Self(Arc::new(Inner { shared, back, meta_version: options.meta_version }))
    }

    /// Opens a store of any kind from an async function.
    pub async fn connect(spec: &str, read: ReadMeta, options: Options) -> Result<Self, OpenError> {
        let spec = spec.to_owned();
        let opening = tokio::task::spawn_blocking(move || Self::open(&spec, read, options));
        opening.await.map_err(|_| OpenError::Runtime)?
    }

    /// Opens a store: `memory`; `sled:FOLDER`, which is made if it is not there; or `etcd:URL[,URL...]`, where `?ca=FILE` and
    /// `&cert=FILE&key=FILE` say whom to trust and who one is. Waits for the disk or the network, for an etcd that does not answer
    /// half a minute at most: not for a thread of an async runtime, which [`Store::connect`] is for.
    pub fn open(spec: &str, read: ReadMeta, options: Options) -> Result<Self, OpenError> {
        if spec == "memory" {
            return Ok(Self::memory(options));
        }
        if let Some(address) = spec.strip_prefix("etcd:") {
            let (etcd, shared) = Etcd::open(address, &read, &options)?;
            return Ok(Self::new(shared, Back::Etcd(etcd), &options));
        }
        match spec.strip_prefix("sled:") {
            Some(folder) if !folder.is_empty() => {
                let (log, shared) = Log::open(Place::Folder(Path::new(folder)), &read, &options)?;
                Ok(Self::new(shared, Back::Log(log), &options))
            }
            _ => Err(OpenError::Spec(spec.to_owned())),
        }
    }

    /// Opens a store on any disk. The caller sees to it that nobody else does.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        snapshots: Arc<dyn SnapshotStore>,
        read: ReadMeta,
        options: Options,
    ) -> Result<Self, OpenError> {
        let (log, shared) = Log::open(Place::Disk(disk, snapshots), &read, &options)?;
        Ok(Self::new(shared, Back::Log(log), &options))
    }

    /// The durable state of a key.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.shared.state().get(key)
    }

    /// The newest state of a key, durable or not: what a writer that tries again has to build on.
    pub fn latest(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.shared.latest(key)
    }

    /// The newest state of a key. That of one that is not known is asked for, where other processes write to the same store: theirs may be
    /// acknowledged, and not have come here yet.
    pub async fn find(&self, key: &str) -> Result<Option<Arc<Entry>>, Error> {
        let known = self.latest(key);
        if known.is_none() && matches!(self.0.back, Back::Etcd(_)) {
            self.current().await?;
            return Ok(self.latest(key));
        }
        Ok(known)
    }

    /// Waits until everything that [`Store::latest`] may have shown is durable: who was refused because of it has to be told
    /// something that stays so. An error if it never will be.
    pub async fn settled(&self) -> Result<(), CommitError> {
        match &self.0.back {
            Back::Log(log) => log.settled(None).await,
            // There `latest` is what was acknowledged.
            Back::Memory(_) | Back::Etcd(_) => Ok(()),
        }
    }

    /// Objects under a prefix, after a key, at a revision (0 or `None`, or one that is yet to come: the present one), that
    /// `keep` likes, at most `limit` of them (0: all).
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        at: Option<u64>,
        limit: usize,
        keep: &dyn Fn(&Entry) -> bool,
    ) -> Result<Listing, Compacted> {
        let state = self.0.shared.state();
        let at = at.filter(|at| *at > 0).unwrap_or(state.revision);
        if at < state.oldest {
            return Err(Compacted { oldest: state.oldest });
        }
        let revision = at.min(state.revision);
        let found = state.range(prefix, after, revision);
        // The rest needs no lock: writers go on meanwhile.
        drop(state);
        let mut entries = Vec::new();
        let count = found.len();
        for (place, entry) in found.into_iter().enumerate() {
            if !keep(&entry) {
                continue;
            }
            entries.push(entry);
            if entries.len() == limit {
                let remaining = count - place - 1;
                return Ok(Listing { revision, entries, more: remaining > 0, remaining });
            }
        }
        Ok(Listing { revision, entries, more: false, remaining: 0 })
    }

    /// The first `limit` objects under a prefix, after a key, at a revision (as [`Store::list`] takes it); of the rest only their number.
    pub fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        at: Option<u64>,
        limit: usize,
    ) -> Result<Listing, Compacted> {
        let state = self.0.shared.state();
        let at = at.filter(|at| *at > 0).unwrap_or(state.revision);
        if at < state.oldest {
            return Err(Compacted { oldest: state.oldest });
        }
        let revision = at.min(state.revision);
        let (entries, remaining) = state.page((prefix, after), revision, limit);
        Ok(Listing { revision, entries, more: remaining > 0, remaining })
    }

    /// Waits until reads see everything that was acknowledged, by whichever process.
    pub async fn current(&self) -> Result<u64, Error> {
        if let Back::Etcd(etcd) = &self.0.back {
            etcd.current().await?;
        }
        Ok(self.revision())
    }

    /// Waits until a revision is reached, for a time; whether it is.
    pub async fn reached(&self, revision: u64, within: Duration) -> bool {
        if self.revision() >= revision {
            return true;
        }
        let mut published = self.0.shared.published();
        let there = published.wait_for(|reached| *reached >= revision);
        matches!(tokio::time::timeout(within, there).await, Ok(Ok(_)))
    }

    /// The present revision.
    pub fn revision(&self) -> u64 {
        self.0.shared.state().revision
    }

    /// The oldest revision that can be read, and watched from.
    pub fn oldest(&self) -> u64 {
        self.0.shared.state().oldest
    }

    /// Commits a transaction; it is durable, and seen by reads, when this returns. A caller that stops waiting does not undo it.
    pub async fn commit(&self, txn: Txn) -> Result<Committed, CommitError> {
        match &self.0.back {
            Back::Log(log) => log.commit(txn).await,
            Back::Etcd(etcd) => etcd.commit(txn).await,
            Back::Memory(open) => {
                let open = open.lock().unwrap_or_else(PoisonError::into_inner);
                if !*open {
                    return Err(CommitError::Failed("the store is closed".into()));
                }
                let before = self.revision();
                let events = self.0.shared.prepare(txn, before + 1)?;
                if events.is_empty() {
                    return Ok(committed(before, &events));
                }
                self.0.shared.publish(&events, before + 1);
                Ok(committed(before + 1, &events))
            }
        }
    }

    /// Watches events after a revision. At most so many bytes wait for the reader before the watch is ended.
    pub fn watch(
        &self,
        interest: Interest,
        after: u64,
        budget_bytes: usize,
    ) -> Result<Watch, WatchError> {
        let shared = &self.0.shared;
        let mut state = shared.state_mut();
        if after > state.revision {
            return Err(WatchError::Future { revision: state.revision });
        }
        if after < state.oldest {
            return Err(WatchError::Compacted { oldest: state.oldest });
        }
        let past = state.after(after).filter(|event| interest.wants(event));
        let replay: VecDeque<_> = past.cloned().collect();
        Ok(state.index.add(shared, interest, budget_bytes, replay))
    }

    /// Forgets the past up to a revision.
    pub fn compact(&self, revision: u64) {
        self.0.shared.state_mut().compact(revision);
    }

    /// Deletes what expired before this time (Unix seconds); how many objects. An object that was written meanwhile stays.
    pub async fn expire(&self, now_unix: i64) -> usize {
        let over = self.0.shared.state().expired(now_unix, 1_000);
        let mut deleted = 0;
        for entry in over {
            let key = entry.key.to_string();
            let compares = vec![Compare { key: key.clone(), revision: entry.revision }];
            let txn = Txn { compares, ops: vec![Op::Delete { key }] };
            deleted += usize::from(self.commit(txn).await.is_ok());
        }
        deleted
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        let (log, trouble) = match &self.0.back {
            Back::Log(log) => log.stats().map(|(stats, trouble)| (Some(stats), trouble)),
            Back::Etcd(etcd) => Some((None, etcd.trouble())),
            Back::Memory(_) => None,
        }
        .unwrap_or_default();
        let state = self.0.shared.state();
        let (events, event_bytes) = state.past();
        Stats {
            revision: state.revision,
            oldest: state.oldest,
            objects: state.entries.len(),
            bytes: state.bytes,
            watchers: state.index.len(),
            events,
            event_bytes,
            log,
            trouble,
        }
    }

    /// Completes what is under way, ends the watches, and lets go of the folder. Other clones can still read.
    pub async fn close(self) {
        match &self.0.back {
            Back::Log(log) => {
                let log = Arc::clone(log);
                // It waits for the disk. A task that was cancelled leaves it to the drop.
                drop(tokio::task::spawn_blocking(move || log.close()).await);
            }
            Back::Etcd(etcd) => etcd.close().await,
            Back::Memory(open) => *open.lock().unwrap_or_else(PoisonError::into_inner) = false,
        }
        self.0.shared.state().index.end_all(Ended::Closed);
    }

    /// Writes a backup of one revision. Its format stands in the module `backup`.
    pub fn snapshot(&self, to: &mut dyn Write) -> io::Result<u64> {
        let state = self.0.shared.state();
        let revision = state.revision;
        let entries: Vec<_> = state.entries.values().cloned().collect();
        drop(state);
        backup::write(to, revision, &entries, self.0.meta_version)?;
        Ok(revision)
    }

    /// Opens an empty store, and fills it from a backup. Revisions go on far above the backup's: none that was given out after it
    /// was taken is given out again. Waits for the disk: not for a thread of an async runtime.
    ///
    /// An etcd gives its own revisions: they go on from where it is, and every object gets the one at which it is restored. In the
    /// etcd that the backup was taken of none comes again. In a new one they begin with 1, so whoever still holds revisions has to be
    /// restarted: a watch from one of them waits for a future that is none.
    pub fn restore(
        from: &mut dyn Read,
        spec: &str,
        read: ReadMeta,
        options: Options,
    ) -> Result<Self, OpenError> {
        let (revision, entries) = backup::read(from, &read, options.meta_version)?;
        let store = Self::open(spec, read, options)?;
        if store.revision() != 0 {
            return Err(OpenError::NotEmpty);
        }
        let revision = revision + backup::STEP;
        match &store.0.back {
            Back::Memory(_) => {}
            Back::Log(log) => log.restore(&entries, revision)?,
            Back::Etcd(etcd) => {
                etcd.restore(&entries)?;
                return Ok(store);
            }
        }
        let mut state = State::new(options.window());
        state.reset(revision, entries);
        store.0.shared.begin(state);
        Ok(store)
    }
}
