// SPDX-License-Identifier: Apache-2.0
//! The page of `balance`: balancers side by side on each row, latencies, and all figures.

use super::{card, frame};
use crate::balance::campaign::{Cell, Outcome};
use crate::balance::rows::Metric;
use crate::balance::subject::Column;
use crate::report::promises::{Judged, State, bound, told as told_value};
use crate::report::svg::{Axis, Bar, Line, bars, escape, lines};
use crate::report::table::{duration, thousands, whole};
use std::fmt::Write;

/// The page.
pub fn page(command: &str, outcomes: &[Outcome], promises: &[Judged]) -> String {
    let mut body = String::new();
    summary(&mut body, outcomes, promises);
    promised(&mut body, promises);
    body.push_str("<p class=\"legend\">");
    for column in Column::ALL {
        let class = class(column);
        let _ = write!(body, "<span><i class=\"{class}\"></i>{column}</span>");
    }
    body.push_str("</p>\n");
    for outcome in outcomes {
        row(&mut body, outcome);
    }
    frame("Balancers side by side, every answer checked", command, &body)
}

fn class(column: Column) -> &'static str {
    match column {
        Column::Proxy => "berth",
        Column::Fast => "alone",
        Column::Haproxy => "peer",
        Column::Nginx => "gpu",
        Column::Nft => "memory",
        Column::Direct => "other",
    }
}

/// Floors and goals.
fn promised(out: &mut String, promises: &[Judged]) {
    if promises.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>Promised, and met</h2>\n<div class=\"scroll\"><table><thead><tr><th>path</th>\
         <th>row</th><th></th><th>measured</th><th>floor</th><th>goal</th><th></th></tr></thead><tbody>\n",
    );
    for one in promises {
        let class = match one.state {
            State::Missed => " class=\"bad\"",
            State::Goal | State::Floor | State::Unknown => "",
        };
        let (floor, goal) = one.bounds;
        let cells = [
            one.row.to_owned(),
            one.what.to_owned(),
            told_value(one.value),
            bound(one, floor),
            bound(one, goal),
            one.state.words().to_owned(),
        ];
        let _ = write!(out, "<tr{class}><th>{}</th>", one.column);
        for cell in &cells {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn summary(out: &mut String, outcomes: &[Outcome], promises: &[Judged]) {
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    let verdict = if failed == 0 { ("all rows hold", "good") } else { ("rows failed", "bad") };
    let held = format!("{} / {}", outcomes.len() - failed, outcomes.len());
    let cells = || outcomes.iter().flat_map(|outcome| &outcome.cells);
    let trials: usize = cells().map(|cell| cell.samples.len()).sum();
    let failures: u64 = cells().map(Cell::failures).sum();
    out.push_str("<section class=\"cards\">");
    out.push_str(&card(&held, verdict.0, verdict.1));
    out.push_str(&card(&thousands(trials as u64), "trials", ""));
    let class = if failures == 0 { "good" } else { "bad" };
    out.push_str(&card(&thousands(failures), "failures", class));
    let known = promises.iter().filter(|one| one.state != State::Unknown).count();
    let missed = promises.iter().filter(|one| one.state == State::Missed).count();
    let class = if missed == 0 { "good" } else { "bad" };
    out.push_str(&card(&format!("{} / {known}", known - missed), "floors met", class));
    out.push_str("</section>\n");
}

fn row(out: &mut String, outcome: &Outcome) {
    let mark = if outcome.passed() { "" } else { " <em class=\"bad\">failed</em>" };
    let (name, about) = (escape(&outcome.row.name), escape(&outcome.row.about));
    let _ = write!(out, "<article><h3>{name}{mark}</h3>\n<p>{about}</p>\n");
    for metric in outcome.row.metrics {
        if *metric != Metric::Held {
            let _ = writeln!(out, "<div class=\"plot\">{}</div>", chart(outcome, *metric));
        }
    }
    if outcome.row.metrics.contains(&Metric::P99) {
        let _ = write!(
            out,
            "<figure>{}<figcaption>latency: how many answers came within it</figcaption></figure>",
            curves(outcome)
        );
    }
    figures(out, outcome);
    for cell in &outcome.cells {
        let extra: Vec<String> = cell
            .samples
            .iter()
            .flat_map(|sample| &sample.extra)
            .map(|e| format!("{} {} {}", e.name, told_value(Some(e.value)), e.unit))
            .collect();
        if !extra.is_empty() {
            let _ = writeln!(out, "<p>{}: {}</p>", escape(&cell.name()), escape(&extra.join(", ")));
        }
    }
    let notes: Vec<String> = outcome
        .cells
        .iter()
        .flat_map(|cell| cell.notes().into_iter().map(|note| format!("{}: {note}", cell.name())))
        .map(|note| escape(&note))
        .collect();
    if !notes.is_empty() {
        let _ = writeln!(out, "<pre>{}</pre>", notes.join("\n"));
    }
    out.push_str("</article>\n");
}

fn told(value: f64, metric: Metric, unit: &str) -> String {
    match metric {
        _ if !value.is_finite() => "–".to_owned(),
        Metric::Rate => format!("{} {unit}/s", whole(value)),
        Metric::Throughput => format!("{value:.1} Gb/s"),
        Metric::P50 | Metric::P99 => duration(value),
        Metric::Memory => format!("{:.2} KB", value / 1_000.0),
        Metric::Calls => format!("{value:.2} /{unit}"),
        Metric::Held => String::new(),
    }
}

fn chart(outcome: &Outcome, metric: Metric) -> String {
    let unit = outcome.row.unit;
    let bar = |cell: &Cell| {
        let value = cell.value(metric);
        let told_one = told(value, metric, unit);
        let spread = cell.spread(metric);
        let range = spread.map_or_else(String::new, |(least, most)| {
            format!(", {} to {}", told(least, metric, unit), told(most, metric, unit))
        });
        let label = format!("{}: {told_one}{range}", cell.name());
        let ratio = outcome.ratio(cell, metric, Column::Haproxy);
        let ratio = ratio.map_or_else(String::new, |ratio| format!(" ({ratio:.2} x)"));
        let value = if value.is_finite() { value.max(0.0) } else { 0.0 };
        let note = format!("{told_one}{ratio}");
        (cell.name(), vec![Bar { label, class: class(cell.column), value, note, spread }])
    };
    let rows: Vec<(String, Vec<Bar>)> = outcome.cells.iter().map(bar).collect();
    let ends = |bar: &Bar| bar.spread.map_or(bar.value, |(_, most)| most.max(bar.value));
    let most = rows.iter().flat_map(|(_, bars)| bars).map(ends).fold(0.0, f64::max);
    let title = match metric {
        Metric::Rate => format!("{unit} a second"),
        Metric::Throughput => "Gb/s".to_owned(),
        Metric::P50 => "median latency in microseconds".to_owned(),
        Metric::P99 => "99th percentile in microseconds".to_owned(),
        Metric::Memory => "bytes of user memory a connection".to_owned(),
        Metric::Calls => format!("system calls a {unit}"),
        Metric::Held => String::new(),
    };
    bars(1_000.0, 250.0, &Axis::linear(&title, most, whole), &rows)
}

/// Latency curves of all balancers, each its middle repetition.
fn curves(outcome: &Outcome) -> String {
    const TICKS: [(f64, &str); 5] = [
        (0.0, "0"),
        (std::f64::consts::LOG10_2, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
    ];
    let line = |cell: &Cell| {
        let middle = cell.samples.get(cell.samples.len() / 2)?;
        let point = |(share, us): &(f64, f64)| (-(1.0 - share).log10(), *us);
        let points: Vec<(f64, f64)> =
            middle.curve.iter().map(point).filter(|(_, us)| us.is_finite()).collect();
        Some(Line { label: cell.name(), class: class(cell.column), points, filled: false })
    };
    let plotted: Vec<Line> = outcome.cells.iter().filter_map(line).collect();
    let values = || plotted.iter().flat_map(|line| &line.points).map(|point| point.1);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(1.0, f64::max));
    let x = Axis::with_ticks("share of answers", 4.0, &TICKS);
    let y = Axis::log("latency", least.min(most), most, super::decade);
    lines(980.0, 300.0, &x, &y, &plotted)
}

fn figures(out: &mut String, outcome: &Outcome) {
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>balancer</th><th></th><th>CPU of all, us</th>\
         <th>its own</th><th>client's</th><th>backends'</th><th>p50</th><th>p99</th>",
    );
    for peer in Column::PEERS {
        let _ = write!(out, "<th>x {peer}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for metric in outcome.row.metrics {
        for cell in &outcome.cells {
            let class = if cell.failures() == 0 { "" } else { " class=\"bad\"" };
            let _ = write!(out, "<tr{class}><th>{}</th>", escape(&cell.name()));
            let optional = |value: f64, told: String| {
                if value.is_finite() { told } else { "–".to_owned() }
            };
            let cpu = |us: f64| optional(us, format!("{us:.1}"));
            let time = |us: f64| optional(us, duration(us));
            let mut cells = vec![
                told(cell.value(*metric), *metric, outcome.row.unit),
                cpu(cell.median(|s| s.total_cpu_us)),
                cpu(cell.median(|s| s.own_cpu_us)),
                cpu(cell.median(|s| s.client_cpu_us)),
                cpu(cell.median(|s| s.backend_cpu_us)),
                time(cell.median(|s| s.p50_us)),
                time(cell.median(|s| s.p99_us)),
            ];
            let ratio = |peer| outcome.ratio(cell, *metric, peer);
            let ratios = Column::PEERS.map(ratio);
            cells.extend(ratios.map(|r| r.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"))));
            for cell in cells {
                let _ = write!(out, "<td>{}</td>", escape(&cell));
            }
            out.push_str("</tr>\n");
        }
    }
    out.push_str("</tbody></table></div>\n");
}
