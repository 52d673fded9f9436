// SPDX-License-Identifier: Apache-2.0
//! Metrics in Prometheus' text format: under kube-scheduler's names where it has one, under `berth_` otherwise.
//!
//! | name | labels | stable |
//! |---|---|---|
//! | scheduler_schedule_attempts_total | result, profile | yes |
//! | scheduler_scheduling_attempt_duration_seconds | | yes |
//! | scheduler_pending_pods | queue | yes |
//! | scheduler_unschedulable_pods | plugin, profile | counts attempts here |
//! | scheduler_preemption_attempts_total, scheduler_preemption_victims_total | | yes |
//! | scheduler_cache_size | type | yes |
//! | berth_revision, berth_class_bytes, berth_classes, berth_templates, berth_leased_pods, berth_nominated_pods | | no |
//! | berth_released_pods_total, berth_overloaded_total, berth_inbox_messages, berth_uptime_seconds | | no |
//! | berth_journal_* | state | no |

use super::clock::Clock;
use crate::sequencer::Counts;
use berth_proto::v1;
use berth_scheduler_core::QueueSizes;
use berth_scheduler_journal::{State, Stats};
use berth_scheduler_model::rules::Plugin;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of an attempt's duration, in nanoseconds: a decision takes a microsecond, one over 100,000 nodes a few
/// milliseconds.
const BOUNDS_NS: [u64; 12] = [
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// What the sequencer's thread shows of itself.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    alive: AtomicBool,
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
    journal: Mutex<Option<Stats>>,
}

/// While it is there, the thread lives.
pub(super) struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.store(false, Ordering::Release);
    }
}

impl Shared {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            alive: AtomicBool::new(true),
            buckets: Default::default(),
            sum_ns: AtomicU64::new(0),
            journal: Mutex::new(None),
        }
    }

    pub(super) fn alive(self: &Arc<Self>) -> Alive {
        Alive(Arc::clone(self))
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// So many attempts took so long together.
    pub(super) fn attempts(&self, took: Duration, attempts: usize) {
        if attempts == 0 {
            return;
        }
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let each = took / attempts as u64;
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < each);
        self.buckets[bucket].fetch_add(attempts as u64, Ordering::Relaxed);
        self.sum_ns.fetch_add(took, Ordering::Relaxed);
    }

    pub(super) fn publish(&self, stats: Stats) {
        *self.journal.lock().unwrap_or_else(PoisonError::into_inner) = Some(stats);
    }

    pub(super) fn journal(&self) -> Option<Stats> {
        *self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uptime_ms(&self) -> u64 {
        self.clock.uptime()
    }
}

/// The journal's counts as a message.
pub(super) fn journal_message(stats: &Stats) -> v1::JournalStats {
    v1::JournalStats {
        log_bytes: stats.log_bytes,
        snapshot_bytes: stats.snapshot_bytes,
        records_total: stats.durable,
        fsyncs_total: stats.frames,
        state: state_name(stats.state).to_owned(),
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Full => "disk full",
        State::Failed => "failed",
    }
}

/// Everything that is known at one moment.
pub(super) struct Scrape {
    pub(super) stats: v1::StatsResponse,
    pub(super) counts: Counts,
    pub(super) queue: QueueSizes,
    pub(super) inbox: usize,
    pub(super) overloaded: usize,
}

/// The page.
pub(super) fn page(scrape: &Scrape, shared: &Shared) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    let counts = &scrape.counts;
    page.head("scheduler_schedule_attempts_total", "counter", "Attempts to place a pod.");
    for profile in &counts.profiles {
        for (result, count) in [("scheduled", profile.placed), ("unschedulable", profile.refused)] {
            let labels = format!("result=\"{result}\",profile=\"{}\"", escaped(&profile.name));
            page.line("scheduler_schedule_attempts_total", &labels, count);
        }
    }
    page.durations(shared);
    page.head("scheduler_pending_pods", "gauge", "Pods that wait, by queue.");
    for (queue, count) in [
        ("active", scrape.queue.active),
        ("backoff", scrape.queue.backoff),
        ("unschedulable", scrape.queue.unschedulable),
        ("gated", scrape.queue.gated),
    ] {
        page.line("scheduler_pending_pods", &format!("queue=\"{queue}\""), count as u64);
    }
    page.head(
        "scheduler_unschedulable_pods",
        "counter",
        "Attempts in which a plugin refused nodes.",
    );
    for profile in &counts.profiles {
        for (plugin, count) in Plugin::ALL.into_iter().zip(profile.by_plugin) {
            if count > 0 {
                let profile = escaped(&profile.name);
                let labels = format!("plugin=\"{plugin}\",profile=\"{profile}\"");
                page.line("scheduler_unschedulable_pods", &labels, count);
            }
        }
    }
    page.head("scheduler_cache_size", "gauge", "Things that the scheduler knows, by type.");
    page.line("scheduler_cache_size", "type=\"nodes\"", u64::from(scrape.stats.nodes));
    page.line("scheduler_cache_size", "type=\"pods\"", u64::from(scrape.stats.pods));
    page.line("scheduler_cache_size", "type=\"assumed_pods\"", u64::from(scrape.stats.leased));
    let stats = &scrape.stats;
    for (name, kind, help, value) in [
        ("scheduler_preemption_attempts_total", "counter", "Nominations.", counts.preemptions),
        ("scheduler_preemption_victims_total", "counter", "Pods asked to go.", counts.victims),
        ("berth_revision", "gauge", "Revision of the state.", stats.revision),
        ("berth_class_bytes", "gauge", "Bytes of compiled classes.", stats.class_bytes),
        ("berth_classes", "gauge", "Compiled classes.", u64::from(stats.classes)),
        ("berth_templates", "gauge", "Registered templates.", u64::from(stats.templates)),
        ("berth_leased_pods", "gauge", "Placements to be confirmed.", u64::from(stats.leased)),
        ("berth_nominated_pods", "gauge", "Pods with a nomination.", u64::from(stats.nominated)),
        ("berth_released_pods_total", "counter", "Pods given back.", counts.released),
        ("berth_overloaded_total", "counter", "Requests not taken up.", scrape.overloaded as u64),
        ("berth_inbox_messages", "gauge", "Messages that wait.", scrape.inbox as u64),
        ("berth_uptime_seconds", "gauge", "Since the start.", shared.uptime_ms() / 1_000),
    ] {
        page.head(name, kind, help);
        page.line(name, "", value);
    }
    if let Some(journal) = shared.journal() {
        page.journal(&journal);
    }
    page.0
}

/// Label values are names that users gave.
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

    fn durations(&mut self, shared: &Shared) {
        let name = "scheduler_scheduling_attempt_duration_seconds";
        self.head(name, "histogram", "Duration of an attempt: the mean of its message.");
        let mut count = 0;
        for (bucket, bound) in shared.buckets.iter().zip(BOUNDS_NS) {
            count += bucket.load(Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
            let bound = bound as f64 / 1e9;
            self.line(&format!("{name}_bucket"), &format!("le=\"{bound}\""), count);
        }
        count += shared.buckets[BOUNDS_NS.len()].load(Ordering::Relaxed);
        self.line(&format!("{name}_bucket"), "le=\"+Inf\"", count);
        #[expect(clippy::cast_precision_loss, reason = "a sum of durations")]
        let sum = shared.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        let _ = writeln!(self.0, "{name}_sum {sum}");
        self.line(&format!("{name}_count"), "", count);
    }

    fn journal(&mut self, stats: &Stats) {
        for (name, kind, help, value) in [
            ("berth_journal_log_bytes", "gauge", "Bytes of the log on disk.", stats.log_bytes),
            (
                "berth_journal_snapshot_bytes",
                "gauge",
                "Bytes of the snapshot.",
                stats.snapshot_bytes,
            ),
            ("berth_journal_written_bytes_total", "counter", "Bytes written.", stats.frame_bytes),
            ("berth_journal_fsyncs_total", "counter", "Group commits.", stats.frames),
            ("berth_journal_batches_total", "counter", "Batches on disk.", stats.durable),
            ("berth_journal_snapshots_total", "counter", "Snapshots finished.", stats.snapshots),
            (
                "berth_journal_snapshots_failed_total",
                "counter",
                "Snapshots given up.",
                stats.snapshots_failed,
            ),
        ] {
            self.head(name, kind, help);
            self.line(name, "", value);
        }
        self.head("berth_journal_state", "gauge", "1 for the state it is in.");
        for state in [State::Ok, State::Full, State::Failed] {
            let labels = format!("state=\"{}\"", state_name(state));
            self.line("berth_journal_state", &labels, u64::from(state == stats.state));
        }
    }
}
