// SPDX-License-Identifier: Apache-2.0
//! Counts of a scheduler, and their page: metrics by kube-scheduler's names, for Prometheus.

use berth_scheduler_core::QueueSizes;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of durations: 1 ms, doubled 14 times.
const BUCKETS: u32 = 15;

/// How long something took.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS as usize],
    more: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (0..BUCKETS).find(|at| micros <= 1_000 << at);
        let count = bucket.map_or(&self.more, |at| &self.buckets[at as usize]);
        count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric is a double")]
    fn write(&self, page: &mut String, name: &str, help: &str) {
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut sum = 0;
        for (at, count) in (0..).zip(&self.buckets) {
            sum += count.load(Ordering::Relaxed);
            let seconds = f64::from(1_u32 << at) / 1_000.0;
            let _ = writeln!(page, "{name}_bucket{{le=\"{seconds}\"}} {sum}");
        }
        sum += self.more.load(Ordering::Relaxed);
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1_000_000.0;
        let _ = writeln!(
            page,
            "{name}_bucket{{le=\"+Inf\"}} {sum}\n{name}_sum {seconds}\n{name}_count {sum}"
        );
    }
}

/// Counts, since the start.
#[derive(Debug, Default)]
pub struct Stats {
    bound: AtomicU64,
    refused: AtomicU64,
    unschedulable: AtomicU64,
    preemptions: AtomicU64,
    evicted: AtomicU64,
    attempts: Histogram,
    waits: Histogram,
    pending: [AtomicU64; 4],
    nodes: AtomicU64,
    pods: AtomicU64,
    assumed: AtomicU64,
    leads: AtomicU64,
}

/// Upstream's names of the parts of the queue.
const QUEUES: [&str; 4] = ["active", "backoff", "unschedulable", "gated"];

fn get(from: &AtomicU64) -> u64 {
    from.load(Ordering::Relaxed)
}

fn one_more(to: &AtomicU64) {
    to.fetch_add(1, Ordering::Relaxed);
}

impl Stats {
    /// Pods that were bound.
    pub fn bound(&self) -> u64 {
        get(&self.bound)
    }

    /// Bindings that were refused.
    pub fn refused(&self) -> u64 {
        get(&self.refused)
    }

    /// Times that no node would do.
    pub fn unschedulable(&self) -> u64 {
        get(&self.unschedulable)
    }

    /// Pods that were evicted for others.
    pub fn evicted(&self) -> u64 {
        get(&self.evicted)
    }

    /// Pods that wait, by upstream's names of the parts of the queue.
    pub fn pending(&self) -> [(&'static str, u64); 4] {
        let mut at = 0;
        QUEUES.map(|name| {
            at += 1;
            (name, get(&self.pending[at - 1]))
        })
    }

    /// Whether this replica is the one that schedules.
    pub fn leads(&self) -> bool {
        get(&self.leads) == 1
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads.into(), Ordering::Relaxed);
    }

    /// A pod was bound, so long after it was decided on, and after it was seen first.
    pub(crate) fn add_bound(&self, took: Duration, waited: Duration) {
        one_more(&self.bound);
        self.attempts.add(took);
        self.waits.add(waited);
    }

    pub(crate) fn add_refused(&self, took: Duration) {
        one_more(&self.refused);
        self.attempts.add(took);
    }

    pub(crate) fn add_unschedulable(&self) {
        one_more(&self.unschedulable);
    }

    /// Room is being made on a node.
    pub(crate) fn add_preemption(&self) {
        one_more(&self.preemptions);
    }

    pub(crate) fn add_evicted(&self) {
        one_more(&self.evicted);
    }

    pub(crate) fn set_sizes(&self, queue: QueueSizes, nodes: u32, pods: usize, assumed: usize) {
        let sizes = [queue.active, queue.backoff, queue.unschedulable, queue.gated];
        for (to, size) in self.pending.iter().zip(sizes) {
            to.store(size as u64, Ordering::Relaxed);
        }
        self.nodes.store(nodes.into(), Ordering::Relaxed);
        self.pods.store(pods as u64, Ordering::Relaxed);
        self.assumed.store(assumed as u64, Ordering::Relaxed);
    }

    /// The page of metrics, in Prometheus' text format. `lease` is the name of the Lease, where a leader is elected.
    pub fn page(&self, lease: Option<&str>) -> String {
        let mut page = String::new();
        let mut head = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(page, "{name}{labels} {value}");
            }
        };
        let label =
            |key: &str, value: &str, of: &AtomicU64| (format!("{{{key}=\"{value}\"}}"), get(of));
        let plain = |of: &AtomicU64| [(String::new(), get(of))];
        head(
            "scheduler_schedule_attempts_total",
            "counter",
            "Attempts to schedule pods, by their result.",
            &[
                label("result", "scheduled", &self.bound),
                label("result", "unschedulable", &self.unschedulable),
                label("result", "error", &self.refused),
            ],
        );
        let queues: Vec<_> =
            QUEUES.iter().zip(&self.pending).map(|(name, of)| label("queue", name, of)).collect();
        head("scheduler_pending_pods", "gauge", "Pods that wait, by part of the queue.", &queues);
        head(
            "scheduler_cache_size",
            "gauge",
            "What the scheduler knows of.",
            &[
                label("type", "nodes", &self.nodes),
                label("type", "pods", &self.pods),
                label("type", "assumed_pods", &self.assumed),
            ],
        );
        head(
            "scheduler_preemption_attempts_total",
            "counter",
            "Times that room was made for a pod.",
            &plain(&self.preemptions),
        );
        head(
            "scheduler_preemption_victims_total",
            "counter",
            "Pods that were evicted to make room.",
            &plain(&self.evicted),
        );
        if let Some(lease) = lease {
            head(
                "leader_election_master_status",
                "gauge",
                "Whether this replica is the leader.",
                &[label("name", lease, &self.leads)],
            );
        }
        self.attempts.write(
            &mut page,
            "scheduler_scheduling_attempt_duration_seconds",
            "From the decision on a pod to the answer to its binding.",
        );
        self.waits.write(
            &mut page,
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From when a pod was seen first to when it was bound.",
        );
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_upstreams_names_and_sums_that_add_up() {
        let stats = Stats::default();
        stats.add_bound(Duration::from_micros(900), Duration::from_millis(3));
        stats.add_refused(Duration::from_secs(100));
        stats.add_unschedulable();
        stats.set_leads(true);
        let queue = QueueSizes { active: 1, backoff: 2, unschedulable: 3, gated: 4 };
        stats.set_sizes(queue, 5, 6, 7);
        let page = stats.page(Some("kube-scheduler"));
        for line in [
            "scheduler_schedule_attempts_total{result=\"scheduled\"} 1",
            "scheduler_pending_pods{queue=\"gated\"} 4",
            "scheduler_cache_size{type=\"assumed_pods\"} 7",
            "leader_election_master_status{name=\"kube-scheduler\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{le=\"0.001\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{le=\"16.384\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{le=\"+Inf\"} 2",
            "scheduler_pod_scheduling_sli_duration_seconds_bucket{le=\"0.002\"} 0",
            "scheduler_pod_scheduling_sli_duration_seconds_sum 0.003",
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\n{page}");
        }
        assert_eq!(stats.pending()[3], ("gated", 4));
    }
}
