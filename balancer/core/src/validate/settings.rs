// SPDX-License-Identifier: Apache-2.0
//! Judges the settings of a service, against each other and against its ports.

use super::Judge;
use crate::limits::{AFFINITY_NS_MAX, DURATION_NS_MAX, RATE_MAX, SOURCE_RANGES_MAX};
use crate::model::{DataPath, HealthCheck, Limits, Node, Outlier, Probe, Protocol, ProxyProtocol};
use crate::model::{Service, Settings, Timeouts};
use crate::problem::Fault;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// A field of something; its text is made for problems only.
#[derive(Clone, Copy)]
struct At<'a> {
    outer: &'a dyn Fn() -> String,
    field: &'static str,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", (self.outer)(), self.field)
    }
}

pub(super) fn settings(
    path: impl Fn() -> String,
    service: &Service,
    node: &Node,
    judge: &mut Judge,
) {
    let settings = &service.settings;
    let path = At { outer: &path, field: "settings" };
    judge.length(
        || format!("{path}.source_ranges"),
        settings.source_ranges.len(),
        SOURCE_RANGES_MAX,
    );
    for (at, range) in settings.source_ranges.iter().enumerate() {
        if !range.is_valid() {
            judge.note(format!("{path}.source_ranges[{at}]"), Fault::Range(*range));
        }
    }
    if let Some(affinity) = settings.affinity {
        let path = || format!("{path}.affinity.timeout_ns");
        judge.range(path, affinity.timeout_ns, 1, AFFINITY_NS_MAX);
    }
    limits(path, &settings.limits, judge);
    if let Some(slow) = settings.slow_start {
        judge.range(|| format!("{path}.slow_start.window_ns"), slow.window_ns, 1, DURATION_NS_MAX);
        judge.range(|| format!("{path}.slow_start.percent_min"), slow.percent_min.into(), 1, 100);
    }
    if let Some(outlier) = &settings.outlier {
        self::outlier(path, outlier, judge);
    }
    judge.range(|| format!("{path}.drain_ns"), settings.drain_ns, 0, DURATION_NS_MAX);
    timeouts(path, &settings.timeouts, judge);
    if let Some(check) = &settings.health_check {
        health_check(path, check, judge);
    }
    if let Some(port) = settings.health_check_node_port {
        let (least, most) = node.node_ports.unwrap_or((1, 65_535));
        let path = || format!("{path}.health_check_node_port");
        judge.range(path, port.into(), least.into(), most.into());
    }
    proxy(path, service, judge);
    fast(path, settings, judge);
}

fn limits(path: At<'_>, limits: &Limits, judge: &mut Judge) {
    let counts = [
        ("connections_max", limits.connections_max),
        ("connections_per_endpoint_max", limits.connections_per_endpoint_max),
        ("connections_per_source_max", limits.connections_per_source_max),
    ];
    for (field, count) in counts {
        let count = count.map_or(1, u64::from);
        judge.range(|| format!("{path}.limits.{field}"), count, 1, u32::MAX.into());
    }
    let rates = [
        ("rate_per_endpoint", limits.rate_per_endpoint),
        ("rate_per_source", limits.rate_per_source),
    ];
    for (field, rate) in rates {
        let Some(rate) = rate else { continue };
        let path = At { outer: &|| format!("{path}.limits"), field };
        judge.range(|| format!("{path}.per_second"), rate.per_second.into(), 1, RATE_MAX.into());
        judge.range(|| format!("{path}.burst"), rate.burst.into(), 1, u32::MAX.into());
    }
}

fn outlier(path: At<'_>, outlier: &Outlier, judge: &mut Judge) {
    let path = At { outer: &|| path.to_string(), field: "outlier" };
    judge.range(|| format!("{path}.failures"), outlier.failures.into(), 1, u16::MAX.into());
    judge.range(|| format!("{path}.ejection_ns"), outlier.ejection_ns, 1, DURATION_NS_MAX);
    judge.range(|| format!("{path}.ejection_ns_max"), outlier.ejection_ns_max, 1, DURATION_NS_MAX);
    judge.range(|| format!("{path}.percent_max"), outlier.percent_max.into(), 0, 100);
    if outlier.ejection_ns > outlier.ejection_ns_max {
        judge.note(format!("{path}.ejection_ns"), Fault::Above { field: "ejection_ns_max" });
    }
}

fn timeouts(path: At<'_>, timeouts: &Timeouts, judge: &mut Judge) {
    let all = [
        ("connect_ns", Some(timeouts.connect_ns)),
        ("first_byte_ns", timeouts.first_byte_ns),
        ("idle_ns", timeouts.idle_ns),
        ("age_ns_max", timeouts.age_ns_max),
        ("udp_unreplied_ns", Some(timeouts.udp_unreplied_ns)),
        ("udp_replied_ns", Some(timeouts.udp_replied_ns)),
    ];
    for (field, value) in all {
        let value = value.unwrap_or(1);
        judge.range(|| format!("{path}.timeouts.{field}"), value, 1, DURATION_NS_MAX);
    }
}

fn health_check(path: At<'_>, check: &HealthCheck, judge: &mut Judge) {
    let path = At { outer: &|| path.to_string(), field: "health_check" };
    judge.range(|| format!("{path}.port"), check.port.map_or(1, u64::from), 1, 65_535);
    judge.range(|| format!("{path}.interval_ns"), check.interval_ns, 1_000_000, DURATION_NS_MAX);
    judge.range(|| format!("{path}.timeout_ns"), check.timeout_ns, 1, DURATION_NS_MAX);
    if check.timeout_ns > check.interval_ns {
        judge.note(format!("{path}.timeout_ns"), Fault::Above { field: "interval_ns" });
    }
    judge.range(|| format!("{path}.rise"), check.rise.into(), 1, u16::MAX.into());
    judge.range(|| format!("{path}.fall"), check.fall.into(), 1, u16::MAX.into());
    if let Probe::Http { path: target, .. } = &check.probe
        && !target.starts_with('/')
    {
        judge.note(format!("{path}.probe.path"), Fault::MustBeginWith('/'));
    }
}

/// The line of text knows TCP only, and its header comes first in a stream: a UDP port has neither.
fn proxy(path: At<'_>, service: &Service, judge: &mut Judge) {
    let udp = service.ports.iter().any(|port| port.protocol == Protocol::Udp);
    let both = [("proxy_in", service.settings.proxy_in), ("proxy_out", service.settings.proxy_out)];
    for (field, version) in both {
        if udp && version == ProxyProtocol::V1 {
            let because = "version 1 of the PROXY protocol knows TCP only";
            let fault = Fault::Excludes { other: "a UDP port", because };
            judge.note(format!("{path}.{field}"), fault);
        }
    }
}

/// What only the proxy can do, since the kernel's forwarding sees packets and not connections.
fn fast(path: At<'_>, settings: &Settings, judge: &mut Judge) {
    if settings.path != DataPath::Fast {
        return;
    }
    let asked = [
        ("proxy_in", settings.proxy_in != ProxyProtocol::Off),
        ("proxy_out", settings.proxy_out != ProxyProtocol::Off),
        ("timeouts.first_byte_ns", settings.timeouts.first_byte_ns.is_some()),
    ];
    for (other, _) in asked.into_iter().filter(|(_, asked)| *asked) {
        let fault = Fault::Excludes { other, because: "only the proxy path has it" };
        judge.note(format!("{path}.path"), fault);
    }
}
