// SPDX-License-Identifier: Apache-2.0
//! Metrics in Prometheus' text format. All begin with `berth_balancer_`.
//!
//! | name | labels | stable |
//! |---|---|---|
//! | connections_active, connections_total, retries_total, received_bytes_total, sent_bytes_total | service, port, protocol | yes |
//! | refused_total | service, port, protocol, reason | yes |
//! | connect_seconds, first_byte_seconds (histograms) | service, port, protocol | yes |
//! | endpoint_connections_active, _connections_total, _failures_total, _ejections_total, _healthy, _latency_seconds, bytes | service, port, endpoint | yes |
//! | change_to_effect_seconds (histogram), updates_total | result | yes |
//! | file_refused (1 while the file is), health_checks_total, revision, services, unserved_addresses | | yes |
//! | data_plane_up, data_plane_restarts_total, shortcut, worker_* | worker | no |
//!
//! Cardinality is bounded: series of endpoints stop at [`ENDPOINTS_MAX`], those of services at [`PORTS_MAX`], and a gauge says how
//! many were left out.

use crate::control::{EFFECT_BOUNDS_NS, Shared};
use crate::health::Counts;
use berth_balancer_data::stats::{
    FastCount, Histogram, LATENCY_BOUNDS_NS, PortStats, REFUSALS, Stats,
};
use std::fmt::Write;

/// Endpoints with series of their own: of each ten series, half a million lines at most.
const ENDPOINTS_MAX: usize = 50_000;
/// Ports of services with series of their own.
const PORTS_MAX: usize = 10_000;
/// Ports of services whose latencies have histograms: some fifty lines each.
const HISTOGRAMS_MAX: usize = 1_000;

/// The page.
pub(super) fn page(shared: &Shared, checks: &Counts, stats: Option<&Stats>) -> String {
    let mut page = Page(String::with_capacity(64 << 10));
    page.service(shared, checks, stats.is_some());
    if let Some(stats) = stats {
        page.workers(stats);
        let help = "1 while clients that come over no bridge are accepted on the host.";
        page.single("shortcut", "gauge", help, u64::from(stats.addresses.has_shortcut));
        page.fast(&stats.fast);
        page.ports(&stats.ports[..stats.ports.len().min(PORTS_MAX)]);
        page.endpoints(stats);
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
        let _ = writeln!(
            self.0,
            "# HELP berth_balancer_{name} {help}\n# TYPE berth_balancer_{name} {kind}"
        );
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "berth_balancer_{name} {value}")
        } else {
            writeln!(self.0, "berth_balancer_{name}{{{labels}}} {value}")
        };
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn service(&mut self, shared: &Shared, checks: &Counts, up: bool) {
        let moment = shared.moment();
        let refused = moment.file.as_ref().is_some_and(|file| file.problems.is_some());
        for (name, help, value) in [
            ("revision", "Revision of the table that all workers use.", moment.revision),
            ("services", "Services that are served.", moment.services as u64),
            ("endpoints", "Ports of endpoints of all services.", moment.endpoints as u64),
            ("unhealthy", "Those that active checks found unhealthy.", moment.unhealthy as u64),
            (
                "unserved_addresses",
                "Addresses that cannot be served.",
                moment.unserved.len() as u64,
            ),
            ("file_refused", "1 while the configuration file is refused.", u64::from(refused)),
            (
                "data_plane_up",
                "1 while the data plane answers.",
                u64::from(up && moment.trouble.is_none()),
            ),
        ] {
            self.single(name, "gauge", help, value);
        }
        let help = "Times that the data plane had to be started anew.";
        self.single("data_plane_restarts_total", "counter", help, moment.plane.restarts);
        self.head("updates_total", "counter", "Updates of what is wanted, by what became of them.");
        for (result, count) in ["taken", "refused", "overloaded"].into_iter().zip(shared.counts()) {
            self.line("updates_total", &format!("result=\"{result}\""), count);
        }
        let (buckets, sum) = shared.effect().read();
        let name = "change_to_effect_seconds";
        self.head(name, "histogram", "From the receipt of a change until every worker used it.");
        self.buckets(name, "", &buckets, &EFFECT_BOUNDS_NS, sum);
        let [passed, failed, late, machines] = checks.read();
        self.head("health_checks_total", "counter", "Active checks, by result.");
        self.line("health_checks_total", "result=\"passed\"", passed);
        self.line("health_checks_total", "result=\"failed\"", failed);
        let help = "Times that checks had to wait since too many ran.";
        self.single("health_checks_late_total", "counter", help, late);
        let help = "Addresses of endpoints that are checked.";
        self.single("health_checked", "gauge", help, machines);
    }

    fn workers(&mut self, stats: &Stats) {
        type Read = fn(&berth_balancer_data::stats::WorkerStats) -> u64;
        let all: [(&str, &str, &str, Read); 11] = [
            ("worker_connections", "gauge", "Connections now.", |w| w.connections),
            ("worker_flows", "gauge", "UDP flows now.", |w| w.flows),
            ("worker_accepted_total", "counter", "Connections accepted.", |w| w.accepted),
            ("worker_shortcut_total", "counter", "Those that the shortcut brought.", |w| {
                w.shortcut
            }),
            ("worker_paused_total", "counter", "Pauses of accepting, at a bound.", |w| w.paused),
            ("worker_crowded_total", "counter", "Closed: their source has too many.", |w| {
                w.crowded
            }),
            ("worker_evicted_total", "counter", "UDP flows that went for new ones.", |w| w.evicted),
            ("worker_dropped_total", "counter", "Datagrams that were dropped.", |w| w.dropped),
            ("worker_malformed_total", "counter", "Malformed PROXY headers.", |w| w.malformed),
            ("worker_timed_out_total", "counter", "Cut by a timeout.", |w| w.timed_out),
            ("worker_talks_total", "counter", "Connections handed to io_uring.", |w| w.talks),
        ];
        for (name, kind, help, read) in all {
            self.head(name, kind, help);
            for (at, worker) in stats.workers.iter().enumerate() {
                self.line(name, &format!("worker=\"{at}\""), read(worker));
            }
        }
    }

    fn fast(&mut self, counts: &[FastCount]) {
        for FastCount { name, value } in counts {
            if name.ends_with("_flows") {
                self.single(&format!("fast_{name}"), "gauge", "Flows that are booked.", *value);
            } else {
                let help = "Of the fast path: see docs/balancer-fast-path.md.";
                self.single(&format!("fast_{name}_total"), "counter", help, *value);
            }
        }
    }

    fn ports(&mut self, ports: &[PortStats]) {
        type Read = fn(&PortStats) -> u64;
        type Latency = fn(&PortStats) -> &Histogram;
        let all: [(&str, &str, &str, Read); 5] = [
            ("connections_active", "gauge", "Connections, or UDP flows, now.", |p| p.active),
            ("connections_total", "counter", "Connections, or UDP flows, let in.", |p| p.accepted),
            ("retries_total", "counter", "Tried with another endpoint.", |p| p.retries),
            ("received_bytes_total", "counter", "Bytes from clients.", |p| p.bytes_in),
            ("sent_bytes_total", "counter", "Bytes to clients.", |p| p.bytes_out),
        ];
        for (name, kind, help, read) in all {
            self.head(name, kind, help);
            for port in ports {
                self.line(name, &labels(port), read(port));
            }
        }
        self.head("refused_total", "counter", "Connections that got no endpoint.");
        for port in ports {
            for (reason, count) in REFUSALS.iter().zip(&port.refused).filter(|(_, c)| **c > 0) {
                let labels = format!("{},reason=\"{reason}\"", labels(port));
                self.line("refused_total", &labels, *count);
            }
        }
        let all: [(&str, &str, Latency); 2] = [
            ("connect_seconds", "Until endpoints accepted a connection.", |p| &p.connect),
            ("first_byte_seconds", "From a client's bytes to the endpoint's.", |p| &p.first_byte),
        ];
        for (name, help, read) in all {
            self.head(name, "histogram", help);
            let used = ports.iter().filter(|port| !read(port).buckets.iter().all(|b| *b == 0));
            for port in used.take(HISTOGRAMS_MAX) {
                let histogram = read(port);
                let (buckets, sum) = (&histogram.buckets, histogram.sum_ns);
                self.buckets(name, &labels(port), buckets, &LATENCY_BOUNDS_NS, sum);
            }
        }
    }

    fn endpoints(&mut self, stats: &Stats) {
        type Read = fn(&berth_balancer_data::stats::EndpointStats) -> u64;
        let all: [(&str, &str, &str, Read); 7] = [
            ("endpoint_connections_active", "gauge", "Connections now.", |e| e.active),
            ("endpoint_connections_total", "counter", "Connections given to it.", |e| e.opened),
            ("endpoint_failures_total", "counter", "Attempts that failed.", |e| e.failed),
            ("endpoint_ejections_total", "counter", "Ejections by workers.", |e| e.ejected),
            ("endpoint_sent_bytes_total", "counter", "Bytes to it.", |e| e.bytes_in),
            ("endpoint_received_bytes_total", "counter", "Bytes from it.", |e| e.bytes_out),
            ("endpoint_healthy", "gauge", "1 unless checks speak against it.", |e| {
                u64::from(e.is_healthy)
            }),
        ];
        let endpoints = || {
            let each = |port| {
                let port: &PortStats = port;
                port.endpoints.iter().map(move |endpoint| (port, endpoint))
            };
            stats.ports.iter().flat_map(each).take(ENDPOINTS_MAX)
        };
        let labelled: Vec<String> = endpoints()
            .map(|(port, endpoint)| {
                let (service, name) = (escaped(&port.service), escaped(&endpoint.name));
                format!(
                    "service=\"{service}\",port=\"{}\",endpoint=\"{name}\"",
                    escaped(&port.port)
                )
            })
            .collect();
        for (name, kind, help, read) in all {
            self.head(name, kind, help);
            for ((_, endpoint), labels) in endpoints().zip(&labelled) {
                self.line(name, labels, read(endpoint));
            }
        }
        let name = "endpoint_latency_seconds";
        self.head(name, "gauge", "Latency to expect of it, the worst that a worker sees.");
        for ((_, endpoint), labels) in endpoints().zip(&labelled) {
            let latency = seconds(endpoint.latency_ns);
            let _ = writeln!(self.0, "berth_balancer_{name}{{{labels}}} {latency}");
        }
        let there: usize = stats.ports.iter().map(|port| port.endpoints.len()).sum();
        let left =
            there.saturating_sub(ENDPOINTS_MAX) + stats.ports.len().saturating_sub(PORTS_MAX);
        let help = "Ports and endpoints that have no series, for the sake of a bound.";
        self.single("series_left_out", "gauge", help, left as u64);
    }

    fn buckets(&mut self, name: &str, labels: &str, buckets: &[u64], bounds: &[u64], sum: u64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bucket, bound) in buckets.iter().zip(bounds) {
            count += bucket;
            let labels = format!("{labels}{comma}le=\"{}\"", seconds(*bound));
            self.line(&format!("{name}_bucket"), &labels, count);
        }
        count += buckets.get(bounds.len()).copied().unwrap_or(0);
        self.line(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"+Inf\""), count);
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "berth_balancer_{name}_sum{braced} {}", seconds(sum));
        self.line(&format!("{name}_count"), labels, count);
    }
}

fn labels(port: &PortStats) -> String {
    let (service, name) = (escaped(&port.service), escaped(&port.port));
    let protocol = port.protocol.to_string();
    format!("service=\"{service}\",port=\"{name}\",protocol=\"{protocol}\"")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown to people and to Prometheus, which has doubles"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
