// SPDX-License-Identifier: Apache-2.0
//! What a contender does next. No IO; time is an argument.
//!
//! Times in the Lease are for people. A holder is given up on when the Lease has not changed for its duration since it was *seen* to
//! change; and who leads counts from before it asked for the last renewal that was granted, which is earlier than anybody else can
//! have seen it.

use super::Options;
use super::lease::Lease;
use crate::chance::{Chance, hash};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Read the Lease.
    Read,
    /// Make it.
    Create(Bytes),
    /// Replace it.
    Update(Bytes),
    /// Nothing until then.
    Wait(Instant),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Came {
    /// It was waited.
    Due,
    /// The Lease was read.
    Read(Lease),
    /// There is none.
    Missing,
    /// It was written, and is so now.
    Written(Lease),
    /// It was written by somebody else in between.
    Conflict,
    /// There was no answer, or another refusal.
    Failed,
}

/// The Lease as it was seen, and since when it has been so.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    since: Instant,
}

/// A contender.
#[derive(Debug)]
pub(super) struct State {
    options: Options,
    chance: Chance,
    seen: Option<Seen>,
    /// It leads, until then if nothing else happens.
    until: Option<Instant>,
    /// When what is under way was begun.
    began: Instant,
    /// The Lease is written without having been read before.
    blind: bool,
}

impl State {
    pub(super) fn new(options: Options, now: Instant) -> Self {
        let chance = Chance::new(hash(&options.identity));
        Self { options, chance, seen: None, until: None, began: now, blind: false }
    }

    /// Until when it leads; none if it does not.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// It does not lead any more, for whatever reason.
    pub(super) fn lose(&mut self) {
        self.until = None;
    }

    /// What to do next. `wall` is the time for people, in microseconds since the Unix epoch.
    pub(super) fn next(&mut self, now: Instant, wall: i64, came: Came) -> Step {
        let late = self.until.is_some_and(|until| until <= now);
        if late {
            self.lose();
        }
        match came {
            Came::Due => self.due(now, wall),
            Came::Read(lease) => self.read(now, wall, lease),
            Came::Missing => {
                self.lose();
                self.seen = None;
                self.began = now;
                let new = Lease::new(&self.options.namespace, &self.options.name);
                Step::Create(new.held(&self.options.identity, self.options.lease_duration, wall))
            }
            Came::Written(lease) if late => {
                // It was told as lost, or may have been: the term does not go on.
                self.see(now, lease);
                self.wait(now)
            }
            Came::Written(lease) => self.written(now, wall, lease),
            Came::Conflict if self.blind => self.look(),
            Came::Conflict => self.wait(now),
            Came::Failed => self.retry(now),
        }
    }

    /// The Lease as it is to be written when it is given back; none if it is not this one's.
    pub(super) fn free(&self, wall: i64) -> Option<Bytes> {
        let seen = self.seen.as_ref()?;
        (seen.lease.holder() == self.options.identity).then(|| seen.lease.free(wall))
    }

    fn due(&mut self, now: Instant, wall: i64) -> Step {
        self.began = now;
        match &self.seen {
            // Nobody else writes a Lease that is held.
            Some(seen) if self.until.is_some() => {
                self.blind = true;
                Step::Update(self.hold(&seen.lease, wall))
            }
            _ => self.look(),
        }
    }

    fn look(&mut self) -> Step {
        self.blind = false;
        Step::Read
    }

    fn hold(&self, lease: &Lease, wall: i64) -> Bytes {
        lease.held(&self.options.identity, self.options.lease_duration, wall)
    }

    fn read(&mut self, now: Instant, wall: i64, lease: Lease) -> Step {
        let own = lease.holder() == self.options.identity;
        let free = lease.holder().is_empty();
        let duration = lease.duration().unwrap_or(self.options.lease_duration);
        if own && self.until.is_none() {
            // A term of its own is over, but what was sent in it may be on its way still, and would hold as long as the holder is the same:
            // the Lease is given back first, and taken anew with another epoch.
            let free = lease.free(wall);
            self.see(now, lease);
            self.began = now;
            return Step::Update(free);
        }
        let write = self.hold(&lease, wall);
        let since = self.see(now, lease);
        if !own {
            self.lose();
        }
        if own || free || since + duration <= now {
            // Counted from when it is asked for, not from when it was read.
            self.began = now;
            return Step::Update(write);
        }
        self.watch(now, since + duration)
    }

    /// Takes a Lease in: since when it has been so.
    pub(super) fn see(&mut self, now: Instant, lease: Lease) -> Instant {
        let same = |seen: &&Seen| seen.lease.version() == lease.version();
        let since = self.seen.as_ref().filter(same).map_or(now, |seen| seen.since);
        self.seen = Some(Seen { lease, since });
        since
    }

    fn written(&mut self, now: Instant, wall: i64, lease: Lease) -> Step {
        if lease.holder() != self.options.identity {
            // It was given back, and is taken anew.
            let write = self.hold(&lease, wall);
            self.see(now, lease);
            self.began = now;
            return Step::Update(write);
        }
        self.see(now, lease);
        let until = self.began + self.options.renew_deadline;
        // An answer that took so long is worth nothing: the next read finds the Lease as its own.
        self.until = (until > now).then_some(until);
        self.wait(now)
    }

    /// Contenders that met do not come all at once again: client-go waits up to 2.2 periods.
    fn wait(&mut self, now: Instant) -> Step {
        let period = self.options.retry_period;
        if self.until.is_some() {
            return Step::Wait(now + period);
        }
        Step::Wait(now + period + self.more().mul_f64(1.2))
    }

    /// What failed is tried again. Here it is nobody else's doing, and a Lease that is free is taken late by as much as is waited.
    fn retry(&mut self, now: Instant) -> Step {
        match self.until {
            Some(_) => self.wait(now),
            None => Step::Wait(now + self.options.retry_period + self.more().mul_f64(0.2)),
        }
    }

    /// Somebody else holds it, until `end` at least: it is looked at again then, or before. client-go waits as long as after a failure, also
    /// beyond the end: from a leader's death until the next one leads pass up to 24 s there, here 17.4 s.
    fn watch(&mut self, now: Instant, end: Instant) -> Step {
        let next = now + self.options.retry_period + self.more().mul_f64(0.2);
        Step::Wait(next.min(end))
    }

    /// A part of a period, by chance.
    fn more(&mut self) -> Duration {
        let micros = u64::try_from(self.options.retry_period.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.chance.next() % micros.max(1))
    }
}

#[cfg(test)]
mod tests;
