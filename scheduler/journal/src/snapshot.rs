// SPDX-License-Identifier: Apache-2.0
//! Writing a snapshot while the log goes on: the caller hands out chunks, a thread of its own writes them.
//!
//! | step | by | then |
//! |---|---|---|
//! | `begin_snapshot` | caller | all batches submitted so far will be in it |
//! | `put`, many times | caller | a slice of the state as it is now; `Busy` says later |
//! | `finish` | caller | some batches submitted so far may be in it |
//! | chunks sealed, log on disk up to there | thread | the manifest changes over; older segments and the older snapshot go |

use crate::disk::Disk;
use crate::journal::Shared;
use crate::manifest::{Manifest, WriteError};
use crate::recover::{CHUNK_HEAD, seal};
use crate::store::SnapshotStore;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// When a chunk should be handed out: sled keeps a few of them in memory, and a slice of this size is encoded in well under a
/// millisecond.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Chunks on their way to the disk.
const UNDER_WAY: usize = 2;
/// How often the thread looks whether the journal is being closed.
const LOOK: Duration = Duration::from_millis(20);

/// A chunk that is being filled.
#[derive(Debug)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// An empty one.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        bytes.resize(CHUNK_HEAD, 0);
        Self(bytes)
    }

    /// Where to append to. What is there already has to stay.
    pub fn content(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Bytes of content.
    pub fn len(&self) -> usize {
        self.0.len() - CHUNK_HEAD
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it should be handed out.
    pub fn is_full(&self) -> bool {
        self.len() >= CHUNK_BYTES
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) enum Message {
    Chunk(Vec<u8>),
    Finish { end: u64 },
}

/// What became of a chunk.
#[derive(Debug)]
pub enum Put {
    /// It is taken.
    Taken,
    /// The disk is behind: try again later.
    Busy(Chunk),
    /// The snapshot has failed; drop it. The log and the snapshot before it are unharmed.
    Failed,
}

/// A snapshot that is being handed out. Dropped unfinished, it leaves no trace.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) send: Sender<Message>,
    pub(crate) start: u64,
}

impl Snapshot {
    /// All batches up to this number are in it.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Hands out a chunk. Never waits.
    pub fn put(&mut self, chunk: Chunk) -> Put {
        match self.send.try_send(Message::Chunk(chunk.0)) {
            Ok(()) => Put::Taken,
            Err(TrySendError::Full(Message::Chunk(bytes))) => Put::Busy(Chunk(bytes)),
            Err(_) => Put::Failed,
        }
    }
}

/// The thread that writes one snapshot.
pub(crate) struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) receive: Receiver<Message>,
    pub(crate) manifest: Manifest,
    /// The snapshot that counted before.
    pub(crate) before: Option<u64>,
}

/// A channel for a snapshot's chunks.
pub(crate) fn channel() -> (Sender<Message>, Receiver<Message>) {
    crossbeam_channel::bounded(UNDER_WAY)
}

/// How a snapshot ended.
pub(crate) enum Ended {
    /// It counts.
    Done(Manifest),
    /// It does not, and is no more.
    Given(Option<io::Error>),
    /// It is not known which snapshot counts.
    Unknown(io::Error),
}

impl Writer {
    pub(crate) fn run(mut self) -> Ended {
        match self.write() {
            Ok(true) => {}
            // The caller dropped it, or the journal stopped.
            Ok(false) => return self.give_up(None),
            Err(error) => return self.give_up(Some(error)),
        }
        match self.manifest.write(&*self.disk) {
            Ok(()) => {}
            Err(WriteError::Before(error)) => return self.give_up(Some(error)),
            Err(WriteError::After(error)) => return Ended::Unknown(error),
        }
        if let Some(before) = self.before {
            // What cannot be removed is removed at the next start.
            drop(self.store.remove(before));
        }
        Ended::Done(self.manifest)
    }

    /// Writes the chunks as they come; whether the snapshot is whole, and the log on disk up to its end.
    fn write(&mut self) -> io::Result<bool> {
        let mut snapshot = self.store.create(self.manifest.id)?;
        loop {
            match self.receive.recv_timeout(LOOK) {
                Ok(Message::Chunk(mut chunk)) => {
                    let index = self.manifest.chunks;
                    seal(&mut chunk, self.manifest.id, index);
                    snapshot.put(index, &chunk)?;
                    self.manifest.chunks += 1;
                    self.manifest.bytes += (chunk.len() - CHUNK_HEAD) as u64;
                }
                Ok(Message::Finish { end }) => {
                    self.manifest.end = end;
                    break;
                }
                // The caller may hold its end longer than the journal lives.
                Err(RecvTimeoutError::Timeout) if !self.shared.stops() => {}
                Err(_) => return Ok(false),
            }
        }
        snapshot.seal()?;
        Ok(self.shared.wait_durable(self.manifest.end))
    }

    fn give_up(&self, error: Option<io::Error>) -> Ended {
        drop(self.store.remove(self.manifest.id));
        Ended::Given(error)
    }
}
