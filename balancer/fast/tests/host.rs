// SPDX-License-Identifier: Apache-2.0
//! What the fast path does to the host, and that nothing of it stays.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use berth_balancer_testkit::run;
use lab::{Daemon, HANG, Row, Space, Talks, have_namespaces, traces, until};
use std::time::Instant;

const WEB: &str = "service web tcp 10.96.0.1:80 10.12.0.2:8080 10.12.0.3:8080";
const WEB6: &str = "service six tcp [fd96::1]:80 [fd12::2]:8080";

#[test]
fn nothing_stays_after_a_stop_or_after_a_crash_and_a_restart() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh(
        "iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; iptables -P FORWARD DROP; \
         ip6tables -P FORWARD DROP",
    );
    let before = traces(&row.node);
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, WEB6, "apply"]);
    row.client.connect("10.96.0.1:80").unwrap();
    row.client.connect("[fd96::1]:80").unwrap();
    let during = traces(&row.node);
    assert!(during.contains("berth-fast-a") && during.contains("10.96.0.1"));
    fast.stop();
    assert_eq!(traces(&row.node), before);

    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, WEB6, "apply"]);
    fast.kill();
    assert!(traces(&row.node).contains("berth-fast-a"), "flows need their rules");
    let mut fast = row.fast("a", &[]);
    // Another table: what the dead one had more is gone at once.
    fast.must(&[WEB, "apply"]);
    assert!(!traces(&row.node).contains("fd96::1"));
    fast.stop();
    assert_eq!(traces(&row.node), before);

    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, WEB6, "apply"]);
    fast.kill();
    let mut cleaner = row.fast("a", &["--clean"]);
    until("the cleaner has ended", || cleaner.has_ended());
    assert_eq!(traces(&row.node), before);
}

#[test]
fn two_instances_do_not_harm_each_other() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let (mut one, mut two) = (row.fast("one", &[]), row.fast("two", &[]));
    one.must(&[WEB, "apply"]);
    two.must(&["service other tcp 10.96.1.1:80 10.12.0.3:8080", "apply"]);
    let mut held = row.client.connect("10.96.1.1:80").unwrap();
    assert_eq!(held.server, "10.12.0.3");
    row.client.connect("10.96.0.1:80").unwrap();
    let answer = two.tell("service thief tcp 10.96.0.1:81 10.12.0.3:8080");
    assert_eq!(answer, "ok");
    assert!(two.tell("apply").contains("another instance serves"));
    one.stop();
    held.echo().unwrap();
    row.client.connect("10.96.1.1:80").unwrap();
    let mut one = row.fast("one", &[]);
    one.must(&[WEB, "apply"]);
    assert_eq!(one.active("web"), 0, "flows of the other are not in its books");
    two.kill();
    row.client.connect("10.96.0.1:80").unwrap();
    one.stop();
    held.echo().unwrap();
}

#[test]
fn rules_and_routes_that_others_remove_are_put_back() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh(
        "iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; iptables -P FORWARD DROP",
    );
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, "apply"]);
    let check = |space: &Space| space.connect("10.96.0.1:80").unwrap().server;
    assert!(check(&row.client).starts_with("10.12"));
    for harm in [
        "iptables -F DOCKER-USER",
        "nft flush ruleset; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; \
         iptables -P FORWARD DROP",
        "nft flush chain ip berth-fast-a enter",
        "ip route flush table local proto 190",
    ] {
        let before = fast.stat("repaired");
        let begun = Instant::now();
        row.node.sh(harm);
        until("it is put back", || fast.stat("repaired") > before);
        println!("{harm}: back after {:?}", begun.elapsed());
        until("clients on both sides are served", || {
            [&row.client, &row.node]
                .into_iter()
                .all(|space| space.connect_within("10.96.0.1:80", HANG / 20).is_ok())
        });
        assert!(traces(&row.node).contains("local 10.96.0.1 dev lo"), "{harm}");
    }
    fast.stop();
}

#[test]
fn addresses_that_are_somebodys_are_refused_by_name() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh("ip route add 10.50.0.0/16 via 10.12.0.2");
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, "apply"]);
    for (address, name) in [
        ("10.12.0.77", "10.12.0.77/32 overlaps 10.12.0.1/24 of interface to-server"),
        ("10.11.0.1", "10.11.0.1/32 overlaps 10.11.0.1/24 of interface to-client"),
        ("10.50.1.1", "10.50.1.1/32 overlaps the route to 10.50.0.0/16 through to-server"),
    ] {
        fast.must(&[&format!("service bad tcp {address}:80 10.12.0.2:8080")]);
        assert!(fast.tell("apply").contains(name), "{address}");
        row.client.connect("10.96.0.1:80").unwrap();
        fast.must(&["remove bad", "apply"]);
    }
    // What is somebody's changes, and is not looked up each time.
    let late = "service late tcp 10.60.0.1:80 10.12.0.2:8080";
    for (change, refused) in [
        ("ip addr add 10.60.0.2/24 dev to-server", "overlaps 10.60.0.2/24 of interface to-server"),
        ("ip addr del 10.60.0.2/24 dev to-server", ""),
        ("ip route add 10.60.0.0/16 via 10.12.0.2", "overlaps the route to 10.60.0.0/16"),
        ("ip route del 10.60.0.0/16", ""),
        ("ip addr add 10.60.0.1/32 dev to-client", "10.60.0.1/32 of interface to-client"),
        ("ip addr del 10.60.0.1/32 dev to-client", ""),
    ] {
        row.node.sh(change);
        fast.must(&[late]);
        let told = fast.tell("apply");
        assert!(told.contains(refused), "{change}: {told}");
        assert_eq!(row.client.connect("10.60.0.1:80").is_ok(), refused.is_empty(), "{change}");
        fast.must(&["remove late", "apply"]);
    }
    fast.stop();
}

#[test]
fn a_large_table_is_loaded_and_an_endpoint_of_it_changed() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&["fill 10000 10"]);
    println!("10,000 services of 10 endpoints: {}", fast.tell("apply"));
    fast.must(&[WEB]);
    println!("one service more: {}", fast.tell("apply"));
    fast.must(&["service more tcp 10.96.0.2:80 10.12.0.3:8080"]);
    println!("another one: {}", fast.tell("apply"));
    for _ in 0..5 {
        fast.must(&["service web tcp 10.96.0.1:80 10.12.0.3:8080"]);
        println!("an endpoint less: {}", fast.tell("apply"));
        assert_eq!(row.client.connect("10.96.0.1:80").unwrap().server, "10.12.0.3");
        fast.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080 10.12.0.3:8080"]);
        println!("an endpoint more: {}", fast.tell("apply"));
    }
    assert!(row.client.connect("10.96.0.1:80").is_ok());
    fast.stop();
}

#[test]
fn a_table_is_taken_while_the_look_at_the_firewall_takes_its_time() {
    if !have_namespaces() {
        return;
    }
    let Some(real) = run("sh", &["-c", "command -v iptables-nft"]) else { return };
    let row = Row::new();
    let folder = row.state.path();
    let (slow, inside) = (folder.join("slow"), folder.join("inside"));
    let program = folder.join("iptables-nft");
    let text = format!(
        "#!/bin/sh\nif [ -e {} ]; then touch {}; sleep 10; fi\nexec {} \"$@\"\n",
        slow.display(),
        inside.display(),
        real.trim()
    );
    std::fs::write(&program, text).unwrap();
    run("chmod", &["+x", &program.display().to_string()]).unwrap();
    let mut fast = Daemon::start_with(&row.node, folder, "a", &[], Some(folder));
    fast.must(&[WEB, "apply"]);
    std::fs::write(&slow, "").unwrap();
    until("the firewall is looked at", || inside.exists());
    let begun = Instant::now();
    fast.must(&["service web tcp 10.96.0.1:80 10.12.0.3:8080", "apply"]);
    assert_eq!(row.client.connect("10.96.0.1:80").unwrap().server, "10.12.0.3");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    std::fs::remove_file(&slow).unwrap();
    fast.stop();
}

#[test]
fn the_probe_leaves_nothing_behind() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    let usable = row.node.run(|| berth_balancer_fast::probe().is_usable());
    assert!(usable);
    assert_eq!(traces(&row.node), before);
}
