// SPDX-License-Identifier: Apache-2.0
//! What a run of `recovery` found out.

use super::disk::Disk;
use crate::report::table::{duration, thousands};
use crate::report::{Figure, count};
use crate::schedule::server::Usage;
use berth_proto::v1;
use std::fmt::Write;
use std::time::Duration;

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// A start on what a killed service left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restart {
    /// Until it answered.
    pub took: Duration,
    /// What it took until then.
    pub usage: Usage,
}

/// What was found out.
#[derive(Debug, Default)]
pub struct Report {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// How long it took to fill it.
    pub fill: Duration,
    /// What the service said before it was killed.
    pub before: v1::StatsResponse,
    /// What it took.
    pub usage: Usage,
    /// What its journal took.
    pub disk: Disk,
    /// The starts.
    pub restarts: Vec<Restart>,
    /// What does not hold.
    pub violations: Vec<String>,
}

impl Report {
    /// Bytes of the last snapshot: the live state as it is written down.
    fn snapshot(&self) -> u64 {
        self.before.journal.as_ref().map_or(0, |journal| journal.snapshot_bytes)
    }

    /// The slowest start and the fastest, in microseconds.
    fn slowest_and_fastest(&self) -> (f64, f64) {
        let us = |restart: &Restart| restart.took.as_secs_f64() * 1e6;
        let all = || self.restarts.iter().map(us);
        (all().fold(0.0, f64::max), all().fold(f64::INFINITY, f64::min))
    }
}

/// For people.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let Report { before, usage, disk, .. } = report;
    let waiting = before.queued_active + before.queued_backoff + before.queued_unschedulable;
    let number = |n: u32| thousands(u64::from(n));
    let (nodes, pods, waiting) = (number(before.nodes), number(before.pods), number(waiting));
    let filled = duration(report.fill.as_secs_f64() * 1e6);
    let _ = writeln!(text, "{nodes} nodes, {pods} pods placed, {waiting} wait; filled in {filled}");
    let _ = writeln!(text, "memory   {}", memory(usage));
    let mib = |bytes: u64| count(bytes) / MIB;
    let _ = writeln!(
        text,
        "disk     {:.0} MiB, at most {:.0}; a snapshot of the state has {:.0}",
        mib(disk.last),
        mib(disk.most),
        mib(report.snapshot()),
    );
    for restart in &report.restarts {
        let took = duration(restart.took.as_secs_f64() * 1e6);
        let _ = writeln!(text, "killed   back after {took}; {}", memory(&restart.usage));
    }
    for violation in &report.violations {
        let _ = writeln!(text, "FAILED   {violation}");
    }
    text
}

fn memory(usage: &Usage) -> String {
    format!("{:.0} MiB, at most {:.0}", usage.resident_mib, usage.peak_mib)
}

/// For machines.
pub fn figures(report: &Report) -> Vec<Figure> {
    let figure = |metric, value, unit| Figure { name: "recovery".to_owned(), metric, value, unit };
    let (slowest, fastest) = report.slowest_and_fastest();
    vec![
        figure("recovery_slowest_us", slowest, "us"),
        figure("recovery_fastest_us", fastest, "us"),
        figure("resident_mib", report.usage.resident_mib, "MiB"),
        figure("peak_mib", report.usage.peak_mib, "MiB"),
        figure("disk_most", count(report.disk.most), "B"),
        figure("snapshot", count(report.snapshot()), "B"),
        figure("violations", count(report.violations.len() as u64), "1"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_told() {
        let report = Report {
            before: v1::StatsResponse { nodes: 9, pods: 1_000_000, ..Default::default() },
            usage: Usage { resident_mib: 300.0, peak_mib: 400.0, cpu_seconds: 1.0 },
            restarts: vec![Restart { took: Duration::from_millis(1_500), usage: Usage::default() }],
            violations: vec!["a pod is lost".into()],
            ..Report::default()
        };
        let text = text(&report);
        for part in
            ["1,000,000 pods", "300 MiB, at most 400", "back after 1.50 s", "FAILED   a pod"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(figures(&report)[0].value, 1_500_000.0);
    }
}
