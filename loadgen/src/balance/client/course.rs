// SPDX-License-Identifier: Apache-2.0
//! The course of a load: it warms up, is measured, and ends. What is counted in between.

use hdrhistogram::Histogram;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Latencies from a hundred nanoseconds to a minute, to three digits.
const LOWEST_NS: u64 = 100;
const HIGHEST_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// So many failures end a load: it would only fill the table with them.
pub const FAILURES_MAX: u64 = 1_000;

/// Looks at the machine when the measured time begins and ends, on the client's thread.
pub trait Meter {
    /// It begins.
    fn begin(&mut self);
    /// It ends.
    fn end(&mut self);
}

/// Looks at nothing.
impl Meter for () {
    fn begin(&mut self) {}
    fn end(&mut self) {}
}

/// How long a load lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Before anything is counted.
    pub warm_up: Duration,
    /// While it is.
    pub measure: Duration,
}

/// What a load found out.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Answers, connections, or pairs of datagrams.
    pub operations: u64,
    /// Bytes of bulk.
    pub bytes: u64,
    /// The time that was measured.
    pub seconds: f64,
    /// Datagrams without an answer.
    pub lost: u64,
    /// What failed, also outside of the measured time.
    pub failures: u64,
    /// The first failures, told.
    pub notes: Vec<String>,
    /// Answers by endpoint, in order of their numbers; those beyond the last are with it.
    pub endpoints: [u64; 8],
    /// Latencies in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            operations: 0,
            bytes: 0,
            seconds: 0.0,
            lost: 0,
            failures: 0,
            notes: Vec::new(),
            endpoints: [0; 8],
            latencies: histogram(),
        }
    }
}

/// An empty histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
        .expect("the bounds are two apart, and three digits are within 0 to 5")
}

/// A load on its way.
pub struct Course<'a> {
    began: Instant,
    span: Span,
    measuring: Option<Instant>,
    over: bool,
    meter: &'a mut dyn Meter,
    tally: Tally,
}

impl std::fmt::Debug for Course<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Course").field("span", &self.span).finish_non_exhaustive()
    }
}

impl<'a> Course<'a> {
    /// Begins.
    pub fn new(span: Span, meter: &'a mut dyn Meter) -> Self {
        let (began, tally) = (Instant::now(), Tally::default());
        Self { began, span, measuring: None, over: false, meter, tally }
    }

    /// Whether it goes on at this time. The loop asks once a round.
    pub fn goes_on(&mut self, now: Instant) -> bool {
        match self.measuring {
            None if now >= self.began + self.span.warm_up => {
                self.meter.begin();
                self.measuring = Some(Instant::now());
            }
            Some(since) if now >= since + self.span.measure => {
                self.tally.seconds = now.duration_since(since).as_secs_f64();
                self.meter.end();
                self.over = true;
            }
            _ => {}
        }
        !self.over && self.tally.failures < FAILURES_MAX
    }

    /// How long a wait may last so that the course does not miss its turns.
    pub fn wait(&self, now: Instant) -> Duration {
        let next = match self.measuring {
            None => self.began + self.span.warm_up,
            Some(since) => since + self.span.measure,
        };
        // Whole milliseconds: what epoll waits for.
        next.saturating_duration_since(now).min(LOOK) + Duration::from_millis(1)
    }

    /// An answer that was right, to what was begun at `since`.
    pub fn answered(&mut self, since: Instant, now: Instant, endpoint: u32) {
        if self.measuring.is_none() {
            return;
        }
        let tally = &mut self.tally;
        tally.operations += 1;
        let at = usize::try_from(endpoint).unwrap_or(usize::MAX).min(tally.endpoints.len() - 1);
        tally.endpoints[at] += 1;
        let took = now.saturating_duration_since(since).as_nanos();
        tally.latencies.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
    }

    /// Bytes of bulk that were right.
    pub fn received(&mut self, bytes: usize) {
        if self.measuring.is_some() {
            self.tally.bytes += bytes as u64;
        }
    }

    /// A datagram without an answer.
    pub fn lost(&mut self) {
        if self.measuring.is_some() {
            self.tally.lost += 1;
        }
    }

    /// Something that must not be.
    pub fn failed(&mut self, what: impl Display) {
        const NOTES: usize = 5;
        self.tally.failures += 1;
        if self.tally.notes.len() < NOTES {
            self.tally.notes.push(what.to_string());
        }
    }

    /// What it found out.
    pub fn finish(mut self) -> Tally {
        // Broken off by its failures.
        if let Some(since) = self.measuring.filter(|_| !self.over) {
            self.tally.seconds = since.elapsed().as_secs_f64();
            self.meter.end();
        }
        self.tally
    }
}

/// How often a loop without events looks after what is stuck.
pub const LOOK: Duration = Duration::from_millis(50);
