// SPDX-License-Identifier: Apache-2.0
//! What becomes of flows: endpoints that go, tables of flows that are emptied, a process that dies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use lab::{Client, Row, Talks, ask, end, have_namespaces, until};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

const WEB: &str = "service web tcp 10.96.0.1:80 10.12.0.2:8080 10.12.0.3:8080";
const DNS: &str = "service dns udp 10.96.0.2:53 10.12.0.2:8080 10.12.0.3:8080";

fn clients(row: &Row, count: usize) -> Vec<Client> {
    (0..count).map(|_| row.client.connect("10.96.0.1:80").unwrap()).collect()
}

#[test]
fn flows_of_udp_leave_an_endpoint_that_is_gone_though_the_client_never_stops() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.2:8080", "apply"]);
    let socket = row.client.udp("10.96.0.2:53");
    assert_eq!(ask(&socket).unwrap().0, "10.12.0.2");
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.3:8080", "apply"]);
    // From the moment at which the table is applied, and from the same port.
    assert_eq!(ask(&socket).unwrap().0, "10.12.0.3");
    fast.must(&["service dns udp 10.96.0.2:53", "apply"]);
    assert_eq!(ask(&socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(fast.stat("ended"), 2);
    fast.stop();
}

#[test]
fn connections_of_an_endpoint_that_is_gone_live_until_their_drain_is_over_and_then_both_sides_hear()
{
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    let held = row.server.run(|| std::net::TcpListener::bind("10.12.0.2:7000").unwrap());
    fast.must(&["service raw tcp 10.96.0.5:80 drain-ms=1000 10.12.0.2:7000", "apply"]);
    let mut quiet = row.client.run(|| std::net::TcpStream::connect("10.96.0.5:80").unwrap());
    let (mut served, _) = held.accept().unwrap();
    fast.must(&["service raw tcp 10.96.0.5:80 drain-ms=1000 10.12.0.3:8080", "apply"]);
    assert_eq!(row.client.connect("10.96.0.5:80").unwrap().server, "10.12.0.3");
    // Both are silent; each is told all the same.
    for stream in [&mut quiet, &mut served] {
        assert_eq!(end(stream), ErrorKind::ConnectionReset);
    }
    assert_eq!(fast.stat("ended"), 1);
    until("its books are closed", || fast.stat("tcp_flows") <= 1);
    fast.stop();
}

#[test]
fn a_connection_whose_entry_is_lost_goes_to_its_endpoint_or_ends() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, "apply"]);
    for round in 0..3 {
        let mut all = clients(&row, 20);
        for client in &mut all {
            client.echo().unwrap();
        }
        // What empties the table: an operator, or a daemon that starts.
        row.node.run(flush);
        let mut went_on = 0;
        for client in &mut all {
            // The server knows its connection by its bytes: another one would greet first.
            match client.echo() {
                Ok(()) => went_on += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        assert_eq!(went_on, 20, "round {round}: the books know all of them");
    }
    // A segment that is sent again while it waits counts twice.
    assert!(fast.stat("resumed") >= 60);
    until("books and table are equal", || fast.active("web") == 0);
    fast.stop();
}

#[test]
fn a_process_that_comes_back_without_books_resets_what_it_does_not_know() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, "apply"]);
    let mut client = row.client.connect("10.96.0.1:80").unwrap();
    client.echo().unwrap();
    fast.kill();
    row.node.run(flush);
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, "apply"]);
    assert_eq!(client.echo().unwrap_err().kind(), ErrorKind::ConnectionReset);
    // A segment that is sent again while it waits counts twice.
    assert!(fast.stat("strayed") >= 1);
    fast.stop();
}

/// Ends all entries of TCP and UDP of the namespace.
fn flush() {
    berth_balancer_fast::flush_all().unwrap();
}

#[test]
fn established_flows_go_on_while_the_process_is_dead_and_new_ones_wait_for_it() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&[WEB, DNS, "apply"]);
    let mut all = clients(&row, 10);
    let socket = row.client.udp("10.96.0.2:53");
    let before = ask(&socket).unwrap().0;
    fast.kill();
    for client in &mut all {
        client.echo().unwrap();
    }
    assert_eq!(ask(&socket).unwrap().0, before);
    // A datagram that finds nobody is lost, and leaves no entry that would keep its port astray.
    let early = row.client.udp("10.96.0.2:53");
    early.send(b"lost").unwrap();
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| row.client.connect("10.96.0.1:80"));
        std::thread::sleep(Duration::from_millis(200));
        let mut fast = row.fast("a", &[]);
        fast.must(&[WEB, DNS, "apply"]);
        let back = Instant::now();
        let mut client = late.join().unwrap().unwrap();
        client.echo().unwrap();
        assert!(back.elapsed() < Duration::from_secs(20));
        assert_eq!(ask(&early).unwrap().0.len(), 9);
        for client in &mut all {
            client.echo().unwrap();
        }
        assert_eq!(ask(&socket).unwrap().0, before, "a flow keeps its endpoint");
        assert_eq!(fast.active("web"), 11, "flows from before are in the books");
        fast
    });
    drop(all);
    late.stop();
}

#[test]
fn endpoints_that_went_while_the_process_was_dead_lose_their_flows() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.2:8080"]);
    fast.must(&["service web tcp 10.96.0.1:80 drain-ms=500 10.12.0.2:8080", "apply"]);
    let mut client = row.client.connect("10.96.0.1:80").unwrap();
    let socket = row.client.udp("10.96.0.2:53");
    assert_eq!(ask(&socket).unwrap().0, "10.12.0.2");
    fast.kill();
    let mut fast = row.fast("a", &[]);
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.3:8080"]);
    fast.must(&["service web tcp 10.96.0.1:80 drain-ms=500 10.12.0.3:8080", "apply"]);
    assert_eq!(ask(&socket).unwrap().0, "10.12.0.3");
    client.echo().unwrap();
    assert_eq!(end(&mut client.stream), ErrorKind::ConnectionReset);
    fast.stop();
}

#[test]
fn services_that_went_while_the_process_was_dead_lose_their_flows() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let mut fast = row.fast("a", &[]);
    fast.must(&["service dns udp 10.96.0.2:53 10.12.0.2:8080"]);
    fast.must(&["service web tcp 10.96.0.1:80 10.12.0.2:8080", "apply"]);
    let mut client = row.client.connect("10.96.0.1:80").unwrap();
    let socket = row.client.udp("10.96.0.2:53");
    assert_eq!(ask(&socket).unwrap().0, "10.12.0.2");
    fast.kill();
    let mut fast = row.fast("a", &[]);
    fast.must(&["service other tcp 10.96.0.3:80 10.12.0.3:8080", "apply"]);
    assert!(ask(&socket).is_err());
    assert_eq!(end(&mut client.stream), ErrorKind::ConnectionReset);
    fast.stop();
}

#[test]
fn the_books_are_right_again_after_events_were_lost() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    // Room for a handful of events: most are lost.
    let mut fast = row.fast("a", &["--event-bytes", "2304"]);
    fast.must(&[WEB, DNS, "apply"]);
    let mut held = Vec::new();
    until("events are lost", || {
        std::thread::scope(|scope| {
            let some: Vec<_> = (0..8).map(|_| scope.spawn(|| clients(&row, 20))).collect();
            for thread in some {
                let mut all = thread.join().unwrap();
                held.push(all.pop().unwrap());
            }
        });
        fast.stat("overflows") > 0
    });
    let held_count = held.len() as u64;
    until("the books have what is there", || fast.active("web") == held_count);
    drop(held);
    until("and nothing when all is over", || fast.active("web") == 0);
    assert!(fast.stat("resyncs") > 1);
    fast.stop();
}
