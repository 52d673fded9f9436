// SPDX-License-Identifier: Apache-2.0
//! Settings of a service. What is absent, or unspecified, is the default.

use super::{At, nanoseconds, parsed, port};
use crate::problem::Problems;
use berth_balancer_core::model::{
    Algorithm, ClientIp, DataPath, Distribution, HashKey, HealthCheck, Limits, Outlier, Probe,
    ProxyProtocol, Rate, Settings, SlowStart, SourceAddress, Timeouts, TrafficPolicy,
};
use berth_proto::balancer as pb;
use prost_types::Duration;

pub(super) fn read(message: pb::Settings, at: At, problems: &mut Problems) -> Settings {
    let mut reader = Reader { at, problems };
    let mut settings = Settings {
        internal_policy: reader.policy(message.internal_policy, "internal_policy"),
        external_policy: reader.policy(message.external_policy, "external_policy"),
        ..Settings::default()
    };
    if let Some(known) = reader.known::<pb::Distribution>(message.distribution, "distribution") {
        settings.distribution = match known {
            pb::Distribution::Unspecified | pb::Distribution::Any => Distribution::Any,
            pb::Distribution::PreferSameZone => Distribution::PreferSameZone,
            pb::Distribution::PreferSameNode => Distribution::PreferSameNode,
        };
    }
    for (number, text) in message.source_ranges.iter().enumerate() {
        let path = || format!("{at}.source_ranges[{number}]");
        let what = "range of addresses, such as 10.0.0.0/8";
        settings.source_ranges.extend(parsed::<berth_balancer_core::model::Cidr>(
            text,
            what,
            path,
            reader.problems,
        ));
    }
    settings.affinity = message.affinity.map(|affinity| {
        let mut read = ClientIp::default();
        reader.duration(&mut read.timeout_ns, affinity.timeout, "affinity.timeout");
        read
    });
    settings.algorithm = reader.algorithm(message.balance, message.hash);
    settings.limits = limits(&message.limits.unwrap_or_default());
    settings.slow_start = message.slow_start.map(|slow| {
        let mut read = SlowStart { window_ns: 30_000_000_000, percent_min: 10 };
        reader.duration(&mut read.window_ns, slow.window, "slow_start.window");
        if slow.percent_min != 0 {
            read.percent_min = reader.small(slow.percent_min, "slow_start.percent_min");
        }
        read
    });
    if let Some(outlier) = message.outlier {
        settings.outlier = (!outlier.off).then(|| reader.outlier(&outlier));
    }
    reader.duration(&mut settings.drain_ns, message.drain, "drain");
    settings.timeouts = reader.timeouts(message.timeouts.unwrap_or_default());
    settings.proxy_in = reader.proxy(message.proxy_in, "proxy_in");
    settings.proxy_out = reader.proxy(message.proxy_out, "proxy_out");
    settings.health_check = message.health_check.map(|check| reader.check(check));
    let path = || format!("{at}.health_check_node_port");
    let check_port = port(message.health_check_node_port, path, reader.problems);
    settings.health_check_node_port = (check_port != 0).then_some(check_port);
    if let Some(known) = reader.known::<pb::DataPath>(message.path, "path") {
        settings.path = match known {
            pb::DataPath::Unspecified | pb::DataPath::PathAuto => DataPath::Auto,
            pb::DataPath::PathFast => DataPath::Fast,
            pb::DataPath::PathProxy => DataPath::Proxy,
        };
    }
    if let Some(known) = reader.known::<pb::SourceAddress>(message.source, "source") {
        settings.source = match known {
            pb::SourceAddress::Unspecified | pb::SourceAddress::SourceAuto => SourceAddress::Auto,
            pb::SourceAddress::SourceKeep => SourceAddress::Keep,
            pb::SourceAddress::SourceMasquerade => SourceAddress::Masquerade,
        };
    }
    settings
}

struct Reader<'p> {
    at: At,
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn note(&mut self, field: &str, message: String) {
        self.problems.note(format!("{}.{field}", self.at), message);
    }

    /// A value of an enum that this version knows.
    fn known<E: TryFrom<i32>>(&mut self, value: i32, field: &str) -> Option<E> {
        let known = E::try_from(value).ok();
        if known.is_none() {
            self.note(field, format!("{value} is none of the values"));
        }
        known
    }

    fn duration(&mut self, into: &mut u64, duration: Option<Duration>, field: &str) {
        let Some(duration) = duration else { return };
        match nanoseconds(&duration) {
            Some(nanoseconds) => *into = nanoseconds,
            None => self.note(field, "not a duration from 0 on".to_owned()),
        }
    }

    fn optional(&mut self, duration: Option<Duration>, field: &str) -> Option<u64> {
        duration.as_ref()?;
        let mut read = 1;
        self.duration(&mut read, duration, field);
        Some(read)
    }

    /// A number of 16 or 8 bits.
    fn small<T: TryFrom<u32> + Default>(&mut self, number: u32, field: &str) -> T {
        T::try_from(number).unwrap_or_else(|_| {
            self.note(field, format!("{number} is too large"));
            T::default()
        })
    }

    fn policy(&mut self, value: i32, field: &str) -> TrafficPolicy {
        match self.known::<pb::TrafficPolicy>(value, field) {
            Some(pb::TrafficPolicy::Local) => TrafficPolicy::Local,
            Some(pb::TrafficPolicy::Unspecified | pb::TrafficPolicy::Cluster) | None => {
                TrafficPolicy::Cluster
            }
        }
    }

    fn proxy(&mut self, value: i32, field: &str) -> ProxyProtocol {
        match self.known::<pb::ProxyProtocol>(value, field) {
            Some(pb::ProxyProtocol::V1) => ProxyProtocol::V1,
            Some(pb::ProxyProtocol::V2) => ProxyProtocol::V2,
            Some(pb::ProxyProtocol::Unspecified | pb::ProxyProtocol::Off) | None => {
                ProxyProtocol::Off
            }
        }
    }

    fn algorithm(&mut self, balance: i32, hash: i32) -> Algorithm {
        let key = match self.known::<pb::HashKey>(hash, "hash") {
            Some(pb::HashKey::Flow) => HashKey::Flow,
            Some(pb::HashKey::Unspecified | pb::HashKey::Source) | None => HashKey::Source,
        };
        match self.known::<pb::Algorithm>(balance, "balance") {
            Some(pb::Algorithm::Unspecified | pb::Algorithm::PeakEwma) | None => {
                Algorithm::PeakEwma
            }
            Some(pb::Algorithm::PowerOfTwo) => Algorithm::PowerOfTwo,
            Some(pb::Algorithm::LeastConnections) => Algorithm::LeastConnections,
            Some(pb::Algorithm::RoundRobin) => Algorithm::RoundRobin,
            Some(pb::Algorithm::SmoothWeighted) => Algorithm::SmoothWeighted,
            Some(pb::Algorithm::Maglev) => Algorithm::Maglev(key),
            Some(pb::Algorithm::RingHash) => Algorithm::RingHash(key),
            Some(pb::Algorithm::Random) => Algorithm::Random,
        }
    }

    fn outlier(&mut self, message: &pb::Outlier) -> Outlier {
        let mut read = Outlier::default();
        if message.failures != 0 {
            read.failures = self.small(message.failures, "outlier.failures");
        }
        self.duration(&mut read.ejection_ns, message.ejection, "outlier.ejection");
        self.duration(&mut read.ejection_ns_max, message.ejection_max, "outlier.ejection_max");
        if let Some(percent) = message.percent_max {
            read.percent_max = self.small(percent, "outlier.percent_max");
        }
        read
    }

    fn timeouts(&mut self, message: pb::Timeouts) -> Timeouts {
        let mut read = Timeouts::default();
        self.duration(&mut read.connect_ns, message.connect, "timeouts.connect");
        read.first_byte_ns = self.optional(message.first_byte, "timeouts.first_byte");
        read.idle_ns = self.optional(message.idle, "timeouts.idle");
        read.age_ns_max = self.optional(message.age_max, "timeouts.age_max");
        let (unreplied, replied) = (message.udp_unreplied, message.udp_replied);
        self.duration(&mut read.udp_unreplied_ns, unreplied, "timeouts.udp_unreplied");
        self.duration(&mut read.udp_replied_ns, replied, "timeouts.udp_replied");
        read
    }

    fn check(&mut self, message: pb::HealthCheck) -> HealthCheck {
        let probe = match message.probe {
            None | Some(pb::health_check::Probe::Tcp(_)) => Probe::Tcp,
            Some(pb::health_check::Probe::Http(http)) => Probe::Http {
                path: if http.path.is_empty() { "/".into() } else { http.path.into() },
                host: (!http.host.is_empty()).then(|| http.host.into()),
            },
            Some(pb::health_check::Probe::Grpc(grpc)) => {
                Probe::Grpc { service: grpc.service.into() }
            }
        };
        let mut read = HealthCheck { probe, ..HealthCheck::default() };
        let at = self.at;
        let path = || format!("{at}.health_check.port");
        let own = port(message.port, path, self.problems);
        read.port = (own != 0).then_some(own);
        self.duration(&mut read.interval_ns, message.interval, "health_check.interval");
        // A short interval has a short patience, unless it says otherwise.
        read.timeout_ns = read.timeout_ns.min(read.interval_ns);
        self.duration(&mut read.timeout_ns, message.timeout, "health_check.timeout");
        if message.rise != 0 {
            read.rise = self.small(message.rise, "health_check.rise");
        }
        if message.fall != 0 {
            read.fall = self.small(message.fall, "health_check.fall");
        }
        read
    }
}

fn limits(limits: &pb::Limits) -> Limits {
    let rate = |rate: pb::Rate| Rate {
        per_second: rate.per_second,
        burst: if rate.burst == 0 { rate.per_second.max(1) } else { rate.burst },
    };
    Limits {
        connections_max: limits.connections_max,
        connections_per_endpoint_max: limits.connections_per_endpoint_max,
        connections_per_source_max: limits.connections_per_source_max,
        rate_per_endpoint: limits.rate_per_endpoint.map(rate),
        rate_per_source: limits.rate_per_source.map(rate),
    }
}
