// SPDX-License-Identifier: Apache-2.0
//! How a service's flows are treated. What is not said stays as it is: as in `defaults`, or as the balancer has it.

use super::fields::{Fields, kind, word};
use super::value::Value;
use crate::duration;
use berth_balancer_core::model::{
    Algorithm, ClientIp, DataPath, Distribution, HashKey, HealthCheck, Limits, Probe,
    ProxyProtocol, Rate, Settings, SlowStart, SourceAddress, TrafficPolicy,
};

const POLICIES: [(&str, TrafficPolicy); 2] =
    [("cluster", TrafficPolicy::Cluster), ("local", TrafficPolicy::Local)];
const DISTRIBUTIONS: [(&str, Distribution); 3] = [
    ("any", Distribution::Any),
    ("prefer_same_zone", Distribution::PreferSameZone),
    ("prefer_same_node", Distribution::PreferSameNode),
];
const HASHES: [(&str, HashKey); 2] = [("source", HashKey::Source), ("flow", HashKey::Flow)];
const ALGORITHMS: [(&str, Algorithm); 8] = [
    ("peak_ewma", Algorithm::PeakEwma),
    ("power_of_two", Algorithm::PowerOfTwo),
    ("least_connections", Algorithm::LeastConnections),
    ("round_robin", Algorithm::RoundRobin),
    ("smooth_weighted", Algorithm::SmoothWeighted),
    ("maglev", Algorithm::Maglev(HashKey::Source)),
    ("ring_hash", Algorithm::RingHash(HashKey::Source)),
    ("random", Algorithm::Random),
];
const PROXIES: [(&str, ProxyProtocol); 3] =
    [("off", ProxyProtocol::Off), ("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
const PATHS: [(&str, DataPath); 3] =
    [("auto", DataPath::Auto), ("fast", DataPath::Fast), ("proxy", DataPath::Proxy)];
const SOURCES: [(&str, SourceAddress); 3] = [
    ("auto", SourceAddress::Auto),
    ("keep", SourceAddress::Keep),
    ("masquerade", SourceAddress::Masquerade),
];

pub(super) fn read(fields: &Fields<'_, '_>, settings: &mut Settings) {
    set(&mut settings.internal_policy, fields.word("internal_policy", &POLICIES));
    set(&mut settings.external_policy, fields.word("external_policy", &POLICIES));
    set(&mut settings.distribution, fields.word("distribution", &DISTRIBUTIONS));
    if fields.has("source_ranges") {
        settings.source_ranges =
            fields.parsed_list("source_ranges", "range of addresses, such as 10.0.0.0/8");
    }
    fields.get("source_ranges");
    affinity(fields, settings);
    algorithm(fields, settings);
    limits(fields, &mut settings.limits);
    slow_start(fields, settings);
    outlier(fields, settings);
    set(&mut settings.drain_ns, fields.duration("drain"));
    timeouts(fields, settings);
    set(&mut settings.proxy_in, fields.word("proxy_in", &PROXIES));
    set(&mut settings.proxy_out, fields.word("proxy_out", &PROXIES));
    health_check(fields, settings);
    if let Some(port) = fields.port("health_check_node_port") {
        settings.health_check_node_port = Some(port);
    }
    set(&mut settings.path, fields.word("path", &PATHS));
    set(&mut settings.source, fields.word("source", &SOURCES));
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// What a field says that is a word, or an object, or off.
enum Said<'a> {
    Nothing,
    Off,
    Word(String),
    Fields(&'a Value),
}

fn said<'a>(fields: &Fields<'a, '_>, name: &'static str) -> Said<'a> {
    match fields.get(name) {
        None => Said::Nothing,
        Some(value @ Value::Object(_)) => Said::Fields(value),
        Some(value) => match word(value) {
            Some(word) if word == "off" => Said::Off,
            Some(word) => Said::Word(word),
            None => {
                fields.note(name, format!("expected a word or fields, found {}", kind(value)));
                Said::Nothing
            }
        },
    }
}

fn affinity(fields: &Fields<'_, '_>, settings: &mut Settings) {
    match said(fields, "affinity") {
        Said::Nothing => {}
        Said::Off => settings.affinity = None,
        Said::Word(word) if word == "client_ip" => settings.affinity = Some(ClientIp::default()),
        Said::Word(word) => {
            let message = format!("\"{word}\" is not one of off, client_ip, {{timeout: 3h}}");
            fields.note("affinity", message);
        }
        Said::Fields(value) => {
            let path = fields.path.field("affinity");
            let inner = Fields::of(value, &path, fields.notes);
            let mut affinity = ClientIp::default();
            set(&mut affinity.timeout_ns, inner.duration("timeout"));
            settings.affinity = Some(affinity);
            inner.end();
        }
    }
}

fn algorithm(fields: &Fields<'_, '_>, settings: &mut Settings) {
    set(&mut settings.algorithm, fields.word("balance", &ALGORITHMS));
    let Some(key) = fields.word("hash", &HASHES) else { return };
    settings.algorithm = match settings.algorithm {
        Algorithm::Maglev(_) => Algorithm::Maglev(key),
        Algorithm::RingHash(_) => Algorithm::RingHash(key),
        other @ (Algorithm::PeakEwma
        | Algorithm::PowerOfTwo
        | Algorithm::LeastConnections
        | Algorithm::RoundRobin
        | Algorithm::SmoothWeighted
        | Algorithm::Random) => {
            fields.note("hash", "only with balance: maglev or ring_hash");
            other
        }
    };
}

fn limits(fields: &Fields<'_, '_>, limits: &mut Limits) {
    let Some(value) = fields.get("limits") else { return };
    let path = fields.path.field("limits");
    let inner = Fields::of(value, &path, fields.notes);
    set_some(&mut limits.connections_max, inner.count("connections_max"));
    set_some(&mut limits.connections_per_endpoint_max, inner.count("connections_per_endpoint_max"));
    set_some(&mut limits.connections_per_source_max, inner.count("connections_per_source_max"));
    set_some(&mut limits.rate_per_endpoint, rate(&inner, "rate_per_endpoint"));
    set_some(&mut limits.rate_per_source, rate(&inner, "rate_per_source"));
    inner.end();
}

fn set_some<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

/// A number of new connections a second, or with its burst.
fn rate(fields: &Fields<'_, '_>, name: &'static str) -> Option<Rate> {
    let value = fields.get(name)?;
    if !value.is_object() {
        let per_second = fields.count(name)?;
        return Some(Rate { per_second, burst: per_second.max(1) });
    }
    let path = fields.path.field(name);
    let inner = Fields::of(value, &path, fields.notes);
    if !inner.has("per_second") {
        inner.note("per_second", "missing");
    }
    let per_second = inner.count("per_second").unwrap_or(1);
    let rate = Rate { per_second, burst: inner.count("burst").unwrap_or(per_second.max(1)) };
    inner.end();
    Some(rate)
}

fn slow_start(fields: &Fields<'_, '_>, settings: &mut Settings) {
    // A tenth to begin with: enough to warm caches, too little to be missed.
    let default = SlowStart { window_ns: 30_000_000_000, percent_min: 10 };
    match said(fields, "slow_start") {
        Said::Nothing => {}
        Said::Off => settings.slow_start = None,
        Said::Word(word) => match duration::parse(&word) {
            Some(window_ns) => settings.slow_start = Some(SlowStart { window_ns, ..default }),
            None => fields.note("slow_start", format!("\"{word}\" is no duration, such as 30s")),
        },
        Said::Fields(value) => {
            let path = fields.path.field("slow_start");
            let inner = Fields::of(value, &path, fields.notes);
            let mut slow = settings.slow_start.unwrap_or(default);
            set(&mut slow.window_ns, inner.duration("window"));
            let percent = inner.number("percent_min", u8::MAX.into());
            set(&mut slow.percent_min, percent.and_then(|n| u8::try_from(n).ok()));
            settings.slow_start = Some(slow);
            inner.end();
        }
    }
}

fn outlier(fields: &Fields<'_, '_>, settings: &mut Settings) {
    match said(fields, "outlier") {
        Said::Nothing => {}
        Said::Off => settings.outlier = None,
        Said::Word(word) => {
            fields.note("outlier", format!("\"{word}\" is not off; or say what is different"));
        }
        Said::Fields(value) => {
            let path = fields.path.field("outlier");
            let inner = Fields::of(value, &path, fields.notes);
            let mut outlier = settings.outlier.unwrap_or_default();
            let failures = inner.number("failures", u16::MAX.into());
            set(&mut outlier.failures, failures.and_then(|n| u16::try_from(n).ok()));
            set(&mut outlier.ejection_ns, inner.duration("ejection"));
            set(&mut outlier.ejection_ns_max, inner.duration("ejection_max"));
            let percent = inner.number("percent_max", u8::MAX.into());
            set(&mut outlier.percent_max, percent.and_then(|n| u8::try_from(n).ok()));
            settings.outlier = Some(outlier);
            inner.end();
        }
    }
}

fn timeouts(fields: &Fields<'_, '_>, settings: &mut Settings) {
    let Some(value) = fields.get("timeouts") else { return };
    let path = fields.path.field("timeouts");
    let inner = Fields::of(value, &path, fields.notes);
    let timeouts = &mut settings.timeouts;
    set(&mut timeouts.connect_ns, inner.duration("connect"));
    set_some(&mut timeouts.first_byte_ns, inner.duration("first_byte"));
    set_some(&mut timeouts.idle_ns, inner.duration("idle"));
    set_some(&mut timeouts.age_ns_max, inner.duration("age_max"));
    set(&mut timeouts.udp_unreplied_ns, inner.duration("udp_unreplied"));
    set(&mut timeouts.udp_replied_ns, inner.duration("udp_replied"));
    inner.end();
}

fn health_check(fields: &Fields<'_, '_>, settings: &mut Settings) {
    match said(fields, "health_check") {
        Said::Nothing => {}
        Said::Off => settings.health_check = None,
        Said::Word(word) if word == "tcp" => settings.health_check = Some(HealthCheck::default()),
        Said::Word(word) if word == "grpc" => {
            let probe = Probe::Grpc { service: String::new().into() };
            settings.health_check = Some(HealthCheck { probe, ..HealthCheck::default() });
        }
        Said::Word(word) if word.starts_with('/') => {
            let probe = Probe::Http { path: word.into(), host: None };
            settings.health_check = Some(HealthCheck { probe, ..HealthCheck::default() });
        }
        Said::Word(word) => {
            let message = format!("\"{word}\" is not one of off, tcp, grpc, a path to GET (/)");
            fields.note("health_check", message);
        }
        Said::Fields(value) => settings.health_check = Some(check(value, fields)),
    }
}

fn check(value: &Value, fields: &Fields<'_, '_>) -> HealthCheck {
    let path = fields.path.field("health_check");
    let inner = Fields::of(value, &path, fields.notes);
    let mut check = HealthCheck::default();
    set(&mut check.probe, probe(&inner));
    set_some(&mut check.port, inner.port("port"));
    set(&mut check.interval_ns, inner.duration("interval"));
    // A short interval has a short patience, unless it says otherwise.
    check.timeout_ns = check.timeout_ns.min(check.interval_ns);
    set(&mut check.timeout_ns, inner.duration("timeout"));
    for (name, field) in [("rise", &mut check.rise), ("fall", &mut check.fall)] {
        let number = inner.number(name, u16::MAX.into());
        set(field, number.and_then(|n| u16::try_from(n).ok()));
    }
    inner.end();
    check
}

/// `http`, `grpc`, or neither: a connection is enough.
fn probe(fields: &Fields<'_, '_>) -> Option<Probe> {
    let (http, grpc) = (fields.get("http"), fields.get("grpc"));
    if http.is_some() && grpc.is_some() {
        fields.note("http", "not together with grpc");
    }
    if let Some(value) = http {
        let path = fields.path.field("http");
        if let Some(target) = value.as_str() {
            return Some(Probe::Http { path: target.into(), host: None });
        }
        let inner = Fields::of(value, &path, fields.notes);
        let target = inner.text("path").unwrap_or_else(|| "/".to_owned()).into();
        let host = inner.text("host").map(Into::into);
        inner.end();
        return Some(Probe::Http { path: target, host });
    }
    let value = grpc?;
    let path = fields.path.field("grpc");
    let inner = Fields::of(value, &path, fields.notes);
    let service = inner.text("service").unwrap_or_default().into();
    inner.end();
    Some(Probe::Grpc { service })
}
