// SPDX-License-Identifier: Apache-2.0
//! The page of `schedule`: rows against their peers, then each row's latencies and its throughput over time.

use super::{card, frame, latency_plot};
use crate::report::peers::{PEERS, UPSTREAM_SOURCE, upstream_on};
use crate::report::row::RowReport;
use crate::report::svg::{Axis, Bar, Line, bars, escape, lines};
use crate::report::table::{duration, thousands, whole};
use std::fmt::Write;

/// The page.
pub fn page(command: &str, rows: &[RowReport]) -> String {
    let mut body = String::new();
    summary(&mut body, rows);
    comparison(&mut body, rows);
    figures(&mut body, rows);
    body.push_str("<section><h2>Row by row</h2>\n");
    for row in rows {
        details(&mut body, row);
    }
    body.push_str("</section>\n");
    frame("Placements over gRPC, every answer checked", command, &body)
}

fn summary(out: &mut String, rows: &[RowReport]) {
    let failed = rows.iter().filter(|row| !row.passed()).count();
    let answers: u64 = rows.iter().map(|row| row.answers + row.filled).sum();
    let violations: u64 = rows.iter().map(|row| row.violations).sum();
    let best =
        rows.iter().max_by(|a, b| a.placements_per_second().total_cmp(&b.placements_per_second()));
    let nodes = rows.iter().map(|row| row.nodes).max().unwrap_or_default();
    out.push_str("<section class=\"cards\">");
    let verdict = if failed == 0 { ("all rows hold", "good") } else { ("rows failed", "bad") };
    let held = format!("{} / {}", rows.len() - failed, rows.len());
    out.push_str(&card(&held, verdict.0, verdict.1));
    out.push_str(&card(&thousands(answers), "answers checked", ""));
    let class = if violations == 0 { "good" } else { "bad" };
    out.push_str(&card(&thousands(violations), "rules broken", class));
    if let Some(best) = best {
        let what = format!("placements a second at most ({})", best.name);
        out.push_str(&card(&whole(best.placements_per_second()), &what, ""));
    }
    out.push_str(&card(&thousands(nodes as u64), "nodes", ""));
    out.push_str("</section>\n");
}

fn comparison(out: &mut String, rows: &[RowReport]) {
    let mut chart = Vec::new();
    for row in rows.iter().filter(|row| !row.broken_off) {
        let mut list = vec![bar("berth", "Berth over gRPC", row.decisions_per_second())];
        if let Some(alone) = row.in_process_per_second {
            list.push(bar("alone", "Berth's engine alone", alone));
        }
        if let Some((nodes, pods)) = upstream_on(&row.name, row.nodes) {
            let label = format!("kube-scheduler at {} nodes", thousands(nodes as u64));
            list.push(bar("peer", &label, pods));
        }
        chart.push((row.name.clone(), list));
    }
    for peer in PEERS {
        let label = format!("{}: {}", peer.name, peer.source);
        chart.push((peer.name.to_owned(), vec![bar("other", &label, peer.pods_per_second)]));
    }
    let values = || chart.iter().flat_map(|(_, list)| list).map(|bar| bar.value);
    let least = values().fold(f64::INFINITY, f64::min).max(10.0);
    let most = values().fold(10.0, f64::max);
    let axis =
        Axis::log("pods a second (each line is ten times the one before)", least, most, whole);
    out.push_str("<section><h2>Pods a second, and what others reach</h2>\n<p class=\"legend\">");
    for (class, text) in [
        ("berth", "Berth over gRPC, client and service as two processes"),
        ("alone", "Berth's engine alone"),
        ("peer", "kube-scheduler's loop alone"),
        ("other", "whole systems, as published"),
    ] {
        let _ = write!(out, "<span><i class=\"{class}\"></i>{text}</span>");
    }
    let _ =
        write!(out, "</p>\n<div class=\"plot\">{}</div>\n", bars(1_000.0, 316.0, &axis, &chart));
    let _ = write!(out, "<ul class=\"sources\"><li>{}</li>", escape(UPSTREAM_SOURCE));
    for peer in PEERS {
        let (name, source) = (escape(peer.name), escape(peer.source));
        let pods = whole(peer.pods_per_second);
        let _ = write!(out, "<li>{name}: {pods} pods a second, {source}</li>");
    }
    out.push_str(
        "<li>A whole system does more than a decision: it stores each pod and tells others. These figures are no race; \
         they say what a decision costs beside everything else.</li></ul></section>\n",
    );
}

fn bar(class: &'static str, label: &str, value: f64) -> Bar {
    let note = whole(value);
    Bar { label: format!("{label}: {note} pods a second"), class, value, note, spread: None }
}

fn figures(out: &mut String, rows: &[RowReport]) {
    out.push_str(
        "<section><h2>Figures</h2>\n<div class=\"scroll\"><table><thead><tr><th>row</th><th>placed/s</th>\
         <th>engine alone/s</th><th>refused</th><th>violations</th><th>p50</th><th>p99</th><th>p99.9</th>\
         <th>slowest</th><th>MiB</th><th>CPU us a pod, service + client</th></tr></thead><tbody>\n",
    );
    for row in rows {
        let class = if row.passed() { "" } else { " class=\"bad\"" };
        let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), whole);
        let cpu = row.cpu_us.map_or_else(
            || "–".to_owned(),
            |(service, client)| format!("{service:.2} + {client:.2}"),
        );
        let cells = [
            whole(row.placements_per_second()),
            optional(row.in_process_per_second),
            thousands(row.refused),
            thousands(row.violations),
            duration(row.latency.p50),
            duration(row.latency.p99),
            duration(row.latency.p999),
            duration(row.latency.max),
            optional(row.resident_mib),
            cpu,
        ];
        let _ = write!(out, "<tr{class}><th>{}</th>", escape(&row.name));
        for cell in cells {
            let _ = write!(out, "<td>{}</td>", escape(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn details(out: &mut String, row: &RowReport) {
    let mark = if row.passed() { "" } else { " <em class=\"bad\">failed</em>" };
    let _ = write!(
        out,
        "<article><h3>{}{mark}</h3>\n<p>{}. {}, {} bytes each; {} pods measured in {:.1} s, after {} filled the cluster.</p>\n",
        escape(&row.name),
        escape(&row.about),
        escape(&row.way),
        bytes(row.spec_bytes),
        thousands(row.answers),
        row.seconds,
        thousands(row.filled),
    );
    if !row.notes.is_empty() {
        let notes: Vec<String> = row.notes.iter().map(|note| escape(note)).collect();
        let _ = writeln!(out, "<pre>{}</pre>", notes.join("\n"));
    }
    if !row.broken_off && !row.curve.is_empty() {
        let _ = write!(
            out,
            "<div class=\"pair\"><figure>{}<figcaption>latency: how many answers came within it</figcaption></figure>\
             <figure>{}<figcaption>answers a second over time</figcaption></figure></div>",
            latency_plot(&row.curve, "berth"),
            throughput(row),
        );
    }
    out.push_str("</article>\n");
}

fn bytes((smallest, largest): (usize, usize)) -> String {
    if smallest == largest { smallest.to_string() } else { format!("{smallest} to {largest}") }
}

fn throughput(row: &RowReport) -> String {
    let most = row.timeline.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let seconds = |value: f64| format!("{} s", (value * 10.0).round() / 10.0);
    let x = Axis::exact("time", row.seconds.max(0.1), seconds);
    let y = Axis::linear("answers a second", most, whole);
    let points = row.timeline.clone();
    let line = Line { label: row.name.clone(), class: "berth", points, filled: true };
    lines(460.0, 230.0, &x, &y, &[line])
}
