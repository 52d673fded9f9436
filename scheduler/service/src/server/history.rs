// SPDX-License-Identifier: Apache-2.0
//! The last changes, for watches that resume: the records of rounds, as the journal has them, within a budget of bytes.

use crate::sequencer::Span;
use berth_proto::v1;
use berth_proto::v1::list_again::Reason;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch as signal;

/// What an entry takes beside its bytes.
const OVERHEAD: usize = 96;
/// Bytes that are handed out at once.
const AT_ONCE: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct History {
    kept: Mutex<Kept>,
    revision: signal::Sender<u64>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    rounds: VecDeque<(Span, Bytes)>,
    bytes: usize,
    /// All changes after this revision are kept.
    oldest: u64,
    current: u64,
}

impl History {
    pub(super) fn new(bytes_max: usize) -> Self {
        let kept = Mutex::new(Kept::default());
        Self { kept, revision: signal::Sender::new(0), bytes_max }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service begins at this revision; what was published before is kept if it leads there.
    pub(super) fn begin(&self, revision: u64) {
        let mut kept = self.kept();
        if kept.current != revision {
            *kept = Kept { oldest: revision, current: revision, ..Kept::default() };
        }
        drop(kept);
        self.revision.send_replace(revision);
    }

    /// Takes the records of a round that are safe now.
    pub(super) fn publish(&self, span: Span, records: Bytes) {
        let mut kept = self.kept();
        if kept.current != span.before {
            // Something is missing in between: watches cannot go over that.
            kept.rounds.clear();
            kept.bytes = 0;
            kept.oldest = span.before;
        }
        kept.bytes += records.len() + OVERHEAD;
        kept.current = span.last;
        kept.rounds.push_back((span, records));
        while kept.bytes > self.bytes_max
            && let Some((span, records)) = kept.rounds.pop_front()
        {
            kept.bytes -= records.len() + OVERHEAD;
            kept.oldest = span.last;
        }
        drop(kept);
        self.revision.send_replace(span.last);
    }

    /// The current revision, and a receiver that sees it change.
    pub(super) fn follow(&self) -> signal::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Records of changes after `revision`, some of them, and the revision they lead to.
    pub(super) fn after(
        &self,
        revision: u64,
        behind: Reason,
    ) -> Result<(Vec<Bytes>, u64), v1::ListAgain> {
        let kept = self.kept();
        let again = |reason: Reason| v1::ListAgain {
            reason: reason.into(),
            oldest_revision: kept.oldest,
            current_revision: kept.current,
        };
        if revision > kept.current {
            return Err(again(Reason::UnknownRevision));
        }
        if revision < kept.oldest {
            return Err(again(behind));
        }
        let from = kept.rounds.partition_point(|(span, _)| span.last <= revision);
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut last = revision;
        for (span, round) in kept.rounds.range(from..) {
            records.push(round.clone());
            bytes += round.len();
            last = span.last;
            if bytes > AT_ONCE {
                break;
            }
        }
        Ok((records, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(history: &History, before: u64, last: u64) {
        history.publish(Span { before, last }, Bytes::from(vec![0; 100]));
    }

    #[test]
    fn changes_are_handed_out_once_and_in_order() {
        let history = History::new(1 << 20);
        history.begin(5);
        for at in 5..20 {
            publish(&history, at, at + 1);
        }
        let (records, last) = history.after(7, Reason::TooOld).unwrap();
        assert_eq!((records.len(), last), (13, 20));
        let (records, last) = history.after(20, Reason::TooOld).unwrap();
        assert_eq!((records.len(), last), (0, 20));
    }

    #[test]
    fn what_is_not_kept_has_to_be_listed_again() {
        let history = History::new(1_000);
        history.begin(5);
        assert_eq!(history.after(4, Reason::TooOld).unwrap_err().reason(), Reason::TooOld);
        assert_eq!(history.after(6, Reason::TooOld).unwrap_err().reason(), Reason::UnknownRevision);
        for at in 5..20 {
            publish(&history, at, at + 1);
        }
        let again = history.after(5, Reason::TooSlow).unwrap_err();
        assert_eq!((again.reason(), again.current_revision), (Reason::TooSlow, 20));
        assert!(history.after(again.oldest_revision, Reason::TooOld).is_ok());
        // A gap ends every watch before it.
        publish(&history, 25, 26);
        assert!(history.after(20, Reason::TooOld).is_err());
        assert!(history.after(25, Reason::TooOld).is_ok());
    }
}
