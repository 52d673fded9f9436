// SPDX-License-Identifier: Apache-2.0
//! Whose the rules are: a comment on one of them, written in the same transaction.
//!
//! Two processes of one instance can live at once, while one takes over from the other or by mistake. The one that wrote the rules
//! last is their owner; the other one sees it, changes nothing any more, and says so.
//!
//! | the comment says | this process |
//! |---|---|
//! | itself | is the owner |
//! | a process that began to own later | was overtaken |
//! | nothing, or a process that began to own earlier | puts its own rules back |
//!
//! Each owner has another turn than the one before. It stands in the marks of its verdicts: one that comes when the next owner's
//! rules are there already means nothing to them, and its packet waits once more, for the next owner.

use std::fmt;

/// Of the rules and their sets: other ones are not replaced in place.
const LAYOUT: u32 = 3;

/// Turns that there are.
const TURNS: u8 = 4;

/// Distinguishes owners that follow each other, 0 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turn(u8);

impl Turn {
    pub(crate) const fn bits(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn next(self) -> Self {
        Self((self.0 + 1) % TURNS)
    }

    /// Of the two maps of backends the one that this owner fills.
    pub(crate) const fn is_odd(self) -> bool {
        self.0 % 2 == 1
    }
}

/// A process that owns rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    layout: u32,
    pub(crate) pid: u32,
    /// The queue that it reads: as long as somebody does, it lives.
    pub(crate) queue: u16,
    pub(crate) turn: Turn,
    /// When it began to own, in nanoseconds of the monotonic clock.
    since: u64,
}

impl Owner {
    /// The one after `before`, at `now` (nanoseconds).
    pub(crate) fn after(before: Option<&Self>, queue: u16, now: u64) -> Self {
        let since = before.map_or(now, |before| now.max(before.since.saturating_add(1)));
        let turn = before.map_or(Turn::default(), |before| before.turn.next());
        Self { layout: LAYOUT, pid: std::process::id(), queue, turn, since }
    }

    /// Whether it came after another one.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        self.since > other.since
    }

    /// Whether its rules can be replaced in place.
    pub(crate) fn has_layout(&self) -> bool {
        self.layout == LAYOUT
    }

    /// From a rule's comment.
    pub(crate) fn read(comment: &str) -> Option<Self> {
        let mut numbers = comment.strip_prefix(PREFIX)?.split(' ').filter_map(|w| w.parse().ok());
        let mut number = || numbers.next();
        let layout = u32::try_from(number()?).ok()?;
        let pid = u32::try_from(number()?).ok()?;
        let queue = u16::try_from(number()?).ok()?;
        let turn = u8::try_from(number()?).ok().filter(|turn| *turn < TURNS)?;
        let since: u64 = number()?;
        Some(Self { layout, pid, queue, turn: Turn(turn), since })
    }
}

const PREFIX: &str = "owner: ";

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layout, pid, queue, turn, since } = self;
        write!(f, "{PREFIX}layout {layout} pid {pid} queue {queue} turn {} since {since}", turn.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_it_was_written_and_the_next_one_is_another() {
        let first = Owner::after(None, 47_616, 100);
        assert_eq!(Owner::read(&first.to_string()), Some(first));
        // A clock that stands still, or that another boot began anew.
        let second = Owner::after(Some(&first), 47_617, 50);
        assert!(second.is_after(&first) && !first.is_after(&second) && !first.is_after(&first));
        assert_ne!(first.turn, second.turn);
        assert_ne!(first.turn.is_odd(), second.turn.is_odd());
        let mut last = second;
        for _ in 0..6 {
            let next = Owner::after(Some(&last), 1, 0);
            assert_ne!(next.turn.is_odd(), last.turn.is_odd());
            last = next;
        }
        for other in ["", "owner: ", "owner: layout 2 pid 1 queue 70000 turn 0 since 1", "x"] {
            assert_eq!(Owner::read(other), None, "{other}");
        }
        assert_eq!(Owner::read("owner: layout 2 pid 1 queue 7 turn 4 since 1"), None);
    }
}
