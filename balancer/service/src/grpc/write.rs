// SPDX-License-Identifier: Apache-2.0
//! What is known, as messages.

mod settings;

use crate::control::{Shared, Taken};
use crate::latency;
use crate::problem::Problems;
use crate::state::{Entry, Summary};
use crate::wanted::Owner;
use berth_balancer_core::model::{DataPath, Endpoint, Protocol, ServicePort, SourceAddress};
use berth_balancer_data::stats::{EndpointStats, Histogram, PortStats, REFUSALS, Stats};
use berth_proto::balancer as pb;
use std::collections::BTreeSet;

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn summary(summary: &Summary) -> pb::Summary {
    pb::Summary {
        services_added: number(summary.services_added),
        services_changed: number(summary.services_changed),
        services_removed: number(summary.services_removed),
        endpoints_added: number(summary.endpoints_added),
        endpoints_changed: number(summary.endpoints_changed),
        endpoints_removed: number(summary.endpoints_removed),
    }
}

pub(super) fn applied(taken: &Taken) -> pb::Applied {
    let unserved = taken.applied.unserved.iter().map(|one| pb::Unserved {
        service: one.service.to_string(),
        port: one.port.to_string(),
        protocol: protocol(one.protocol),
        address: one.address.to_string(),
        reason: one.reason.clone(),
    });
    pb::Applied {
        revision: taken.applied.revision,
        summary: Some(summary(&taken.summary)),
        took_ns: taken.took_ns,
        unserved: unserved.collect(),
    }
}

pub(super) fn problems(problems: &Problems) -> Vec<pb::Problem> {
    let one = |p: &crate::Problem| pb::Problem { path: p.path.clone(), message: p.message.clone() };
    problems.list.iter().map(one).collect()
}

pub(super) fn refused(all: &Problems) -> pb::Refused {
    pb::Refused { problems: problems(all), more: all.more as u64 }
}

fn protocol(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tcp => pb::Protocol::Tcp.into(),
        Protocol::Udp => pb::Protocol::Udp.into(),
    }
}

/// A service as it is served.
pub(super) fn view(entry: &Entry, brief: bool, stats: Option<&Stats>) -> pb::ServiceView {
    let (wish, served) = (&entry.wish.service, &entry.service);
    let texts = |list: &[std::net::IpAddr]| list.iter().map(ToString::to_string).collect();
    let endpoints = if brief { &[][..] } else { &entry.wish.endpoints };
    let service = pb::Service {
        name: wish.name.to_string(),
        addresses: texts(&wish.cluster_ips),
        external_ips: texts(&wish.external_ips),
        load_balancer_ips: texts(&wish.load_balancer_ips),
        load_balancer: entry.wish.from_pool,
        ports: wish.ports.iter().map(port).collect(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        settings: Some(settings::write(&wish.settings)),
    };
    let given = served.load_balancer_ips.get(wish.load_balancer_ips.len()..).unwrap_or_default();
    let mut unhealthy = BTreeSet::new();
    for port in stats.iter().flat_map(|stats| &stats.ports).filter(|p| p.service == wish.name) {
        let sick = port.endpoints.iter().filter(|endpoint| !endpoint.is_healthy);
        unhealthy.extend(sick.map(|endpoint| endpoint.name.to_string()));
    }
    pb::ServiceView {
        service: Some(service),
        owner: owner(entry.owner).to_owned(),
        given: texts(given),
        path: match entry.taken.path {
            DataPath::Fast => pb::DataPath::PathFast.into(),
            DataPath::Proxy => pb::DataPath::PathProxy.into(),
            DataPath::Auto => pb::DataPath::PathAuto.into(),
        },
        path_because: entry.taken.path_because.clone(),
        source: match entry.taken.source {
            SourceAddress::Keep => pb::SourceAddress::SourceKeep.into(),
            SourceAddress::Masquerade => pb::SourceAddress::SourceMasquerade.into(),
            SourceAddress::Auto => pb::SourceAddress::SourceAuto.into(),
        },
        source_because: entry.taken.source_because.clone(),
        drained: entry.drained.iter().map(ToString::to_string).collect(),
        unhealthy: unhealthy.into_iter().collect(),
    }
}

/// A word for who owns a service.
pub(crate) fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::File => "file",
        Owner::Grpc => "grpc",
        Owner::Kubernetes => "kubernetes",
        Owner::Adopted => "adopted",
    }
}

fn port(port: &ServicePort) -> pb::Port {
    pb::Port {
        name: port.name.to_string(),
        protocol: protocol(port.protocol),
        port: port.port.into(),
        target_port: 0,
        node_port: port.node_port.unwrap_or(0).into(),
    }
}

fn endpoint(endpoint: &Endpoint) -> pb::Endpoint {
    let port = |port: &berth_balancer_core::model::EndpointPort| pb::EndpointPort {
        name: port.name.to_string(),
        port: port.port.into(),
    };
    let text = |name: &Option<berth_balancer_core::model::Name>| {
        name.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    pb::Endpoint {
        name: endpoint.name.to_string(),
        address: endpoint.address.to_string(),
        ports: endpoint.ports.iter().map(port).collect(),
        ready: Some(endpoint.ready),
        serving: Some(endpoint.serving),
        terminating: endpoint.terminating,
        node: text(&endpoint.node),
        zone: text(&endpoint.zone),
        weight: Some(endpoint.weight),
    }
}

/// How the balancer is.
pub(super) fn status(shared: &Shared, stats: Option<&Stats>) -> pb::StatusResponse {
    let moment = shared.moment();
    let nanoseconds = |ns: u64| settings::duration(ns);
    let uptime = u64::try_from(shared.begun().elapsed().as_nanos()).unwrap_or(u64::MAX);
    let plane = pb::DataPlane {
        pid: moment.plane.pid,
        workers: moment.plane.workers,
        uptime: stats.map(|stats| nanoseconds(stats.uptime_ns)),
        adopted: moment.plane.adopted,
        restarts: moment.plane.restarts,
        trouble: moment.trouble.unwrap_or_default(),
    };
    let file = moment.file.map(|file| pb::FileStatus {
        path: file.path.display().to_string(),
        problems: file.problems.iter().flat_map(|p| &p.list).map(ToString::to_string).collect(),
        taken: file.taken,
        refused: file.refused,
    });
    pb::StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: moment.plane.pid.to_string(),
        revision: moment.revision,
        services: number(moment.services),
        endpoints: number(moment.endpoints),
        data_plane: Some(plane),
        file,
        uptime: Some(nanoseconds(uptime)),
        unserved: number(moment.unserved.len()),
        unhealthy: number(moment.unhealthy),
    }
}

/// Counters of services; of all if none is named.
pub(super) fn stats(stats: &Stats, wanted: &BTreeSet<String>, brief: bool) -> pb::WatchResponse {
    let asked = |port: &&PortStats| wanted.is_empty() || wanted.contains(&*port.service);
    let ports = stats.ports.iter().filter(asked).map(|port| port_stats(port, brief));
    pb::WatchResponse { revision: stats.revision, ports: ports.collect() }
}

fn port_stats(port: &PortStats, brief: bool) -> pb::PortStats {
    let refused = REFUSALS.iter().zip(&port.refused).filter(|(_, count)| **count > 0);
    let endpoints = if brief { &[][..] } else { &port.endpoints };
    pb::PortStats {
        service: port.service.to_string(),
        port: port.port.to_string(),
        protocol: protocol(port.protocol),
        active: port.active,
        accepted: port.accepted,
        refused: refused.map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        retries: port.retries,
        bytes_in: port.bytes_in,
        bytes_out: port.bytes_out,
        connect: Some(latencies(&port.connect)),
        first_byte: Some(latencies(&port.first_byte)),
        endpoints: endpoints.iter().map(endpoint_stats).collect(),
    }
}

fn latencies(histogram: &Histogram) -> pb::Latencies {
    pb::Latencies {
        count: histogram.buckets.iter().sum(),
        sum_ns: histogram.sum_ns,
        p50_ns: latency::quantile(histogram, 500),
        p99_ns: latency::quantile(histogram, 990),
        p999_ns: latency::quantile(histogram, 999),
    }
}

fn endpoint_stats(endpoint: &EndpointStats) -> pb::EndpointStats {
    pb::EndpointStats {
        name: endpoint.name.to_string(),
        address: endpoint.address.to_string(),
        active: endpoint.active,
        opened: endpoint.opened,
        failed: endpoint.failed,
        ejected: endpoint.ejected,
        bytes_in: endpoint.bytes_in,
        bytes_out: endpoint.bytes_out,
        latency_ns: endpoint.latency_ns,
        healthy: endpoint.is_healthy,
    }
}
