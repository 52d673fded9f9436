// SPDX-License-Identifier: Apache-2.0
//! Counts of the source, and their page for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the time from a change's arrival to its effect, in milliseconds. The promise is 50 ms at the 99th percentile.
const BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000];

/// Counts, since the start.
#[derive(Debug, Default)]
pub struct Stats {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    micros: AtomicU64,
    refused: AtomicU64,
    retried: AtomicU64,
    late: AtomicU64,
    services: AtomicU64,
    endpoints: AtomicU64,
    other_slices: AtomicU64,
}

impl Stats {
    pub(crate) fn took(&self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.partition_point(|bound| *bound <= millis);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, count: usize) {
        self.refused.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn late(&self, count: usize) {
        self.late.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self, (services, endpoints, other_slices): (usize, usize, usize)) {
        self.services.store(services as u64, Ordering::Relaxed);
        self.endpoints.store(endpoints as u64, Ordering::Relaxed);
        self.other_slices.store(other_slices as u64, Ordering::Relaxed);
    }

    /// How many updates took effect, and how many of them within so many milliseconds, one of the bounds.
    #[must_use]
    pub fn effects(&self, within_ms: u64) -> (u64, u64) {
        let counts: Vec<u64> = self.buckets.iter().map(|one| one.load(Ordering::Relaxed)).collect();
        let within = BOUNDS_MS.iter().zip(&counts).filter(|(bound, _)| **bound <= within_ms);
        (counts.iter().sum(), within.map(|(_, count)| count).sum())
    }

    /// The page.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a metric is a double")]
    pub fn page(&self) -> String {
        let mut page = String::new();
        let name = "berth_service_proxy_effect_seconds";
        let help = "From the arrival of a change of the API until the data plane serves by it.";
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut sum = 0;
        for (bound, count) in BOUNDS_MS.iter().zip(&self.buckets) {
            sum += count.load(Ordering::Relaxed);
            let _ = writeln!(page, "{name}_bucket{{le=\"{}\"}} {sum}", *bound as f64 / 1_000.0);
        }
        sum += self.buckets[BOUNDS_MS.len()].load(Ordering::Relaxed);
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1_000_000.0;
        let _ = writeln!(
            page,
            "{name}_bucket{{le=\"+Inf\"}} {sum}\n{name}_sum {seconds}\n{name}_count {sum}"
        );
        for (name, kind, help, value) in [
            ("refused_total", "counter", "Services that the balancer refused.", &self.refused),
            ("retried_total", "counter", "Updates that were tried again.", &self.retried),
            ("late_total", "counter", "Nodes that did not confirm in time.", &self.late),
            ("services", "gauge", "Services of the balancer that are served.", &self.services),
            ("endpoints", "gauge", "Their endpoints.", &self.endpoints),
            (
                "other_slices",
                "gauge",
                "Slices that are not of IPv4, and not used.",
                &self.other_slices,
            ),
        ] {
            let value = value.load(Ordering::Relaxed);
            let name = format!("berth_service_proxy_{name}");
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        page
    }
}
