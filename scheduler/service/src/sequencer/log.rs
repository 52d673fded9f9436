// SPDX-License-Identifier: Apache-2.0
//! The revision, and the records of the present round.

use super::record::{Placed, Record, Writer};

/// Where records go until the round is over.
#[derive(Debug)]
pub(super) struct Log {
    revision: u64,
    /// The revision before the first record of the batch.
    base: u64,
    records: Vec<u8>,
    /// Batches of the round that are complete already.
    complete: Vec<(Span, Vec<u8>)>,
}

/// A batch is closed above this size where it may be: a batch has to fit into half a segment of the journal.
const BATCH_BYTES: usize = 1 << 20;

/// The changes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The revision before it.
    pub before: u64,
    /// The revision after it.
    pub last: u64,
}

impl Log {
    pub(super) fn new(revision: u64) -> Self {
        Self { revision, base: revision, records: Vec::new(), complete: Vec::new() }
    }

    /// The revision of the state.
    #[inline]
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// After a restart: revisions go on from here.
    pub(super) fn skip_to(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        self.base = self.revision;
    }

    /// Takes the batches of the round; `spare` gives its room to the next one.
    pub(super) fn take(&mut self, spare: Vec<u8>) -> Vec<(Span, Vec<u8>)> {
        self.close(spare);
        std::mem::take(&mut self.complete)
    }

    /// Here the records may be parted into batches: what comes before stands without what comes after.
    pub(super) fn may_part(&mut self) {
        if self.records.len() > BATCH_BYTES {
            self.close(Vec::new());
        }
    }

    fn close(&mut self, mut spare: Vec<u8>) {
        if self.records.is_empty() {
            return;
        }
        spare.clear();
        std::mem::swap(&mut self.records, &mut spare);
        let span = Span { before: self.base, last: self.revision };
        self.base = self.revision;
        self.complete.push((span, spare));
    }

    /// Bytes of the round's records.
    pub(super) fn len(&self) -> usize {
        let complete: usize = self.complete.iter().map(|(_, records)| records.len()).sum();
        complete + self.records.len()
    }

    #[inline]
    fn writer(&mut self) -> Writer<'_> {
        if self.records.is_empty() {
            Writer::begin(&mut self.records, self.base)
        } else {
            Writer::resume(&mut self.records, self.base)
        }
    }

    /// Records a change: `record` gets its revision, which is given back.
    pub(super) fn push<'a>(&mut self, record: impl FnOnce(u64) -> Record<'a>) -> u64 {
        self.revision += 1;
        let record = record(self.revision);
        self.writer().push(&record);
        self.revision
    }

    /// Records that a pod is on a node; its revision is filled in, and given back.
    #[inline]
    pub(super) fn placed(&mut self, placed: Placed<'_>) -> u64 {
        self.revision += 1;
        let revision = self.revision;
        self.writer().placed(&Placed { revision, ..placed });
        revision
    }

    /// Records something that is no change by itself.
    pub(super) fn push_plain(&mut self, record: &Record<'_>) {
        self.writer().push(record);
    }
}
