// SPDX-License-Identifier: Apache-2.0
//! Settings as a message: read back, it is the same settings.

use berth_balancer_core::model::{
    Algorithm, DataPath, Distribution, HashKey, HealthCheck, Limits, Outlier, Probe, ProxyProtocol,
    Rate, Settings, SourceAddress, Timeouts, TrafficPolicy,
};
use berth_proto::balancer as pb;

pub(super) fn duration(nanoseconds: u64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
    }
}

fn policy(policy: TrafficPolicy) -> i32 {
    match policy {
        TrafficPolicy::Cluster => pb::TrafficPolicy::Cluster.into(),
        TrafficPolicy::Local => pb::TrafficPolicy::Local.into(),
    }
}

fn proxy(version: ProxyProtocol) -> i32 {
    match version {
        ProxyProtocol::Off => pb::ProxyProtocol::Off.into(),
        ProxyProtocol::V1 => pb::ProxyProtocol::V1.into(),
        ProxyProtocol::V2 => pb::ProxyProtocol::V2.into(),
    }
}

fn algorithm(algorithm: Algorithm) -> (i32, i32) {
    let key = |key: HashKey| match key {
        HashKey::Source => pb::HashKey::Source.into(),
        HashKey::Flow => pb::HashKey::Flow.into(),
    };
    let (algorithm, hash) = match algorithm {
        Algorithm::PeakEwma => (pb::Algorithm::PeakEwma, 0),
        Algorithm::PowerOfTwo => (pb::Algorithm::PowerOfTwo, 0),
        Algorithm::LeastConnections => (pb::Algorithm::LeastConnections, 0),
        Algorithm::RoundRobin => (pb::Algorithm::RoundRobin, 0),
        Algorithm::SmoothWeighted => (pb::Algorithm::SmoothWeighted, 0),
        Algorithm::Maglev(hash) => (pb::Algorithm::Maglev, key(hash)),
        Algorithm::RingHash(hash) => (pb::Algorithm::RingHash, key(hash)),
        Algorithm::Random => (pb::Algorithm::Random, 0),
    };
    (algorithm.into(), hash)
}

pub(super) fn write(settings: &Settings) -> pb::Settings {
    let (balance, hash) = algorithm(settings.algorithm);
    pb::Settings {
        internal_policy: policy(settings.internal_policy),
        external_policy: policy(settings.external_policy),
        distribution: match settings.distribution {
            Distribution::Any => pb::Distribution::Any.into(),
            Distribution::PreferSameZone => pb::Distribution::PreferSameZone.into(),
            Distribution::PreferSameNode => pb::Distribution::PreferSameNode.into(),
        },
        source_ranges: settings.source_ranges.iter().map(ToString::to_string).collect(),
        affinity: settings
            .affinity
            .map(|affinity| pb::Affinity { timeout: Some(duration(affinity.timeout_ns)) }),
        balance,
        hash,
        limits: Some(limits(&settings.limits)),
        slow_start: settings.slow_start.map(|slow| pb::SlowStart {
            window: Some(duration(slow.window_ns)),
            percent_min: slow.percent_min.into(),
        }),
        outlier: Some(outlier(settings.outlier.as_ref())),
        drain: Some(duration(settings.drain_ns)),
        timeouts: Some(timeouts(&settings.timeouts)),
        proxy_in: proxy(settings.proxy_in),
        proxy_out: proxy(settings.proxy_out),
        health_check: settings.health_check.as_ref().map(check),
        health_check_node_port: settings.health_check_node_port.unwrap_or(0).into(),
        path: match settings.path {
            DataPath::Auto => pb::DataPath::PathAuto.into(),
            DataPath::Fast => pb::DataPath::PathFast.into(),
            DataPath::Proxy => pb::DataPath::PathProxy.into(),
        },
        source: match settings.source {
            SourceAddress::Auto => pb::SourceAddress::SourceAuto.into(),
            SourceAddress::Keep => pb::SourceAddress::SourceKeep.into(),
            SourceAddress::Masquerade => pb::SourceAddress::SourceMasquerade.into(),
        },
    }
}

fn limits(limits: &Limits) -> pb::Limits {
    let rate = |rate: Rate| pb::Rate { per_second: rate.per_second, burst: rate.burst };
    pb::Limits {
        connections_max: limits.connections_max,
        connections_per_endpoint_max: limits.connections_per_endpoint_max,
        connections_per_source_max: limits.connections_per_source_max,
        rate_per_endpoint: limits.rate_per_endpoint.map(rate),
        rate_per_source: limits.rate_per_source.map(rate),
    }
}

fn outlier(outlier: Option<&Outlier>) -> pb::Outlier {
    let Some(outlier) = outlier else {
        return pb::Outlier { off: true, ..pb::Outlier::default() };
    };
    pb::Outlier {
        off: false,
        failures: outlier.failures.into(),
        ejection: Some(duration(outlier.ejection_ns)),
        ejection_max: Some(duration(outlier.ejection_ns_max)),
        percent_max: Some(outlier.percent_max.into()),
    }
}

fn timeouts(timeouts: &Timeouts) -> pb::Timeouts {
    pb::Timeouts {
        connect: Some(duration(timeouts.connect_ns)),
        first_byte: timeouts.first_byte_ns.map(duration),
        idle: timeouts.idle_ns.map(duration),
        age_max: timeouts.age_ns_max.map(duration),
        udp_unreplied: Some(duration(timeouts.udp_unreplied_ns)),
        udp_replied: Some(duration(timeouts.udp_replied_ns)),
    }
}

fn check(check: &HealthCheck) -> pb::HealthCheck {
    let probe = match &check.probe {
        Probe::Tcp => pb::health_check::Probe::Tcp(pb::TcpProbe {}),
        Probe::Http { path, host } => pb::health_check::Probe::Http(pb::HttpProbe {
            path: path.to_string(),
            host: host.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
        Probe::Grpc { service } => {
            pb::health_check::Probe::Grpc(pb::GrpcProbe { service: service.to_string() })
        }
    };
    pb::HealthCheck {
        probe: Some(probe),
        port: check.port.unwrap_or(0).into(),
        interval: Some(duration(check.interval_ns)),
        timeout: Some(duration(check.timeout_ns)),
        rise: check.rise.into(),
        fall: check.fall.into(),
    }
}
