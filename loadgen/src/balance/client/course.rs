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
    /// Requests that were still without an answer when they had had [`PATIENCE`](super::PATIENCE), and those behind them on a
    /// connection that broke. Each is a failure too, and stands among the latencies with its age at least.
    pub unanswered: u64,
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
            unanswered: 0,
            failures: 0,
            notes: Vec::new(),
            endpoints: [0; 8],
            latencies: histogram(),
        }
    }
}

impl Tally {
    /// Failures that are told.
    const NOTES: usize = 5;

    /// Something that must not be.
    pub fn failed(&mut self, what: impl Display) {
        self.failures += 1;
        if self.notes.len() < Self::NOTES {
            self.notes.push(what.to_string());
        }
    }

    /// An operation that an endpoint answered.
    pub fn count(&mut self, endpoint: u32, took: Duration) {
        self.operations += 1;
        let at = usize::try_from(endpoint).unwrap_or(usize::MAX).min(self.endpoints.len() - 1);
        self.endpoints[at] += 1;
        self.record(took);
    }

    /// A latency.
    pub fn record(&mut self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(took);
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

    /// Whether the measured time is over, so that only answers that are due are waited for; not if failures ended the load.
    pub fn has_to_settle(&self) -> bool {
        self.over
    }

    /// An answer that was right, to what was begun at `since`. It counts if it came within the measured time: so many at once are
    /// begun before it as are left over behind it.
    pub fn answered(&mut self, since: Instant, now: Instant, endpoint: u32) {
        if self.measuring.is_some() && !self.over {
            self.tally.count(endpoint, now.saturating_duration_since(since));
        }
    }

    /// An answer that was right, to what was due at `due`. It counts if it was due within the measured time, however late it came.
    pub fn answered_due(&mut self, due: Instant, now: Instant, endpoint: u32) {
        if self.measuring.is_some_and(|since| due >= since) {
            self.tally.count(endpoint, now.saturating_duration_since(due));
        }
    }

    /// A request, begun at `since`, that has no answer and is waited for no longer.
    pub fn unanswered(&mut self, since: Instant, now: Instant) {
        self.tally.unanswered += 1;
        self.tally.record(now.saturating_duration_since(since));
        let age = now.saturating_duration_since(since).as_millis();
        self.failed(format!("a request was not answered ({age} ms old)"));
    }

    /// Bytes of bulk that were right.
    pub fn received(&mut self, bytes: usize) {
        if self.measuring.is_some() && !self.over {
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
        self.tally.failed(what);
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
