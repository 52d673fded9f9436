// SPDX-License-Identifier: Apache-2.0
//! The live table: what is served, joined with how it fares.

use crate::control::Moment;
use crate::grpc::owner;
use crate::latency;
use crate::state::Entry;
use berth_balancer_core::model::{DataPath, Name, Protocol, SourceAddress};
use berth_balancer_core::{Place, claims};
use berth_balancer_data::stats::{Draining, PortStats, Stats};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is shown.
pub(super) struct Table {
    pub(super) entries: BTreeMap<Name, Arc<Entry>>,
    pub(super) moment: Moment,
    /// Why there are no counters, or the counters.
    pub(super) stats: Result<Arc<Stats>, String>,
    pub(super) drains: Vec<Draining>,
}

impl Table {
    pub(super) fn new(
        entries: BTreeMap<Name, Arc<Entry>>,
        moment: Moment,
        stats: Result<Arc<Stats>, String>,
        drains: Vec<Draining>,
    ) -> Self {
        Self { entries, moment, stats, drains }
    }

    /// Counters by service and port.
    pub(super) fn ports(&self) -> BTreeMap<(&str, &str), &PortStats> {
        let ports = self.stats.iter().flat_map(|stats| &stats.ports);
        ports.map(|port| ((&*port.service, &*port.port), port)).collect()
    }
}

/// Where a port of a service is reached.
pub(super) fn places(entry: &Entry, port: &str, protocol: Protocol) -> Vec<String> {
    let own = entry.service.ports.iter().find(|own| *own.name == *port && own.protocol == protocol);
    let Some(own) = own else { return Vec::new() };
    let mut texts = Vec::new();
    for claim in claims(&entry.service).into_iter().filter(|claim| claim.protocol == protocol) {
        match claim.at {
            Place::Address(address) if address.port() == own.port => {
                texts.push(address.to_string());
            }
            Place::Node(port) if own.node_port == Some(port) => texts.push(format!("node:{port}")),
            Place::Address(_) | Place::Node(_) => {}
        }
    }
    texts
}

/// A word for a path.
pub(super) fn path(path: DataPath) -> &'static str {
    match path {
        DataPath::Auto => "auto",
        DataPath::Fast => "fast",
        DataPath::Proxy => "proxy",
    }
}

/// A word for a source address.
pub(super) fn source(source: SourceAddress) -> &'static str {
    match source {
        SourceAddress::Auto => "auto",
        SourceAddress::Keep => "keep",
        SourceAddress::Masquerade => "masquerade",
    }
}

/// The table as JSON.
pub(super) fn json(table: &Table) -> String {
    let ports = table.ports();
    let services: Vec<Value> = table.entries.values().map(|entry| service(entry, &ports)).collect();
    let moment = &table.moment;
    let unserved = moment.unserved.iter().map(|one| {
        json!({
            "service": &*one.service,
            "port": &*one.port,
            "protocol": one.protocol.to_string(),
            "address": one.address.to_string(),
            "reason": one.reason,
        })
    });
    let draining = table.drains.iter().map(|one| {
        json!({
            "service": &*one.service,
            "endpoint": &*one.endpoint,
            "address": one.address.to_string(),
            "connections": one.connections,
        })
    });
    let file = moment.file.as_ref().map(|file| {
        let problems = file.problems.iter().flat_map(|problems| &problems.list);
        json!({
            "path": file.path.display().to_string(),
            "taken": file.taken,
            "refused": file.refused,
            "problems": problems.map(ToString::to_string).collect::<Vec<String>>(),
        })
    });
    let all = json!({
        "revision": moment.revision,
        "data_plane": {
            "pid": moment.plane.pid,
            "workers": moment.plane.workers,
            "adopted": moment.plane.adopted,
            "restarts": moment.plane.restarts,
            "trouble": moment.trouble.clone().or(table.stats.as_ref().err().cloned()),
        },
        "addresses": table.stats.as_ref().ok().map(|stats| json!({
            "namespace": stats.addresses.has_namespace,
            "because": stats.addresses.because,
            "shortcut": stats.addresses.has_shortcut,
            "shortcut_because": stats.addresses.shortcut_because,
            "taken": stats.addresses.taken,
            "warnings": stats.addresses.warnings,
        })),
        "file": file,
        "services": services,
        "unserved": unserved.collect::<Vec<Value>>(),
        "draining": draining.collect::<Vec<Value>>(),
    });
    let mut text = all.to_string();
    text.push('\n');
    text
}

fn service(entry: &Entry, stats: &BTreeMap<(&str, &str), &PortStats>) -> Value {
    let ports = entry.service.ports.iter().map(|port| {
        let own = stats.get(&(&*entry.service.name, &*port.name));
        json!({
            "name": &*port.name,
            "protocol": port.protocol.to_string(),
            "addresses": places(entry, &port.name, port.protocol),
            "active": own.map(|own| own.active),
            "accepted": own.map(|own| own.accepted),
            "refused": own.map(|own| own.refused.iter().sum::<u64>()),
            "retries": own.map(|own| own.retries),
            "bytes_in": own.map(|own| own.bytes_in),
            "bytes_out": own.map(|own| own.bytes_out),
            "connect_p99_ns": own.map(|own| latency::quantile(&own.connect, 990)),
            "first_byte_p99_ns": own.map(|own| latency::quantile(&own.first_byte, 990)),
            "endpoints": own.map(|own| own.endpoints.iter().map(|one| json!({
                "name": &*one.name,
                "address": one.address.to_string(),
                "healthy": one.is_healthy,
                "active": one.active,
                "opened": one.opened,
                "failed": one.failed,
                "ejected": one.ejected,
                "bytes_in": one.bytes_in,
                "bytes_out": one.bytes_out,
                "latency_ns": one.latency_ns,
            })).collect::<Vec<Value>>()),
        })
    });
    json!({
        "name": &*entry.service.name,
        "owner": owner(entry.owner),
        "path": path(entry.taken.path),
        "path_because": entry.taken.path_because,
        "source": source(entry.taken.source),
        "source_because": entry.taken.source_because,
        "drained": entry.drained.iter().map(|name| &**name).collect::<Vec<&str>>(),
        "ports": ports.collect::<Vec<Value>>(),
    })
}
