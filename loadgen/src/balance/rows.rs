// SPDX-License-Identifier: Apache-2.0
//! The rows: what load each is, and which of its figures is compared.

use super::backend::Protocol;
use super::backend::process::Wanted;
use super::client::Kind;
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
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            connections: 64,
            rate: 8_000.0,
            open_connections: 32,
            idle: (1_000, 8_000),
            changes: (1_000, 20),
        }
    }
}

/// All rows.
pub fn all(sizes: &Sizes) -> Vec<Row> {
    [messages(sizes), bulk(), held(sizes), datagrams(), http(sizes)].concat()
}

fn row(
    (name, about): (&str, String),
    (protocol, kind): (Protocol, Kind),
    unit: &'static str,
    metrics: &'static [Metric],
) -> Row {
    Row { name: name.to_owned(), about, kind, protocol, unit, metrics }
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
        row(("latency", latency), (Protocol::Echo, open), "req", &[Metric::P50, Metric::P99]),
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
    let (held, turns) = sizes.changes;
    let change = format!(
        "an endpoint replaced, {turns} times, with {held} connections held: until a new connection lands on it"
    );
    let changes = (Protocol::Echo, Kind::Change { held, turns });
    vec![
        row(("tcp-idle", about), what, "conn", &[Metric::Memory]),
        row(("change", change), changes, "change", &[Metric::P50, Metric::P99]),
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
        assert_eq!(names.len(), 12);
    }
}
