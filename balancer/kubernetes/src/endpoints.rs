// SPDX-License-Identifier: Apache-2.0
//! The endpoints of one service out of all of its slices, as kube-proxy sees them. Pure.
//!
//! Slices overlap while endpoints move from one to another, and a pod may stand in several, with other ports each. What counts is address
//! and port: of several that say the same, the one that is able to do more. Of the parts of one pod one endpoint is made again.

use crate::around::Around;
use crate::view::{Candidate, Slice};
use berth_balancer_core::model::{Distribution, Endpoint, EndpointPort, Name, ServicePort};
use compact_str::CompactString as Text;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The endpoints of a service, by name, and which of them are preferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) distribution: Distribution,
    /// How many addresses of this node are ready: what a load balancer's health check is answered.
    pub(crate) local_ready: usize,
}

/// An endpoint is this pod at this address: made anew under its old name it has another address, and another that got the address has
/// another name.
type Who<'a> = (&'a Text, IpAddr);

/// What is known of it.
struct Found<'a> {
    best: &'a Candidate,
    ports: BTreeMap<Name, u16>,
    hints: Hints,
}

/// What endpoints say about whom they are for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hints {
    some_zone: bool,
    my_zone: bool,
    some_node: bool,
    my_node: bool,
}

/// Whether a candidate can do more than another: the order is total, so that the order of slices decides nothing.
fn worth<'a>(one: &'a Candidate, around: &Around) -> impl Ord + use<'a> {
    let local = one.node.is_some() && one.node == around.node;
    (one.ready, one.serving, !one.terminating, local, Reverse((&one.name, &one.node, &one.zone)))
}

/// Puts the slices of a service together. `ports` are those that are served; `own` its own addresses, to which nothing is sent back.
pub(crate) fn merge<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    ports: &[ServicePort],
    own: &[IpAddr],
    around: &Around,
) -> Merged {
    // For each port and address: who answers there.
    let mut places: BTreeMap<(&Name, SocketAddr), &Candidate> = BTreeMap::new();
    for slice in slices.filter(|slice| !slice.is_other) {
        for port in &slice.ports {
            let same = |own: &&ServicePort| {
                *own.name == *port.name && port.protocol.served() == Some(own.protocol)
            };
            let Some(of) = ports.iter().find(same) else { continue };
            for one in &slice.endpoints {
                if own.contains(&one.address) && of.port == port.number {
                    continue;
                }
                let place = (&of.name, SocketAddr::new(one.address, port.number));
                let held = places.entry(place).or_insert(one);
                if worth(one, around) > worth(held, around) {
                    *held = one;
                }
            }
        }
    }
    let mut found: BTreeMap<(Who<'_>, u16), Found<'_>> = BTreeMap::new();
    for ((name, address), one) in places {
        let who = (&one.name, one.address);
        // One of several ports of the same name is another endpoint: while a pod's named port moves.
        let twice = |at: &u16| {
            let taken = found.get(&(who, *at));
            taken.is_some_and(|taken| taken.ports.contains_key(name))
        };
        let at = (0..=u16::MAX).find(|at| !twice(at)).unwrap_or(u16::MAX);
        let hints = Hints::of(one, around);
        let of = found.entry((who, at)).or_insert_with(|| Found {
            best: one,
            ports: BTreeMap::new(),
            hints,
        });
        if worth(one, around) > worth(of.best, around) {
            (of.best, of.hints) = (one, hints);
        }
        of.ports.insert(name.clone(), address.port());
    }
    finish(&found, around)
}

fn finish(found: &BTreeMap<(Who<'_>, u16), Found<'_>>, around: &Around) -> Merged {
    let distribution = distribution(found.values(), around);
    let mut local: Vec<IpAddr> = Vec::new();
    let endpoints = found.iter().map(|(((name, address), at), found)| {
        let best = found.best;
        if best.ready && best.node.is_some() && best.node == around.node {
            local.push(*address);
        }
        let port = |(name, port): (&Name, &u16)| EndpointPort { name: name.clone(), port: *port };
        let (node, zone) = near(found, distribution, around);
        Endpoint {
            name: name_of(name, *address, *at),
            address: *address,
            ports: found.ports.iter().map(port).collect(),
            ready: best.ready,
            serving: best.serving,
            terminating: best.terminating,
            node,
            zone,
            weight: 1,
        }
    });
    let endpoints = endpoints.collect();
    local.sort_unstable();
    local.dedup();
    Merged { endpoints, distribution, local_ready: local.len() }
}

fn name_of(pod: &str, address: IpAddr, at: u16) -> Name {
    let place = if pod.is_empty() { address.to_string() } else { format!("{pod}/{address}") };
    if at == 0 { place.into() } else { format!("{place}#{at}").into() }
}

impl Hints {
    fn of(one: &Candidate, around: &Around) -> Self {
        let is = |own: &Option<Name>, all: &[Name]| own.as_ref().is_some_and(|o| all.contains(o));
        Self {
            some_zone: !one.for_zones.is_empty(),
            my_zone: is(&around.zone, &one.for_zones),
            some_node: !one.for_nodes.is_empty(),
            my_node: is(&around.node, &one.for_nodes),
        }
    }
}

/// Which hints are followed: only if all that are ready have some, and one of them is for here (kube-proxy's `topologyModeFromHints`).
fn distribution<'a>(all: impl Iterator<Item = &'a Found<'a>>, around: &Around) -> Distribution {
    let ready: Vec<Hints> = all.filter(|one| one.best.ready).map(|one| one.hints).collect();
    let all = |has: fn(&Hints) -> bool| ready.iter().all(has);
    let any = |has: fn(&Hints) -> bool| ready.iter().any(has);
    if all(|one| one.some_node) && any(|one| one.my_node) {
        Distribution::PreferSameNode
    } else if around.zone.is_some() && all(|one| one.some_zone) && any(|one| one.my_zone) {
        Distribution::PreferSameZone
    } else {
        Distribution::Any
    }
}

/// Node and zone as the balancer is told. It prefers what lies in its zone; where hints are followed, that is what is meant for its zone.
fn near(
    found: &Found<'_>,
    distribution: Distribution,
    around: &Around,
) -> (Option<Name>, Option<Name>) {
    let own = &around.zone;
    let zone = match distribution {
        Distribution::Any => return (found.best.node.clone(), found.best.zone.clone()),
        Distribution::PreferSameZone => found.hints.my_zone,
        // All that is hinted at for this node; the node itself has to stay what it is, for policies that are local.
        Distribution::PreferSameNode => found.hints.my_node,
    };
    let elsewhere = || found.best.zone.clone().filter(|zone| Some(zone) != own.as_ref());
    (found.best.node.clone(), if zone { own.clone() } else { elsewhere() })
}
