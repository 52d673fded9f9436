// SPDX-License-Identifier: Apache-2.0
//! The shortcut: who takes it and who does not, what it must not open, and upgrades. `shortcut_host.rs` has what the host does to it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod fixture;
mod lab;

use berth_balancer_core::Change;
use berth_balancer_core::model::Settings;
use berth_balancer_host::nft::Nft;
use lab::{
    Connection, Plane, Row, SERVERS, Space, Talks, both, endpoints, have_namespaces, link, serves,
    telling, traces, until,
};
use std::net::TcpStream;
use std::time::Duration;

const PLACES: [&str; 2] = ["10.96.0.1:80", "[fd96::1]:80"];

/// Connects, and says whether the shortcut brought the connection.
fn connect(plane: &mut Plane, who: &Space, address: &str) -> (Connection, bool) {
    let before = plane.short();
    let mut connection = who.connect(address).unwrap();
    connection.echo().unwrap();
    let brought = plane.short() - before;
    assert!(brought < 2, "{address}: {brought}");
    (connection, brought == 1)
}

fn takes(plane: &mut Plane, who: &Space, address: &str) -> bool {
    connect(plane, who, address).1
}

/// A client behind a bridge of the node's.
fn bridged(row: &Row, bridge: &str, v4: &str, v6: &str) -> Space {
    let client = Space::new("b");
    link(&row.node, &format!("to-{bridge}"), "", &client, &format!("{v4}.2/24 {v6}::2/64"));
    row.node.sh(&format!(
        "ip link add {bridge} type bridge; ip link set to-{bridge} master {bridge}; \
         ip link set {bridge} up; ip addr add {v4}.1/24 dev {bridge}; \
         ip addr add {v6}::1/64 dev {bridge} nodad"
    ));
    client.sh(&format!("ip route add default via {v4}.1; ip -6 route add default via {v6}::1"));
    client
}

fn all_echo(held: &mut [Connection]) {
    for connection in held {
        connection.echo().unwrap();
    }
}

#[test]
fn clients_behind_a_veth_take_it_those_of_a_bridge_and_of_the_host_do_not() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    let container = bridged(&row, "br0", "10.13.0", "fd13");
    let mut plane = row.plane("a");
    plane.apply(telling(("four", PLACES[0]), ("six", PLACES[1])));
    let (on, why) = plane.shortcut();
    assert!(on, "{why}");
    for calls in ["0", "1"] {
        row.node.sh(&format!(
            "sysctl -qw net.bridge.bridge-nf-call-iptables={calls} net.bridge.bridge-nf-call-ip6tables={calls}"
        ));
        for (who, seen, short) in [
            (&row.client, ["10.11.0.2", "fd11::2"], true),
            (&row.node, ["10.11.0.1", "fd11::1"], false),
            (&container, ["10.13.0.2", "fd13::2"], false),
        ] {
            for (address, seen) in PLACES.iter().zip(seen) {
                let (connection, brought) = connect(&mut plane, who, address);
                assert_eq!(brought, short, "{address} from {seen}, bridges call: {calls}");
                if who.name != row.node.name {
                    assert_eq!(connection.seen, seen, "{address}");
                }
            }
        }
    }
    plane.stop();
    row.node.sh("ip link del br0; ip link del to-br0");
    assert_eq!(traces(&row.node), before);
}

#[test]
fn a_pod_reaches_itself_through_a_service() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    for (name, at) in [("four", "10.11.0.2:8080"), ("six", "[fd11::2]:8080")] {
        row.client.serve(at);
        let place = PLACES[usize::from(name == "six")];
        plane.apply(serves(name, &[place], Settings::default(), &[at]));
        assert!(takes(&mut plane, &row.client, place), "{name}");
    }
    plane.stop();
}

#[test]
fn what_listens_on_all_addresses_is_not_behind_a_services_address() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    // One that may have foreign addresses besides: the rules look for such sockets.
    let greedy = "python3 -c 'import socket
for port in (80, 443):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(0, 19, 1)
    s.bind((\"0.0.0.0\", port)); s.listen(9)
    globals()[\"s%d\" % port] = s
import time; time.sleep(1000)'";
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let _greedy = row.node.spawn(greedy);
    until("it listens", || row.node.sh("ss -Hltn sport = 443").contains("443"));
    for round in 0..2 {
        assert!(takes(&mut plane, &row.client, PLACES[0]), "{round}");
        for who in [&row.client, &row.node] {
            who.is_refused("10.96.0.1:443");
        }
        plane.apply(vec![endpoints("four", &[])]);
        row.client.is_refused(PLACES[0]);
        // And then it is there first.
        plane.stop();
        plane = row.plane("a");
        plane.apply(both(80));
    }
    plane.stop();
}

#[test]
fn its_listener_serves_nobody_by_itself() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let listeners = row.node.sh("ss -Hltn src 127.0.0.1 or src [::1] | awk '{print $4}' | sort -u");
    assert_eq!(listeners.lines().count(), 2, "{listeners}");
    for listener in listeners.lines() {
        row.node.connect(listener).unwrap_err();
    }
    assert!(takes(&mut plane, &row.client, PLACES[0]));
    plane.stop();
}

#[test]
fn changes_of_endpoints_touch_no_rule_and_places_come_and_go_with_their_listeners() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let generation = || row.node.run(|| Nft::open("none").unwrap().generation().unwrap());
    let served =
        || row.node.sh("nft list ruleset | grep -o '10.96.0.1 . [0-9]*' | sort | tr '\\n' ,");
    let before = generation();
    for to in [&["10.12.0.9:8080", SERVERS[0]][..], &SERVERS[..1]] {
        plane.apply(vec![endpoints("four", to)]);
        assert_eq!(generation(), before, "{to:?}");
    }
    assert_eq!(served(), "10.96.0.1 . 80,");
    plane.apply(serves("more", &["10.96.0.1:81"], Settings::default(), &SERVERS[..1]));
    assert_eq!(served(), "10.96.0.1 . 80,10.96.0.1 . 81,");
    assert!(takes(&mut plane, &row.client, "10.96.0.1:81"));
    plane.apply(vec![endpoints("four", &[])]);
    assert_eq!(served(), "10.96.0.1 . 81,");
    row.client.is_refused(PLACES[0]);
    assert!(takes(&mut plane, &row.client, "10.96.0.1:81"));
    plane.apply(vec![Change::RemoveService("more".into())]);
    plane.apply(vec![endpoints("four", &SERVERS[..1])]);
    assert_eq!(served(), "10.96.0.1 . 80,");
    assert!(takes(&mut plane, &row.client, PLACES[0]));
    plane.stop();
}

#[test]
fn an_upgrade_keeps_its_connections_and_goes_on_with_it() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    let mut first = row.plane("a");
    first.apply(both(80));
    let port = "ss -Hltn src 127.0.0.1 | awk '{print $4}' | sort -u";
    let listener = row.node.sh(port);
    let mut held: Vec<Connection> =
        PLACES.iter().map(|at| connect(&mut first, &row.client, at).0).collect();
    // What has connected and is not accepted yet goes over, too.
    let mut second = Plane::start(&row.node, &first.path, "--take-over --workers 3");
    for (connection, address) in held.iter_mut().zip(PLACES) {
        connection.echo().unwrap();
        assert!(takes(&mut second, &row.client, address), "{address}");
    }
    assert_eq!(row.node.sh(port), listener, "it is the same one");
    second.apply(serves("new", &["10.96.0.2:80"], Settings::default(), &SERVERS[..1]));
    held.push(connect(&mut second, &row.client, "10.96.0.2:80").0);
    // One that is to do without: new clients take the long way, old ones stay.
    let mut third = Plane::start(&row.node, &first.path, "--take-over --shortcut off");
    assert_eq!(third.shortcut(), (false, "it is switched off".to_owned()));
    for address in PLACES {
        assert!(!takes(&mut third, &row.client, address), "{address}");
    }
    row.node.sh("nft flush ruleset; ip rule del pref 6; ip -6 rule del pref 6");
    until("its rules are back", || row.node.sh("ip rule; ip -6 rule").matches("\n6:").count() == 2);
    all_echo(&mut held);
    // And back.
    let mut fourth = Plane::start(&row.node, &first.path, "--take-over");
    until("it is on", || takes(&mut fourth, &row.client, PLACES[0]));
    all_echo(&mut held);
    fourth.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn connections_that_come_while_a_successor_starts_are_served() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut planes = vec![row.plane("a")];
    planes[0].apply(both(80));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let clients: Vec<_> = PLACES
            .iter()
            .map(|at| {
                let (row, stop) = (&row, &stop);
                scope.spawn(move || {
                    let (mut opened, mut failed) = (0, Vec::new());
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let at = at.parse().unwrap();
                        let patience = Duration::from_secs(3);
                        match row.client.run(|| TcpStream::connect_timeout(&at, patience)) {
                            Ok(_) => opened += 1,
                            Err(error) => failed.push(error.to_string()),
                        }
                    }
                    (opened, failed)
                })
            })
            .collect();
        for _ in 0..3 {
            let next = Plane::start(&row.node, &planes[0].path, "--take-over");
            planes.push(next);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    for (opened, failed) in told {
        assert_eq!(failed, [] as [String; 0], "of {opened}");
        assert!(opened > 3);
    }
    planes.pop().unwrap().stop();
}
