// SPDX-License-Identifier: Apache-2.0
//! Two processes of one instance: one takes over from the other, by intent or by mistake.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use lab::{Row, Talks, ask, have_namespaces, traces, until};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Each service has an endpoint of its own, so that a flow that goes to another service's is seen.
const WEB: &str = "service web tcp 10.96.0.1:80 10.12.0.2:8080";
const DNS: &str = "service dns udp 10.96.0.2:53 10.12.0.3:8080";

/// What clients have seen while processes came and went.
#[derive(Debug, Default)]
struct Seen {
    over: AtomicBool,
    flows: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Seen {
    /// One flow after the other until it is over.
    fn run(&self, one: impl Fn() -> Result<(), String>) {
        while !self.over.load(Ordering::Relaxed) {
            match one() {
                Ok(()) => self.flows.fetch_add(1, Ordering::Relaxed),
                Err(why) => {
                    self.wrong.lock().unwrap().push(why);
                    0
                }
            };
        }
    }
}

#[test]
fn no_new_flow_is_lost_when_one_process_takes_over_from_another() {
    const ROUNDS: usize = 5;
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, DNS, "apply"]);
    let mut held: Vec<_> = (0..20).map(|_| row.client.connect("10.96.0.1:80").unwrap()).collect();
    let talks: Vec<_> = (0..20).map(|_| row.client.udp("10.96.0.2:53")).collect();
    for socket in &talks {
        ask(socket).unwrap();
    }
    let (tcp, udp, slow) = (Seen::default(), Seen::default(), AtomicU64::new(0));
    let last = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                tcp.run(|| {
                    let begun = Instant::now();
                    let mut client =
                        row.client.connect("10.96.0.1:80").map_err(|e| format!("connect: {e}"))?;
                    let took = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
                    slow.fetch_max(took, Ordering::Relaxed);
                    client.echo().map_err(|e| format!("echo: {e}"))?;
                    (client.server == "10.12.0.2").then_some(()).ok_or(client.server)
                });
            });
            scope.spawn(|| {
                udp.run(|| {
                    // A datagram is not sent again: one that is lost is seen.
                    let (server, _) = row.client.ask("10.96.0.2:53").map_err(|e| e.to_string())?;
                    (server == "10.12.0.3").then_some(()).ok_or(server)
                });
            });
        }
        for round in 0..ROUNDS {
            std::thread::sleep(Duration::from_millis(200));
            let mut next = row.fast("a", &[]);
            // In another order, so that endpoints have other numbers.
            let services = if round % 2 == 0 { [DNS, WEB] } else { [WEB, DNS] };
            next.must(&services);
            next.must(&["apply"]);
            fast.must(&["retire", "apply"]);
            fast.leave();
            fast = next;
        }
        std::thread::sleep(Duration::from_millis(200));
        for seen in [&tcp, &udp] {
            seen.over.store(true, Ordering::Relaxed);
        }
        fast
    });
    let mut fast = last;
    for (name, seen) in [("tcp", &tcp), ("udp", &udp)] {
        let (flows, wrong) = (seen.flows.load(Ordering::Relaxed), seen.wrong.lock().unwrap());
        println!("{name}: {flows} flows through {ROUNDS} processes, {} wrong", wrong.len());
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        assert!(flows > 100, "{name}: there was traffic");
    }
    println!("slowest connect: {} ms", slow.load(Ordering::Relaxed));
    for client in &mut held {
        client.echo().unwrap();
    }
    for socket in &talks {
        assert_eq!(ask(socket).unwrap().0, "10.12.0.3");
    }
    until("the books have what was there before", || fast.active("web") == 20);
    drop(held);
    until("and close when it ends", || fast.active("web") == 0);
    fast.stop();
    assert!(!traces(&row.node).contains("berth-fast"));
}

#[test]
fn of_two_processes_that_both_mean_to_serve_the_later_one_does_and_the_other_one_says_so() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    let mut one = row.fast("a", &[]);
    one.must(&[WEB, "apply"]);
    let mut two = row.fast("a", &[]);
    two.must(&["service web tcp 10.96.0.1:80 10.12.0.3:8080", "apply"]);
    let serves = || row.client.connect("10.96.0.1:80").unwrap().server;
    assert_eq!(serves(), "10.12.0.3");
    // It must not change the other's rules, at once or later.
    one.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080 10.12.0.3:8080"]);
    let refused = one.tell("apply");
    assert!(refused.contains(&format!("process {} has taken", two.id())), "{refused}");
    // To be told to serve on does not make it the owner.
    one.must(&["retire", "resume"]);
    assert!(one.tell("apply").contains("has taken"));
    until("it knows without being told", || one.tell("overtaken").contains(&two.id().to_string()));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(two.tell("overtaken"), "None");
    assert_eq!(two.stat("repaired"), 0, "nobody fights");
    assert_eq!(serves(), "10.12.0.3");
    // What an operator does in between is put back by the one that serves.
    row.node.sh("nft flush ruleset");
    until("it is back", || two.stat("repaired") > 0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(serves(), "10.12.0.3");
    // The later one dies: the earlier one goes on.
    two.kill();
    until("the other one serves again", || one.tell("overtaken") == "None");
    assert_eq!(serves(), "10.12.0.2");
    // A successor that does not come: tables are taken again.
    one.must(&["retire", "service web tcp 10.96.0.1:80 10.12.0.3:8080", "apply"]);
    assert_eq!(serves(), "10.12.0.2", "what counts is the successor's table");
    one.must(&["resume", "apply"]);
    assert_eq!(serves(), "10.12.0.3");
    // And one that was overtaken does not clean up behind its successor.
    let mut three = row.fast("a", &[]);
    three.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080", "apply"]);
    one.stop();
    assert_eq!(serves(), "10.12.0.2");
    three.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn what_is_told_of_services_and_flows_is_what_happened() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh("sysctl -qw net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_tcp_timeout_time_wait=1");
    let mut fast = row.fast("a", &[]);
    fast.must(&["service none tcp 10.96.0.9:80"]);
    fast.must(&["service web tcp 10.96.0.1:80 drain-ms=60000 10.12.0.2:8080", "apply"]);
    for _ in 0..3 {
        row.client.connect("10.96.0.1:80").unwrap().echo().unwrap();
    }
    assert!(row.client.connect("10.96.0.9:80").is_err());
    let mut held = row.client.connect("10.96.0.1:80").unwrap();
    until("three have ended", || fast.tell("ports").contains("opened: 4, ended: 3"));
    let ports = fast.tell("ports");
    let web = ports.split("PortReport").find(|part| part.contains("\"web\"")).unwrap();
    assert!(web.contains("active: 1, accepted: 4"), "{web}");
    let none = ports.split("PortReport").find(|part| part.contains("\"none\"")).unwrap();
    assert!(none.contains("accepted: 0, refused: [1, 0"), "{none}");
    until("bytes are told", || {
        // The kernel looks for entries whose time is over once a minute, and when it is asked for all of them.
        row.node.sh("conntrack -L >/dev/null 2>&1");
        !fast.tell("ports").contains("bytes_in: 0, bytes_out: 0, latency")
    });
    let flows = fast.tell("flows");
    assert_eq!(flows.matches("FlowReport").count(), 1, "{flows}");
    assert!(flows.contains("service: \"web\"") && flows.contains("address: 10.12.0.2:8080"));
    // The endpoint goes: its connection is told of until it ends.
    assert_eq!(fast.tell("draining"), "[]");
    fast.must(&["service web tcp 10.96.0.1:80 drain-ms=60000 10.12.0.3:8080", "apply"]);
    let draining = fast.tell("draining");
    assert!(draining.contains("service: \"web\"") && draining.contains("connections: 1"));
    assert!(fast.tell("flows").contains("endpoint: \"10.12.0.2:8080\""));
    held.echo().unwrap();
    drop(held);
    until("it is through", || fast.tell("draining") == "[]");
    fast.stop();
}
