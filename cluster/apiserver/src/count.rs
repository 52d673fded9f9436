// SPDX-License-Identifier: Apache-2.0
//! How many requests there were, how they ended and how long they took, under upstream's names of metrics. Labels come from fixed sets: no
//! client can make more of them (CVE-2020-8552).

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What requests are counted as.
const VERBS: [&str; 11] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "connect",
    "page",
    "other",
];
/// Statuses that are told apart; the last is any other.
const CODES: [u16; 20] = [
    200, 201, 304, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503, 504, 505,
    0,
];
/// Upper bounds of latencies in microseconds; above the last there is no bound.
const BOUNDS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 60_000_000,
];
/// Threads that share no counts: a count that all change is slow.
const SHARDS: usize = 8;

/// Counts of one verb.
#[derive(Debug)]
#[repr(align(128))]
struct OfVerb {
    codes: [AtomicU64; CODES.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Default for OfVerb {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            codes: std::array::from_fn(zero),
            buckets: std::array::from_fn(zero),
            micros: AtomicU64::new(0),
        }
    }
}

/// Counts of requests.
#[derive(Debug)]
pub(crate) struct Requests(Box<[[OfVerb; VERBS.len()]]>);

impl Default for Requests {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| std::array::from_fn(|_| OfVerb::default())).collect())
    }
}

impl Requests {
    /// Counts one. A watch is counted when it begins, and its duration is not.
    pub(crate) fn count(&self, verb: &str, code: u16, took: Duration) {
        let verb = VERBS.iter().position(|known| *known == verb).unwrap_or(VERBS.len() - 1);
        let code = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1);
        let Some(of) = self.0.get(shard()).and_then(|shard| shard.get(verb)) else { return };
        let add = |counts: &[AtomicU64], at: usize, what: u64| {
            if let Some(count) = counts.get(at) {
                count.fetch_add(what, Ordering::Relaxed);
            }
        };
        add(&of.codes, code, 1);
        if VERBS[verb] != "watch" {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            add(&of.buckets, BOUNDS.partition_point(|bound| *bound < micros), 1);
            of.micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Appends them in the text format of Prometheus. Series that nobody has begun are left out.
    pub(crate) fn write(&self, page: &mut String) {
        let sum = |verb: usize, of: &dyn Fn(&OfVerb) -> u64| -> u64 {
            self.0.iter().filter_map(|shard| shard.get(verb)).map(of).sum()
        };
        page.push_str(
            "# HELP apiserver_request_total Requests by verb and status.\n# TYPE apiserver_request_total counter\n",
        );
        for (at, verb) in VERBS.iter().enumerate() {
            for (place, code) in CODES.iter().enumerate() {
                let count = sum(at, &|of| of.codes[place].load(Ordering::Relaxed));
                let code = if *code == 0 { "other".to_owned() } else { code.to_string() };
                if count > 0 {
                    let _ = writeln!(
                        page,
                        "apiserver_request_total{{verb=\"{verb}\",code=\"{code}\"}} {count}"
                    );
                }
            }
        }
        let name = "apiserver_request_duration_seconds";
        let _ = writeln!(
            page,
            "# HELP {name} Time until an answer began, by verb.\n# TYPE {name} histogram"
        );
        for (at, verb) in VERBS.iter().enumerate() {
            let mut below = 0;
            let counts: Vec<u64> = (0..=BOUNDS.len())
                .map(|place| sum(at, &|of| of.buckets[place].load(Ordering::Relaxed)))
                .collect();
            if counts.iter().all(|count| *count == 0) {
                continue;
            }
            for (place, count) in counts.iter().enumerate() {
                below += count;
                let bound = BOUNDS.get(place).map_or("+Inf".to_owned(), |bound| seconds(*bound));
                let _ = writeln!(page, "{name}_bucket{{verb=\"{verb}\",le=\"{bound}\"}} {below}");
            }
            let micros = sum(at, &|of| of.micros.load(Ordering::Relaxed));
            let _ = writeln!(page, "{name}_sum{{verb=\"{verb}\"}} {}", seconds(micros));
            let _ = writeln!(page, "{name}_count{{verb=\"{verb}\"}} {below}");
        }
    }
}

/// Microseconds as seconds: `0.00025`.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The counts of this thread.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<Option<usize>> = const { Cell::new(None) });
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            own.set(Some(shard));
            shard
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_under_known_labels_only() {
        let requests = Requests::default();
        requests.count("get", 200, Duration::from_micros(250));
        requests.count("get", 404, Duration::from_micros(251));
        requests.count("get", 200, Duration::from_secs(100));
        requests.count("watch", 200, Duration::from_secs(9));
        requests.count("BREW", 418, Duration::ZERO);
        let mut page = String::new();
        requests.write(&mut page);
        for line in [
            "apiserver_request_total{verb=\"get\",code=\"200\"} 2",
            "apiserver_request_total{verb=\"get\",code=\"404\"} 1",
            "apiserver_request_total{verb=\"watch\",code=\"200\"} 1",
            "apiserver_request_total{verb=\"other\",code=\"other\"} 1",
            "apiserver_request_duration_seconds_bucket{verb=\"get\",le=\"0.00025\"} 1",
            "apiserver_request_duration_seconds_bucket{verb=\"get\",le=\"0.0005\"} 2",
            "apiserver_request_duration_seconds_bucket{verb=\"get\",le=\"60\"} 2",
            "apiserver_request_duration_seconds_bucket{verb=\"get\",le=\"+Inf\"} 3",
            "apiserver_request_duration_seconds_sum{verb=\"get\"} 100.000501",
            "apiserver_request_duration_seconds_count{verb=\"get\"} 3",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} in\n{page}");
        }
        assert!(!page.contains("duration_seconds_count{verb=\"watch\"}"));
        assert!(!page.contains("BREW") && !page.contains("418"));
    }
}
