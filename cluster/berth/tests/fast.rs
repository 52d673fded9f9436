// SPDX-License-Identifier: Apache-2.0
//! The balancer on the fast path as its user has it: the binary on a node of its own, a file, clients that come through it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

#[path = "../../../balancer/fast/tests/lab/mod.rs"]
mod lab;

use berth_balancer_data::control::Client;
use berth_balancer_data::stats::Stats;
use lab::{Row, Talks, have_namespaces, traces, until};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const BERTH: &str = env!("CARGO_BIN_EXE_berth");

/// A balancer on the node of a row.
struct Balancer<'a> {
    row: &'a Row,
    control: PathBuf,
    child: Option<Child>,
}

impl<'a> Balancer<'a> {
    fn start(row: &'a Row) -> Self {
        let control = row.state.path().join("control.sock");
        let mut balancer = Self { row, control, child: None };
        balancer.again();
        balancer
    }

    fn again(&mut self) {
        let mut command = Command::new(BERTH);
        command.args(["--log", "warn", "balancer", "--workers", "2", "--config"]);
        command.arg(self.row.state.path().join("balancer.yaml"));
        command.arg("--control").arg(&self.control);
        let spawn = || command.stdout(Stdio::null()).spawn().unwrap();
        self.child = Some(self.row.node.run(spawn));
    }

    fn client(&self) -> Option<Client> {
        self.row.node.run(|| Client::connect(&self.control).ok())
    }

    fn stats(&self) -> Stats {
        self.client().unwrap().stats().unwrap()
    }

    fn data(&self) -> u32 {
        self.client().unwrap().greeting().pid
    }

    fn kill_control_plane(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ctrl-C, and waits.
    fn stop(mut self) {
        let mut child = self.child.take().unwrap();
        // A successor is nobody's child here: it is gone when its threads are, and a zombie has none.
        let threads = PathBuf::from(format!("/proc/{}/task", self.data()));
        let is_alive = || fs::read_dir(&threads).is_ok_and(|mut all| all.next().is_some());
        kill(child.id(), rustix::process::Signal::TERM);
        assert!(child.wait().unwrap().success());
        until("the data plane has ended", || !is_alive());
    }
}

impl Drop for Balancer<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if let Some(mut client) = self.client() {
            drop(client.stop());
        }
    }
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn write(row: &Row, text: &str) {
    fs::write(row.state.path().join("new"), text).unwrap();
    fs::rename(row.state.path().join("new"), row.state.path().join("balancer.yaml")).unwrap();
}

/// Services on both paths, and a node port.
const SERVICES: &str = "\
node: {addresses: [10.11.0.1, 127.0.0.1]}
services:
- name: web
  address: 10.96.0.1:80
  node_port: 30080
  endpoints: [10.12.0.2:8080]
- name: dns
  address: 10.96.0.2:53
  protocol: UDP
  endpoints: [10.12.0.3:8080]
- name: own
  address: 10.11.0.1:8081
  endpoints: [10.12.0.2:8080]
";

#[test]
fn services_take_the_fast_path_where_they_can_and_nothing_of_it_stays() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    write(&row, SERVICES);
    let balancer = Balancer::start(&row);
    until("it serves", || row.client.connect("10.96.0.1:80").is_ok());
    // The kernel forwards: the endpoint sees the client's own address where it is not the proxy's.
    let mut held = row.client.connect("10.96.0.1:80").unwrap();
    held.echo().unwrap();
    assert_eq!(row.client.ask("10.96.0.2:53").unwrap().0, "10.12.0.3");
    assert_eq!(row.client.connect("10.11.0.1:30080").unwrap().server, "10.12.0.2");
    assert_eq!(row.node.connect("127.0.0.1:30080").unwrap().server, "10.12.0.2");
    assert_eq!(row.client.connect("10.11.0.1:8081").unwrap().server, "10.12.0.2");
    let stats = balancer.stats();
    let paths: Vec<(&str, bool)> =
        stats.ports.iter().map(|port| (&*port.service, port.is_fast)).collect();
    assert!(paths.contains(&("web", true)) && paths.contains(&("dns", true)), "{paths:?}");
    assert!(paths.contains(&("own", false)), "{paths:?}");
    let opened = stats.fast.iter().find(|count| count.name == "opened").unwrap().value;
    assert!(opened >= 4, "{:?}", stats.fast);
    // No such port on a service's address: refused by the kernel.
    let refused = row.client.connect("10.96.0.1:81").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    held.echo().unwrap();
    balancer.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn control_plane_and_data_plane_die_and_come_back_and_connections_go_on() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    write(&row, SERVICES);
    let mut balancer = Balancer::start(&row);
    until("it serves", || row.client.connect("10.96.0.1:80").is_ok());
    let mut held = row.client.connect("10.96.0.1:80").unwrap();
    balancer.kill_control_plane();
    held.echo().unwrap();
    assert_eq!(row.client.connect("10.96.0.1:80").unwrap().server, "10.12.0.2");
    balancer.again();
    // The data plane dies: the kernel goes on with what is established, and the next process lets new ones in.
    let old = balancer.data();
    kill(old, rustix::process::Signal::KILL);
    held.echo().unwrap();
    until("another data plane serves", || {
        balancer.client().is_some_and(|client| client.greeting().pid != old)
    });
    until("it serves", || row.client.connect("10.96.0.1:80").is_ok());
    held.echo().unwrap();
    assert_eq!(row.client.ask("10.96.0.2:53").unwrap().0, "10.12.0.3");
    balancer.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn an_upgrade_hands_the_fast_path_over() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    let before = traces(&row.node);
    write(&row, SERVICES);
    let balancer = Balancer::start(&row);
    until("it serves", || row.client.connect("10.96.0.1:80").is_ok());
    let mut held = row.client.connect("10.96.0.1:80").unwrap();
    for _ in 0..3 {
        let old = balancer.data();
        let mut command = Command::new(BERTH);
        command.args(["balancer", "data", "--workers", "2", "--take-over", "--control"]);
        command.arg(&balancer.control);
        let mut successor = row.node.run(|| command.stdout(Stdio::null()).spawn().unwrap());
        until("the successor serves", || {
            balancer.client().is_some_and(|client| client.greeting().pid != old)
        });
        held.echo().unwrap();
        for _ in 0..20 {
            assert_eq!(row.client.connect("10.96.0.1:80").unwrap().server, "10.12.0.2");
            assert_eq!(row.client.ask("10.96.0.2:53").unwrap().0, "10.12.0.3");
        }
        std::thread::spawn(move || drop(successor.wait()));
    }
    write(&row, &SERVICES.replace("10.12.0.2:8080", "10.12.0.3:8080"));
    until("the change is in effect", || {
        row.client.connect("10.96.0.1:80").unwrap().server == "10.12.0.3"
    });
    held.echo().unwrap();
    balancer.stop();
    assert_eq!(traces(&row.node), before);
}

#[test]
fn an_address_that_is_somebody_elses_is_named_and_taken_when_it_is_free() {
    if !have_namespaces() {
        return;
    }
    let row = Row::new();
    row.node.sh("ip route add 10.96.0.0/24 via 10.12.0.2");
    write(&row, SERVICES);
    let balancer = Balancer::start(&row);
    until("it serves what it can", || row.client.connect("10.11.0.1:30080").is_ok());
    let mut client = balancer.client().unwrap();
    let reply = client.apply(Vec::new());
    let reasons: Vec<String> = reply.unwrap().unserved.into_iter().map(|one| one.reason).collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("the route to 10.96.0.0/24")),
        "{reasons:?}"
    );
    row.node.sh("ip route del 10.96.0.0/24");
    until("it serves", || row.client.connect("10.96.0.1:80").is_ok());
    balancer.stop();
}
