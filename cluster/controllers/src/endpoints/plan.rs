// SPDX-License-Identifier: Apache-2.0
//! From a Service and its pods to its Endpoints.

use crate::serving::{HEADLESS, addresses, headless, hostname, listed, number};
use crate::view::endpoints::{SubsetAddress, SubsetPort, Target};
use crate::view::{Endpoints, Pod, Service, Subset, Texts};
use berth_cluster_client::Item;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses of one object (upstream's number).
pub const ADDRESSES_MAX: usize = 1000;
const OVER: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED: &str = "endpoints.kubernetes.io/managed-by";

/// How the Endpoints of a Service are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Labels.
    pub labels: Texts,
    /// Annotations.
    pub annotations: Texts,
    /// Who serves on which ports.
    pub subsets: Vec<Subset>,
}

/// Decides. None if all is as it is to be.
pub fn plan(
    service: &Item<Service>,
    pods: &[Arc<Item<Pod>>],
    known: Option<&Endpoints>,
) -> Option<Wanted> {
    let mut labels = Texts::clone(&service.view.metadata.labels);
    labels.insert(MANAGED.to_owned(), "endpoint-controller".to_owned());
    if headless(&service.view.spec) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    let (subsets, cut) = shorten(subsets(service, pods));
    let mut annotations = known.map(|known| known.metadata.annotations.clone()).unwrap_or_default();
    if cut {
        annotations.insert(OVER.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER);
    }
    let same = known.is_some_and(|known| {
        *known.metadata.labels == labels
            && known.metadata.annotations == annotations
            && sorted(known.subsets.clone()) == subsets
    });
    (!same).then_some(Wanted { labels, annotations, subsets })
}

fn subsets(service: &Item<Service>, pods: &[Arc<Item<Pod>>]) -> Vec<Subset> {
    let spec = &service.view.spec;
    let anyway = spec.publish_not_ready_addresses;
    let mut all: BTreeMap<Vec<SubsetPort>, Subset> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| listed(&pod.view, anyway)) {
        let Some(address) = address(service, pod) else { continue };
        let ports = spec.ports.iter().filter_map(|port| {
            Some(SubsetPort {
                name: port.name.clone(),
                port: number(port, &pod.view)?,
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
        });
        let mut ports: Vec<_> = ports.collect();
        ports.sort();
        // A headless Service need not have ports; of others a pod without any does not serve.
        if ports.is_empty() && !(spec.ports.is_empty() && headless(spec)) {
            continue;
        }
        let subset = all.entry(ports.clone()).or_default();
        subset.ports = ports;
        if anyway || pod.view.ready() {
            subset.addresses.push(address);
        } else {
            subset.not_ready_addresses.push(address);
        }
    }
    sorted(all.into_values().collect())
}

/// Of a pod's addresses that of the Service's first family.
fn address(service: &Item<Service>, pod: &Item<Pod>) -> Option<SubsetAddress> {
    let spec = &service.view.spec;
    let six = spec.ip_families.first().map_or(spec.cluster_ip.contains(':'), |one| one == "IPv6");
    let of_family = |one: &&str| one.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6() == six);
    let ip = addresses(&pod.view).into_iter().find(of_family)?.to_owned();
    let node = &pod.view.spec.node_name;
    let target_ref = Some(Target {
        kind: "Pod".to_owned(),
        namespace: pod.id.namespace.clone(),
        name: pod.id.name.clone(),
        uid: pod.id.uid.clone(),
    });
    let node_name = (!node.is_empty()).then(|| node.clone());
    Some(SubsetAddress { ip, hostname: hostname(pod, service), node_name, target_ref })
}

fn sorted(mut subsets: Vec<Subset>) -> Vec<Subset> {
    for subset in &mut subsets {
        subset.addresses.sort();
        subset.not_ready_addresses.sort();
        subset.ports.sort();
    }
    subsets.sort_by(|a, b| a.ports.cmp(&b.ports));
    subsets
}

/// No more addresses than fit, those that are ready first.
fn shorten(mut subsets: Vec<Subset>) -> (Vec<Subset>, bool) {
    let mut left = ADDRESSES_MAX;
    let mut cut = false;
    let mut cut_to = |addresses: &mut Vec<SubsetAddress>| {
        cut |= addresses.len() > left;
        addresses.truncate(left);
        left -= addresses.len();
    };
    for subset in &mut subsets {
        cut_to(&mut subset.addresses);
    }
    for subset in &mut subsets {
        cut_to(&mut subset.not_ready_addresses);
    }
    subsets.retain(|one| !one.addresses.is_empty() || !one.not_ready_addresses.is_empty());
    (subsets, cut)
}
