// SPDX-License-Identifier: Apache-2.0
//! What a run of `balance` found out, for people and for machines.

use super::Figure;
use super::table::{duration, whole};
use crate::balance::campaign::{Cell, Outcome};
use crate::balance::rows::Metric;
use crate::balance::subject::Column;
use crate::balance::trial::Sample;
use std::fmt::Write;

/// Widths of the first columns.
const ROW: usize = 18;
const NAME: usize = 34;

/// How many samples lost more datagrams than this are worth a word.
const LOST_WORTH_TELLING: f64 = 0.000_1;

/// What stands above the rows.
pub fn head(on_loopback: Option<&str>, absent: &[String], repetitions: usize) -> String {
    let mut text = String::new();
    let place = match on_loopback {
        None => "client, balancer and backends in three network namespaces".to_owned(),
        Some(reason) => format!("all on the loopback device ({reason})"),
    };
    let _ = writeln!(text, "{place}; medians of {repetitions}, interleaved");
    for one in absent {
        let _ = writeln!(text, "left out: {one}");
    }
    let _ = writeln!(
        text,
        "\n{:ROW$}{:NAME$}{:>14}{:>12}{:>10}{:>9}{:>9}{:>9}{:>8}{:>8}{:>8}{:>9}",
        "row",
        "balancer",
        "",
        "CPU",
        "its own",
        "p50",
        "p99",
        "haproxy",
        "nginx",
        "nft",
        "direct",
        "CPU",
    );
    let _ = writeln!(
        text,
        "{:ROW$}{:NAME$}{:>14}{:>12}{:>10}{:>9}{:>9}{:>9}{:>8}{:>8}{:>8}{:>9}",
        "", "", "", "of all", "", "", "", "x", "x", "x", "x", "haproxy x",
    );
    text
}

/// A row: for each figure that is compared, a line for each balancer.
pub fn lines(outcome: &Outcome) -> String {
    let mut text = String::new();
    for metric in outcome.row.metrics {
        for cell in &outcome.cells {
            line(&mut text, outcome, cell, *metric);
        }
    }
    for cell in &outcome.cells {
        for note in cell.notes() {
            let _ = writeln!(text, "    {}: {note}", cell.name());
        }
    }
    text.push('\n');
    text
}

fn line(out: &mut String, outcome: &Outcome, cell: &Cell, metric: Metric) {
    let name = match metric {
        Metric::P50 => format!("{} p50", outcome.row.name),
        Metric::P99 => format!("{} p99", outcome.row.name),
        _ => outcome.row.name.clone(),
    };
    let _ = write!(out, "{name:ROW$}{:NAME$}", cell.name());
    if cell.samples.is_empty() {
        let _ = writeln!(out, "broken off  FAILED");
        return;
    }
    let value = value(cell, metric, outcome.row.unit);
    let (own, total) = (|s: &Sample| s.own_cpu_us, |s: &Sample| s.total_cpu_us);
    let [own, total] = [cell.median(own), cell.median(total)].map(|us| cpu(us, metric));
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    let [haproxy, nginx, nft, direct] =
        Column::PEERS.map(|peer| ratio(outcome.ratio(cell, metric, peer)));
    let cpu_ratio = if matches!(metric, Metric::Memory | Metric::Calls) {
        String::new()
    } else {
        ratio(outcome.cpu_ratio(cell, Column::Haproxy))
    };
    let us = |us: f64| if us.is_finite() { duration(us) } else { String::new() };
    let (p50, p99) = (us(cell.median(|s| s.p50_us)), us(cell.median(|s| s.p99_us)));
    let _ = write!(
        out,
        "{value:>14}{total:>12}{own:>10}{p50:>9}{p99:>9}{haproxy:>9}{nginx:>8}{nft:>8}{direct:>8}{cpu_ratio:>9}",
    );
    let lost = cell.median(|sample| sample.lost_share);
    if lost > LOST_WORTH_TELLING {
        let _ = write!(out, "  {:.2} % lost", lost * 100.0);
    }
    for extra in cell.samples.iter().flat_map(|sample| &sample.extra) {
        // A row that has some is measured once.
        if metric != Metric::P99 {
            let _ = write!(out, "  {} {}", extra.name, told(extra.value));
        }
    }
    if cell.failures() > 0 {
        let _ = write!(out, "  FAILED {}", whole(super::count(cell.failures())));
    }
    out.push('\n');
}

fn told(value: f64) -> String {
    if value.fract() == 0.0 { whole(value) } else { format!("{value:.2}") }
}

fn value(cell: &Cell, metric: Metric, unit: &str) -> String {
    let value = cell.value(metric);
    match metric {
        Metric::Rate => format!("{} {unit}/s", whole(value)),
        Metric::Throughput => format!("{value:.1} Gb/s"),
        Metric::P50 | Metric::P99 => format!("{value:.0} us"),
        Metric::Memory if value.is_finite() => format!("{:.2} KB", value / 1_000.0),
        Metric::Calls if value.is_finite() => format!("{value:.2} /{unit}"),
        Metric::Held => format!("{} failed", whole(super::count(cell.failures()))),
        Metric::Memory | Metric::Calls => "-".to_owned(),
    }
}

/// Microseconds of CPU an operation; for downloads seconds a gigabyte.
fn cpu(us: f64, metric: Metric) -> String {
    match metric {
        _ if !us.is_finite() => String::new(),
        Metric::Memory | Metric::Calls | Metric::Held => String::new(),
        Metric::Throughput => format!("{:.2} s/GB", us / 1e6),
        Metric::Rate | Metric::P50 | Metric::P99 => format!("{us:.1} us"),
    }
}

/// For machines: `ROW/BALANCER` with all its figures.
pub fn figures(outcome: &Outcome) -> Vec<Figure> {
    outcome.cells.iter().flat_map(|cell| cell_figures(outcome, cell)).collect()
}

fn cell_figures(outcome: &Outcome, cell: &Cell) -> Vec<Figure> {
    let name = format!("{}/{}", outcome.row.name, cell.name());
    let figure = |metric, value, unit| Figure { name: name.clone(), metric, value, unit };
    let median = |of: fn(&Sample) -> f64| cell.median(of);
    let mut figures = vec![
        figure("failures", super::count(cell.failures()), "1"),
        figure("per_second", median(|s| s.per_second), "1/s"),
        figure("total_cpu_us", median(|s| s.total_cpu_us), "us"),
        figure("balancer_cpu_us", median(|s| s.own_cpu_us), "us"),
        figure("client_cpu_us", median(|s| s.client_cpu_us), "us"),
        figure("backend_cpu_us", median(|s| s.backend_cpu_us), "us"),
        figure("latency_p50_us", median(|s| s.p50_us), "us"),
        figure("latency_p99_us", median(|s| s.p99_us), "us"),
        figure("latency_p999_us", median(|s| s.p999_us), "us"),
        figure("lost_share", median(|s| s.lost_share), "1"),
        figure("unanswered", super::count(cell.samples.iter().map(|s| s.unanswered).sum()), "1"),
    ];
    for extra in cell.samples.iter().flat_map(|sample| &sample.extra) {
        figures.push(figure(extra.name, extra.value, extra.unit));
    }
    for metric in outcome.row.metrics {
        let (metric_name, ratios) = names(*metric);
        if matches!(metric, Metric::Throughput | Metric::Memory | Metric::Calls) {
            figures.push(figure(metric_name, cell.value(*metric), unit(*metric)));
        }
        for (peer, name) in Column::PEERS.into_iter().zip(ratios) {
            if let Some(ratio) = outcome.ratio(cell, *metric, peer) {
                figures.push(figure(name, ratio, "1"));
            }
        }
    }
    if let Some(ratio) = outcome.cpu_ratio(cell, Column::Haproxy) {
        figures.push(figure("total_cpu_to_haproxy", ratio, "1"));
    }
    figures
}

fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Rate => "1/s",
        Metric::Throughput => "Gb/s",
        Metric::P50 | Metric::P99 => "us",
        Metric::Memory => "B",
        Metric::Calls | Metric::Held => "1",
    }
}

/// Names of a metric and of its ratios to the peers, in their order.
fn names(metric: Metric) -> (&'static str, [&'static str; 4]) {
    match metric {
        Metric::Rate => {
            ("per_second", ["rate_to_haproxy", "rate_to_nginx", "rate_to_nft", "rate_to_direct"])
        }
        Metric::Throughput => (
            "throughput",
            [
                "throughput_to_haproxy",
                "throughput_to_nginx",
                "throughput_to_nft",
                "throughput_to_direct",
            ],
        ),
        Metric::P50 => {
            ("latency_p50_us", ["p50_to_haproxy", "p50_to_nginx", "p50_to_nft", "p50_to_direct"])
        }
        Metric::P99 => {
            ("latency_p99_us", ["p99_to_haproxy", "p99_to_nginx", "p99_to_nft", "p99_to_direct"])
        }
        Metric::Memory => (
            "memory_per_connection",
            ["memory_to_haproxy", "memory_to_nginx", "memory_to_nft", "memory_to_direct"],
        ),
        Metric::Calls => {
            ("calls", ["calls_to_haproxy", "calls_to_nginx", "calls_to_nft", "calls_to_direct"])
        }
        Metric::Held => {
            ("held", ["held_to_haproxy", "held_to_nginx", "held_to_nft", "held_to_direct"])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::rows::{Sizes, all};

    fn outcome() -> Outcome {
        let cell = |column, variant: &str, rate: f64| Cell {
            column,
            variant: variant.to_owned(),
            samples: vec![Sample {
                per_second: rate,
                total_cpu_us: 1.9e6 / rate,
                own_cpu_us: 50.0,
                p50_us: 400.0,
                p99_us: 1_500.0,
                ..Sample::default()
            }],
            broken: None,
        };
        let cells = vec![
            cell(Column::Haproxy, "1 thread", 12_500.0),
            cell(Column::Haproxy, "2 threads", 13_100.0),
            cell(Column::Direct, "", 19_500.0),
        ];
        Outcome { row: all(&Sizes::default()).remove(0), cells }
    }

    #[test]
    fn a_balancer_is_a_line() {
        let want = "\
tcp-short         haproxy (1 thread)                 12,500 conn/s    152.0 us   50.0 us   400 us   1.5 ms     0.95                    0.64     1.05
tcp-short         haproxy (2 threads)                13,100 conn/s    145.0 us   50.0 us   400 us   1.5 ms     1.00                    0.67     1.00
tcp-short         direct                             19,500 conn/s     97.4 us   50.0 us   400 us   1.5 ms     1.49                    1.00     0.67

";
        assert_eq!(lines(&outcome()), want);
    }

    #[test]
    fn failures_are_told() {
        let mut outcome = outcome();
        outcome.cells[0].samples[0].failures = 3;
        outcome.cells[0].samples[0].notes = vec!["bytes that nobody sent".into()];
        outcome.cells[2].samples.clear();
        outcome.cells[2].broken = Some("it does not start".into());
        let text = lines(&outcome);
        assert!(text.contains("  FAILED 3\n"), "{text}");
        assert!(text.contains("    haproxy (1 thread): bytes that nobody sent\n"), "{text}");
        assert!(text.contains("broken off  FAILED\n"), "{text}");
        assert!(text.contains("    direct: it does not start\n"), "{text}");
    }

    #[test]
    fn machines_get_ratios_by_name() {
        let figures = figures(&outcome());
        let find = |name: &str, metric: &str| {
            figures.iter().find(|f| f.name == name && f.metric == metric).map(|f| f.value)
        };
        assert_eq!(find("tcp-short/direct", "rate_to_direct"), Some(1.0));
        assert_eq!(find("tcp-short/haproxy (2 threads)", "per_second"), Some(13_100.0));
        assert_eq!(find("tcp-short/direct", "rate_to_nginx"), None);
    }
}
