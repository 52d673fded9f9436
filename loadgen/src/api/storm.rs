// SPDX-License-Identifier: Apache-2.0
//! Many clients at once, each with a connection of its own: one request after the other, or each when it is due.

use super::wire::{Ask, Wire};
use crate::balance::usage;
use crate::error::Error;
use crate::report::count;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// When a storm ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After so many requests.
    Count(u64),
}

/// How a storm goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// When it ends.
    pub until: Until,
    /// Requests a second, of all clients together; none: as fast as answers come.
    pub rate: Option<f64>,
}

impl Course {
    /// As fast as answers come, for this time.
    pub fn time(time: Duration) -> Self {
        Self { until: Until::Time(time), rate: None }
    }

    /// As fast as answers come, so many.
    pub fn count(count: u64) -> Self {
        Self { until: Until::Count(count), rate: None }
    }
}

/// Latencies in nanoseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_max(600_000_000_000, 3).expect("three digits are possible"))
    }
}

impl Latencies {
    /// One more.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Those of another one.
    pub fn join(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Below which this share stays, in microseconds; no number if there is none.
    pub fn us(&self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        count(self.0.value_at_quantile(share)) / 1_000.0
    }
}

/// What came of a storm.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Of requests for one object.
    pub one: Latencies,
    /// Of requests for many.
    pub many: Latencies,
    /// How long it took.
    pub seconds: f64,
    /// CPU that this program took meanwhile, in seconds: to see whether it is what is slow.
    pub client_seconds: f64,
}

impl Tally {
    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.one.count() + self.many.count()
    }

    /// With those of another storm behind this one.
    pub fn join(&mut self, other: &Self) {
        self.one.join(&other.one);
        self.many.join(&other.many);
        self.seconds += other.seconds;
        self.client_seconds += other.client_seconds;
    }

    /// Requests a second.
    pub fn per_second(&self) -> f64 {
        count(self.requests()) / self.seconds
    }
}

/// Clients with their connections.
#[derive(Debug)]
pub struct Clients {
    wires: Vec<Wire>,
    numbers: Arc<AtomicU64>,
}

impl Clients {
    /// One client a connection.
    pub fn new(wires: Vec<Wire>) -> Self {
        Self { wires, numbers: Arc::default() }
    }

    /// Lets them all send. Requests are numbered, across storms too.
    pub async fn storm<F>(&mut self, course: Course, ask: F) -> Result<Tally, Error>
    where
        F: Fn(u64) -> Ask + Clone + Send + 'static,
    {
        let (began, own) = (Instant::now(), own_cpu_seconds());
        let first = self.numbers.load(Ordering::Relaxed);
        let mut working = JoinSet::new();
        for wire in self.wires.drain(..) {
            let numbers = Arc::clone(&self.numbers);
            let tickets = Tickets { numbers, first, began, course };
            working.spawn(client(wire, tickets, ask.clone()));
        }
        let mut tally = Tally::default();
        while let Some(ended) = working.join_next().await {
            let ended = ended.map_err(|error| Error::Api(format!("a client ended: {error}")))?;
            let (wire, one, many) = ended?;
            self.wires.push(wire);
            tally.one.join(&one);
            tally.many.join(&many);
        }
        tally.seconds = began.elapsed().as_secs_f64();
        tally.client_seconds = own_cpu_seconds() - own;
        Ok(tally)
    }
}

/// CPU that this program took so far, in seconds.
pub fn own_cpu_seconds() -> f64 {
    usage::cpu_seconds(std::process::id()).unwrap_or(f64::NAN)
}

/// Which request is next, and when it is due.
struct Tickets {
    numbers: Arc<AtomicU64>,
    first: u64,
    began: Instant,
    course: Course,
}

impl Tickets {
    fn next(&self) -> Option<(u64, Option<Instant>)> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let at = number - self.first;
        let due =
            self.course.rate.map(|rate| self.began + Duration::from_secs_f64(count(at) / rate));
        let over = match self.course.until {
            Until::Count(count) => at >= count,
            Until::Time(time) => due.unwrap_or_else(Instant::now) >= self.began + time,
        };
        if over && (self.course.rate.is_some() || matches!(self.course.until, Until::Count(_))) {
            // Given back: all that follow are over, too, and the next storm goes on here.
            self.numbers.fetch_sub(1, Ordering::Relaxed);
        }
        (!over).then_some((number, due))
    }
}

async fn client<F: Fn(u64) -> Ask>(
    mut wire: Wire,
    tickets: Tickets,
    ask: F,
) -> Result<(Wire, Latencies, Latencies), Error> {
    let (mut one, mut many) = (Latencies::default(), Latencies::default());
    while let Some((number, due)) = tickets.next() {
        let ask = ask(number);
        let mut began = Instant::now();
        if let Some(due) = due {
            if due > began {
                tokio::time::sleep_until(due.into()).await;
                // The timer rounds up to milliseconds, which is not the server's fault.
                began = Instant::now();
            } else {
                began = due;
            }
        }
        wire.drain(&ask).await?;
        let latencies = if ask.many { &mut many } else { &mut one };
        latencies.add(began.elapsed());
    }
    Ok((wire, one, many))
}
