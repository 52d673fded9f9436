// SPDX-License-Identifier: Apache-2.0
//! From what the host has and what it should have to what is to be done. Pure.

use crate::range::Range;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// What a node's host should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The addresses of this node's pods.
    pub own: Range,
    /// The bridge that they are behind.
    pub bridge: String,
    /// The addresses of all pods of the cluster: one range, or one for each node.
    pub pods: Vec<Range>,
    /// The addresses of services.
    pub services: Vec<Range>,
    /// The addresses of nodes.
    pub nodes: BTreeSet<Ipv4Addr>,
    /// The ranges of other nodes, and the address of each, which has to be on the same layer 2 as one of this node's.
    pub others: BTreeMap<Range, Ipv4Addr>,
}

/// A route to another node's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Their addresses.
    pub range: Range,
    /// The node's.
    pub via: Ipv4Addr,
}

/// What the host has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The digest of what this agent's rules were made of; none if they are not there, or not as they were made.
    pub rules: Option<u64>,
    /// This agent's routes.
    pub routes: BTreeSet<Route>,
    /// Networks that interfaces of the host are in.
    pub connected: Vec<Range>,
    /// The host's own addresses.
    pub addresses: BTreeSet<Ipv4Addr>,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Make this agent's rules anew, in place of those that are there.
    MakeRules,
    /// Make a route, in place of this agent's other one to the same range.
    AddRoute(Route),
    /// Remove a route of this agent's.
    RemoveRoute(Route),
}

impl Wanted {
    /// What rules made of this are known by: all but the routes.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let Self { own, bridge, pods, services, nodes, others: _ } = self;
        crate::book::digest(format!("3 {own} {bridge} {pods:?} {services:?} {nodes:?}").as_bytes())
    }

    /// Whether a route to a range may be made: what a node says of itself must not lead this node's other traffic to it.
    fn may_lead(&self, route: Route) -> bool {
        let Route { range, via } = route;
        let covers = |all: &Range| all.contains(range.first()) && all.prefix() <= range.prefix();
        self.pods.iter().any(covers)
            && !range.overlaps(self.own)
            && !self.services.iter().any(|services| services.overlaps(range))
            && !range.contains(via)
            && !self.nodes.iter().any(|node| range.contains(*node))
    }
}

/// What is to be done so that the host has what it should have.
#[must_use]
pub fn plan(observed: &Observed, wanted: &Wanted) -> Vec<Action> {
    let mut actions = Vec::new();
    if observed.rules != Some(wanted.digest()) {
        actions.push(Action::MakeRules);
    }
    let all = wanted.others.iter().map(|(range, via)| Route { range: *range, via: *via });
    let routes: BTreeSet<Route> = all
        // Nodes that share this host, each with its own bridge, need none.
        .filter(|route| !observed.addresses.contains(&route.via))
        .filter(|route| !observed.connected.iter().any(|one| one.overlaps(route.range)))
        .filter(|route| wanted.may_lead(*route))
        .collect();
    for route in &observed.routes {
        let replaced = routes.iter().find(|one| one.range == route.range);
        // One that leads elsewhere is replaced without a moment in which there is none.
        let goes = replaced.is_none_or(|one| one != route && observed.routes.contains(one));
        if goes {
            actions.push(Action::RemoveRoute(*route));
        }
    }
    let new = routes.difference(&observed.routes);
    actions.extend(new.map(|route| Action::AddRoute(*route)));
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().unwrap()
    }

    fn route(to: &str, last: u8) -> Route {
        Route { range: range(to), via: [192, 0, 2, last].into() }
    }

    fn wanted(others: &[Route]) -> Wanted {
        Wanted {
            own: range("10.1.0.0/24"),
            bridge: "br".to_owned(),
            pods: vec![range("10.1.0.0/16")],
            services: vec![range("10.96.0.0/16")],
            nodes: (1..5).map(|last| [192, 0, 2, last].into()).collect(),
            others: others.iter().map(|one| (one.range, one.via)).collect(),
        }
    }

    fn observed(wanted: &Wanted, routes: &[Route]) -> Observed {
        Observed {
            rules: Some(wanted.digest()),
            routes: routes.iter().copied().collect(),
            connected: vec![range("192.0.2.0/24"), range("10.1.0.0/24")],
            addresses: [[192, 0, 2, 1].into()].into(),
        }
    }

    #[test]
    fn only_what_differs_is_done() {
        let (a, b, c) = (route("10.1.1.0/24", 2), route("10.1.2.0/24", 3), route("10.1.1.0/24", 4));
        for (have, want, expected) in [
            (vec![], vec![], vec![]),
            (vec![a], vec![a], vec![]),
            (vec![], vec![a, b], vec![Action::AddRoute(a), Action::AddRoute(b)]),
            (vec![a, b], vec![b], vec![Action::RemoveRoute(a)]),
            (vec![a], vec![c], vec![Action::AddRoute(c)]),
            (vec![a, c], vec![c], vec![Action::RemoveRoute(a)]),
        ] {
            let wanted = wanted(&want);
            assert_eq!(plan(&observed(&wanted, &have), &wanted), expected, "{have:?} {want:?}");
        }
        let wanted = wanted(&[]);
        for rules in [None, Some(7)] {
            let observed = Observed { rules, ..observed(&wanted, &[]) };
            assert_eq!(plan(&observed, &wanted), [Action::MakeRules]);
        }
    }

    #[test]
    fn no_node_leads_anothers_traffic_astray() {
        for (hostile, why) in [
            (route("0.0.0.0/0", 2), "everything"),
            (route("10.0.0.0/8", 2), "more than pods"),
            (route("10.1.0.0/16", 2), "this node's pods are in it"),
            (route("10.1.0.128/25", 2), "this node's own"),
            (route("192.0.2.0/28", 2), "nodes"),
            (route("10.96.0.0/24", 2), "services"),
            (route("172.16.0.0/24", 2), "somebody else's"),
            (route("10.1.9.0/24", 1), "this node itself"),
        ] {
            let wanted = wanted(&[hostile]);
            assert_eq!(plan(&observed(&wanted, &[]), &wanted), [], "{why}");
        }
        let wide = Wanted { pods: vec![range("0.0.0.0/0")], ..wanted(&[route("192.0.0.0/16", 2)]) };
        assert_eq!(plan(&observed(&wide, &[]), &wide), []);
        let neighbour = wanted(&[route("10.1.7.0/24", 2)]);
        let mut here = observed(&neighbour, &[]);
        here.connected.push(range("10.1.7.0/24"));
        assert_eq!(plan(&here, &neighbour), [], "its bridge is on this host");
    }
}
