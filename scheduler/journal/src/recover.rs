// SPDX-License-Identifier: Apache-2.0
//! Reading a data directory after a restart.
//!
//! | found | done |
//! |---|---|
//! | a good manifest, every chunk of its snapshot, a log without gap from there | all is given back |
//! | bytes that are no frame, nothing good behind them, nothing known of a sync beyond | the tail is cut, and reported |
//! | a bad frame with a good one behind it, or before what `synced` names | refused: something acknowledged is damaged |
//! | numbers missing between two frames, or between snapshot and log | refused |
//! | a snapshot that cannot be read, and a log from batch 1 on | the log alone is given back, and reported |
//! | a snapshot that cannot be read, and a log that begins later | refused |
//! | snapshots and prepared segments that count for nothing | removed |

use crate::disk::Disk;
use crate::error::OpenError;
use crate::frame::{self, FORMAT, HeadError, Read, SEGMENT_HEAD};
use crate::log::{Closed, Log, segment_name, segment_ordinal};
use crate::manifest::{CURRENT, CURRENT_NEW, Manifest, ReadManifest, read_synced};
use crate::store::SnapshotStore;
use std::io;

/// Takes what is read back.
pub trait Replay {
    /// Begins from nothing; what was taken before does not count.
    fn begin(&mut self);
    /// Takes a chunk of the snapshot.
    fn chunk(&mut self, bytes: &[u8]) -> Result<(), String>;
    /// Takes a batch.
    fn batch(&mut self, number: u64, bytes: &[u8]) -> Result<(), String>;
    /// Everything was given. What was not looked at yet has to be looked at now: on an error the journal stays as it is, and is
    /// not opened.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Number of the last batch.
    pub last: u64,
    /// Number up to which the snapshot has all batches; 0 without a snapshot.
    pub snapshot_start: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// Batches read from the log.
    pub batches: u64,
    /// What was cut from the end of the log: it was never acknowledged.
    pub torn: Option<Torn>,
    /// Why the snapshot was set aside though the manifest names it.
    pub snapshot_ignored: Option<String>,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// In which file.
    pub file: String,
    /// From where on.
    pub offset: u64,
}

/// What recovery leaves behind: the log to go on with, and the snapshot that counts.
#[derive(Debug)]
pub struct Recovered {
    /// The log.
    pub log: Log,
    /// The snapshot.
    pub snapshot: Option<Manifest>,
    /// What was found.
    pub report: Report,
}

/// Reads everything back. Removes and cuts only when all was read and found good.
pub fn recover(
    disk: &dyn Disk,
    store: &dyn SnapshotStore,
    segment_bytes: u64,
    replay: &mut dyn Replay,
) -> Result<Recovered, OpenError> {
    let mut report = Report::default();
    let segments = segments(disk)?;
    replay.begin();
    let manifest = Manifest::read(disk).map_err(failed("read the manifest"))?;
    let snapshot = match manifest {
        ReadManifest::Format(format) => {
            return Err(OpenError::Format { file: CURRENT.into(), format, known: FORMAT });
        }
        ReadManifest::Absent => None,
        ReadManifest::Damaged => {
            report.snapshot_ignored = Some("the file that names the snapshot is damaged".into());
            None
        }
        ReadManifest::Good(manifest) => match read_snapshot(&manifest, store, replay) {
            Ok(()) => Some(manifest),
            Err(SnapshotError::Record(what)) => return Err(OpenError::Record { what }),
            Err(SnapshotError::Damaged(what)) => {
                report.snapshot_ignored = Some(what);
                replay.begin();
                None
            }
        },
    };
    let start = snapshot.map_or(0, |manifest| manifest.start);
    let ignored = report.snapshot_ignored.clone();
    let mut reader = LogReader { disk, start, ignored, last: None, closed: Vec::new(), bad: None };
    let mut empty = Vec::new();
    for ordinal in segments {
        if !reader.segment(ordinal, replay, &mut report)? {
            empty.push(ordinal);
        }
    }
    let last = reader.last.unwrap_or(start).max(start);
    reader.check(snapshot.as_ref(), last)?;
    replay.end().map_err(|what| OpenError::Record { what })?;
    report.last = last;
    report.snapshot_start = start;
    report.snapshot_bytes = snapshot.map_or(0, |manifest| manifest.bytes);
    if let Some(bad) = &reader.bad {
        report.torn = Some(bad.clone());
    }
    let closed = reader.closed;
    tidy(disk, store, snapshot.as_ref(), &closed, &empty).map_err(failed("tidy up"))?;
    let log = Log::new(segment_bytes, closed, last);
    Ok(Recovered { log, snapshot, report })
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Disk { doing, source }
}

fn corrupt(what: String) -> OpenError {
    OpenError::Corrupt { what }
}

fn segments(disk: &dyn Disk) -> Result<Vec<u32>, OpenError> {
    let names = disk.list().map_err(failed("list the files"))?;
    let mut ordinals: Vec<u32> = names.iter().filter_map(|name| segment_ordinal(name)).collect();
    ordinals.sort_unstable();
    Ok(ordinals)
}

enum SnapshotError {
    Damaged(String),
    Record(String),
}

fn read_snapshot(
    manifest: &Manifest,
    store: &dyn SnapshotStore,
    replay: &mut dyn Replay,
) -> Result<(), SnapshotError> {
    let damaged =
        |what: String| SnapshotError::Damaged(format!("snapshot {}: {what}", manifest.id));
    let mut snapshot = store.open(manifest.id).map_err(|error| damaged(error.to_string()))?;
    let mut bytes = 0;
    for index in 0..manifest.chunks {
        let chunk = snapshot.get(index).map_err(|error| damaged(error.to_string()))?;
        let chunk = chunk.ok_or_else(|| damaged(format!("chunk {index} is missing")))?;
        let content = unseal(&chunk, manifest.id, index)
            .ok_or_else(|| damaged(format!("chunk {index} is damaged")))?;
        bytes += content.len() as u64;
        let in_chunk = |what| format!("snapshot {}, chunk {index}: {what}", manifest.id);
        replay.chunk(content).map_err(|what| SnapshotError::Record(in_chunk(what)))?;
    }
    if bytes != manifest.bytes {
        return Err(damaged(format!("it has {bytes} bytes instead of {}", manifest.bytes)));
    }
    Ok(())
}

/// Bytes of a chunk before its content.
pub(crate) const CHUNK_HEAD: usize = 4;

/// Puts the checksum into the first four bytes of a chunk. It covers the place too, so that chunks cannot be mistaken.
pub(crate) fn seal(chunk: &mut [u8], id: u64, index: u64) {
    let crc = chunk_checksum(&chunk[CHUNK_HEAD..], id, index);
    chunk[..CHUNK_HEAD].copy_from_slice(&crc.to_le_bytes());
}

fn unseal(chunk: &[u8], id: u64, index: u64) -> Option<&[u8]> {
    let content = chunk.get(CHUNK_HEAD..)?;
    (frame::u32_at(chunk, 0) == chunk_checksum(content, id, index)).then_some(content)
}

fn chunk_checksum(content: &[u8], id: u64, index: u64) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&id.to_le_bytes()), &index.to_le_bytes());
    crc32c::crc32c_append(place, content)
}

struct LogReader<'a> {
    disk: &'a dyn Disk,
    /// Batches up to here are in the snapshot.
    start: u64,
    /// Why the snapshot does not count.
    ignored: Option<String>,
    /// Number of the last batch read.
    last: Option<u64>,
    closed: Vec<Closed>,
    /// Where the log broke off.
    bad: Option<Torn>,
}

impl LogReader<'_> {
    /// Reads a segment; whether it holds a frame.
    fn segment(
        &mut self,
        ordinal: u32,
        replay: &mut dyn Replay,
        report: &mut Report,
    ) -> Result<bool, OpenError> {
        let name = segment_name(ordinal);
        let bytes = self.disk.read(&name).map_err(failed("read the log"))?;
        let wanted = self.last.map_or(1, |last| last + 1);
        match frame::check_segment_head(&bytes, ordinal) {
            Ok(()) => {}
            Err(HeadError::Format(format)) => {
                return Err(OpenError::Format { file: name, format, known: FORMAT });
            }
            Err(HeadError::Unwritten | HeadError::Damaged) => {
                // It was being made, or is damaged: the frames tell.
                return match frame::find_later(&bytes, wanted) {
                    None => Ok(false),
                    Some(_) => Err(corrupt(format!("the head of {name}"))),
                };
            }
        }
        let mut at = SEGMENT_HEAD;
        let mut any = false;
        while let Read::Frame(frame) = frame::read(&bytes[at..]) {
            self.frame(&name, at, &frame, replay, report)?;
            any = true;
            at += frame.len();
        }
        // Nothing but zeros may follow. What else there is was never acknowledged, unless a good frame comes behind it.
        let rest = &bytes[at..];
        if rest.iter().any(|byte| *byte != 0) {
            let wanted = self.last.map_or(1, |last| last + 1);
            if let Some((further, number)) = frame::find_later(rest, wanted) {
                return Err(corrupt(format!(
                    "{name} at offset {at}: no good frame, but one with batch {number} follows at offset {}",
                    at + further
                )));
            }
            if self.bad.is_none() {
                self.bad = Some(Torn { file: name, offset: at as u64 });
            }
        }
        if any {
            let last = self.last.unwrap_or_default();
            self.closed.push(Closed { ordinal, last, bytes: at as u64 });
        }
        Ok(any)
    }

    fn frame(
        &mut self,
        name: &str,
        at: usize,
        frame: &frame::Frame<'_>,
        replay: &mut dyn Replay,
        report: &mut Report,
    ) -> Result<(), OpenError> {
        if let Some(bad) = &self.bad {
            return Err(corrupt(format!(
                "{} at offset {}: no good frame, but {name} goes on with batch {}",
                bad.file, bad.offset, frame.first
            )));
        }
        if let Some(last) = self.last
            && frame.first != last + 1
        {
            return Err(corrupt(format!(
                "{name} at offset {at}: batch {} follows on batch {last}",
                frame.first
            )));
        }
        if self.last.is_none() && frame.first > self.start + 1 {
            return Err(corrupt(match &self.ignored {
                Some(ignored) => format!(
                    "{ignored}, and the log alone begins with batch {} in {name}",
                    frame.first
                ),
                None => format!(
                    "the log begins with batch {} in {name}, the snapshot ends with batch {}",
                    frame.first, self.start
                ),
            }));
        }
        for batch in frame.batches() {
            let (number, bytes) =
                batch.ok_or_else(|| corrupt(format!("{name} at offset {at}: a batch is cut")))?;
            if number > self.start {
                let in_batch = |what| OpenError::Record { what: format!("batch {number}: {what}") };
                replay.batch(number, bytes).map_err(in_batch)?;
                report.batches += 1;
            }
        }
        self.last = Some(frame.last());
        Ok(())
    }

    /// Checks the end of the log against what is known to have been acknowledged.
    fn check(&self, snapshot: Option<&Manifest>, last: u64) -> Result<(), OpenError> {
        let end = snapshot.map_or(0, |manifest| manifest.end);
        let known = read_synced(self.disk).max(end);
        if last >= known {
            return Ok(());
        }
        Err(corrupt(match (&self.bad, &self.ignored) {
            (Some(bad), _) => format!(
                "{} at offset {}: no good frame, though all up to batch {known} was on disk",
                bad.file, bad.offset
            ),
            (None, Some(ignored)) => ignored.clone(),
            (None, None) => {
                format!(
                    "the log ends with batch {last}, though all up to batch {known} was on disk"
                )
            }
        }))
    }
}

/// Cuts the torn tail, syncs what is kept, and removes what counts for nothing.
fn tidy(
    disk: &dyn Disk,
    store: &dyn SnapshotStore,
    snapshot: Option<&Manifest>,
    closed: &[Closed],
    empty: &[u32],
) -> io::Result<()> {
    if let Some(last) = closed.last() {
        // Also where nothing is torn: frames that were written but not synced count from here on, so they have to stay.
        let mut file = disk.open(&segment_name(last.ordinal))?;
        file.truncate(last.bytes)?;
        file.sync()?;
    }
    for ordinal in empty {
        disk.remove(&segment_name(*ordinal))?;
    }
    for id in store.list()? {
        if snapshot.is_none_or(|manifest| manifest.id != id) {
            store.remove(id)?;
        }
    }
    if disk.list()?.iter().any(|name| name == CURRENT_NEW) {
        disk.remove(CURRENT_NEW)?;
    }
    if snapshot.is_none() && disk.list()?.iter().any(|name| name == CURRENT) {
        disk.remove(CURRENT)?;
    }
    disk.sync_folder()
}
