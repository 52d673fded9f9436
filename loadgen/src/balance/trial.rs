// SPDX-License-Identifier: Apache-2.0
//! One trial: a balancer is started, loaded once, and stopped.

use super::backend::process::Process;
use super::calls::Counter;
use super::client::course::{Meter, Span, Tally};
use super::client::{Kind, Target, bulk, change, closed, datagrams, idle, open};
use super::observe;
use super::place::{Place, Role};
use super::rows::{Row, service_of};
use super::steered::{Extra, Found, Stage, crowd, drain, hold};
use super::subject::{Column, Running, Service, Subject};
use super::usage;
use crate::error::Error;
use crate::report::count;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::net::SocketAddr;
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
    /// Requests without an answer, which are failures too.
    pub unanswered: u64,
    /// System calls for an operation (for downloads, a megabyte).
    pub calls: f64,
    /// Who forwarded.
    pub path: Option<String>,
    /// Figures that only this row has.
    pub extra: Vec<Extra>,
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
    /// A front for a service that a row adds.
    pub extra: SocketAddr,
    /// Their endpoints.
    pub backends: Process,
    /// How long.
    pub span: Span,
    /// Configurations that did not start, and why: they would not for the next row, and each try takes its time.
    pub dead: Vec<(Column, String, String)>,
}

impl Bench {
    /// Makes one trial.
    pub fn trial(&mut self, subject: &dyn Subject, row: &Row, seed: u64) -> Result<Sample, Error> {
        let id = service_of(row.protocol);
        let Some(at) = self.services.iter().position(|service| service.id == id) else {
            return Err(Error::Balancer(format!("there is no service for row {}", row.name)));
        };
        let name = (subject.column(), subject.variant());
        if let Some((_, _, why)) = self.dead.iter().find(|(c, v, _)| (*c, v) == (name.0, &name.1)) {
            return Err(Error::Balancer(format!("as for an earlier row: {why}")));
        }
        self.place.forget_flows()?;
        let started = subject.start(&self.place, &self.services);
        let mut running = started.inspect_err(|error| {
            self.dead.push((name.0, name.1.clone(), crate::chain(error)));
        })?;
        let before = self.backends.counts()?;
        let mut ways = vec![self.way(running.as_ref(), at)?];
        let mut sample = if row.is_steered() {
            self.steered(row, running.as_mut(), (at, seed), name.0)?
        } else {
            let addresses = running.addresses(&self.services[at]);
            let sources = self.place.sources();
            let target = Target { addresses, service: id, sources, seed };
            self.load(&target, row, running.as_mut(), at)?
        };
        ways.push(self.way(running.as_ref(), at)?);
        let said = running.path(&self.services[at])?;
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
        for seen in &ways {
            if let Some(why) = observe::objection(name.0, said.as_deref(), *seen) {
                sample.failures += 1;
                sample.notes.push(why);
            }
        }
        sample.path = ways.last().map(ToString::to_string);
        Ok(sample)
    }

    /// Who forwards a connection to a service now.
    fn way(&self, running: &dyn Running, at: usize) -> Result<observe::Way, Error> {
        let service = &self.services[at];
        let address = running.addresses(service).first().copied().unwrap_or(service.front);
        observe::way(&self.place, service, address, || running.pids())
    }

    /// A row in which something happens to the balancer.
    fn steered(
        &self,
        row: &Row,
        running: &mut dyn Running,
        (at, seed): (usize, u64),
        column: Column,
    ) -> Result<Sample, Error> {
        let stage = Stage {
            place: &self.place,
            service: &self.services[at],
            services: &self.services,
            extra: self.extra,
            path: column.name(),
            seed,
        };
        let Found { tally, extra } = match row.kind {
            Kind::Hold(upheaval) => hold::run(&stage, running, upheaval)?,
            Kind::Drain { removals, per_second } => {
                drain::run(&stage, running, (removals, per_second))?
            }
            Kind::Crowd { services, changes } => crowd::run(&stage, running, (services, changes))?,
            _ => return Err(Error::Balancer(format!("nothing happens in row {}", row.name))),
        };
        Ok(Sample { extra, ..sample(&tally, &Gauge::default(), f64::NAN) })
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
        // Not quite as long as it is measured, so that nothing is counted when the load is over.
        gauge.counts_for = row.counts_calls().then(|| self.span.measure.mul_f64(0.8));
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
        let mut sample = sample(&tally, &gauge, memory);
        match gauge.calls {
            // A thousand megabytes a gigabyte.
            Some(Ok(calls)) if tally.bytes > 0 => {
                sample.calls = calls / sample.per_second / 1_000.0;
            }
            Some(Ok(calls)) => sample.calls = calls / sample.per_second,
            Some(Err(why)) => sample.notes.push(why),
            None => {}
        }
        Ok(sample)
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
        Kind::Change { .. } | Kind::Hold(_) | Kind::Drain { .. } | Kind::Crowd { .. } => {
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
    /// Counts system calls for so long.
    counts_for: Option<Duration>,
    counter: Option<Counter>,
    /// Calls a second, or why they were not counted.
    calls: Option<Result<f64, String>>,
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
        self.counter = self.counts_for.map(|during| Counter::start(&self.own, during));
        self.begin = self.look();
    }

    fn end(&mut self) {
        self.end = self.look();
        self.calls = self.counter.take().map(Counter::finish);
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
        unanswered: tally.unanswered,
        calls: f64::NAN,
        path: None,
        extra: Vec::new(),
        failures: tally.failures + u64::from(operations <= 0.0),
        notes,
        curve: SHARES.map(|share| (share, latency(share))).to_vec(),
    }
}

/// The points of a latency curve.
const SHARES: [f64; 14] =
    [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999];
