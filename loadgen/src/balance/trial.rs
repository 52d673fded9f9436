// SPDX-License-Identifier: Apache-2.0
//! One trial: a balancer is started, loaded once, and stopped.

use super::backend::process::Process;
use super::client::course::{Meter, Span, Tally};
use super::client::{Kind, Target, bulk, change, closed, datagrams, idle, open};
use super::place::{Place, Role};
use super::rows::{Row, service_of};
use super::subject::{Column, Running, Service, Subject};
use super::usage;
use crate::error::Error;
use crate::report::count;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::time::Duration;

/// How long processes get to settle before their memory is read.
const SETTLE: Duration = Duration::from_millis(400);

const MICROSECONDS: f64 = 1e6;
const GIGA: f64 = 1e9;

/// What a trial found out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Operations a second; for downloads, gigabytes.
    pub per_second: f64,
    /// CPU of the whole machine for an operation (for downloads, a gigabyte), in microseconds.
    pub total_cpu_us: f64,
    /// The same of the balancer's processes alone.
    pub own_cpu_us: f64,
    /// The same of this client.
    pub client_cpu_us: f64,
    /// The same of the backends.
    pub backend_cpu_us: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// User memory of a held connection, in bytes.
    pub memory: f64,
    /// Lost datagrams, of all.
    pub lost_share: f64,
    /// Which path served, for what has several.
    pub path: Option<String>,
    /// How often something failed.
    pub failures: u64,
    /// What failed.
    pub notes: Vec<String>,
    /// Latencies: share of answers, microseconds.
    pub curve: Vec<(f64, f64)>,
}

/// What stays the same over trials.
#[derive(Debug)]
pub struct Bench {
    /// Where.
    pub place: Place,
    /// The services.
    pub services: Vec<Service>,
    /// Their endpoints.
    pub backends: Process,
    /// How long.
    pub span: Span,
    /// Configurations that did not start: they would not for the next row, and each try takes its time.
    pub dead: Vec<(Column, String)>,
}

impl Bench {
    /// Makes one trial.
    pub fn trial(&mut self, subject: &dyn Subject, row: &Row, seed: u64) -> Result<Sample, Error> {
        let id = service_of(row.protocol);
        let Some(at) = self.services.iter().position(|service| service.id == id) else {
            return Err(Error::Setup(format!("there is no service for row {}", row.name)));
        };
        let name = (subject.column(), subject.variant());
        if self.dead.contains(&name) {
            return Err(Error::Setup("it did not start for an earlier row either".to_owned()));
        }
        let started = subject.start(&self.place, &self.services);
        let mut running = started.inspect_err(|_| self.dead.push(name))?;
        let before = self.backends.counts()?;
        let addresses = running.addresses(&self.services[at]);
        let sources = self.place.sources();
        let target = Target { addresses, service: id, sources, seed };
        let mut sample = self.load(&target, row, running.as_mut(), at)?;
        let path = running.path(&self.services[at])?;
        running.stop()?;
        let after = self.backends.counts()?;
        let strayed = after.misdirected - before.misdirected;
        let garbled = after.garbled - before.garbled;
        for (times, what) in [
            (strayed, "requests reached the backends of another service"),
            (garbled, "requests reached the backends garbled"),
        ] {
            if times > 0 {
                sample.failures += times;
                sample.notes.push(format!("{times} {what}"));
            }
        }
        check_path(subject.column(), path.as_deref(), &mut sample);
        sample.path = path;
        Ok(sample)
    }

    fn load(
        &self,
        target: &Target,
        row: &Row,
        running: &mut dyn Running,
        at: usize,
    ) -> Result<Sample, Error> {
        let pids = running.pids();
        let mut gauge = Gauge::new(pids.clone(), self.backends.pid());
        let (span, kind) = (self.span, row.kind);
        let change = |turn: usize| replace_an_endpoint(running, &self.services, at, turn);
        let (tally, memory) = self.place.run(Role::Client, || {
            let done = match kind {
                Kind::Change { held, turns } => {
                    change::run(target, (held, turns), change).map(|tally| (tally, f64::NAN))
                }
                _ => run(target, kind, span, &mut gauge, &pids),
            };
            done.map_err(Error::Load)
        })?;
        Ok(sample(&tally, &gauge, memory))
    }
}

/// The last two endpoints of a service take turns; gives the one that is served from now on.
fn replace_an_endpoint(
    running: &mut dyn Running,
    services: &[Service],
    at: usize,
    turn: usize,
) -> io::Result<u32> {
    let mut services = services.to_vec();
    let endpoints = &mut services[at].endpoints;
    let last = endpoints.len().saturating_sub(1);
    let gone = if turn.is_multiple_of(2) { last } else { last.saturating_sub(1) };
    endpoints.remove(gone);
    let new = endpoints.last().map_or(0, |endpoint| endpoint.index);
    running.change(&services).map_err(|error| io::Error::other(crate::chain(&error)))?;
    Ok(new)
}

/// A column is measured on its own path, or not at all.
fn check_path(column: Column, path: Option<&str>, sample: &mut Sample) {
    let wanted = match column {
        Column::Proxy => "proxy",
        Column::Fast => "fast",
        _ => return,
    };
    if path != Some(wanted) {
        sample.failures += 1;
        let served = path.unwrap_or("nobody knows which");
        sample.notes.push(format!("the path that served was {served}, not {wanted}"));
    }
}

/// Runs a load; gives what it counted, and memory if that is what it is about.
fn run(
    target: &Target,
    kind: Kind,
    span: Span,
    meter: &mut dyn Meter,
    pids: &[u32],
) -> io::Result<(Tally, f64)> {
    let tally = match kind {
        Kind::Closed { connections, wire, short } => {
            closed::run(target, (connections, wire, short), span, meter)
        }
        Kind::Open { connections, rate } => open::run(target, (connections, rate), span, meter),
        Kind::Bulk { streams } => bulk::run(target, streams, span, meter),
        Kind::Datagrams { flows, window } => {
            datagrams::run(target, (flows, window, false), span, meter)
        }
        Kind::NewFlows { window } => datagrams::run(target, (window, 1, true), span, meter),
        Kind::Idle { few, many } => return hold(target, (few, many), pids),
        Kind::Change { .. } => {
            return Err(io::Error::other("changes are made by who has the balancer"));
        }
    };
    Ok((tally?, f64::NAN))
}

/// Holds connections; memory is the slope between the two numbers of them.
fn hold(target: &Target, (few, many): (usize, usize), pids: &[u32]) -> io::Result<(Tally, f64)> {
    let memory = || pids.iter().filter_map(|pid| usage::own_bytes(*pid)).sum::<u64>();
    let mut idle = idle::Idle::new(target)?;
    idle.grow(few)?;
    idle.rest(SETTLE)?;
    let before = memory();
    idle.grow(many)?;
    idle.rest(SETTLE)?;
    let after = memory();
    idle.ask_all()?;
    let slope = (count(after) - count(before)) / count((many - few).max(1) as u64);
    Ok((idle.tally, if pids.is_empty() { f64::NAN } else { slope }))
}

/// What the processors did while a load was measured.
#[derive(Debug, Default)]
struct Gauge {
    own: Vec<u32>,
    backend: u32,
    begin: Taken,
    end: Taken,
}

/// Seconds of CPU at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    total: f64,
    own: f64,
    backend: f64,
    client: f64,
}

impl Gauge {
    fn new(own: Vec<u32>, backend: u32) -> Self {
        Self { own, backend, ..Self::default() }
    }

    fn look(&self) -> Taken {
        let client = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(client.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(client.tv_nsec).unwrap_or(0);
        Taken {
            total: usage::busy_seconds().unwrap_or(f64::NAN),
            own: self.own.iter().filter_map(|pid| usage::cpu_seconds(*pid)).sum(),
            backend: usage::cpu_seconds(self.backend).unwrap_or(f64::NAN),
            client: Duration::new(seconds, nanos).as_secs_f64(),
        }
    }
}

impl Meter for Gauge {
    fn begin(&mut self) {
        self.begin = self.look();
    }

    fn end(&mut self) {
        self.end = self.look();
    }
}

fn sample(tally: &Tally, gauge: &Gauge, memory: f64) -> Sample {
    let operations =
        if tally.bytes > 0 { count(tally.bytes) / GIGA } else { count(tally.operations) };
    let each = |of: fn(&Taken) -> f64| {
        if gauge.end.total <= 0.0 {
            // Nobody looked: the load is not about it.
            return f64::NAN;
        }
        (of(&gauge.end) - of(&gauge.begin)).max(0.0) * MICROSECONDS / operations
    };
    let latency = |quantile: f64| {
        if tally.latencies.is_empty() {
            return f64::NAN;
        }
        count(tally.latencies.value_at_quantile(quantile)) / 1_000.0
    };
    let mut notes = tally.notes.clone();
    if operations <= 0.0 {
        notes.push("nothing was answered".to_owned());
    }
    Sample {
        per_second: operations / tally.seconds,
        total_cpu_us: each(|taken| taken.total),
        own_cpu_us: each(|taken| taken.own),
        client_cpu_us: each(|taken| taken.client),
        backend_cpu_us: each(|taken| taken.backend),
        p50_us: latency(0.5),
        p99_us: latency(0.99),
        p999_us: latency(0.999),
        memory,
        lost_share: count(tally.lost) / (count(tally.lost) + operations).max(1.0),
        path: None,
        failures: tally.failures + u64::from(operations <= 0.0),
        notes,
        curve: SHARES.map(|share| (share, latency(share))).to_vec(),
    }
}

/// The points of a latency curve.
const SHARES: [f64; 14] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999];
