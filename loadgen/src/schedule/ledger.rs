// SPDX-License-Identifier: Apache-2.0
//! Puts the answers of calls that run side by side into the order in which the service did them.
//!
//! Each answer tells its revision, and a call sees everything that was answered before it was sent. So whatever is not
//! answered yet has a revision above the highest one known when it was sent; what lies below the least of those is complete.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A call that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(u64);

/// Events that wait for those before them.
#[derive(Debug)]
pub struct Ledger<E> {
    /// Calls in the order in which they were sent: the revision known then; `None`: answered.
    calls: VecDeque<Option<u64>>,
    /// Number of the first of them.
    first: u64,
    known: u64,
    events: BinaryHeap<Reverse<Entry<E>>>,
    arrived: u64,
}

#[derive(Debug)]
struct Entry<E> {
    revision: u64,
    /// Events that change nothing are told after the one whose state they saw.
    reads: bool,
    arrived: u64,
    event: E,
}

impl<E> Entry<E> {
    fn rank(&self) -> (u64, bool, u64) {
        (self.revision, self.reads, self.arrived)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<E> Default for Ledger<E> {
    fn default() -> Self {
        Self { calls: VecDeque::new(), first: 0, known: 0, events: BinaryHeap::new(), arrived: 0 }
    }
}

impl<E> Ledger<E> {
    /// A call is sent.
    pub fn sent(&mut self) -> CallId {
        self.calls.push_back(Some(self.known));
        CallId(self.first + self.calls.len() as u64 - 1)
    }

    /// It is answered: `event` happened at `revision`; or nothing did.
    pub fn answered(&mut self, call: CallId, what: Option<(u64, bool, E)>) {
        if let Some(at) = call.0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok())
            && let Some(call) = self.calls.get_mut(at)
        {
            *call = None;
        }
        while self.calls.front() == Some(&None) {
            self.calls.pop_front();
            self.first += 1;
        }
        if let Some((revision, reads, event)) = what {
            self.known = self.known.max(revision);
            self.arrived += 1;
            self.events.push(Reverse(Entry { revision, reads, arrived: self.arrived, event }));
        }
    }

    /// The next event before which nothing can come any more.
    pub fn next_event(&mut self) -> Option<E> {
        let complete = self.calls.front().copied().flatten().unwrap_or(u64::MAX);
        let Reverse(first) = self.events.peek()?;
        (first.revision <= complete).then(|| self.events.pop())?.map(|Reverse(entry)| entry.event)
    }

    /// Calls that are on their way, those included that were answered after the oldest that was not.
    pub fn span(&self) -> usize {
        self.calls.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ledger: &mut Ledger<char>) -> String {
        std::iter::from_fn(|| ledger.next_event()).collect()
    }

    #[test]
    fn events_come_out_by_revision() {
        let mut ledger = Ledger::default();
        let calls: Vec<CallId> = (0..3).map(|_| ledger.sent()).collect();
        ledger.answered(calls[2], Some((3, false, 'c')));
        assert_eq!(drain(&mut ledger), "", "1 and 2 may still come");
        ledger.answered(calls[0], Some((2, false, 'b')));
        assert_eq!(drain(&mut ledger), "");
        let later = ledger.sent();
        ledger.answered(calls[1], Some((1, false, 'a')));
        assert_eq!(drain(&mut ledger), "abc", "what is on its way is above 3");
        ledger.answered(later, Some((4, false, 'd')));
        assert_eq!((drain(&mut ledger), ledger.span()), ("d".to_owned(), 0));
    }

    #[test]
    fn what_only_read_a_state_comes_after_it() {
        let mut ledger = Ledger::default();
        let (a, b, c) = (ledger.sent(), ledger.sent(), ledger.sent());
        ledger.answered(a, Some((7, true, 'r')));
        ledger.answered(b, Some((7, false, 'w')));
        ledger.answered(c, None);
        assert_eq!(drain(&mut ledger), "wr");
    }
}
