// SPDX-License-Identifier: Apache-2.0
//! `balance` as a program: each kind of load in small, where it stands, what it leaves behind, and that what is wrong is found.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use berth_loadgen::balance::backend::{Backends, Protocol};
use berth_loadgen::balance::client::course::{Span, Tally};
use berth_loadgen::balance::client::{Target, bulk, closed, datagrams, idle, open};
use berth_loadgen::balance::socket::Sources;
use berth_loadgen::balance::wire::Wire;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const LOADGEN: &str = env!("CARGO_BIN_EXE_berth-loadgen");
/// As short as makes sense: whether it works is asked here, not how fast.
const SMALL: [&str; 18] = [
    "--repetitions",
    "1",
    "--duration",
    "0.15",
    "--warm-up",
    "0.05",
    "--idle",
    "20,100",
    "--held",
    "50",
    "--changes",
    "3",
    "--hold",
    "60,2,10,1,50",
    "--drain",
    "12,100",
    "--crowd",
    "50,5",
];

fn balance(arguments: &[&str]) -> Output {
    Command::new(LOADGEN).arg("balance").args(SMALL).args(arguments).output().unwrap()
}

/// Runs it, and gives its figures by name and metric.
fn figures(arguments: &[&str]) -> impl Fn(&str, &str) -> f64 + use<> {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("figures.json"), folder.path().join("page.html"));
    let files = ["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let output = balance(&[arguments, &files].concat());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
    let text = std::fs::read_to_string(json).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    move |name, metric| {
        let results = value["results"].as_array().unwrap();
        let found = results.iter().find(|f| f["name"] == name && f["metric"] == metric);
        found.unwrap_or_else(|| panic!("no {metric} of {name} in {text}"))["value"]
            .as_f64()
            .unwrap_or(f64::NAN)
    }
}

/// Whether what a test needs is there; where the variable is set it must be.
fn have(what: &str, variable: &str, there: bool) -> bool {
    if there {
        return true;
    }
    assert!(std::env::var_os(variable).is_none(), "{variable} is set, and {what} is not there");
    eprintln!("skipped: {what} is not there ({variable}=1 makes that a failure)");
    false
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

fn installed(program: &str) -> bool {
    berth_loadgen::balance::subject::program::find(program).is_some()
}

const ROWS: [&str; 11] = [
    "tcp-short",
    "tcp-keepalive",
    "latency",
    "tcp-bulk-1",
    "tcp-bulk-16",
    "tcp-idle",
    "udp-window",
    "udp-one",
    "udp-new",
    "http-keepalive",
    "http-short",
];

#[test]
fn every_row_runs_on_loopback_without_a_balancer() {
    let figure = figures(&["--loopback", "--only", "direct"]);
    for row in ROWS {
        let name = format!("{row}/direct");
        assert_eq!(figure(&name, "failures"), 0.0, "{row}");
        if row != "tcp-idle" {
            assert!(figure(&name, "per_second") > 0.0, "{row}");
        }
    }
}

/// Names of namespaces of runs, here those of any.
fn namespaces() -> Vec<String> {
    let output = Command::new("ip").arg("netns").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| name.starts_with("berth-")).map(str::to_owned).collect()
}

#[test]
fn namespaces_are_joined_used_and_removed() {
    if !have("root with ip and nft", "BERTH_REQUIRE_NETNS", is_root() && installed("nft")) {
        return;
    }
    let rows = ["--row", "tcp-short", "--row", "udp-new", "--row", "tcp-bulk-1", "--row", "change"];
    let figure = figures(&[&["--only", "nft,direct"], rows.as_slice()].concat());
    assert_eq!(figure("change/nft", "failures"), 0.0, "an endpoint replaced, connections held");
    for row in ["tcp-short", "udp-new", "tcp-bulk-1"] {
        for balancer in ["nft", "direct"] {
            let name = format!("{row}/{balancer}");
            assert_eq!(figure(&name, "failures"), 0.0, "{name}");
            assert!(figure(&name, "per_second") > 0.0, "{name}");
        }
    }
}

#[test]
fn a_run_that_is_killed_leaves_nothing_behind() {
    if !have("root with ip and nft", "BERTH_REQUIRE_NETNS", is_root() && installed("nft")) {
        return;
    }
    let mut command = Command::new(LOADGEN);
    command.args(["balance", "--only", "direct", "--row", "tcp-keepalive", "--duration", "600"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ours = format!("berth-{}-", child.id());
    let count = || namespaces().iter().filter(|name| name.starts_with(&ours)).count();
    wait("the namespaces are there", || count() == 3);
    child.kill().unwrap();
    child.wait().unwrap();
    wait("the namespaces are gone", || count() == 0);
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}: not within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn real_peers_serve_every_row() {
    let there = installed("haproxy") && installed("nginx");
    if !have("haproxy and nginx", "BERTH_REQUIRE_PEERS", there) {
        return;
    }
    let figure = figures(&["--require-peers", "--only", "haproxy,nginx"]);
    assert_eq!(figure("change/nginx (2 workers)", "failures"), 0.0, "reloads, connections held");
    for row in ROWS {
        let mut names = vec!["nginx (2 workers)"];
        if !row.starts_with("udp") {
            names.extend(["haproxy (1 thread)", "haproxy (2 threads, splice)"]);
        }
        for balancer in names {
            let name = format!("{row}/{balancer}");
            assert_eq!(figure(&name, "failures"), 0.0, "{name}");
        }
    }
}

#[test]
fn what_cannot_be_measured_is_told_before_anything_starts() {
    let output = balance(&["--row", "no-such-row"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("there is no row \"no-such-row\"; --list-rows lists them"), "{error}");
    let output = balance(&["--loopback", "--only", "proxy", "--berth", "no/such/berth"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("cargo build --release -p berth"), "{error}");
    let output = balance(&["--loopback", "--only", "nft"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("its rules need namespaces, and so root"), "{error}");
}

/// Backends in this process: an echo, bulk and datagrams of service 1, which end with the writer.
fn backends() -> (Vec<SocketAddr>, std::io::PipeWriter, JoinHandle<()>) {
    let (reader, writer) = std::io::pipe().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut backends = Backends::new().unwrap();
        let protocols = [Protocol::Echo, Protocol::Bulk, Protocol::Datagram];
        let open = |protocol| backends.open(local, protocol, (1, 0)).unwrap().address;
        tell.send(protocols.map(open).to_vec()).unwrap();
        backends.serve(&reader, |_| Ok(false)).unwrap();
    });
    (told.recv().unwrap(), writer, thread)
}

fn target(address: SocketAddr, service: u32) -> Target {
    Target { addresses: vec![address], service, sources: Sources::new(Vec::new()), seed: 7 }
}

const SPAN: Span = Span { warm_up: Duration::ZERO, measure: Duration::from_millis(100) };

#[test]
fn a_balancer_that_mixes_services_up_is_found_by_every_load() {
    let (addresses, writer, thread) = backends();
    let [echo, bulk_address, datagram] = addresses[..] else { panic!("three") };
    // A client of service 2 that reaches the backends of service 1.
    let failed = |what: &str, tally: Tally| {
        assert!(tally.failures > 0, "{what}");
        assert_eq!((tally.operations, tally.bytes), (0, 0), "{what}");
    };
    let run = |wire, short| closed::run(&target(echo, 2), (2, wire, short), SPAN, &mut ());
    failed("keep-alive", run(Wire::Message, false).unwrap());
    failed("short", run(Wire::Message, true).unwrap());
    failed("open", open::run(&target(echo, 2), (2, 1_000.0), SPAN, &mut ()).unwrap());
    failed("bulk", bulk::run(&target(bulk_address, 2), 1, SPAN, &mut ()).unwrap());
    let tally = datagrams::run(&target(datagram, 2), (2, 1, false), SPAN, &mut ()).unwrap();
    failed("datagrams", tally);
    let other = target(echo, 2);
    let mut held = idle::Idle::new(&other).unwrap();
    held.grow(3).unwrap();
    failed("idle", held.tally);
    drop(writer);
    thread.join().unwrap();
}

#[test]
fn the_same_loads_hold_where_nothing_is_mixed_up() {
    let (addresses, writer, thread) = backends();
    let [echo, bulk_address, datagram] = addresses[..] else { panic!("three") };
    let held = |what: &str, tally: Tally| {
        assert_eq!((tally.failures, tally.notes.clone()), (0, vec![]), "{what}");
        assert!(tally.operations + tally.bytes > 0, "{what}");
    };
    let run = |short| closed::run(&target(echo, 1), (3, Wire::Message, short), SPAN, &mut ());
    held("keep-alive", run(false).unwrap());
    held("short", run(true).unwrap());
    held("open", open::run(&target(echo, 1), (2, 1_000.0), SPAN, &mut ()).unwrap());
    held("bulk", bulk::run(&target(bulk_address, 1), 2, SPAN, &mut ()).unwrap());
    for (window, renew) in [(1, false), (16, false), (1, true)] {
        let what = (2, window, renew);
        held("datagrams", datagrams::run(&target(datagram, 1), what, SPAN, &mut ()).unwrap());
    }
    drop(writer);
    thread.join().unwrap();
}

#[test]
fn refused_connections_end_a_load() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let tally = closed::run(&target(address, 1), (2, Wire::Message, true), SPAN, &mut ()).unwrap();
    assert!(tally.failures > 0 && tally.operations == 0);
    assert!(tally.notes[0].contains("cannot connect"), "{:?}", tally.notes);
}

#[test]
fn an_open_loop_keeps_its_times() {
    let (addresses, writer, thread) = backends();
    let span = Span { warm_up: Duration::from_millis(50), measure: Duration::from_millis(500) };
    let tally = open::run(&target(addresses[0], 1), (4, 2_000.0), span, &mut ()).unwrap();
    assert_eq!(tally.failures, 0, "{:?}", tally.notes);
    // 1,000 are due; a machine that is busy answers the last ones late, but none is left out.
    assert!((500..=1_100).contains(&tally.operations), "{}", tally.operations);
    drop(writer);
    thread.join().unwrap();
}
