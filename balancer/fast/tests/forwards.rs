// SPDX-License-Identifier: Apache-2.0
//! What clients see: services answer, also where there is no endpoint, and what is not a first packet passes too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use lab::{Row, Talks, have_namespaces, until};
use std::io::ErrorKind;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::Duration;

const SERVICES: [&str; 7] = [
    "service web tcp 10.96.0.1:80 node-port=30080 10.12.0.2:8080 10.12.0.3:8080",
    "service dns udp 10.96.0.2:53 node-port=30053 10.12.0.2:8080 10.12.0.3:8080",
    "service web6 tcp [fd96::1]:80 [fd12::2]:8080 [fd12::3]:8080",
    "service dns6 udp [fd96::2]:53 [fd12::2]:8080 [fd12::3]:8080",
    "service none tcp 10.96.0.9:80",
    "service none-udp udp 10.96.0.9:53",
    "node 10.11.0.1",
];

#[test]
fn services_answer_from_outside_and_from_the_node_and_the_source_is_kept() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&SERVICES);
    fast.must(&["apply"]);
    let ends = [(&row.client, "10.11.0.2", "fd11::2"), (&row.node, "10.11.0.1", "fd11::1")];
    for (space, v4, v6) in ends {
        let mut servers = Vec::new();
        for (tcp, udp, source) in
            [("10.96.0.1:80", "10.96.0.2:53", v4), ("[fd96::1]:80", "[fd96::2]:53", v6)]
        {
            for _ in 0..16 {
                let mut client = space.connect(tcp).unwrap();
                client.echo().unwrap();
                assert_eq!(client.seen, source, "{tcp}");
                let (server, seen) = space.ask(udp).unwrap();
                assert_eq!(seen, source, "{udp}");
                servers.extend([client.server, server]);
            }
        }
        servers.sort();
        servers.dedup();
        assert_eq!(servers, ["10.12.0.2", "10.12.0.3", "fd12::2", "fd12::3"]);
    }
    assert_eq!(fast.stat("opened"), 128);
    fast.stop();
}

#[test]
fn node_ports_answer_on_the_nodes_addresses_only() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&SERVICES);
    fast.must(&["apply"]);
    for space in [&row.client, &row.node] {
        assert!(space.connect("10.11.0.1:30080").unwrap().server.starts_with("10.12.0."));
        assert!(space.ask("10.11.0.1:30053").unwrap().0.starts_with("10.12.0."));
    }
    // 10.12.0.1 is the host's too, and not among those on which node ports are served.
    let other = row.client.connect("10.12.0.1:30080").unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ConnectionRefused);
    assert!(fast.stat("passed") > 0);
    fast.stop();
}

#[test]
fn without_an_endpoint_connecting_fails_at_once() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&SERVICES);
    fast.must(&["apply"]);
    // A daemon of the host that listens on all addresses is not reached through a service's.
    row.node.serve("0.0.0.0:81");
    for space in [&row.client, &row.node] {
        for address in ["10.96.0.9:80", "10.96.0.9:81", "10.96.0.1:81", "[fd96::1]:81"] {
            let refused = space.connect(address).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}");
        }
        for address in ["10.96.0.9:53", "10.96.0.2:54", "[fd96::2]:54"] {
            let refused = space.ask(address).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}");
        }
    }
    assert_eq!(row.node.connect("127.0.0.1:81").unwrap().server, "0.0.0.0");
    fast.must(&["service none tcp 10.96.0.9:80 10.12.0.2:8080", "apply"]);
    assert_eq!(row.client.connect("10.96.0.9:80").unwrap().server, "10.12.0.2");
    fast.must(&["service none tcp 10.96.0.9:80", "apply"]);
    assert!(row.client.connect("10.96.0.9:80").is_err());
    fast.stop();
}

#[test]
fn one_of_many_packets_that_nobody_answers_is_queued() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let silent = row.server.run(|| UdpSocket::bind("10.12.0.2:9000").unwrap());
    let mut fast = row.fast("a", &[]);
    fast.must(&["service log udp 10.96.0.3:514 10.12.0.2:9000", "apply"]);
    let socket = row.client.udp("10.96.0.3:514");
    let mut buffer = [0; 16];
    for _ in 0..20 {
        socket.send(b"line").unwrap();
        assert_eq!(silent.recv(&mut buffer).unwrap(), 4);
    }
    assert_eq!(fast.stat("packets"), 1);
    fast.stop();
}

#[test]
fn fragments_errors_and_small_links_pass() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&SERVICES);
    fast.must(&[
        "service closed udp 10.96.0.4:53 10.12.0.2:9999",
        "service shut tcp 10.96.0.4:80 10.12.0.2:9999",
        "apply",
    ]);
    // Larger than any packet of the way: fragments, put together again on the other side.
    for address in ["10.96.0.2:53", "[fd96::2]:53"] {
        let socket = row.client.udp(address);
        socket.send(&[7; 5_000]).unwrap();
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).ends_with(" 5000"), "{address}");
    }
    // An endpoint's "port unreachable" and RST come back as the service's.
    let refused = row.client.ask("10.96.0.4:53").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let refused = row.client.connect("10.96.0.4:80").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // The way to the server has become narrow behind the node: "too big" comes back, and the connection goes on.
    let mut client = row.client.connect("10.96.0.1:80").unwrap();
    row.node.sh("ip link set to-server mtu 1300");
    client.stream.write_all(&vec![1; 100_000]).unwrap();
    let mut back = vec![0; 100_000];
    client.stream.read_exact(&mut back).unwrap();
    fast.stop();
}

#[test]
fn an_endpoint_that_refuses_is_passed_over() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&[
        "service web tcp 10.96.0.1:80 algorithm=rr 10.12.0.2:8080 10.12.0.3:9999",
        "apply",
    ]);
    until("the endpoint that refuses is ejected", || {
        drop(row.client.connect_within("10.96.0.1:80", Duration::from_secs(1)));
        fast.tell("seen web").contains("10.12.0.3:9999=0 ejected")
    });
    for _ in 0..20 {
        assert_eq!(row.client.connect("10.96.0.1:80").unwrap().server, "10.12.0.2");
    }
    fast.stop();
}

#[test]
fn an_endpoint_that_is_silent_is_left_for_another() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    // Nobody has this address: SYNs to it are lost.
    row.node.sh("ip neigh add 10.12.0.99 lladdr 02:00:00:00:00:99 dev to-server");
    let mut fast = row.fast("a", &[]);
    fast.must(&["service web tcp 10.96.0.1:80 algorithm=rr 10.12.0.2:8080 10.12.0.99:80", "apply"]);
    for _ in 0..4 {
        assert_eq!(row.client.connect("10.96.0.1:80").unwrap().server, "10.12.0.2");
    }
    fast.stop();
}
