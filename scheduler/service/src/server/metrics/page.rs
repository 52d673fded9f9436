// SPDX-License-Identifier: Apache-2.0
//! Metrics in Prometheus' text format: under kube-scheduler's names where it has one, under `berth_` otherwise.
//!
//! | name | labels | stable |
//! |---|---|---|
//! | scheduler_schedule_attempts_total | result, profile | yes |
//! | scheduler_scheduling_attempt_duration_seconds | result | yes |
//! | scheduler_pod_scheduling_attempts | | yes |
//! | scheduler_pending_pods | queue | yes |
//! | scheduler_queue_incoming_pods_total | event, queue | yes |
//! | scheduler_unschedulable_pods | plugin | yes |
//! | scheduler_preemption_attempts_total, scheduler_preemption_victims | | yes |
//! | scheduler_cache_size | type | yes |
//! | berth_refusals_total | plugin, profile | no |
//! | berth_revision, berth_class_bytes, berth_classes, berth_templates, berth_leased_pods, berth_nominated_pods | | no |
//! | berth_released_pods_total, berth_overloaded_total, berth_inbox_messages, berth_uptime_seconds | | no |
//! | berth_journal_* | state | no |

use super::{BOUNDS_NS, Scrape, Shared, state_name};
use crate::sequencer::{Counts, Histogram};
use berth_scheduler_journal::{State, Stats};
use berth_scheduler_model::rules::Plugin;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// The page.
pub(in crate::server) fn page(scrape: &Scrape, shared: &Shared) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    page.attempts(&scrape.counts, shared);
    page.queue(scrape);
    page.preemption(&scrape.counts);
    page.state(scrape, shared);
    if let Some(journal) = shared.journal() {
        page.journal(&journal);
    }
    page.0
}

/// Label values may be names that users gave.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn attempts(&mut self, counts: &Counts, shared: &Shared) {
        let name = "scheduler_schedule_attempts_total";
        self.head(name, "counter", "Attempts to place a pod.");
        for profile in &counts.profiles {
            let profile_name = escaped(&profile.name);
            for (result, count) in
                [("scheduled", profile.placed), ("unschedulable", profile.refused)]
            {
                let labels = format!("result=\"{result}\",profile=\"{profile_name}\"");
                self.line(name, &labels, count);
            }
        }
        let name = "scheduler_scheduling_attempt_duration_seconds";
        self.head(name, "histogram", "Duration of an attempt: the mean of its message.");
        for (durations, result) in shared.durations.iter().zip(["scheduled", "unschedulable"]) {
            let result = format!("result=\"{result}\"");
            let mut count = 0;
            for (bucket, bound) in durations.buckets.iter().zip(BOUNDS_NS) {
                count += bucket.load(Ordering::Relaxed);
                let labels = format!("{result},le=\"{}\"", seconds(bound));
                self.line(&format!("{name}_bucket"), &labels, count);
            }
            count += durations.buckets[BOUNDS_NS.len()].load(Ordering::Relaxed);
            self.line(&format!("{name}_bucket"), &format!("{result},le=\"+Inf\""), count);
            let sum = seconds(durations.sum_ns.load(Ordering::Relaxed));
            let _ = writeln!(self.0, "{name}_sum{{{result}}} {sum}");
            self.line(&format!("{name}_count"), &result, count);
        }
        let name = "scheduler_pod_scheduling_attempts";
        self.histogram(name, "Attempts until a pod was placed.", &counts.attempts);
        let name = "berth_refusals_total";
        self.head(name, "counter", "Attempts in which a plugin refused nodes.");
        for profile in &counts.profiles {
            for (plugin, count) in Plugin::ALL.into_iter().zip(profile.by_plugin) {
                if count > 0 {
                    let profile = escaped(&profile.name);
                    let labels = format!("plugin=\"{plugin}\",profile=\"{profile}\"");
                    self.line(name, &labels, count);
                }
            }
        }
    }

    fn queue(&mut self, scrape: &Scrape) {
        let name = "scheduler_pending_pods";
        self.head(name, "gauge", "Pods that wait, by queue.");
        for (queue, count) in [
            ("active", scrape.queue.active),
            ("backoff", scrape.queue.backoff),
            ("unschedulable", scrape.queue.unschedulable),
            ("gated", scrape.queue.gated),
        ] {
            self.line(name, &format!("queue=\"{queue}\""), count as u64);
        }
        let name = "scheduler_queue_incoming_pods_total";
        self.head(name, "counter", "Pods put into the queue, by what put them there.");
        for (event, queue, count) in [
            ("PodAdd", "active", scrape.counts.queued),
            ("ScheduleAttemptFailure", "unschedulable", scrape.counts.requeued),
        ] {
            self.line(name, &format!("event=\"{event}\",queue=\"{queue}\""), count);
        }
        let name = "scheduler_unschedulable_pods";
        self.head(name, "gauge", "Waiting pods by the plugins that refused nodes last.");
        for (plugin, count) in Plugin::ALL.into_iter().zip(scrape.unschedulable) {
            self.line(name, &format!("plugin=\"{plugin}\""), count);
        }
    }

    fn preemption(&mut self, counts: &Counts) {
        let victims = &counts.victims;
        let count = victims.buckets.iter().sum::<u64>() + victims.above;
        self.single("scheduler_preemption_attempts_total", "counter", "Nominations.", count);
        let name = "scheduler_preemption_victims";
        self.histogram(name, "Pods that have to go for one nomination.", victims);
    }

    fn state(&mut self, scrape: &Scrape, shared: &Shared) {
        let stats = &scrape.stats;
        let name = "scheduler_cache_size";
        self.head(name, "gauge", "Things that the scheduler knows, by type.");
        for (kind, count) in
            [("nodes", stats.nodes), ("pods", stats.pods), ("assumed_pods", stats.leased)]
        {
            self.line(name, &format!("type=\"{kind}\""), u64::from(count));
        }
        for (name, kind, help, value) in [
            ("berth_revision", "gauge", "Revision of the state.", stats.revision),
            ("berth_class_bytes", "gauge", "Bytes of compiled classes.", stats.class_bytes),
            ("berth_classes", "gauge", "Compiled classes.", u64::from(stats.classes)),
            ("berth_templates", "gauge", "Registered templates.", u64::from(stats.templates)),
            ("berth_leased_pods", "gauge", "Placements to be confirmed.", u64::from(stats.leased)),
            (
                "berth_nominated_pods",
                "gauge",
                "Pods with a nomination.",
                u64::from(stats.nominated),
            ),
            ("berth_released_pods_total", "counter", "Pods given back.", scrape.counts.released),
            (
                "berth_overloaded_total",
                "counter",
                "Requests not taken up for overload.",
                scrape.overloaded as u64,
            ),
            ("berth_inbox_messages", "gauge", "Messages that wait.", scrape.inbox as u64),
            ("berth_uptime_seconds", "gauge", "Since the start.", shared.uptime_ms() / 1_000),
        ] {
            self.single(name, kind, help, value);
        }
    }

    fn histogram<const BUCKETS: usize>(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram<BUCKETS>,
    ) {
        self.head(name, "histogram", help);
        let mut count = 0;
        for (place, bucket) in histogram.buckets.iter().enumerate() {
            count += bucket;
            self.line(&format!("{name}_bucket"), &format!("le=\"{}\"", 1_u64 << place), count);
        }
        count += histogram.above;
        self.line(&format!("{name}_bucket"), "le=\"+Inf\"", count);
        self.line(&format!("{name}_sum"), "", histogram.sum);
        self.line(&format!("{name}_count"), "", count);
    }

    fn journal(&mut self, stats: &Stats) {
        for (name, kind, help, value) in [
            ("log_bytes", "gauge", "Bytes of the log on disk.", stats.log_bytes),
            ("snapshot_bytes", "gauge", "Bytes of the snapshot.", stats.snapshot_bytes),
            ("written_bytes_total", "counter", "Bytes written to the log.", stats.frame_bytes),
            ("fsyncs_total", "counter", "Group commits.", stats.frames),
            ("batches_total", "counter", "Number of the last batch on disk.", stats.durable),
            ("snapshots_total", "counter", "Snapshots finished.", stats.snapshots),
            ("snapshots_failed_total", "counter", "Snapshots given up.", stats.snapshots_failed),
        ] {
            self.single(&format!("berth_journal_{name}"), kind, help, value);
        }
        self.head("berth_journal_state", "gauge", "1 for the state it is in.");
        for state in [State::Ok, State::Full, State::Failed] {
            let labels = format!("state=\"{}\"", state_name(state));
            self.line("berth_journal_state", &labels, u64::from(state == stats.state));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown to people and to Prometheus, which has doubles"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
