// SPDX-License-Identifier: Apache-2.0
//! Sees to it that the host leads pods' traffic: what leaves the cluster is masqueraded, and other nodes' pods are reached.

use crate::hands::Hands;
use crate::settings::HostNetwork;
use crate::shared::Shared;
use berth_cluster_agent_network::{Host, HostError, Range, Wanted};
use berth_cluster_client::{Informer, ObjectError, Resource, View};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often the host is looked at: a firewall that was loaded anew has forgotten all.
const LOOK: Duration = Duration::from_secs(5);
const SEED: u64 = 0x4057;

/// What of another node matters here.
#[derive(Debug)]
pub(crate) struct Place {
    address: Option<Ipv4Addr>,
    range: Option<Range>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default, rename = "podCIDR")]
    range: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

impl View for Place {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let object: Object =
            serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))?;
        let internal = object.status.addresses.into_iter().find(|one| one.kind == "InternalIP");
        Ok(Self {
            address: internal.and_then(|one| one.address.parse().ok()),
            range: object.spec.range.parse().ok(),
        })
    }
}

/// Looks again and again, until it may not.
pub(crate) async fn keep(shared: Arc<Shared>, network: HostNetwork) {
    let nodes = network
        .nodes
        .clone()
        .map(|api| Informer::<Place>::start(api, Resource::new("", "v1", "nodes"), SEED));
    let (mut host, mut said) = (None, Vec::new());
    let hands = shared.settings.hands.as_deref().map(Hands::new);
    loop {
        let wanted = wanted(&shared, &network, nodes.as_ref());
        let (name, taken) = (shared.settings.node.clone(), host.take());
        let hands = hands.clone();
        let checked = tokio::task::spawn_blocking(move || match hands {
            Some(hands) => Ok((None, hands.check(&wanted)?)),
            None => check(&name, taken, &wanted).map(|(host, problems)| (Some(host), problems)),
        });
        let checked = checked.await;
        match checked {
            Ok(Ok((kept, problems))) => {
                host = kept;
                for problem in problems.iter().filter(|problem| !said.contains(*problem)) {
                    tracing::warn!("{problem}");
                }
                said = problems;
            }
            Ok(Err(error @ HostError::NotPermitted)) => {
                tracing::warn!("{error}");
                return;
            }
            Ok(Err(error)) => {
                let error = crate::carry::words(&error);
                tracing::warn!(error, "the host does not lead pods' traffic");
            }
            Err(_) => return,
        }
        sleep(LOOK).await;
    }
}

fn check(
    name: &str,
    host: Option<Host>,
    wanted: &Wanted,
) -> Result<(Host, Vec<String>), HostError> {
    let mut host = match host {
        Some(host) => host,
        None => Host::open(name)?,
    };
    let checked = host.check(wanted)?;
    Ok((host, checked.problems.iter().map(ToString::to_string).collect()))
}

/// Takes back what this node's agent has told the host.
pub(crate) fn remove(node: &str, hands: Option<&Path>) {
    let removed = match hands {
        Some(socket) => Hands::new(socket).remove(),
        None => Host::open(node).and_then(|mut host| host.remove()),
    };
    match removed {
        Ok(()) | Err(HostError::NotPermitted) => {}
        Err(error) => tracing::warn!(%error, "rules or routes of pods are left on the host"),
    }
}

fn wanted(shared: &Shared, network: &HostNetwork, nodes: Option<&Informer<Place>>) -> Wanted {
    let settings = &shared.settings;
    let mut addresses = BTreeSet::new();
    if let IpAddr::V4(address) = settings.address {
        addresses.insert(address);
    }
    let mut others = BTreeMap::new();
    for item in nodes.map(Informer::all).unwrap_or_default() {
        let Place { address: Some(address), range } = item.view else { continue };
        addresses.insert(address);
        if let Some(range) = range.filter(|_| item.id.name != settings.node) {
            others.insert(range, address);
        }
    }
    let pods = if network.pods.is_empty() { vec![settings.range] } else { network.pods.clone() };
    Wanted {
        own: settings.range,
        bridge: settings.bridge.clone(),
        pods,
        services: network.services.clone(),
        nodes: addresses,
        others,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_node_its_address_and_range_are_read() {
        let json = br#"{"spec":{"podCIDR":"10.244.1.0/24"},"status":{"addresses":[
            {"type":"Hostname","address":"n"},{"type":"InternalIP","address":"10.0.0.1"}]}}"#;
        let place = Place::read(json).unwrap();
        assert_eq!(place.address, Some([10, 0, 0, 1].into()));
        assert_eq!(place.range.map(|range| range.to_string()).as_deref(), Some("10.244.1.0/24"));
        let place = Place::read(b"{}").unwrap();
        assert!(place.address.is_none() && place.range.is_none());
    }
}
