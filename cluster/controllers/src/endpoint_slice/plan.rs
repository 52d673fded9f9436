// SPDX-License-Identifier: Apache-2.0
//! From a Service, its pods and its slices to the slices that are to be: as few of them change as can be.

use crate::serving::{HEADLESS, Place, addresses, headless, hostname, listed, number};
use crate::view::endpoints::{Conditions, Target};
use crate::view::{Endpoint, Pod, Service, Slice, SlicePort, Texts};
use berth_cluster_client::Item;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The Service that a slice is of.
pub(crate) const SERVICE: &str = "kubernetes.io/service-name";
/// Who keeps it.
pub(crate) const MANAGED: &str = "endpointslice.kubernetes.io/managed-by";
/// That is us.
pub(crate) const US: &str = "endpointslice-controller.k8s.io";
/// Endpoints of a slice (upstream's default).
pub const ENDPOINTS_MAX: usize = 100;

/// A pod, and where its node is; none if the node is not there.
pub type Placed = (Arc<Item<Pod>>, Option<Place>);

/// What is observed.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The Service.
    pub service: Arc<Item<Service>>,
    /// Pods that it selects.
    pub pods: Vec<Placed>,
    /// Its slices.
    pub slices: Vec<Arc<Item<Slice>>>,
}

/// A slice that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Labels.
    pub labels: Texts,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// Its ports.
    pub ports: Vec<SlicePort>,
    /// Who serves.
    pub endpoints: Vec<Endpoint>,
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Slices that are made.
    pub create: Vec<Wanted>,
    /// Slices that change.
    pub update: Vec<(Arc<Item<Slice>>, Wanted)>,
    /// Slices that go.
    pub delete: Vec<Arc<Item<Slice>>>,
    /// A pod's node is not known yet.
    pub again: bool,
}

/// Ports, and who serves on them by pod.
type ByPorts = BTreeMap<Vec<SlicePort>, BTreeMap<Target, Endpoint>>;

/// Decides.
pub fn plan(observed: &Observed) -> Plan {
    let service = &observed.service;
    let mut plan = Plan::default();
    let families = families(&service.view);
    let known = |slice: &&Arc<Item<Slice>>| {
        !slice.view.metadata.deleted() && !families.contains(slice.view.address_type.as_str())
    };
    plan.delete.extend(observed.slices.iter().filter(known).cloned());
    for family in &families {
        let slices = observed
            .slices
            .iter()
            .filter(|slice| slice.view.address_type == *family && !slice.view.metadata.deleted());
        let desired = desired(observed, family, &mut plan.again);
        one_family(&mut plan, service, family, slices.cloned().collect(), desired);
    }
    plan
}

fn families(service: &Service) -> BTreeSet<&'static str> {
    let name = |family: &String| if family == "IPv6" { "IPv6" } else { "IPv4" };
    let known: BTreeSet<_> = service.spec.ip_families.iter().map(name).collect();
    if !known.is_empty() {
        return known;
    }
    BTreeSet::from([if service.spec.cluster_ip.contains(':') { "IPv6" } else { "IPv4" }])
}

fn desired(observed: &Observed, family: &str, again: &mut bool) -> ByPorts {
    let service = &observed.service;
    let anyway = service.view.spec.publish_not_ready_addresses;
    let mut all = ByPorts::new();
    for (pod, place) in observed.pods.iter().filter(|(pod, _)| listed(&pod.view, true)) {
        if place.is_none() && !anyway {
            *again = true;
            continue;
        }
        let addresses: Vec<String> = addresses(&pod.view)
            .into_iter()
            .filter(|one| one.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6() == (family == "IPv6")))
            .map(str::to_owned)
            .collect();
        if addresses.is_empty() {
            continue;
        }
        let target = Target {
            kind: "Pod".to_owned(),
            namespace: pod.id.namespace.clone(),
            name: pod.id.name.clone(),
            uid: pod.id.uid.clone(),
        };
        let (serving, terminating) = (pod.view.ready(), pod.view.metadata.deleted());
        let node = &pod.view.spec.node_name;
        let endpoint = Endpoint {
            addresses,
            conditions: Conditions {
                ready: Some(anyway || (serving && !terminating)),
                serving: Some(serving),
                terminating: Some(terminating),
            },
            hostname: hostname(pod, service),
            node_name: (!node.is_empty()).then(|| node.clone()),
            zone: place.as_ref().and_then(|place| place.zone.clone()),
            target_ref: Some(target.clone()),
        };
        all.entry(ports(&service.view, &pod.view)).or_default().insert(target, endpoint);
    }
    all
}

/// The ports on which a pod serves.
fn ports(service: &Service, pod: &Pod) -> Vec<SlicePort> {
    let ports = service.spec.ports.iter().filter_map(|port| {
        Some(SlicePort {
            name: Some(port.name.clone()),
            port: Some(number(port, pod)?),
            protocol: Some(port.protocol.clone()),
            app_protocol: port.app_protocol.clone(),
        })
    });
    let mut ports: Vec<_> = ports.collect();
    ports.sort();
    ports
}

/// A slice's ports as they are compared: what is missing has its default.
fn known_ports(slice: &Slice) -> Vec<SlicePort> {
    let mut ports: Vec<SlicePort> = slice
        .ports
        .iter()
        .map(|port| SlicePort {
            name: Some(port.name.clone().unwrap_or_default()),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            ..port.clone()
        })
        .collect();
    ports.sort();
    ports
}

/// Labels that a slice of a Service has.
fn labels(service: &Item<Service>) -> Texts {
    let own = [SERVICE, MANAGED, HEADLESS];
    let given = service.view.metadata.labels.iter();
    let mut labels: Texts = given
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    labels.insert(SERVICE.to_owned(), service.id.name.clone());
    labels.insert(MANAGED.to_owned(), US.to_owned());
    if headless(&service.view.spec) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

/// A slice while it is filled.
struct Filling {
    slice: Arc<Item<Slice>>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

/// The slices of a family, while it is decided about them.
#[derive(Default)]
struct Family {
    create: Vec<Wanted>,
    update: Vec<(Arc<Item<Slice>>, Wanted)>,
    delete: Vec<Arc<Item<Slice>>>,
    /// Slices that stay, changed or not.
    kept: usize,
}

fn one_family(
    plan: &mut Plan,
    service: &Arc<Item<Service>>,
    family: &str,
    slices: Vec<Arc<Item<Slice>>>,
    desired: ByPorts,
) {
    let labels = labels(service);
    let wanted = |ports: &[SlicePort], endpoints: Vec<Endpoint>| Wanted {
        labels: labels.clone(),
        family: family.to_owned(),
        ports: ports.to_vec(),
        endpoints,
    };
    let mut by_ports: BTreeMap<Vec<SlicePort>, Vec<Arc<Item<Slice>>>> = BTreeMap::new();
    for slice in slices {
        by_ports.entry(known_ports(&slice.view)).or_default().push(slice);
    }
    let mut all = Family::default();
    for (ports, left) in desired {
        let slices = by_ports.remove(&ports).unwrap_or_default();
        all.fill(slices, left, &labels, |endpoints| wanted(&ports, endpoints));
    }
    all.delete.extend(by_ports.into_values().flatten());
    // A Service without endpoints has one slice that says so.
    if all.kept == 0 && all.create.is_empty() {
        let empty = all.delete.iter().position(|slice| {
            let view = &slice.view;
            view.endpoints.is_empty() && view.ports.is_empty() && *view.metadata.labels == labels
        });
        match empty {
            Some(at) => drop(all.delete.remove(at)),
            None => all.create.push(wanted(&[], Vec::new())),
        }
    }
    all.reuse(&service.id.uid);
    plan.create.extend(all.create);
    plan.update.extend(all.update);
    plan.delete.extend(all.delete);
}

impl Family {
    /// Slices of the same ports get those that serve on them.
    fn fill(
        &mut self,
        slices: Vec<Arc<Item<Slice>>>,
        mut left: BTreeMap<Target, Endpoint>,
        labels: &Texts,
        wanted: impl Fn(Vec<Endpoint>) -> Wanted,
    ) {
        let keep = |slice| keep(slice, &mut left, labels);
        let mut filling: Vec<Filling> = slices.into_iter().map(keep).collect();
        fill_changed(&mut filling, &mut left);
        while !left.is_empty() {
            // What fits beside others into a slice goes there, into the fullest that has room.
            let fits = |one: &&mut Filling| {
                !one.changed && one.endpoints.len() + left.len() <= ENDPOINTS_MAX
            };
            let best = filling.iter_mut().filter(fits).max_by_key(|one| one.endpoints.len());
            if let Some(best) = best {
                best.changed = true;
                take(&mut best.endpoints, &mut left);
            } else {
                let mut endpoints = Vec::new();
                take(&mut endpoints, &mut left);
                self.create.push(wanted(endpoints));
            }
        }
        for one in filling {
            if one.endpoints.is_empty() {
                self.delete.push(one.slice);
                continue;
            }
            self.kept += 1;
            if one.changed {
                self.update.push((one.slice, wanted(one.endpoints)));
            }
        }
    }

    /// Rather than that one slice goes and another comes, one of the Service's own changes.
    fn reuse(&mut self, service: &str) {
        let own = |slice: &Arc<Item<Slice>>| {
            slice.view.metadata.controller().is_some_and(|owner| owner.uid == service)
        };
        while !self.create.is_empty()
            && let Some(at) = self.delete.iter().position(own)
            && let Some(wanted) = self.create.pop()
        {
            self.update.push((self.delete.remove(at), wanted));
        }
    }
}

/// Of a slice's endpoints those stay that are still wanted, as they are now.
fn keep(slice: Arc<Item<Slice>>, left: &mut BTreeMap<Target, Endpoint>, labels: &Texts) -> Filling {
    let mut changed = *slice.view.metadata.labels != *labels;
    let mut endpoints = Vec::new();
    for old in &slice.view.endpoints {
        let new = old.target_ref.as_ref().and_then(|target| left.remove(target));
        changed |= new.as_ref() != Some(old);
        endpoints.extend(new);
    }
    Filling { slice, endpoints, changed }
}

/// Slices that change anyway take what they can.
fn fill_changed(filling: &mut [Filling], left: &mut BTreeMap<Target, Endpoint>) {
    let mut changed: Vec<&mut Filling> = filling.iter_mut().filter(|one| one.changed).collect();
    changed.sort_by_key(|one| std::cmp::Reverse(one.endpoints.len()));
    for one in changed {
        take(&mut one.endpoints, left);
    }
}

fn take(to: &mut Vec<Endpoint>, left: &mut BTreeMap<Target, Endpoint>) {
    while to.len() < ENDPOINTS_MAX
        && let Some((_, endpoint)) = left.pop_first()
    {
        to.push(endpoint);
    }
}
