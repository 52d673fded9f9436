// SPDX-License-Identifier: Apache-2.0
//! The page of `schedule --trace`: how full the cluster was, and how pods fared.

use super::{card, frame, latency_plot};
use crate::report::count;
use crate::report::svg::{Axis, Line, escape, lines};
use crate::report::table::thousands;
use crate::report::trace::{TraceReport, text};
use crate::trace::usage::Sample;
use std::fmt::Write;

/// Points of a curve over time.
const POINTS: usize = 400;

const DAY: f64 = 86_400.0;

/// The page.
pub fn page(command: &str, report: &TraceReport) -> String {
    let mut body = String::from("<section class=\"cards\">");
    let waits = &report.waits;
    let class = if report.violations == 0 { "good" } else { "bad" };
    body.push_str(&card(&thousands(waits.at_once), "pods placed at once", ""));
    body.push_str(&card(&thousands(waits.later), "placed after waiting", ""));
    let lost = waits.given_up + waits.dropped;
    body.push_str(&card(&thousands(lost), "never placed", ""));
    body.push_str(&card(&thousands(report.violations), "rules broken", class));
    body.push_str("</section>\n<section><h2>Utilisation</h2>\n");
    let _ = write!(
        body,
        "<p class=\"legend\"><span><i class=\"cpu\"></i>CPU</span><span><i class=\"memory\"></i>memory</span>\
         <span><i class=\"gpu\"></i>GPU</span><span><i class=\"peer\"></i>GPU asked for</span></p>\n\
         <div class=\"plot\">{}</div></section>\n",
        utilisation(report)
    );
    let _ = writeln!(
        body,
        "<section class=\"pair\"><figure>{}<figcaption>pods that run, over time (and such that wait)</figcaption></figure>\
         <figure>{}<figcaption>latency: how many answers came within it</figcaption></figure></section>",
        pods(report),
        latency_plot(&report.curve, "berth"),
    );
    let figures = escape(&text(report));
    let _ = writeln!(body, "<section><h2>In figures</h2>\n<pre>{figures}</pre></section>");
    frame(&format!("Replay of {}", report.name), command, &body)
}

fn days(report: &TraceReport) -> (Vec<(f64, Sample)>, Axis) {
    let steps = report.usage.steps(POINTS);
    let first = steps.first().map_or(0, |sample| sample.at);
    let samples: Vec<(f64, Sample)> =
        steps.into_iter().map(|sample| (count(sample.at - first) / DAY, sample)).collect();
    let last = samples.last().map_or(1.0, |(day, _)| *day);
    let round = |day: f64| format!("{}", (day * 1_000.0).round() / 1_000.0);
    (samples, Axis::exact("days", last, round))
}

fn utilisation(report: &TraceReport) -> String {
    let (samples, x) = days(report);
    let share = |of: fn(&Sample) -> [i64; 3], at: usize| -> Vec<(f64, f64)> {
        samples.iter().map(|(day, s)| (*day, report.usage.percent(of(s))[at])).collect()
    };
    let line =
        |label: &str, class, points| Line { label: label.to_owned(), class, points, filled: false };
    let plotted = [
        line("GPU asked for", "peer", share(|s| s.asked, 2)),
        line("CPU", "cpu", share(|s| s.taken, 0)),
        line("memory", "memory", share(|s| s.taken, 1)),
        line("GPU", "gpu", share(|s| s.taken, 2)),
    ];
    let most = plotted.iter().flat_map(|l| &l.points).map(|p| p.1).fold(0.1, f64::max);
    let y = Axis::linear("share of the cluster", most, |value| {
        format!("{value:.4} %").replace(".0000", "")
    });
    lines(980.0, 320.0, &x, &y, &plotted)
}

fn pods(report: &TraceReport) -> String {
    let (samples, x) = days(report);
    let line = |label: &str, class, of: fn(&Sample) -> u64, filled| Line {
        label: label.to_owned(),
        class,
        points: samples.iter().map(|(day, s)| (*day, count(of(s)))).collect(),
        filled,
    };
    let plotted = [
        line("running", "berth", |s| s.running, true),
        line("waiting", "gpu", |s| s.waiting, false),
    ];
    let most = plotted.iter().flat_map(|l| &l.points).map(|p| p.1).fold(1.0, f64::max);
    let y = Axis::linear("pods", most, crate::report::table::whole);
    lines(460.0, 230.0, &x, &y, &plotted)
}
