// SPDX-License-Identifier: Apache-2.0
//! The rows: what load each is, and which of its figures is compared.

use super::backend::Protocol;
use super::backend::process::Wanted;
use super::client::{Kind, Upheaval};
use super::wire::Wire;

/// Endpoints of each service.
pub const ENDPOINTS: u32 = 4;

/// What is compared between balancers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Answers, connections or pairs a second: more is better.
    Rate,
    /// Gigabits a second: more is better.
    Throughput,
    /// The median latency: less is better.
    P50,
    /// The 99th percentile: less is better.
    P99,
    /// User memory of a held connection: less is better.
    Memory,
    /// System calls of the balancer's processes for an operation (for downloads, a megabyte): less is better.
    Calls,
    /// Whether it held: there is nothing to compare but failures.
    Held,
}

/// What a row needs of a balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// That it balances.
    Nothing,
    /// That its services can be changed while it runs.
    Changes,
    /// That changes go over gRPC, and its process can be replaced.
    Steering,
    /// That processes forward.
    Processes,
}

/// How often a row is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// As often as all.
    Usual,
    /// Three times as often: tails vary.
    Thrice,
    /// Once: it takes long, or its figure does not vary.
    Once,
}

impl Times {
    /// How often that is.
    pub fn of(self, repetitions: usize) -> usize {
        match self {
            Self::Usual => repetitions,
            Self::Thrice => 3 * repetitions,
            Self::Once => 1,
        }
    }
}

impl Metric {
    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Throughput)
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// The load.
    pub kind: Kind,
    /// What is spoken.
    pub protocol: Protocol,
    /// What is counted.
    pub unit: &'static str,
    /// What is compared.
    pub metrics: &'static [Metric],
    /// Who can be asked.
    pub needs: Needs,
    /// How often.
    pub times: Times,
}

impl Row {
    fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Whether something happens to the balancer in it, for which it has to be ours.
    pub fn is_steered(&self) -> bool {
        self.needs == Needs::Steering
    }

    /// Whether it counts system calls.
    pub fn counts_calls(&self) -> bool {
        self.metrics.contains(&Metric::Calls)
    }
}

/// The service that a protocol has.
pub fn service_of(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Echo => 1,
        Protocol::Bulk => 2,
        Protocol::Http => 3,
        Protocol::Datagram => 4,
    }
}

/// The services of a run: all of them, whichever row is measured, so that one configuration serves all rows.
pub fn wanted() -> Vec<Wanted> {
    let protocols = [Protocol::Echo, Protocol::Bulk, Protocol::Http, Protocol::Datagram];
    let wanted =
        |protocol| Wanted { service: service_of(protocol), protocol, endpoints: ENDPOINTS };
    protocols.map(wanted).into()
}

/// Sizes of the loads that the command line may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Connections of the closed loops.
    pub connections: usize,
    /// Requests a second of the open loop.
    pub rate: f64,
    /// Connections of the open loop.
    pub open_connections: usize,
    /// Held connections at the first and the second look.
    pub idle: (usize, usize),
    /// Connections that are held during changes, and changes.
    pub changes: (usize, usize),
    /// What happens in row `hold`.
    pub upheaval: Upheaval,
    /// How often an endpoint leaves in row `drain`, and new connections a second.
    pub drain: (usize, f64),
    /// Services of row `crowd`, and changes.
    pub crowd: (u16, usize),
}

/// What the issue of each of these rows asks for.
const UPHEAVAL: Upheaval =
    Upheaval { held: 8_000, reloads: 100, changes: 1_000, upgrades: 10, per_second: 500.0 };

impl Default for Sizes {
    fn default() -> Self {
        Self {
            connections: 64,
            rate: 8_000.0,
            open_connections: 32,
            idle: (1_000, 8_000),
            changes: (1_000, 20),
            upheaval: UPHEAVAL,
            drain: (1_000, 200.0),
            crowd: (10_000, 1_000),
        }
    }
}

impl Sizes {
    /// Sizes for a first look.
    #[must_use]
    pub fn quick(self) -> Self {
        Self {
            idle: (500, 2_000),
            changes: (200, 5),
            upheaval: Upheaval {
                held: 500,
                reloads: 4,
                changes: 50,
                upgrades: 2,
                per_second: 200.0,
            },
            drain: (50, 200.0),
            crowd: (500, 50),
            ..self
        }
    }
}

/// All rows.
pub fn all(sizes: &Sizes) -> Vec<Row> {
    [messages(sizes), bulk(), datagrams(), http(sizes), held(sizes), changed(sizes), calls(sizes)]
        .concat()
}

fn row(
    (name, about): (&str, String),
    (protocol, kind): (Protocol, Kind),
    unit: &'static str,
    metrics: &'static [Metric],
) -> Row {
    let (needs, times) = (Needs::Nothing, Times::Usual);
    Row { name: name.to_owned(), about, kind, protocol, unit, metrics, needs, times }
}

fn messages(sizes: &Sizes) -> Vec<Row> {
    let Sizes { connections, rate, open_connections, .. } = *sizes;
    let closed = |short| Kind::Closed { connections, wire: Wire::Message, short };
    let open = Kind::Open { connections: open_connections, rate };
    let short = format!("connect, 64 B, 64 B back, close; {connections} at once");
    let keep = format!("64 B there and back on {connections} connections");
    let latency = format!("open loop: {rate} requests/s on {open_connections} connections");
    let rate: &[Metric] = &[Metric::Rate];
    vec![
        row(("tcp-short", short), (Protocol::Echo, closed(true)), "conn", rate),
        row(("tcp-keepalive", keep), (Protocol::Echo, closed(false)), "req", rate),
        row(("latency", latency), (Protocol::Echo, open), "req", &[Metric::P50, Metric::P99])
            .times(Times::Thrice),
    ]
}

fn bulk() -> Vec<Row> {
    let bulk = |name, about: &str, streams| {
        let what = (Protocol::Bulk, Kind::Bulk { streams });
        row((name, about.to_owned()), what, "GB", &[Metric::Throughput])
    };
    vec![bulk("tcp-bulk-1", "one download", 1), bulk("tcp-bulk-16", "16 downloads at once", 16)]
}

fn held(sizes: &Sizes) -> Vec<Row> {
    let (few, many) = sizes.idle;
    let about = format!("user memory of a held connection: slope from {few} to {many}");
    let what = (Protocol::Echo, Kind::Idle { few, many });
    vec![row(("tcp-idle", about), what, "conn", &[Metric::Memory])]
}

/// Something is changed while connections are held and come.
fn changed(sizes: &Sizes) -> Vec<Row> {
    let (held, turns) = sizes.changes;
    let change = format!(
        "an endpoint replaced, {turns} times, with {held} connections held: until a new connection lands on it"
    );
    let Upheaval { held: many, reloads, changes, upgrades, per_second } = sizes.upheaval;
    let hold = format!(
        "{many} held connections that ask once a second, {per_second} new ones a second: {reloads} reloads, \
         {changes} endpoint changes, {upgrades} replaced processes"
    );
    let (removals, rate) = sizes.drain;
    let drain = format!("{rate} new connections a second while {removals} endpoints leave");
    let (services, times) = sizes.crowd;
    let crowd = format!(
        "{services} services of 10 endpoints over gRPC, then {times} changes of one endpoint under traffic: \
         from receipt to effect"
    );
    let latencies: &[Metric] = &[Metric::P50, Metric::P99];
    let kind = Kind::Drain { removals, per_second: rate };
    let steered = |name, about, kind, unit, metrics| {
        let row = row((name, about), (Protocol::Echo, kind), unit, metrics);
        row.needs(Needs::Steering).times(Times::Once)
    };
    vec![
        row(
            ("change", change),
            (Protocol::Echo, Kind::Change { held, turns }),
            "change",
            latencies,
        )
        .needs(Needs::Changes),
        steered("crowd", crowd, Kind::Crowd { services, changes: times }, "change", latencies),
        steered("hold", hold, Kind::Hold(sizes.upheaval), "conn", &[Metric::Held]),
        steered("drain", drain, kind, "conn", &[Metric::Held]),
    ]
}

/// The same loads as above, while the balancer's system calls are counted; they are slower for it.
fn calls(sizes: &Sizes) -> Vec<Row> {
    let connections = sizes.connections;
    let closed = |short| Kind::Closed { connections, wire: Wire::Message, short };
    let of = |name, what: &str, (protocol, kind), unit| {
        let about = format!("system calls of the balancer {what}");
        let row = row((name, about), (protocol, kind), unit, &[Metric::Calls]);
        row.needs(Needs::Processes).times(Times::Once)
    };
    vec![
        of("calls-request", "a request of tcp-keepalive", (Protocol::Echo, closed(false)), "req"),
        of("calls-short", "a connection of tcp-short", (Protocol::Echo, closed(true)), "conn"),
        of("calls-bulk", "a MB of tcp-bulk-16", (Protocol::Bulk, Kind::Bulk { streams: 16 }), "MB"),
    ]
}

fn datagrams() -> Vec<Row> {
    let pairs = |name, kind, about: &str| {
        row((name, about.to_owned()), (Protocol::Datagram, kind), "pair", &[Metric::Rate])
    };
    vec![
        pairs(
            "udp-window",
            Kind::Datagrams { flows: 8, window: 16 },
            "8 sources with 16 unanswered datagrams of 512 B each",
        ),
        pairs(
            "udp-one",
            Kind::Datagrams { flows: 64, window: 1 },
            "64 sources with one unanswered datagram of 512 B each",
        ),
        pairs(
            "udp-new",
            Kind::NewFlows { window: 64 },
            "each pair of datagrams from a source of its own, 64 at once",
        ),
    ]
}

fn http(sizes: &Sizes) -> Vec<Row> {
    let connections = sizes.connections;
    let of = |short| Kind::Closed { connections, wire: Wire::Http { close: short }, short };
    let keep = format!("HTTP/1.1 on {connections} connections");
    let short = format!("HTTP/1.1, a connection for each request, {connections} at once");
    let rate: &[Metric] = &[Metric::Rate];
    vec![
        row(("http-keepalive", keep), (Protocol::Http, of(false)), "req", rate),
        row(("http-short", short), (Protocol::Http, of(true)), "conn", rate),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<_> = all(&Sizes::default()).into_iter().map(|row| row.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 18);
    }
}
