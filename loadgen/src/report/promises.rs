// SPDX-License-Identifier: Apache-2.0
//! What Berth's balancer must reach, and what a run found of it. The floors and goals are those of SPECIFICATION.md.

use super::Figure;
use crate::balance::campaign::{Cell, Outcome};
use crate::balance::rows::Metric;
use crate::balance::subject::Column;
use std::fmt::Write;

/// Which of a run's figures is promised.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    /// A row's figure as a multiple of a peer's best.
    Times(Metric, Column),
    /// CPU of the whole machine for an operation, as a multiple of HAProxy's least.
    Cpu,
    /// CPU of the balancer's processes for a gigabyte, as a multiple of that of HAProxy with splicing.
    SplicedCpu,
    /// A figure itself.
    Value(Metric),
    /// A figure that only this row has.
    Extra(&'static str),
    /// Failures.
    Failures,
}

/// A promise.
#[derive(Debug, Clone, Copy)]
struct Promise {
    columns: &'static [Column],
    row: &'static str,
    what: &'static str,
    of: Of,
    /// What it must reach, and what it should.
    bounds: (f64, f64),
}

const PROXY: &[Column] = &[Column::Proxy];
const FAST: &[Column] = &[Column::Fast];
const BOTH: &[Column] = &[Column::Proxy, Column::Fast];

const fn times(metric: Metric, peer: Column) -> Of {
    Of::Times(metric, peer)
}

const fn promise(
    columns: &'static [Column],
    row: &'static str,
    (what, of): (&'static str, Of),
    bounds: (f64, f64),
) -> Promise {
    Promise { columns, row, what, of, bounds }
}

const RATE_TO_HAPROXY: (&str, Of) = ("a second, x haproxy", times(Metric::Rate, Column::Haproxy));
const RATE_TO_NGINX: (&str, Of) = ("a second, x nginx", times(Metric::Rate, Column::Nginx));
const RATE_TO_NFT: (&str, Of) = ("a second, x nft", times(Metric::Rate, Column::Nft));
const CPU: (&str, Of) = ("CPU of all, x haproxy", Of::Cpu);
const P50: (&str, Of) = ("p50, x haproxy", times(Metric::P50, Column::Haproxy));
const P99: (&str, Of) = ("p99, x haproxy", times(Metric::P99, Column::Haproxy));
const BULK_TO_HAPROXY: (&str, Of) =
    ("throughput, x haproxy", times(Metric::Throughput, Column::Haproxy));
const BULK_TO_DIRECT: (&str, Of) =
    ("throughput, x direct", times(Metric::Throughput, Column::Direct));
const SPLICED: (&str, Of) = ("own CPU, x spliced haproxy", Of::SplicedCpu);
const FAILURES: (&str, Of) = ("failures", Of::Failures);

/// All of them.
const PROMISES: [Promise; 33] = [
    promise(PROXY, "tcp-keepalive", RATE_TO_HAPROXY, (1.12, 1.20)),
    promise(PROXY, "tcp-keepalive", CPU, (0.92, 0.88)),
    promise(PROXY, "tcp-short", RATE_TO_HAPROXY, (1.0, 1.05)),
    promise(PROXY, "tcp-short", CPU, (0.95, 0.90)),
    promise(PROXY, "latency", P50, (1.0, 1.0)),
    promise(PROXY, "latency", P99, (1.3, 1.0)),
    promise(PROXY, "tcp-bulk-1", BULK_TO_HAPROXY, (0.95, 1.0)),
    promise(PROXY, "tcp-bulk-1", SPLICED, (1.10, 1.05)),
    promise(PROXY, "tcp-bulk-16", BULK_TO_HAPROXY, (0.95, 1.0)),
    promise(PROXY, "tcp-bulk-16", SPLICED, (1.10, 1.05)),
    promise(PROXY, "udp-window", RATE_TO_NGINX, (1.3, 1.5)),
    promise(PROXY, "udp-one", RATE_TO_NGINX, (1.05, 1.2)),
    promise(PROXY, "tcp-idle", ("bytes a connection", Of::Value(Metric::Memory)), (500.0, 500.0)),
    promise(FAST, "tcp-keepalive", RATE_TO_NFT, (0.97, 0.97)),
    promise(FAST, "tcp-keepalive", RATE_TO_HAPROXY, (1.7, 1.7)),
    promise(FAST, "tcp-keepalive", CPU, (0.65, 0.65)),
    promise(FAST, "tcp-short", RATE_TO_HAPROXY, (1.05, 1.15)),
    promise(FAST, "tcp-short", CPU, (0.78, 0.72)),
    promise(FAST, "latency", P99, (0.5, 0.5)),
    promise(FAST, "tcp-bulk-1", BULK_TO_DIRECT, (0.95, 0.95)),
    promise(FAST, "tcp-bulk-16", BULK_TO_DIRECT, (0.95, 0.95)),
    promise(FAST, "udp-window", RATE_TO_NFT, (0.95, 0.95)),
    promise(FAST, "udp-one", RATE_TO_NFT, (0.95, 0.95)),
    promise(FAST, "udp-new", RATE_TO_NFT, (0.6, 0.6)),
    promise(BOTH, "crowd", ("seconds to load", Of::Extra("load_s")), (1.0, 1.0)),
    promise(BOTH, "crowd", ("us to effect, p99", Of::Value(Metric::P99)), (1_000.0, 1_000.0)),
    promise(BOTH, "crowd", ("MiB resident", Of::Extra("resident_mib")), (200.0, 200.0)),
    promise(BOTH, "crowd", FAILURES, (0.0, 0.0)),
    promise(BOTH, "change", FAILURES, (0.0, 0.0)),
    promise(BOTH, "hold", FAILURES, (0.0, 0.0)),
    promise(BOTH, "drain", FAILURES, (0.0, 0.0)),
    promise(BOTH, "http-keepalive", FAILURES, (0.0, 0.0)),
    promise(BOTH, "http-short", FAILURES, (0.0, 0.0)),
];

/// How a promise stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The goal is met.
    Goal,
    /// The floor is met.
    Floor,
    /// Neither is.
    Missed,
    /// It, or what it is compared with, was not measured.
    Unknown,
}

impl State {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Goal => "goal met",
            Self::Floor => "floor met",
            Self::Missed => "MISSED",
            Self::Unknown => "not measured",
        }
    }
}

/// A promise, and what was found of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Our column.
    pub column: Column,
    /// The row.
    pub row: &'static str,
    /// What is promised.
    pub what: &'static str,
    /// What was found; none if it cannot be said.
    pub value: Option<f64>,
    /// What it must reach, and what it should.
    pub bounds: (f64, f64),
    /// More of it is better.
    pub more: bool,
    /// How it stands.
    pub state: State,
}

/// Judges all promises whose row was run.
pub fn judge(outcomes: &[Outcome]) -> Vec<Judged> {
    let mut all = Vec::new();
    for promise in &PROMISES {
        let Some(outcome) = outcomes.iter().find(|o| o.row.name == promise.row) else { continue };
        for column in promise.columns {
            let Some(cell) = outcome.cells.iter().find(|c| c.column == *column) else { continue };
            all.push(judged(promise, *column, outcome, cell));
        }
    }
    all
}

fn judged(promise: &Promise, column: Column, outcome: &Outcome, cell: &Cell) -> Judged {
    let &Promise { row, what, of, bounds, .. } = promise;
    // A figure of trials that failed is none.
    let counts = cell.failures() == 0 || of == Of::Failures;
    let value = value(of, outcome, cell).filter(|value| value.is_finite() && counts);
    let more = matches!(of, Of::Times(metric, _) | Of::Value(metric) if metric.more_is_better());
    let reaches = |value: f64, bound: f64| if more { value >= bound } else { value <= bound };
    let state = match value {
        None if counts => State::Unknown,
        Some(value) if reaches(value, bounds.1) => State::Goal,
        Some(value) if reaches(value, bounds.0) => State::Floor,
        None | Some(_) => State::Missed,
    };
    Judged { column, row, what, value, bounds, more, state }
}

fn value(of: Of, outcome: &Outcome, cell: &Cell) -> Option<f64> {
    match of {
        Of::Times(metric, peer) => outcome.ratio(cell, metric, peer),
        Of::Cpu => outcome.cpu_ratio(cell, Column::Haproxy),
        Of::SplicedCpu => {
            let spliced = |variant: &str| variant.contains("splice");
            let least = outcome.least(Column::Haproxy, spliced, |sample| sample.own_cpu_us)?;
            Some(cell.median(|sample| sample.own_cpu_us) / least)
        }
        Of::Value(metric) => Some(cell.value(metric)),
        Of::Extra(name) => Some(cell.extra(name)),
        Of::Failures => Some(super::count(cell.failures())),
    }
}

/// A value of a promise, as it is told.
pub fn told(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// A bound of a promise, as it is told.
pub fn bound(judged: &Judged, bound: f64) -> String {
    let sign = if judged.more { ">=" } else { "<=" };
    format!("{sign} {}", told(Some(bound)))
}

/// For people.
pub fn table(all: &[Judged]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:8}{:16}{:30}{:>10}{:>11}{:>11}\n",
        "path", "row", "promised", "measured", "floor", "goal"
    );
    for one in all {
        let (floor, goal) = one.bounds;
        let _ = writeln!(
            text,
            "{:8}{:16}{:30}{:>10}{:>11}{:>11}  {}",
            one.column,
            one.row,
            one.what,
            told(one.value),
            bound(one, floor),
            bound(one, goal),
            one.state.words(),
        );
    }
    text
}

/// For machines: `promise/PATH/ROW/WHAT`, with what was measured and what of it is met (0: nothing, 1: the floor, 2: the goal).
pub fn figures(all: &[Judged]) -> Vec<Figure> {
    let of = |one: &Judged| {
        let name = format!("promise/{}/{}/{}", one.column, one.row, one.what);
        let met = match one.state {
            State::Goal => 2.0,
            State::Floor => 1.0,
            State::Missed => 0.0,
            State::Unknown => f64::NAN,
        };
        let figure = |metric, value| Figure { name: name.clone(), metric, value, unit: "1" };
        [
            figure("measured", one.value.unwrap_or(f64::NAN)),
            figure("floor", one.bounds.0),
            figure("goal", one.bounds.1),
            figure("met", met),
        ]
    };
    all.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::rows::{Sizes, all};
    use crate::balance::trial::Sample;

    fn cell(column: Column, variant: &str, sample: Sample) -> Cell {
        Cell { column, variant: variant.to_owned(), samples: vec![sample], broken: None }
    }

    fn outcome(name: &str, cells: Vec<Cell>) -> Outcome {
        let row = all(&Sizes::default()).into_iter().find(|row| row.name == name);
        Outcome { row: row.unwrap(), cells }
    }

    fn sample(per_second: f64, total_cpu_us: f64) -> Sample {
        Sample { per_second, total_cpu_us, own_cpu_us: total_cpu_us, ..Sample::default() }
    }

    #[test]
    fn floors_and_goals_are_told_apart() {
        let haproxy = || {
            vec![
                cell(Column::Haproxy, "1 thread", sample(100.0, 10.0)),
                cell(Column::Haproxy, "2 threads, splice", sample(90.0, 8.0)),
            ]
        };
        let state = |rate, cpu| {
            let mut cells = vec![cell(Column::Proxy, "", sample(rate, cpu))];
            cells.extend(haproxy());
            let judged = judge(&[outcome("tcp-keepalive", cells)]);
            judged.iter().map(|one| one.state).collect::<Vec<_>>()
        };
        assert_eq!(state(121.0, 7.0), [State::Goal, State::Goal]);
        assert_eq!(state(115.0, 7.3), [State::Floor, State::Floor]);
        assert_eq!(state(111.0, 7.5), [State::Missed, State::Missed]);
        let mut cells = vec![cell(Column::Proxy, "", sample(90.0, 8.6))];
        cells.extend(haproxy());
        let judged = judge(&[outcome("tcp-bulk-1", cells)]);
        assert_eq!(judged[1].what, "own CPU, x spliced haproxy");
        assert!((judged[1].value.unwrap() - 8.6 / 8.0).abs() < 1e-9, "the spliced one alone");
    }

    #[test]
    fn what_failed_or_lacks_its_peer_is_not_met() {
        let alone = vec![cell(Column::Proxy, "", sample(100.0, 1.0))];
        let states = judge(&[outcome("tcp-short", alone)]);
        assert!(states.iter().all(|one| one.state == State::Unknown), "{states:?}");
        let failed = Sample { failures: 1, ..sample(1e9, 1.0) };
        let peer = cell(Column::Haproxy, "", sample(1.0, 1.0));
        let cells = vec![cell(Column::Fast, "", failed), peer];
        let states = judge(&[outcome("tcp-short", cells.clone()), outcome("hold", cells)]);
        assert_eq!(states.len(), 3);
        assert!(states.iter().all(|one| one.state == State::Missed), "{states:?}");
        assert_eq!(states[2].value, Some(1.0), "failures are told");
    }

    #[test]
    fn every_promise_names_a_row_and_has_a_line() {
        let rows = all(&Sizes::default());
        for promise in &PROMISES {
            assert!(rows.iter().any(|row| row.name == promise.row), "{}", promise.row);
        }
        let judged = judge(&[outcome("drain", vec![cell(Column::Proxy, "", sample(1.0, 1.0))])]);
        let text = table(&judged);
        let want = "proxy   drain           failures                               0       <= 0       <= 0  goal met\n";
        assert!(text.ends_with(want), "{text}");
        assert_eq!(figures(&judged)[3].value, 2.0);
    }
}
