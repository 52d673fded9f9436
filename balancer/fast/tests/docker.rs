// SPDX-License-Identifier: Apache-2.0
//! Beside a real Docker engine: a dockerd of the test's own in a network namespace of its own, with two networks.
//!
//! Clients on the same network, on another one, on the node, outside, and the endpoint itself; IPv4 and IPv6; bridges that call
//! netfilter and bridges that do not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use berth_balancer_testkit::Engine;
use lab::{Daemon, Space, Talks, have_namespaces, link, traces, until};
use std::time::Duration;

fn have_docker() -> bool {
    berth_balancer_testkit::have_docker() && have_namespaces()
}

/// A program that waits.
const PROGRAM: &str = "int pause(void); int main(void) { for (;;) pause(); }";

/// Whom the endpoint sees.
fn seen(space: &Space, address: &str) -> String {
    let mut client = None;
    until(&format!("{address} answers"), || {
        client = space.connect_within(address, Duration::from_secs(2)).ok();
        client.is_some()
    });
    let mut client = client.unwrap();
    client.echo().unwrap();
    client.seen
}

#[test]
fn clients_from_everywhere_reach_a_container_through_its_service_and_docker_is_undisturbed() {
    if !have_docker() {
        return;
    }
    let mut engine = Engine::start(&["--bridge", "none"]);
    engine.image(PROGRAM);
    let outside = Space::new("o");
    link(&engine.node, "to-out", "192.0.2.1/24 fd20::1/64", &outside, "192.0.2.2/24 fd20::2/64");
    outside.sh("ip route add default via 192.0.2.1; ip -6 route add default via fd20::1");
    engine.node.sh("sysctl -qw net.ipv6.conf.all.forwarding=1");
    for (name, at) in [("a", 1), ("b", 2)] {
        engine.docker(&format!(
            "network create --ipv6 --subnet 172.30.{at}.0/24 --subnet fd30:{at}::/64 \
             -o com.docker.network.bridge.name=br-{name} {name}"
        ));
    }
    let container = |name: &str, network: &str| {
        let space = engine.container(name, &format!("--network {network}"), "/main");
        (space, engine.addresses(name, network))
    };
    let ((one, one_at), (two, two_at)) = (container("one", "a"), container("two", "a"));
    let (other, other_at) = container("other", "b");
    two.serve(&format!("{}:8080", two_at[0]));
    two.serve(&format!("[{}]:8080", two_at[1]));
    let before = traces(&engine.node);

    let state = engine.folder.path().join("state");
    let mut fast = Daemon::start(&engine.node, &state, "d", &[]);
    fast.must(&[
        &format!("service web tcp 10.96.0.1:80 {}:8080", two_at[0]),
        &format!("service six tcp [fd96::1]:80 [{}]:8080", two_at[1]),
        "node 192.0.2.1 fd20::1",
        "apply",
    ]);
    let gateway = ("172.30.1.1", "fd30:1::1");
    for calls in ["1", "0"] {
        engine.node.sh(&format!(
            "sysctl -qw net.bridge.bridge-nf-call-iptables={calls} net.bridge.bridge-nf-call-ip6tables={calls}"
        ));
        // Until the decider has seen it.
        std::thread::sleep(Duration::from_millis(1_100));
        let bridged = if calls == "1" { (one_at[0].as_str(), one_at[1].as_str()) } else { gateway };
        let cells = [
            ("same network", &one, bridged),
            ("itself", &two, gateway),
            ("other network", &other, (other_at[0].as_str(), other_at[1].as_str())),
            ("node", &engine.node, ("192.0.2.1", "fd20::1")),
            ("outside", &outside, ("192.0.2.2", "fd20::2")),
        ];
        for (who, space, (v4, v6)) in cells {
            assert_eq!(seen(space, "10.96.0.1:80"), v4, "{who}, bridges call netfilter: {calls}");
            assert_eq!(seen(space, "[fd96::1]:80"), v6, "{who}, bridges call netfilter: {calls}");
        }
    }
    // What Docker keeps apart stays apart.
    let direct = format!("{}:8080", two_at[0]);
    assert!(other.connect_within(&direct, Duration::from_millis(500)).is_err());

    // A restart of the engine: its rules come anew, and ours are there again.
    engine.restart();
    for space in [&one, &other, &outside, &engine.node] {
        seen(space, "10.96.0.1:80");
    }
    fast.stop();
    // Docker's own rules are others after its restart; of ours nothing is among them.
    let after = traces(&engine.node);
    for ours in ["berth-fast", "10.96.0.1", "fd96::1"] {
        assert!(!after.contains(ours) && !before.contains(ours), "{ours}: {after}");
    }
    let port = engine.node.sh("cat /sys/class/net/br-a/brif/*/hairpin_mode || true");
    assert!(!port.contains('1'), "hairpin mode is as it was");
}
