// SPDX-License-Identifier: Apache-2.0
//! What was measured of one row.

use super::{Figure, count};
use crate::schedule::measure::Measure;

/// What was measured of one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowReport {
    /// The row.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// How the load travelled, in words.
    pub way: String,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Pods that filled it, and how many were placed a second then.
    pub filled: u64,
    /// Placements a second while it was filled.
    pub fill_per_second: f64,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Pods placed in that time.
    pub placed: u64,
    /// Pods refused, while it was filled too.
    pub refused: u64,
    /// Pods not taken up at once, and sent again.
    pub not_accepted: u64,
    /// Answers that broke a rule.
    pub violations: u64,
    /// Answers in the measured time.
    pub answers: u64,
    /// Latencies.
    pub latency: Latency,
    /// Points of the latency curve: share of answers, microseconds.
    pub curve: Vec<(f64, f64)>,
    /// Answers a second over time.
    pub timeline: Vec<(f64, f64)>,
    /// Bytes of a spec on the wire: smallest and largest.
    pub spec_bytes: (usize, usize),
    /// The service's memory at the end.
    pub resident_mib: Option<f64>,
    /// Microseconds of CPU an answer took of the service, and of this program.
    pub cpu_us: Option<(f64, f64)>,
    /// Placements a second of the engine alone.
    pub in_process_per_second: Option<f64>,
    /// Whether refusals are what the row is about.
    pub refusals_wanted: bool,
    /// What went wrong, for people.
    pub notes: Vec<String>,
    /// Whether the run broke off: then `notes` says why.
    pub broken_off: bool,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Latency {
    /// Half of the answers came within this time.
    pub p50: f64,
    /// 99 % of them.
    pub p99: f64,
    /// 99.9 % of them.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// Of what was measured.
    pub fn of(measure: &Measure) -> Self {
        Self {
            p50: measure.latency_us(0.5),
            p99: measure.latency_us(0.99),
            p999: measure.latency_us(0.999),
            max: measure.latency_us(1.0),
        }
    }
}

impl RowReport {
    /// Whether everything held.
    pub fn passed(&self) -> bool {
        !self.broken_off && self.violations == 0 && (self.refusals_wanted || self.refused == 0)
    }

    /// Placements a second. A refused pod is no placement.
    pub fn placements_per_second(&self) -> f64 {
        self.rate(self.placed)
    }

    /// Answers a second, refusals included.
    pub fn decisions_per_second(&self) -> f64 {
        self.rate(self.answers)
    }

    fn rate(&self, what: u64) -> f64 {
        if self.seconds > 0.0 { count(what) / self.seconds } else { 0.0 }
    }

    /// All figures.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |metric, value, unit| {
            figures.push(Figure { name: self.name.clone(), metric, value, unit });
        };
        if self.broken_off {
            add("violations", count(self.violations.max(1)), "1");
            return figures;
        }
        add("placements_per_second", self.placements_per_second(), "1/s");
        add("refused", count(self.refused), "1");
        add("violations", count(self.violations), "1");
        add("latency_p50_us", self.latency.p50, "us");
        add("latency_p99_us", self.latency.p99, "us");
        if let Some(resident) = self.resident_mib {
            add("resident_mib", resident, "MiB");
        }
        add("latency_p999_us", self.latency.p999, "us");
        add("latency_max_us", self.latency.max, "us");
        add("decisions_per_second", self.decisions_per_second(), "1/s");
        add("placements", count(self.placed), "1");
        add("not_accepted", count(self.not_accepted), "1");
        add("measured_seconds", self.seconds, "s");
        add("nodes", count(self.nodes as u64), "1");
        add("fill_pods", count(self.filled), "1");
        add("fill_per_second", self.fill_per_second, "1/s");
        add("spec_bytes_min", count(self.spec_bytes.0 as u64), "B");
        add("spec_bytes_max", count(self.spec_bytes.1 as u64), "B");
        if let Some((service, client)) = self.cpu_us {
            add("service_cpu_us_per_pod", service, "us");
            add("client_cpu_us_per_pod", client, "us");
        }
        if let Some(alone) = self.in_process_per_second {
            add("in_process_per_second", alone, "1/s");
        }
        figures
    }
}
