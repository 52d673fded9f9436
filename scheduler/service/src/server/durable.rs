// SPDX-License-Identifier: Apache-2.0
//! The sequencer on a journal: recovery, rounds made safe, snapshots while work goes on.
//!
//! ```text
//! chunk of a snapshot = (length of the slice, u32 little-endian | slice)*      a slice is a batch of records
//! ```

use super::history::History;
use super::inbox::Core;
use super::reading::Reading;
use super::round::Round;
use super::status;
use super::{Data, Recovered};
use crate::sequencer::{Accepting, Cursor, Options, Span};
use berth_scheduler_journal::snapshot::{Chunk, Put, Snapshot};
use berth_scheduler_journal::{Journal, OpenError, Options as Sizes, Report, State, Stats};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Things in one slice of a snapshot: about a fifth of a millisecond's work.
const SLICE: u32 = 1_024;

/// The journal does not open.
pub(super) struct OpenFailed {
    pub(super) source: OpenError,
}

/// Opens a journal; gives back the sequencer as it was.
pub(super) fn open(
    data: &Data,
    sizes: Sizes,
    options: Options,
    history: &Arc<History>,
) -> Result<(Core, Durable, Recovered), OpenFailed> {
    let begun = Instant::now();
    let mut reading = Reading::new(options, history);
    let publish = Arc::clone(history);
    let completion = Box::new(move |mut round: Round, result: Result<(), _>| {
        let failed = result.is_err().then(|| status::journal_failed(None));
        round.deliver(&publish, failed.as_ref());
    });
    let opened = match data {
        Data::Folder(path) => Journal::open(path, sizes, &mut reading, completion),
        Data::Disk(disk, store) => {
            let (disk, store) = (Arc::clone(disk), Arc::clone(store));
            Journal::open_on(disk, store, sizes, &mut reading, completion)
        }
    };
    let (journal, report) = opened.map_err(|source| OpenFailed { source })?;
    let core = reading.finish();
    let stats = core.stats();
    let recovered = Recovered {
        revision: core.revision(),
        nodes: stats.nodes,
        pods: stats.pods as usize,
        took: begun.elapsed(),
        remarks: remarks(&report),
    };
    Ok((core, Durable { journal, saving: None, state: State::Ok }, recovered))
}

fn remarks(report: &Report) -> Vec<String> {
    let torn = report.torn.as_ref().map(|torn| {
        format!(
            "the journal ended in the middle of a record, which was never acknowledged; {} was cut at offset {}",
            torn.file, torn.offset
        )
    });
    let ignored = report
        .snapshot_ignored
        .as_ref()
        .map(|why| format!("a snapshot was set aside ({why}); the log held everything"));
    torn.into_iter().chain(ignored).collect()
}

/// A journal, and the snapshot that is being written.
pub(super) struct Durable {
    journal: Journal<Round>,
    saving: Option<Saving>,
    /// What the sequencer was told last.
    state: State,
}

struct Saving {
    snapshot: Snapshot,
    cursor: Cursor,
    chunk: Chunk,
    done: bool,
}

impl Durable {
    /// A buffer for records.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.journal.buffer()
    }

    /// Counts of the journal.
    pub(super) fn stats(&self) -> Stats {
        self.journal.stats()
    }

    /// Tells the sequencer when the disk is full, failed, or good again.
    pub(super) fn watch(&mut self, core: &mut Core, stopping: bool) {
        let state = self.journal.state();
        if state == self.state || stopping {
            return;
        }
        self.state = state;
        let trouble = self.journal.trouble();
        let trouble = trouble.as_deref();
        core.set_accepting(match state {
            State::Ok => {
                tracing::info!("the journal has space again");
                Accepting::Yes
            }
            State::Full => {
                tracing::warn!(trouble, "the journal's disk is full: only reads are answered");
                Accepting::No(status::disk_full(trouble))
            }
            State::Failed => {
                tracing::error!(
                    trouble,
                    "the journal failed: only reads are answered until a restart"
                );
                Accepting::Never(status::journal_failed(trouble))
            }
        });
    }

    /// Has a round delivered once it is safe: at once if nothing is under way and it changed nothing.
    pub(super) fn submit(
        &mut self,
        mut batches: Vec<(Span, Vec<u8>)>,
        mut round: Round,
        history: &History,
    ) {
        let Some((span, records)) = batches.pop() else {
            if self.journal.is_idle() {
                round.deliver(history, None);
            } else {
                self.journal.submit(Vec::new(), round);
            }
            return;
        };
        for (span, records) in batches {
            let changes = Some((span, Bytes::copy_from_slice(&records)));
            self.journal.submit(records, Round { changes, ..Round::default() });
        }
        round.changes = Some((span, Bytes::copy_from_slice(&records)));
        self.journal.submit(records, round);
    }

    /// Begins a snapshot if one is due. Every record of the sequencer has to be submitted.
    pub(super) fn consider_snapshot(&mut self, core: &mut Core) {
        if self.saving.is_none()
            && self.journal.snapshot_due(core.state_bytes())
            && let Some(snapshot) = self.journal.begin_snapshot()
        {
            let cursor = core.begin_snapshot();
            self.saving = Some(Saving { snapshot, cursor, chunk: Chunk::new(), done: false });
        }
    }

    /// Takes a slice of the state; whether there is another one to take at once. Every record of the sequencer has to be
    /// submitted.
    pub(super) fn save(&mut self, core: &mut Core) -> bool {
        let Some(mut saving) = self.saving.take() else { return false };
        if !saving.done && !saving.chunk.is_full() {
            let content = saving.chunk.content();
            let at = content.len();
            content.extend([0; 4]);
            let mut slice = Vec::new();
            saving.done = core.slice(&mut saving.cursor, &mut slice, SLICE);
            let length = u32::try_from(slice.len()).unwrap_or(u32::MAX);
            content[at..at + 4].copy_from_slice(&length.to_le_bytes());
            content.extend_from_slice(&slice);
        }
        if saving.chunk.is_full() || (saving.done && !saving.chunk.is_empty()) {
            match saving.snapshot.put(std::mem::take(&mut saving.chunk)) {
                Put::Taken => {}
                Put::Busy(chunk) => {
                    saving.chunk = chunk;
                    self.saving = Some(saving);
                    return false;
                }
                Put::Failed => {
                    tracing::warn!(trouble = self.journal.trouble(), "a snapshot was given up");
                    return false;
                }
            }
        }
        if saving.done {
            self.journal.note_state(core.state_bytes());
            if let Err(snapshot) = self.journal.finish_snapshot(saving.snapshot) {
                saving.snapshot = snapshot;
                self.saving = Some(saving);
            }
            return false;
        }
        self.saving = Some(saving);
        true
    }

    /// Whether work has to wait until the snapshot that is being written is done.
    pub(super) fn is_pressed(&mut self) -> bool {
        self.journal.is_pressed()
    }

    /// Whether a snapshot is being taken.
    pub(super) fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Completes what was submitted, and closes.
    pub(super) fn close(self) {
        drop(self.saving);
        self.journal.close();
    }
}
