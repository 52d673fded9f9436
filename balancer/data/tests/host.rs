// SPDX-License-Identifier: Apache-2.0
//! What the data plane's network namespace does to the host: what stays, whose addresses are whose, upgrades, other instances.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod fixture;
mod lab;

use berth_balancer_core::Change;
use berth_balancer_core::model::Settings;
use fixture::within;
use lab::{Plane, Row, SERVERS, Talks, both, have_namespaces, outer, serves, traces, until};
use std::time::{Duration, Instant};

/// Runs a command without what a namespace needs.
const WITHOUT: &str =
    "setpriv --bounding-set=-net_admin,-sys_admin --inh-caps=-net_admin,-sys_admin";

fn firewalled(row: &Row) {
    row.node.sh(
        "iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; iptables -P FORWARD DROP; \
         ip6tables -P FORWARD DROP",
    );
}

#[test]
fn nothing_stays_after_a_stop_or_after_a_crash_and_a_restart() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    firewalled(&row);
    let before = traces(&row.node);
    let inner = outer("near", &["10.11.0.99:80"], Settings::default(), &SERVERS[..1]);
    let mut plane = row.plane("a");
    plane.apply(both(80));
    plane.apply(inner.clone());
    for address in ["10.96.0.1:80", "[fd96::1]:80", "10.11.0.99:80"] {
        row.client.connect(address).unwrap();
    }
    let during = traces(&row.node);
    for made in ["berth-data-", "10.96.0.1 via", "fd96::1 via", "10.11.0.99 dev to-client"] {
        assert!(during.contains(made), "{made}: {during}");
    }
    plane.stop();
    assert_eq!(traces(&row.node), before);

    let mut plane = row.plane("a");
    plane.apply(both(80));
    plane.apply(inner);
    row.client.connect("10.11.0.99:80").unwrap();
    plane.kill();
    // The kernel removes the namespace, and with it interface and routes.
    until("the interface is gone", || !row.node.sh("ip -o link").contains("berth"));
    assert!(!traces(&row.node).contains("10.96.0.1 via"));
    let plane = row.plane("a");
    assert_eq!(
        traces(&row.node),
        before,
        "the next start removes the rest, before it is told anything"
    );
    plane.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn a_crash_while_clients_hold_connections_does_not_keep_the_next_process_from_serving() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let mut held = row.client.connect("10.96.0.1:80").unwrap();
    held.echo().unwrap();
    plane.kill();
    let mut plane = row.plane("a");
    plane.apply(both(80));
    until("it serves", || row.client.connect("10.96.0.1:80").is_ok());
    row.client.connect("[fd96::1]:80").unwrap();
    plane.stop();
}

#[test]
fn an_upgrade_keeps_connections_and_the_namespace() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    firewalled(&row);
    let before = traces(&row.node);
    let mut planes = vec![row.plane("a")];
    planes[0].apply(both(80));
    let link = row.node.sh("ip -o link | grep berth | cut -d: -f1");
    let mut held = vec![
        row.client.connect("10.96.0.1:80").unwrap(),
        row.client.connect("[fd96::1]:80").unwrap(),
    ];
    let flow = row.client.udp("10.96.0.1:80");
    lab::ask(&flow).unwrap();
    for round in 0..3 {
        let mut next = Plane::start(&row.node, &planes[0].path, "--take-over");
        for connection in &mut held {
            connection.echo().unwrap();
        }
        lab::ask(&flow).unwrap();
        held.push(row.client.connect("10.96.0.1:80").unwrap());
        row.node.ask("[fd96::1]:80").unwrap();
        // The successor takes new addresses and lets old ones go.
        let address = format!("10.96.1.{round}:80");
        next.apply(serves("new", &[&address], Settings::default(), &SERVERS[..1]));
        row.client.connect(&address).unwrap();
        planes.push(next);
    }
    let told = planes[3].client.stats().unwrap();
    assert_eq!((told.addresses.taken, told.predecessors.len()), (3, 3));
    assert_eq!(row.node.sh("ip -o link | grep berth | cut -d: -f1"), link, "it is the same one");
    // Those before may go whenever they like.
    let last = planes.pop().unwrap();
    drop(planes);
    row.client.connect("10.96.0.1:80").unwrap();
    row.client.connect("[fd96::1]:80").unwrap();
    held.last_mut().unwrap().stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    last.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn a_successor_without_the_capability_serves_what_it_was_given() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut first = row.plane("a");
    first.apply(both(80));
    let mut next = Plane::begin(&row.node, &first.path, "--take-over", WITHOUT);
    within(|| first.client.stats().is_err().then_some(()));
    row.client.connect("10.96.0.1:80").unwrap();
    row.client.connect("[fd96::1]:80").unwrap();
    let told = next.client.stats().unwrap().addresses;
    assert!(!told.has_namespace && told.because.contains("CAP_NET_ADMIN"), "{told:?}");
    let refused =
        next.refused(serves("new", &["10.96.0.9:80"], Settings::default(), &SERVERS[..1]));
    assert!(refused.contains("not local to this host"), "{refused}");
    assert!(refused.contains("it needs CAP_NET_ADMIN and CAP_SYS_ADMIN"), "{refused}");
    next.stop();
    until("all is gone", || !row.node.sh("ip -o link").contains("berth"));
}

#[test]
fn addresses_that_are_somebodys_are_refused_by_name() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh("ip route add 10.50.0.0/16 via 10.12.0.2");
    let mut plane = row.plane("a");
    plane.apply(both(80));
    for (address, name) in [
        ("10.12.0.77:80", "10.12.0.77/32 overlaps 10.12.0.1/24 of interface to-server"),
        ("10.50.1.1:80", "10.50.1.1/32 overlaps the route to 10.50.0.0/16 through to-server"),
        ("[fd12::77]:80", "fd12::77/128 overlaps fd12::1/64 of interface to-server"),
    ] {
        let bad = || serves("bad", &[address], Settings::default(), &SERVERS[..1]);
        let refused = plane.refused(bad());
        assert!(refused.contains(name), "{refused}");
        assert!(refused.contains("services[bad].ports[tcp]"), "{refused}");
        // Or it is left out, and named.
        let unserved = plane.client.apply(bad()).unwrap().unserved;
        assert_eq!(unserved.len(), 2, "TCP and UDP");
        assert!(unserved[0].reason.contains(name));
        row.client.connect("10.96.0.1:80").unwrap();
        plane.apply(vec![Change::RemoveService("bad".into())]);
    }
    // A route that somebody adds later is seen too; and when it goes, the address is served.
    row.node.sh("ip route add 10.60.0.0/16 via 10.12.0.2");
    let late = serves("late", &["10.60.0.1:80"], Settings::default(), &SERVERS[..1]);
    assert_eq!(plane.client.apply(late).unwrap().unserved.len(), 2);
    row.node.sh("ip route del 10.60.0.0/16");
    until("it is served", || row.client.connect("10.60.0.1:80").is_ok());
    // The host's own addresses need no namespace.
    plane.apply(serves("own", &["10.11.0.1:80"], Settings::default(), &SERVERS[..1]));
    row.client.connect("10.11.0.1:80").unwrap();
    assert_eq!(plane.client.stats().unwrap().addresses.taken, 3);
    plane.stop();
}

#[test]
fn load_balancer_addresses_may_lie_in_a_network_of_the_hosts() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(outer("four", &["10.11.0.50:80"], Settings::default(), &SERVERS[..1]));
    plane.apply(outer("six", &["[fd11::50]:80"], Settings::default(), &SERVERS[1..]));
    let told = plane.client.stats().unwrap().addresses.warnings;
    assert!(told.iter().any(|one| one.contains("to-client.proxy_ndp is 0")), "{told:?}");
    row.node.sh("sysctl -qw net.ipv6.conf.to-client.proxy_ndp=1");
    // The client looks for the address on its own wire.
    assert_eq!(row.client.connect("10.11.0.50:80").unwrap().server, "10.12.0.2");
    assert_eq!(row.client.connect("[fd11::50]:80").unwrap().server, "fd12::2");
    row.node.connect("10.11.0.50:80").unwrap();
    plane.apply(vec![Change::RemoveService("four".into())]);
    assert!(!traces(&row.node).contains("10.11.0.50"));
    plane.stop();
    assert!(!traces(&row.node).contains("fd11::50"));
}

#[test]
fn two_instances_do_not_harm_each_other() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    firewalled(&row);
    let before = traces(&row.node);
    let (mut one, mut two) = (row.plane("one"), row.plane("two"));
    one.apply(both(80));
    two.apply(serves("other", &["10.97.0.1:80"], Settings::default(), &SERVERS[..1]));
    let mut held = row.client.connect("10.97.0.1:80").unwrap();
    row.client.connect("10.96.0.1:80").unwrap();
    let thief = serves("thief", &["10.96.0.1:81"], Settings::default(), &SERVERS[..1]);
    let refused = two.refused(thief);
    assert!(refused.contains("10.96.0.1, which another instance serves"), "{refused}");
    one.kill();
    held.echo().unwrap();
    let mut one = row.plane("one");
    one.apply(both(80));
    row.client.connect("10.97.0.1:80").unwrap();
    row.client.connect("10.96.0.1:80").unwrap();
    one.stop();
    held.echo().unwrap();
    row.client.connect("10.97.0.1:80").unwrap();
    two.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn what_others_remove_is_put_back() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    firewalled(&row);
    let mut plane = row.plane("a");
    plane.apply(both(80));
    let serves = || {
        let all = [(&row.client, "10.96.0.1:80"), (&row.node, "[fd96::1]:80")];
        all.into_iter().all(|(who, address)| who.connect(address).is_ok())
    };
    until("it serves", serves);
    for harm in [
        "iptables -F DOCKER-USER",
        "nft flush ruleset; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER; \
         iptables -P FORWARD DROP",
        "ip route flush proto 191; ip -6 route flush proto 191",
        "ip link set $(ip -o link | grep -oE 'berth[0-9a-f]+' | head -1) down",
        "ip link del $(ip -o link | grep -oE 'berth[0-9a-f]+' | head -1)",
    ] {
        row.node.sh(harm);
        let begun = Instant::now();
        until("it serves again", serves);
        let took = begun.elapsed();
        println!("{harm}: serves again after {took:.1?}");
        // 5 s are promised; connecting in vain takes 3 s of this.
        assert!(took < Duration::from_secs(10), "{harm}");
    }
    plane.stop();
}

#[test]
fn an_address_that_the_host_gets_later_is_served_there() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut plane = row.plane("a");
    plane.apply(serves("web", &["10.11.5.1:80"], Settings::default(), &SERVERS[..1]));
    row.client.connect("10.11.5.1:80").unwrap();
    row.node.sh("ip addr add 10.11.5.1/24 dev to-client");
    until("it is served on the host's address", || row.client.connect("10.11.5.1:80").is_ok());
    within(|| (plane.client.stats().unwrap().addresses.taken == 0).then_some(()));
    row.client.connect("10.11.5.1:80").unwrap();
    plane.stop();
}

#[test]
fn switched_off_or_without_the_capability_it_says_what_is_left_out() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    let web = || serves("web", &["10.96.0.1:80"], Settings::default(), &SERVERS[..1]);
    for (more, run, why) in
        [("--namespace off", "", "switched off"), ("", WITHOUT, "it needs CAP_NET_ADMIN")]
    {
        let mut plane = Plane::begin(&row.node, &row.folder.path().join("a"), more, run);
        let unserved = plane.client.apply(web()).unwrap().unserved;
        assert!(unserved[0].reason.contains(why), "{unserved:?}");
        let told = plane.client.stats().unwrap().addresses;
        assert!(!told.has_namespace && told.because.contains(why), "{told:?}");
        assert_eq!(traces(&row.node), before);
        plane.stop();
    }
}

#[test]
fn ten_thousand_addresses_are_taken_at_once() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    // A listener for each worker; more descriptors than for one of them the machine may not give.
    let mut plane = Plane::start(&row.node, &row.folder.path().join("a"), "--workers 1");
    let memory = |name: &str| {
        let all = std::fs::read_to_string("/proc/meminfo").unwrap();
        let line = all.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap()
    };
    let slab = memory("Slab:");
    let all: Vec<Change> = (0..10_000_u32)
        .flat_map(|number| {
            let at = if number % 2 == 0 {
                format!("10.100.{}.{}:80", number >> 8, number & 255)
            } else {
                format!("[fd96::{number:x}]:80")
            };
            let to = &SERVERS[(number % 2) as usize..][..1];
            let mut all = serves(&format!("s{number}"), &[&at], Settings::default(), to);
            if let Change::Service(service) = &mut all[0] {
                service.ports.truncate(1);
            }
            if let Change::Endpoints(set) = &mut all[1] {
                set.endpoints[0].ports.truncate(1);
            }
            all
        })
        .collect();
    let again: Vec<Change> =
        (0..10_000_u32).map(|n| Change::RemoveService(format!("s{n}").as_str().into())).collect();
    let begun = Instant::now();
    plane.apply(all);
    let used = plane.used();
    println!(
        "10,000 addresses, a listener each: {:.2?}, of the processor {used:.2?}",
        begun.elapsed()
    );
    println!("kernel memory (slab) more: {} KiB", memory("Slab:") - slab);
    row.client.connect("10.100.39.14:80").unwrap();
    row.client.connect("[fd96::270f]:80").unwrap();
    let begun = Instant::now();
    plane.apply(serves("one", &["10.96.0.1:80"], Settings::default(), &SERVERS[..1]));
    println!("one more: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    plane.apply(serves("two", &["10.96.0.2:80"], Settings::default(), &SERVERS[..1]));
    println!("and another one: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    plane.apply(serves("three", &["127.0.0.3:80"], Settings::default(), &SERVERS[..1]));
    println!("one of the host's: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    plane.apply(again);
    let used = plane.used().saturating_sub(used);
    println!("10,000 let go: {:.2?}, of the processor {used:.2?} since", begun.elapsed());
    assert_eq!(
        row.node.sh("ip route show proto 191 | wc -l; ip -6 route show proto 191 | wc -l"),
        "2\n0\n"
    );
    plane.stop();
}
