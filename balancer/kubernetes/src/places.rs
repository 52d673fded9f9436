// SPDX-License-Identifier: Apache-2.0
//! Who has an address and port that several want. Pure.
//!
//! Who has it depends on who wants it, and on nothing that happened before: cluster addresses come first, then ports of the node, then a load
//! balancer's addresses, then external ones, then ports of pods; of equals the oldest, then the first by name. Who does not get a place loses
//! the address, or the port of the node, and says so.

use crate::parts::{HOST_PORT, Note};
use berth_balancer_core::model::{Name, Protocol, Service};
use berth_balancer_core::{ClaimPath, Place, claims};
use compact_str::CompactString as Text;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// The right of one to a place: the smallest has it.
type Right = (u8, Text, Name);

/// Everybody's claims.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    wanted: BTreeMap<(Place, Protocol), BTreeSet<Right>>,
    /// The node's addresses: a port of the node is a place on each of them.
    node: Vec<IpAddr>,
}

/// Which place a field of a service claims.
struct Wanted {
    path: ClaimPath,
    place: (Place, Protocol),
    right: Right,
}

fn wanted<'a>(service: &'a Service, born: &'a Text) -> impl Iterator<Item = Wanted> + 'a {
    let of_pod = service.name.starts_with(HOST_PORT);
    claims(service).into_iter().map(move |claim| {
        let rank = match claim.path {
            _ if of_pod => 4,
            ClaimPath::Address { field: "cluster_ips", .. } => 0,
            ClaimPath::NodePort(_) | ClaimPath::HealthPort => 1,
            ClaimPath::Address { field: "load_balancer_ips", .. } => 2,
            ClaimPath::Address { .. } => 3,
        };
        let right = (rank, born.clone(), service.name.clone());
        Wanted { path: claim.path, place: (claim.at, claim.protocol), right }
    })
}

impl Places {
    /// With these addresses of the node. All claims have to be made anew.
    pub(crate) fn new(node: &[IpAddr]) -> Self {
        Self { wanted: BTreeMap::new(), node: node.to_vec() }
    }

    /// Takes a service's claims back; names all others who want the same.
    pub(crate) fn forget(&mut self, service: &Service, born: &Text, others: &mut BTreeSet<Name>) {
        for Wanted { place, right, .. } in wanted(service, born) {
            if let Some(all) = self.wanted.get_mut(&place) {
                all.remove(&right);
                if all.is_empty() {
                    self.wanted.remove(&place);
                }
            }
            others.extend(self.rivals(place).map(|(_, _, name)| name.clone()));
        }
    }

    /// Notes a service's claims; names all others who want the same.
    pub(crate) fn note(&mut self, service: &Service, born: &Text, others: &mut BTreeSet<Name>) {
        for Wanted { place, right, .. } in wanted(service, born) {
            others.extend(self.rivals(place).map(|(_, _, name)| name.clone()));
            self.wanted.entry(place).or_default().insert(right);
        }
    }

    /// All who want a place, or one that cannot be served beside it.
    fn rivals(&self, (place, protocol): (Place, Protocol)) -> impl Iterator<Item = &Right> {
        let mut places = vec![place];
        match place {
            Place::Address(at) if self.node.contains(&at.ip()) => {
                places.push(Place::Node(at.port()));
            }
            Place::Address(_) => {}
            Place::Node(port) => {
                let at = |ip: &IpAddr| Place::Address(SocketAddr::new(*ip, port));
                places.extend(self.node.iter().map(at));
            }
        }
        let all = places.into_iter().filter_map(move |place| self.wanted.get(&(place, protocol)));
        all.flatten()
    }

    /// A service without what others have more right to; none if it has all that it wants.
    pub(crate) fn granted(&self, service: &Service, born: &Text) -> (Option<Service>, Vec<Note>) {
        let (mut granted, mut notes) = (None, Vec::new());
        for Wanted { path, place, right } in wanted(service, born) {
            let best = self.rivals(place).filter(|rival| rival.2 != right.2).min();
            let Some((_, _, with)) = best.filter(|best| **best < right) else { continue };
            let (what, protocol) = (words(place.0), place.1);
            let message = format!("{protocol} {what} belongs to {with} already");
            notes.push(Note::new("PortConflict", message));
            take(granted.get_or_insert_with(|| service.clone()), service, path);
        }
        notes.sort_unstable();
        notes.dedup();
        (granted, notes)
    }
}

fn words(place: Place) -> String {
    match place {
        Place::Address(at) => at.to_string(),
        Place::Node(port) => format!("port {port} of the node"),
    }
}

/// Takes from `granted` what stands in a field of `whole`.
fn take(granted: &mut Service, whole: &Service, path: ClaimPath) {
    match path {
        ClaimPath::Address { field, at } => {
            let (from, list) = match field {
                "cluster_ips" => (&whole.cluster_ips, &mut granted.cluster_ips),
                "external_ips" => (&whole.external_ips, &mut granted.external_ips),
                _ => (&whole.load_balancer_ips, &mut granted.load_balancer_ips),
            };
            if let Some(gone) = from.get(at) {
                list.retain(|address| address != gone);
            }
        }
        ClaimPath::NodePort(at) => {
            if let Some(port) = granted.ports.get_mut(at) {
                port.node_port = None;
            }
        }
        ClaimPath::HealthPort => {
            std::sync::Arc::make_mut(&mut granted.settings).health_check_node_port = None;
        }
    }
}
