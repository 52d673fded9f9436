// SPDX-License-Identifier: Apache-2.0
//! The shortcut and the host: its firewall, its policy routing, its settings; what others remove; floods; smaller packets on the way.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod fixture;
mod lab;

use berth_balancer_core::model::Settings;
use lab::{Plane, Row, SERVERS, Space, Talks, both, have_namespaces, link, serves, traces, until};
use std::io::{Read, Write};

const PLACES: [&str; 2] = ["10.96.0.1:80", "[fd96::1]:80"];

fn takes(plane: &mut Plane, row: &Row, address: &str) -> bool {
    let before = plane.short();
    row.client.connect(address).unwrap().echo().unwrap();
    plane.short() > before
}

fn all_echo(held: &mut [lab::Connection]) {
    for connection in held {
        connection.echo().unwrap();
    }
}

#[test]
fn a_firewall_for_the_hosts_own_packets_switches_it_off_and_says_so() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let mut held = row.client.connect(PLACES[0]).unwrap();
    // Each with what takes it away again, what it is called, and whether it is of each version.
    for (harm, remedy, why, off) in [
        (
            "nft add table inet wall; nft add chain inet wall in '{ type filter hook input priority 0; }'; \
             nft add rule inet wall in tcp dport 22 accept",
            "nft delete table inet wall",
            "chain in of the table inet wall",
            [true, true],
        ),
        (
            "ip6tables -A INPUT -p tcp --dport 22 -j ACCEPT",
            "ip6tables -F INPUT",
            "IPv6: chain INPUT of the table ip6 filter",
            [false, true],
        ),
        (
            "iptables -A OUTPUT -p tcp --dport 22 -j ACCEPT",
            "iptables -F OUTPUT",
            "IPv4: chain OUTPUT of the table ip filter",
            [true, false],
        ),
        (
            "iptables -A FORWARD -d 192.0.2.1 -j DROP",
            "iptables -F FORWARD",
            "IPv4: iptables' chain FORWARD has rules",
            [true, false],
        ),
        (
            "iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT",
            "iptables-legacy -F INPUT",
            "IPv4: iptables' chain INPUT has rules",
            [true, false],
        ),
    ] {
        row.node.sh(harm);
        until(harm, || plane.shortcut().1.contains(why));
        for (address, off) in PLACES.into_iter().zip(off) {
            assert_eq!(takes(&mut plane, &row, address), !off, "{harm}: {address}");
        }
        held.echo().unwrap();
        row.node.sh(remedy);
        until(remedy, || takes(&mut plane, &row, PLACES[0]) && takes(&mut plane, &row, PLACES[1]));
        held.echo().unwrap();
    }
    // What the host has before the first service comes counts as well.
    plane.stop();
    row.node.sh("iptables -P INPUT DROP; iptables -A INPUT -i to-server -j ACCEPT");
    let mut plane = row.plane("a");
    plane.apply(both(80));
    assert!(!takes(&mut plane, &row, PLACES[0]) && takes(&mut plane, &row, PLACES[1]));
    plane.stop();
}

#[test]
fn rules_and_settings_of_others_do_not_come_between() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    // Each with what takes it away again.
    for (harm, remedy) in [
        ("sysctl -qw net.ipv4.conf.all.rp_filter=1", ""),
        // The way back to a source is looked for by the mark of the packet; an answer has the mark of the first packet.
        (
            "sysctl -qw net.ipv4.conf.all.src_valid_mark=1",
            "sysctl -qw net.ipv4.conf.all.src_valid_mark=0",
        ),
        ("sysctl -qw net.ipv4.tcp_fwmark_accept=1", "sysctl -qw net.ipv4.tcp_fwmark_accept=0"),
        ("ip rule add pref 9 fwmark 0xbe000000/0xbe000000 blackhole", ""),
        (
            "iptables -t mangle -A PREROUTING -i to-client -j MARK --set-mark 0x1; \
             ip rule add fwmark 0x1 blackhole",
            "iptables -t mangle -F; ip rule del fwmark 0x1 blackhole",
        ),
        (
            "iptables -t nat -A POSTROUTING -j MASQUERADE; \
             ip6tables -t nat -A POSTROUTING -j MASQUERADE",
            "",
        ),
    ] {
        row.node.sh(harm);
        // The kernel looks for all ways anew.
        row.node.sh("ip addr add 10.99.0.1/32 dev lo; ip addr del 10.99.0.1/32 dev lo");
        for address in PLACES {
            assert!(takes(&mut plane, &row, address), "{harm}");
        }
        row.node.sh(remedy);
    }
    plane.stop();
}

#[test]
fn what_others_remove_is_put_back_and_held_connections_go_on() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let mut held: Vec<_> = PLACES.iter().map(|at| row.client.connect(at).unwrap()).collect();
    for harm in [
        "iptables -F; ip6tables -F; iptables -t mangle -F",
        "nft flush ruleset",
        "ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default",
        "ip -6 rule del pref 5; ip -6 rule del pref 6; ip -6 rule del pref 7",
        "ip route flush table all proto 191; ip -6 route flush table all proto 191",
    ] {
        row.node.sh(harm);
        all_echo(&mut held);
        for address in PLACES {
            until(harm, || {
                let before = plane.short();
                row.client.connect(address).is_ok() && plane.short() > before
            });
        }
        all_echo(&mut held);
    }
    plane.stop();
}

#[test]
fn where_bridges_may_hide_behind_their_vlans_it_is_off() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    row.node.sh("sysctl -qw net.bridge.bridge-nf-pass-vlan-input-dev=1");
    until("it is off", || !plane.shortcut().0);
    assert!(plane.shortcut().1.contains("net.bridge.bridge-nf-pass-vlan-input-dev is 1"));
    assert!(!takes(&mut plane, &row, PLACES[0]));
    plane.stop();
}

#[test]
fn a_host_without_one_version_of_ip_has_it_for_the_other() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh("sysctl -qw net.ipv6.conf.lo.disable_ipv6=1");
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let (on, why) = plane.shortcut();
    assert!(on && why.starts_with("IPv6: no "), "{why}");
    assert!(takes(&mut plane, &row, PLACES[0]) && !takes(&mut plane, &row, PLACES[1]));
    plane.stop();
}

#[test]
fn switched_off_it_leaves_no_trace() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = Plane::start(&row.node, &row.folder.path().join("a"), "--shortcut off");
    plane.apply(both(80));
    assert_eq!(plane.shortcut(), (false, "it is switched off".to_owned()));
    assert!(!takes(&mut plane, &row, PLACES[0]));
    let there = traces(&row.node);
    assert!(
        !there.contains("tproxy") && !there.contains("fwmark") && !there.contains("transparent")
    );
    plane.stop();
}

#[test]
fn two_instances_have_one_each() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    let (mut one, mut two) = (row.plane("one"), row.plane("two"));
    one.apply(both(80));
    two.apply(serves("other", &["10.97.0.1:80"], Settings::default(), &SERVERS[..1]));
    assert!(takes(&mut one, &row, PLACES[0]) && takes(&mut two, &row, "10.97.0.1:80"));
    let mut held = row.client.connect("10.97.0.1:80").unwrap();
    one.kill();
    held.echo().unwrap();
    let mut one = row.plane("one");
    one.apply(both(80));
    assert!(takes(&mut one, &row, PLACES[1]) && takes(&mut two, &row, "10.97.0.1:80"));
    one.stop();
    held.echo().unwrap();
    assert!(takes(&mut two, &row, "10.97.0.1:80"));
    two.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn where_a_listeners_queue_is_full_the_namespace_has_all_clients() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh("sysctl -qw net.core.somaxconn=2");
    let mut plane = row.plane("a");
    plane.apply(both(80));
    assert!(takes(&mut plane, &row, PLACES[0]));
    let mut held = row.client.connect(PLACES[0]).unwrap();
    // Clients that never answer.
    row.client.sh("iptables -A INPUT -p tcp --tcp-flags SYN,ACK SYN,ACK -s 10.96.0.1 -j DROP");
    let at: std::net::SocketAddr = PLACES[0].parse().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let patience = std::time::Duration::from_secs(1);
                row.client.run(|| std::net::TcpStream::connect_timeout(&at, patience)).unwrap_err();
            });
        }
    });
    until("it is off", || !plane.shortcut().0);
    assert!(plane.shortcut().1.contains("SYN cookies"), "{}", plane.shortcut().1);
    row.client.sh("iptables -F INPUT");
    held.echo().unwrap();
    for address in PLACES {
        assert!(!takes(&mut plane, &row, address));
    }
    plane.stop();
    row.node.sh("sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_syncookies=2");
    let mut plane = row.plane("a");
    plane.apply(both(80));
    assert!(plane.shortcut().1.contains("tcp_syncookies is 2"), "{}", plane.shortcut().1);
    assert!(!takes(&mut plane, &row, PLACES[0]));
    plane.stop();
}

#[test]
fn smaller_packets_on_the_way_are_found_out() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let far = Space::new("f");
    link(&row.client, "to-far", "10.15.0.1/24 fd15::1/64", &far, "10.15.0.2/24 fd15::2/64");
    far.sh("ip route add default via 10.15.0.1; ip -6 route add default via fd15::1");
    row.client.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; \
         ip link set to-far mtu 1400; ip route add 10.12.0.0/16 via 10.11.0.1");
    row.node.sh("ip route add 10.15.0.0/24 via 10.11.0.2; ip -6 route add fd15::/64 via fd11::2");
    let mut plane = row.plane("a");
    plane.apply(both(80));
    for address in PLACES {
        let before = plane.short();
        let mut connection = far.connect(address).unwrap();
        assert_eq!(plane.short(), before + 1);
        let sent = vec![7; 64 << 10];
        std::thread::scope(|scope| {
            let mut writer = connection.stream.try_clone().unwrap();
            let sent = &sent;
            scope.spawn(move || writer.write_all(sent).unwrap());
            let mut got = vec![0; sent.len()];
            connection.stream.read_exact(&mut got).unwrap();
            assert_eq!(&got, sent, "{address}");
        });
    }
    plane.stop();
}
