// SPDX-License-Identifier: Apache-2.0
//! The log's segments: writing frames, changing to the next segment, forgetting old ones. Single-threaded; [`crate::journal`]
//! has the threads.

use crate::disk::{Disk, DiskFile};
use crate::error::is_full;
use crate::frame::{FrameBuilder, SEGMENT_HEAD, segment_head};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name of a segment.
pub fn segment_name(ordinal: u32) -> String {
    format!("log-{ordinal:010}")
}

/// The ordinal of the segment of that name.
pub fn segment_ordinal(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("log-")?;
    let ordinal = digits.parse().ok()?;
    (segment_name(ordinal) == name).then_some(ordinal)
}

/// A segment that is allocated and empty.
#[derive(Debug)]
pub struct Prepared {
    ordinal: u32,
    file: Box<dyn DiskFile>,
}

/// Makes a segment: its space is taken from the disk here, and nowhere later.
pub fn prepare(disk: &dyn Disk, ordinal: u32, bytes: u64) -> io::Result<Prepared> {
    let name = segment_name(ordinal);
    let mut file = disk.create(&name)?;
    let made = (|| {
        file.allocate(bytes)?;
        file.write_at(0, &segment_head(ordinal))?;
        file.sync()?;
        disk.sync_folder()
    })();
    match made {
        Ok(()) => Ok(Prepared { ordinal, file }),
        Err(error) => {
            // What is left would only take space; that it cannot be removed is no further harm.
            drop(disk.remove(&name));
            Err(error)
        }
    }
}

/// A segment that is written no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub ordinal: u32,
    /// Number of its last batch.
    pub last: u64,
    /// Its length.
    pub bytes: u64,
}

/// The segments that are written no more, oldest first. They are forgotten on another thread than the log is written on.
#[derive(Debug, Default)]
pub struct Archive(Mutex<Vec<Closed>>);

impl Archive {
    /// These.
    pub fn new(closed: Vec<Closed>) -> Self {
        Self(Mutex::new(closed))
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.closed().iter().map(|closed| closed.bytes).sum()
    }

    /// Bytes of those that hold something after batch `number`: the others are about to be removed.
    pub fn bytes_after(&self, number: u64) -> u64 {
        let closed = self.closed();
        closed.iter().filter(|closed| closed.last > number).map(|closed| closed.bytes).sum()
    }

    /// Removes segments that hold nothing after batch `number`.
    pub fn forget(&self, disk: &dyn Disk, number: u64) -> io::Result<()> {
        loop {
            let oldest = self.closed().first().copied();
            let Some(oldest) = oldest.filter(|closed| closed.last <= number) else {
                return Ok(());
            };
            // One after the other: a power loss must not leave an old segment and take a later one.
            disk.remove(&segment_name(oldest.ordinal))?;
            disk.sync_folder()?;
            self.closed().remove(0);
        }
    }

    fn closed(&self) -> MutexGuard<'_, Vec<Closed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Active {
    ordinal: u32,
    file: Box<dyn DiskFile>,
    at: u64,
    last: u64,
}

/// Why a frame was not appended.
#[derive(Debug)]
pub enum AppendError {
    /// The segment is full, and there is no next one yet.
    NoSegment,
    /// The disk has no space for it; the same frame can be tried again.
    Full(io::Error),
    /// Nothing may be written after this.
    Fatal(io::Error),
}

/// The log.
#[derive(Debug)]
pub struct Log {
    segment_bytes: u64,
    active: Option<Active>,
    archive: Arc<Archive>,
    next: Option<Prepared>,
    next_ordinal: u32,
    last: u64,
    failed: bool,
}

impl Log {
    /// A log that goes on after these segments; the last batch in it, or in its snapshot, has the number `last`.
    pub fn new(segment_bytes: u64, closed: Vec<Closed>, last: u64) -> Self {
        let next_ordinal = closed.last().map_or(1, |closed| closed.ordinal + 1);
        let archive = Arc::new(Archive::new(closed));
        Self { segment_bytes, active: None, archive, next: None, next_ordinal, last, failed: false }
    }

    /// Number of the last batch.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of a segment.
    pub fn segment_bytes(&self) -> usize {
        usize::try_from(self.segment_bytes).unwrap_or(usize::MAX)
    }

    /// The ordinal of the next segment to be prepared.
    pub fn next_ordinal(&self) -> u32 {
        self.next_ordinal
    }

    /// The segments that are written no more.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Takes the segment to go on with when the present one is full.
    pub fn give_next(&mut self, prepared: Prepared) {
        self.next_ordinal = prepared.ordinal + 1;
        self.next = Some(prepared);
    }

    /// Writes a frame and waits until it is on disk.
    pub fn append(&mut self, frame: &mut FrameBuilder) -> Result<(), AppendError> {
        if self.failed {
            return Err(AppendError::Fatal(io::Error::other("the log failed before")));
        }
        let last = frame.last();
        let bytes = frame.finish();
        if bytes.len() as u64 + SEGMENT_HEAD as u64 > self.segment_bytes {
            self.failed = true;
            return Err(AppendError::Fatal(io::Error::other("a batch is larger than a segment")));
        }
        let fits = |active: &Active| active.at + bytes.len() as u64 <= self.segment_bytes;
        if !self.active.as_ref().is_some_and(fits) {
            self.change_segment()?;
        }
        let Some(active) = &mut self.active else { return Err(AppendError::NoSegment) };
        if let Err(error) = active.file.write_at(active.at, bytes) {
            if is_full(&error) {
                return Err(AppendError::Full(error));
            }
            self.failed = true;
            return Err(AppendError::Fatal(error));
        }
        // After a failed sync the kernel may count the pages as written: a second sync that succeeds would prove nothing.
        if let Err(error) = active.file.sync() {
            self.failed = true;
            return Err(AppendError::Fatal(error));
        }
        active.at += bytes.len() as u64;
        active.last = last;
        self.last = last;
        Ok(())
    }

    fn change_segment(&mut self) -> Result<(), AppendError> {
        let Some(next) = self.next.take() else { return Err(AppendError::NoSegment) };
        if let Some(mut full) = self.active.take() {
            // Gives the unused rest back. Frames are not touched by it, so it needs no sync, and its failure no answer.
            drop(full.file.truncate(full.at));
            let closed = Closed { ordinal: full.ordinal, last: full.last, bytes: full.at };
            self.archive.closed().push(closed);
        }
        self.active = Some(Active {
            ordinal: next.ordinal,
            file: next.file,
            at: SEGMENT_HEAD as u64,
            last: self.last,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ordinals_belong_together() {
        assert_eq!(segment_name(7), "log-0000000007");
        assert_eq!(segment_ordinal("log-0000000007"), Some(7));
        for other in ["log-7", "log-", "current", "log-00000000070", "log-000000000x"] {
            assert_eq!(segment_ordinal(other), None, "{other}");
        }
    }
}
