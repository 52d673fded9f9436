// SPDX-License-Identifier: Apache-2.0
//! The host's rules and routes in network namespaces: two nodes on one layer 2, pods behind a bridge of each, and somebody outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be done is a failure of the test"
)]

use berth_balancer_testkit::{Space, have_namespaces, link, until};
use berth_cluster_agent_network::{
    Action, Checked, Host, HostError, Problem, Range, Route, Wanted,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

fn range(text: &str) -> Range {
    text.parse().unwrap()
}

/// A node: its namespace, one of a pod, and its part of the host.
struct Node {
    space: Space,
    pod: Space,
    number: u8,
    host: Option<Host>,
}

impl Node {
    fn new(number: u8) -> Self {
        let (space, pod) = (Space::new("n"), Space::new("p"));
        space.sh(
            "ip link add pods type bridge; ip link set pods up; sysctl -qw net.ipv4.ip_forward=1",
        );
        space.sh(&format!("ip addr add 10.1.{number}.1/24 dev pods"));
        plug(&space, "pods", "pod", &pod, &format!("10.1.{number}.2"));
        let agent = format!("agent-{number}");
        let host = Some(space.run(|| Host::open(&agent).unwrap()));
        Self { space, pod, number, host }
    }

    fn wanted(&self, others: &[u8]) -> Wanted {
        let node = |number: &u8| Ipv4Addr::new(192, 0, 2, *number);
        let own = |number: &u8| range(&format!("10.1.{number}.0/24"));
        Wanted {
            own: own(&self.number),
            bridge: "pods".to_owned(),
            pods: vec![range("10.1.0.0/16")],
            services: vec![range("10.96.0.0/16")],
            nodes: others.iter().chain([&self.number]).map(node).collect(),
            others: others.iter().map(|number| (own(number), node(number))).collect(),
        }
    }

    fn check(&mut self, wanted: &Wanted) -> Result<Checked, HostError> {
        let host = self.host.as_mut().unwrap();
        self.space.run(|| host.check(wanted))
    }

    fn remove(&mut self) {
        let host = self.host.as_mut().unwrap();
        self.space.run(|| host.remove().unwrap());
    }
}

/// A namespace behind a bridge.
fn plug(node: &Space, bridge: &str, name: &str, pod: &Space, address: &str) {
    link(node, name, "", pod, &format!("{address}/24"));
    node.sh(&format!("ip link set {name} master {bridge}"));
    let gateway = format!("{}.1", address.rsplit_once('.').unwrap().0);
    pod.sh(&format!("ip route add default via {gateway}"));
}

/// Whom a receiver sees when a namespace sends it a datagram, and whether its answer arrives.
fn seen(from: &Space, to: &Space, address: &str) -> Option<(IpAddr, bool)> {
    const WAIT: Option<Duration> = Some(Duration::from_millis(400));
    let receiver = to.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    receiver.set_read_timeout(WAIT).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let sender = from.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    sender.set_read_timeout(WAIT).unwrap();
    let mut buffer = [0; 8];
    for _ in 0..3 {
        // A way that is not there is an answer, too.
        if sender.send_to(b"x", (address, port)).is_err() {
            return None;
        }
        if let Ok((_, source)) = receiver.recv_from(&mut buffer) {
            receiver.send_to(b"y", source).ok();
            return Some((source.ip(), sender.recv_from(&mut buffer).is_ok()));
        }
    }
    None
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two nodes, 192.0.2.1 and .2, and an outside with .9, on one bridge.
struct Lan {
    nodes: [Node; 2],
    outside: Space,
    switch: Space,
}

impl Lan {
    fn new() -> Self {
        let (switch, outside) = (Space::new("s"), Space::new("o"));
        switch.sh("ip link add lan type bridge; ip link set lan up");
        let nodes = [Node::new(1), Node::new(2)];
        for (name, space, address) in [
            ("one", &nodes[0].space, "192.0.2.1/24"),
            ("two", &nodes[1].space, "192.0.2.2/24"),
            ("out", &outside, "192.0.2.9/24"),
        ] {
            link(&switch, name, "", space, address);
            switch.sh(&format!("ip link set {name} master lan"));
        }
        Self { nodes, outside, switch }
    }
}

/// As Docker writes it, with a network of somebody else's.
const DOCKER: &str = "iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -N DOCKER-ISOLATION-STAGE-1; \
    iptables -N DOCKER-ISOLATION-STAGE-2; \
    iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1; \
    for b in pods other; do \
    iptables -A FORWARD -o $b -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
    iptables -A FORWARD -i $b ! -o $b -j ACCEPT; iptables -A FORWARD -i $b -o $b -j ACCEPT; \
    iptables -A DOCKER-ISOLATION-STAGE-1 -i $b ! -o $b -j DOCKER-ISOLATION-STAGE-2; \
    iptables -A DOCKER-ISOLATION-STAGE-2 -o $b -j DROP; done; \
    iptables -A DOCKER-USER -j RETURN";

#[test]
fn pods_reach_one_another_with_their_own_addresses_and_the_outside_with_the_nodes() {
    if !have_namespaces() {
        return;
    }
    let mut lan = Lan::new();
    assert_eq!(seen(&lan.nodes[0].pod, &lan.outside, "192.0.2.9"), Some((ip("10.1.1.2"), false)));
    assert_eq!(seen(&lan.nodes[0].pod, &lan.nodes[1].pod, "10.1.2.2"), None);
    for (node, other) in [(0, 2), (1, 1)] {
        let wanted = lan.nodes[node].wanted(&[other]);
        let checked = lan.nodes[node].check(&wanted).unwrap();
        let via = Ipv4Addr::new(192, 0, 2, other);
        let route = Route { range: range(&format!("10.1.{other}.0/24")), via };
        assert_eq!(checked.done, [Action::MakeRules, Action::AddRoute(route)]);
        assert_eq!(checked.problems, []);
        assert_eq!(
            lan.nodes[node].check(&wanted).unwrap(),
            Checked::default(),
            "nothing is left to do"
        );
    }
    let [one, two] = &lan.nodes;
    assert_eq!(seen(&one.pod, &lan.outside, "192.0.2.9"), Some((ip("192.0.2.1"), true)));
    assert_eq!(seen(&one.pod, &two.pod, "10.1.2.2"), Some((ip("10.1.1.2"), true)));
    assert_eq!(seen(&two.pod, &one.pod, "10.1.1.2"), Some((ip("10.1.2.2"), true)));
    assert_eq!(seen(&one.pod, &two.space, "192.0.2.2"), Some((ip("10.1.1.2"), true)), "a node");
    assert_eq!(seen(&two.space, &one.pod, "10.1.1.2"), Some((ip("192.0.2.2"), true)));
    assert_eq!(seen(&one.space, &one.pod, "10.1.1.2"), Some((ip("10.1.1.1"), true)));
    // A neighbour reaches a pod by what is translated only, as Services are, and not past them.
    lan.outside.sh("ip route add 10.1.1.0/24 via 192.0.2.1; ip route add 10.96.0.7 via 192.0.2.1");
    assert_eq!(seen(&lan.outside, &one.pod, "10.1.1.2"), None);
    one.space.sh("nft 'add table ip t; add chain ip t c { type nat hook prerouting priority -100; }; add rule ip t c ip daddr 10.96.0.7 dnat to 10.1.1.2'");
    assert_eq!(seen(&lan.outside, &one.pod, "10.96.0.7"), Some((ip("192.0.2.9"), true)));
    // The same process, and another one after it, find what is there.
    let wanted = one.wanted(&[2]);
    let again = one.space.run(|| Host::open("agent-1").unwrap().check(&wanted).unwrap());
    assert_eq!(again.done, []);
    drop(lan.switch);
}

#[test]
fn a_firewall_that_drops_is_excepted_for_pods_and_for_nobody_else() {
    if !have_namespaces() {
        return;
    }
    let mut lan = Lan::new();
    let other = Space::new("c");
    for node in &lan.nodes {
        node.space.sh("ip link add other type bridge; ip link set other up; ip addr add 172.30.0.1/24 dev other");
        node.space.sh(DOCKER);
    }
    plug(&lan.nodes[0].space, "other", "container", &other, "172.30.0.2");
    // A second agent on the first node's engine, with a bridge of its own.
    let third = Space::new("q");
    lan.nodes[0]
        .space
        .sh("ip link add more type bridge; ip link set more up; ip addr add 10.1.3.1/24 dev more");
    plug(&lan.nodes[0].space, "more", "third", &third, "10.1.3.2");
    let more = Wanted {
        own: range("10.1.3.0/24"),
        bridge: "more".to_owned(),
        ..lan.nodes[0].wanted(&[2])
    };
    let mut second = lan.nodes[0].space.run(|| Host::open("agent-3").unwrap());
    for node in 0..2 {
        let mut wanted = lan.nodes[node].wanted(&[1, 2]);
        wanted.others.insert(range("10.1.3.0/24"), [192, 0, 2, 1].into());
        let checked = lan.nodes[node].check(&wanted).unwrap();
        assert!(checked.excepted && checked.problems.is_empty(), "{checked:?}");
    }
    lan.nodes[0].space.run(|| second.check(&more).unwrap());
    let all_reached = |lan: &Lan, when: &str| {
        let [one, two] = &lan.nodes;
        let kept = |from: &Space, to: &Space, address: &str, source: &str| {
            assert_eq!(
                seen(from, to, address),
                Some((ip(source), true)),
                "{when}: {source}, {address}"
            );
        };
        kept(&one.pod, &two.pod, "10.1.2.2", "10.1.1.2");
        kept(&two.pod, &one.pod, "10.1.1.2", "10.1.2.2");
        kept(&one.pod, &third, "10.1.3.2", "10.1.1.2");
        kept(&third, &one.pod, "10.1.1.2", "10.1.3.2");
        kept(&two.pod, &third, "10.1.3.2", "10.1.2.2");
        kept(&two.space, &one.pod, "10.1.1.2", "192.0.2.2");
        assert_eq!(seen(&other, &one.pod, "10.1.1.2"), None, "{when}: a container that is no pod");
        assert_eq!(seen(&one.pod, &other, "172.30.0.2"), None, "{when}");
    };
    all_reached(&lan, "at first");
    // Somebody loads the firewall anew.
    for node in 0..2 {
        lan.nodes[node].space.sh(&format!("nft flush ruleset; {DOCKER}"));
        let mut wanted = lan.nodes[node].wanted(&[1, 2]);
        wanted.others.insert(range("10.1.3.0/24"), [192, 0, 2, 1].into());
        let checked = lan.nodes[node].check(&wanted).unwrap();
        assert!(checked.excepted && checked.done == [Action::MakeRules], "{checked:?}");
    }
    let checked = lan.nodes[0].space.run(|| second.check(&more).unwrap());
    assert_eq!(checked.done, [Action::MakeRules]);
    all_reached(&lan, "after the firewall was loaded anew");
}

#[test]
fn what_one_agent_made_goes_and_nothing_of_others() {
    if !have_namespaces() {
        return;
    }
    let mut lan = Lan::new();
    lan.nodes[0].space.sh(DOCKER);
    lan.nodes[0].space.sh("ip route add 10.1.77.0/24 via 192.0.2.9; ip route add 10.1.78.0/24 via 192.0.2.9 proto 192 metric 7");
    let list = |node: &Node| {
        node.space.sh("nft list ruleset | grep -v '^#' | sed 's/counter packets [0-9]* bytes [0-9]*//'; ip route")
    };
    let other =
        Wanted { own: range("10.1.3.0/24"), bridge: "more".to_owned(), ..lan.nodes[0].wanted(&[]) };
    let mut second = lan.nodes[0].space.run(|| Host::open("agent-10").unwrap());
    lan.nodes[0].space.run(|| second.check(&other).unwrap());
    let before = list(&lan.nodes[0]);
    let mut wanted = lan.nodes[0].wanted(&[2]);
    lan.nodes[0].check(&wanted).unwrap();
    assert_ne!(list(&lan.nodes[0]), before);
    // Rules that others have changed are made anew; and so are those of another configuration.
    lan.nodes[0].space.sh("nft add rule ip berth-pods-agent-1 leave drop");
    assert_eq!(lan.nodes[0].check(&wanted).unwrap().done, [Action::MakeRules]);
    wanted.nodes.insert([192, 0, 2, 7].into());
    assert_eq!(lan.nodes[0].check(&wanted).unwrap().done, [Action::MakeRules]);
    wanted.others.clear();
    assert!(matches!(lan.nodes[0].check(&wanted).unwrap().done[..], [Action::RemoveRoute(_)]));
    lan.nodes[0].remove();
    assert_eq!(list(&lan.nodes[0]), before);
    lan.nodes[0].remove();
    assert_eq!(list(&lan.nodes[0]), before, "twice does no harm");
}

#[test]
fn what_cannot_be_is_told_and_the_rest_is_done() {
    if !have_namespaces() {
        return;
    }
    let mut node = Node::new(1);
    node.space.sh("sysctl -qw net.ipv4.ip_forward=0");
    let far = Route { range: range("10.1.2.0/24"), via: [203, 0, 113, 5].into() };
    let mut wanted = node.wanted(&[]);
    wanted.others.insert(far.range, far.via);
    let checked = node.check(&wanted).unwrap();
    assert_eq!(checked.done, [Action::MakeRules]);
    let [Problem::NoRoute { route, .. }, Problem::ForwardingOff] = &checked.problems[..] else {
        panic!("{checked:?}");
    };
    assert_eq!(*route, far);
    for bridge in ["", "a-name-that-is-too-long", "a b", "a/b"] {
        let wanted = Wanted { bridge: bridge.to_owned(), ..node.wanted(&[]) };
        assert!(matches!(node.check(&wanted), Err(HostError::Bridge(_))), "{bridge:?}");
    }
    let denied = node.space.run(|| {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).unwrap();
        Host::open("agent-1")
    });
    assert!(matches!(denied, Err(HostError::NotPermitted)), "{denied:?}");
    // Nodes with many others: all of them are in the rules.
    let mut wanted = node.wanted(&[]);
    wanted.nodes = (0..=255)
        .flat_map(|a| (0..20).map(move |b| Ipv4Addr::new(192, 0, b, a)))
        .collect::<BTreeSet<_>>();
    assert_eq!(node.check(&wanted).unwrap().done, [Action::MakeRules]);
    until("the set is whole", || {
        node.space
            .sh("nft list set ip berth-pods-agent-1 nodes | tr ',' '\\n' | grep -c 192.0")
            .trim()
            == "5120"
    });
}
