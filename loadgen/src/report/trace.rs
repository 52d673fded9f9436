// SPDX-License-Identifier: Apache-2.0
//! What came of a replayed trace.

use super::row::Latency;
use super::table::{duration, thousands};
use super::{Figure, count};
use crate::trace::replay::Refusals;
use crate::trace::usage::{NAMES, Sample, Usage};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What came of a replayed trace.
#[derive(Debug, Clone)]
pub struct TraceReport {
    /// The list of pods.
    pub name: String,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Pods of the list.
    pub pods: usize,
    /// What became of pods that no node took.
    pub refusals: Refusals,
    /// Times the trace's own speed; `None`: as fast as it went.
    pub speed: Option<f64>,
    /// Seconds that the replay took.
    pub seconds: f64,
    /// Pods that no node took when they came.
    pub refused: u64,
    /// Why, and how often.
    pub reasons: BTreeMap<String, u64>,
    /// How pods fared.
    pub waits: Waits,
    /// Latencies.
    pub latency: Latency,
    /// Points of the latency curve.
    pub curve: Vec<(f64, f64)>,
    /// Answers that broke a rule.
    pub violations: u64,
    /// What went wrong, for people.
    pub notes: Vec<String>,
    /// How full the cluster was.
    pub usage: Usage,
    /// The service's memory at the end.
    pub resident_mib: Option<f64>,
}

/// How pods fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waits {
    /// Placed when they came.
    pub at_once: u64,
    /// Placed after they had waited.
    pub later: u64,
    /// How long these waited in all, in seconds of the trace.
    pub waited_seconds: u64,
    /// The longest wait.
    pub longest_seconds: u64,
    /// Ended by the trace while they waited.
    pub given_up: u64,
    /// Dropped when they came.
    pub dropped: u64,
}

impl Waits {
    /// A pod was placed after so many seconds of the trace.
    pub fn placed(&mut self, waited: u64) {
        if waited == 0 {
            self.at_once += 1;
            return;
        }
        self.later += 1;
        self.waited_seconds += waited;
        self.longest_seconds = self.longest_seconds.max(waited);
    }

    fn mean(&self) -> u64 {
        self.waited_seconds / self.later.max(1)
    }
}

/// Lines of the table of utilisation.
const LINES: usize = 16;
/// Width of the small curves.
const CURVE: usize = 64;
/// Reasons of refusals that are printed.
const REASONS: usize = 5;

impl TraceReport {
    /// All figures.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |metric, value, unit| {
            figures.push(Figure { name: self.name.clone(), metric, value, unit });
        };
        let placed = self.waits.at_once + self.waits.later;
        add("placements_per_second", count(placed) / self.seconds.max(1e-9), "1/s");
        add("refused", count(self.refused), "1");
        add("violations", count(self.violations), "1");
        add("latency_p50_us", self.latency.p50, "us");
        add("latency_p99_us", self.latency.p99, "us");
        if let Some(resident) = self.resident_mib {
            add("resident_mib", resident, "MiB");
        }
        add("pods", count(self.pods as u64), "1");
        add("nodes", count(self.nodes as u64), "1");
        add("placed_at_once", count(self.waits.at_once), "1");
        add("placed_later", count(self.waits.later), "1");
        add("given_up", count(self.waits.given_up), "1");
        add("dropped", count(self.waits.dropped), "1");
        add("longest_wait_seconds", count(self.waits.longest_seconds), "s");
        let (peak, mean) = self.usage.peak_and_mean();
        for (metric, value) in ["cpu_percent_peak", "memory_percent_peak", "gpu_percent_peak"]
            .into_iter()
            .zip(peak)
            .chain(
                ["cpu_percent_mean", "memory_percent_mean", "gpu_percent_mean"]
                    .into_iter()
                    .zip(mean),
            )
        {
            add(metric, value, "%");
        }
        figures
    }
}

/// The report, for people.
pub fn text(report: &TraceReport) -> String {
    let mut text = String::new();
    head(&mut text, report);
    curves(&mut text, report);
    table(&mut text, report);
    fates(&mut text, report);
    text
}

fn head(out: &mut String, report: &TraceReport) {
    let how = match report.speed {
        None => "as fast as answers came".to_owned(),
        Some(speed) => format!("at {speed} times its speed"),
    };
    let (nodes, pods) = (thousands(report.nodes as u64), thousands(report.pods as u64));
    let _ = writeln!(
        out,
        "{}: {pods} pods on {nodes} nodes, replayed {how} in {:.2} s\n",
        report.name, report.seconds,
    );
}

fn curves(out: &mut String, report: &TraceReport) {
    let (peak, mean) = report.usage.peak_and_mean();
    let steps = report.usage.steps(CURVE);
    let _ = writeln!(out, "{:8}{:CURVE$}  {:>8}{:>8}", "", "utilisation over time", "mean", "peak");
    for (at, name) in NAMES.iter().enumerate() {
        let shares: Vec<f64> =
            steps.iter().map(|sample| report.usage.percent(sample.taken)[at]).collect();
        let _ = writeln!(
            out,
            "{name:8}{}  {:>7.2}%{:>7.2}%",
            sparkline(&shares, peak[at]),
            mean[at],
            peak[at],
        );
    }
    out.push('\n');
}

/// A curve of one line, its highest step at `top`.
fn sparkline(values: &[f64], top: f64) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let step = |value: &f64| {
        let height = if top > 0.0 { value / top * 7.0 } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
        STEPS[height.round().clamp(0.0, 7.0) as usize]
    };
    values.iter().map(step).collect()
}

fn table(out: &mut String, report: &TraceReport) {
    let _ = writeln!(
        out,
        "{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>12}",
        "time", "running", "waiting", "cpu %", "memory %", "gpu %", "gpu asked %",
    );
    let steps = report.usage.steps(LINES);
    let first = steps.first().map_or(0, |sample| sample.at);
    for sample in &steps {
        let Sample { at, taken, asked, running, waiting } = *sample;
        let [cpu, memory, gpu] = report.usage.percent(taken);
        let asked = report.usage.percent(asked)[2];
        let time = span(at - first);
        let _ = writeln!(
            out,
            "{time:>10}{running:>10}{waiting:>9}{cpu:>9.2}{memory:>9.2}{gpu:>9.2}{asked:>12.2}",
        );
    }
    out.push('\n');
}

/// A time of a trace, in the unit that reads best.
fn span(seconds: u64) -> String {
    match seconds {
        0..1_000 => format!("{seconds} s"),
        1_000..100_000 => format!("{:.1} h", count(seconds) / 3_600.0),
        _ => format!("{:.1} d", count(seconds) / 86_400.0),
    }
}

fn fates(out: &mut String, report: &TraceReport) {
    let waits = &report.waits;
    let _ = writeln!(out, "placed at once {:>10}", thousands(waits.at_once));
    if report.refusals == Refusals::Drop {
        let _ = writeln!(out, "dropped        {:>10}  (--drop)", thousands(waits.dropped));
    } else {
        let (mean, longest) = (span(waits.mean()), span(waits.longest_seconds));
        let _ = writeln!(
            out,
            "placed later   {:>10}  after {mean} of the trace on average, {longest} at most",
            thousands(waits.later),
        );
        let _ = writeln!(
            out,
            "never placed   {:>10}  ended by the trace while they waited",
            thousands(waits.given_up),
        );
    }
    let _ = writeln!(out, "refused        {:>10}  when they came", thousands(report.refused));
    let mut reasons: Vec<(&String, &u64)> = report.reasons.iter().collect();
    reasons.sort_by_key(|(reason, times)| (std::cmp::Reverse(**times), *reason));
    for (reason, times) in reasons.iter().take(REASONS) {
        let _ = writeln!(out, "  {times} x {reason}");
    }
    let rest: u64 = reasons.iter().skip(REASONS).map(|(_, times)| **times).sum();
    if rest > 0 {
        let _ = writeln!(out, "  {rest} x other reasons");
    }
    let Latency { p50, p99, p999, max } = report.latency;
    let _ = writeln!(
        out,
        "latency        {:>10}  p99 {}, p99.9 {}, slowest {}",
        duration(p50),
        duration(p99),
        duration(p999),
        duration(max),
    );
    if let Some(resident) = report.resident_mib {
        let _ = writeln!(out, "memory         {resident:>6.0} MiB  of the service");
    }
    let verdict = if report.violations == 0 {
        "hold: no node overcommitted, no rule broken"
    } else {
        "FAILED"
    };
    let _ = writeln!(out, "books          {:>10}  {verdict}", thousands(report.violations));
    for note in &report.notes {
        let _ = writeln!(out, "  {note}");
    }
}
