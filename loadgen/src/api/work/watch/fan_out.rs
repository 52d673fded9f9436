// SPDX-License-Identifier: Apache-2.0
//! Many watchers of the same: each gets every event, in order, and none twice.

use super::{Mark, Reader, Told, Watchers, revision};
use crate::api::Bench;
use crate::api::found::{Found, OURS};
use crate::api::objects;
use crate::api::rows::SMALL;
use crate::api::storm::{Latencies, own_cpu_seconds};
use crate::api::subject::Subject;
use crate::api::wire::{Ask, Protocol, Wire};
use crate::error::Error;
use crate::report::count;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Who writes, each its own object; one alone would wait for the disk most of the time.
const WRITERS: usize = 8;
/// Writes that may be on their way to the watchers.
const AHEAD: u64 = 16;
/// Writes of one writer at most, in the whole row.
const WRITES: usize = 1 << 20;

/// When each write was sent, in nanoseconds since the row began; and how long its deliveries took.
#[derive(Debug)]
struct Clock {
    began: Instant,
    sent: Vec<Vec<AtomicU64>>,
    keeps: AtomicBool,
    latencies: Mutex<Latencies>,
}

impl Clock {
    fn new() -> Self {
        let writer = |_| (0..WRITES).map(|_| AtomicU64::new(0)).collect();
        Self {
            began: Instant::now(),
            sent: (0..WRITERS).map(writer).collect(),
            keeps: AtomicBool::new(false),
            latencies: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn delivered(&self, sent: u64) {
        if self.keeps.load(Ordering::Relaxed) {
            let took = Duration::from_nanos(self.now().saturating_sub(sent));
            self.latencies.lock().unwrap_or_else(PoisonError::into_inner).add(took);
        }
    }

    /// Begins to keep latencies, or stops, and gives what there is.
    fn keep(&self, keeps: bool) -> Latencies {
        self.keeps.store(keeps, Ordering::Relaxed);
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *latencies)
    }
}

/// Sees to it that the writes of each writer come one by one.
struct InOrder {
    clock: Arc<Clock>,
    writer: Mark,
    write: Mark,
    next: [usize; WRITERS],
}

impl Reader for InOrder {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (writer, write) = (self.writer.number(line), self.write.number(line));
        let (Some(writer), Some(write)) = (writer, write) else {
            return Err(format!("not an event: {}", String::from_utf8_lossy(line)));
        };
        let next = self.next.get_mut(writer).ok_or("an object that nobody wrote")?;
        if *next != write {
            return Err(format!("write {write} of object {writer} came, and {next} was due"));
        }
        *next += 1;
        self.clock.delivered(self.clock.sent[writer][write].load(Ordering::Relaxed));
        Ok(())
    }
}

/// The writers, with how many writes each has behind it.
struct Writers {
    all: Vec<(Wire, usize)>,
    path: String,
    watchers: u64,
    /// Writes so far, of all of them.
    writes: Arc<AtomicU64>,
    clock: Arc<Clock>,
    told: Arc<Told>,
}

impl Writers {
    /// Lets them write for so long, at a rate, or as fast as events are delivered.
    async fn write(&mut self, time: Duration, rate: Option<f64>) -> Result<(), Error> {
        let began = Instant::now();
        let mut working = JoinSet::new();
        for (writer, (wire, done)) in self.all.drain(..).enumerate() {
            let one = Writer {
                writer,
                path: format!("{}/fan-{writer}", self.path),
                watchers: self.watchers,
                writes: Arc::clone(&self.writes),
                clock: Arc::clone(&self.clock),
                told: Arc::clone(&self.told),
            };
            working.spawn(one.run(wire, done, (began, time), rate));
        }
        let mut all = Vec::new();
        while let Some(ended) = working.join_next().await {
            all.push(ended.map_err(|error| Error::Api(format!("a writer ended: {error}")))??);
        }
        all.sort_by_key(|(writer, ..)| *writer);
        self.all = all.into_iter().map(|(_, wire, done)| (wire, done)).collect();
        Ok(())
    }

    /// Waits until all that was written came everywhere.
    async fn settle(&self) -> Result<(), Error> {
        self.told.reaches(self.writes.load(Ordering::Relaxed) * self.watchers).await
    }
}

struct Writer {
    writer: usize,
    path: String,
    watchers: u64,
    writes: Arc<AtomicU64>,
    clock: Arc<Clock>,
    told: Arc<Told>,
}

impl Writer {
    async fn run(
        self,
        mut wire: Wire,
        mut done: usize,
        (began, time): (Instant, Duration),
        rate: Option<f64>,
    ) -> Result<(usize, Wire, usize), Error> {
        let mut due = began;
        if let Some(rate) = rate {
            // Not all of them at the same time.
            due += Duration::from_secs_f64(count(self.writer as u64) / rate);
        }
        while began.elapsed() < time && done < WRITES {
            self.told.check()?;
            if let Some(rate) = rate {
                tokio::time::sleep_until(due.into()).await;
                due += Duration::from_secs_f64(count(WRITERS as u64) / rate);
            } else if self.is_ahead() {
                tokio::time::sleep(Duration::from_micros(500)).await;
                continue;
            }
            self.clock.sent[self.writer][done].store(self.clock.now(), Ordering::Relaxed);
            self.writes.fetch_add(1, Ordering::Relaxed);
            let patch = Ask::patch(self.path.clone(), objects::annotate(done as u64));
            wire.send(&patch).await?;
            done += 1;
        }
        Ok((self.writer, wire, done))
    }

    fn is_ahead(&self) -> bool {
        let due = self.writes.load(Ordering::Relaxed) * self.watchers;
        due.saturating_sub(self.told.count()) > AHEAD * self.watchers
    }
}

/// Row `fan-out`.
pub async fn run(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let (watchers, mut writers) = begin(bench, &subject).await?;
    let (clock, told) = (Arc::clone(&writers.clock), Arc::clone(&writers.told));
    let round_time = bench.sizes.round;
    writers.write(bench.sizes.warm_up, None).await?;
    writers.settle().await?;
    for round in 0..bench.rounds {
        let (before, began) = (told.count(), Instant::now());
        let (cpu, own) = (subject.cpu_seconds(), own_cpu_seconds());
        writers.write(round_time, None).await?;
        writers.settle().await?;
        let events = count(told.count() - before);
        let per_second = events / began.elapsed().as_secs_f64();
        let (cpu, own) = (subject.cpu_seconds() - cpu, own_cpu_seconds() - own);
        clock.keep(true);
        let half = per_second / 2.0 / count(writers.watchers);
        writers.write(round_time, Some(half)).await?;
        writers.settle().await?;
        let latencies = clock.keep(false);
        let values = [
            ("deliveries_per_second", per_second, "1/s"),
            ("half_p50_us", latencies.us(0.5), "us"),
            ("half_p99_us", latencies.us(0.99), "us"),
            ("delivery_cpu_us", cpu * 1e6 / events, "us"),
            ("client_cpu_us", own * 1e6 / events, "us"),
            ("resident_mib", subject.resident_mib(), "MiB"),
        ];
        found.add(round, OURS, &values);
    }
    found.add(0, OURS, &[("opened_per_second", watchers.opened_per_second(), "1/s")]);
    told.check()?;
    drop((watchers, writers));
    subject.end().await?;
    Ok(found)
}

async fn begin(bench: &Bench<'_>, subject: &Subject) -> Result<(Watchers, Writers), Error> {
    let path = subject.path("configmaps");
    let mut wires = subject.door.open_all(Protocol::One, WRITERS).await?;
    for (writer, wire) in wires.iter_mut().enumerate() {
        let object = objects::config_map(&format!("fan-{writer}"), SMALL);
        wire.send(&Ask::create(path.clone(), object)).await?;
    }
    let from = revision(&mut wires[0], &path).await?;
    let (clock, told) = (Arc::new(Clock::new()), Arc::<Told>::default());
    let watch = format!("{path}?watch=1&resourceVersion={from}");
    let reader = |_| InOrder {
        clock: Arc::clone(&clock),
        writer: Mark::new("\"name\":\"fan-"),
        write: Mark::new("\"example.com/n\":\""),
        next: [0; WRITERS],
    };
    let count = bench.sizes.watchers;
    let watchers = Watchers::open(subject, vec![watch; count], &told, reader).await?;
    let writers = Writers {
        all: wires.into_iter().map(|wire| (wire, 0)).collect(),
        path,
        watchers: count as u64,
        writes: Arc::default(),
        clock: Arc::clone(&clock),
        told,
    };
    Ok((watchers, writers))
}
