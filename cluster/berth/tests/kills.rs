// SPDX-License-Identifier: Apache-2.0
//! What is killed on a node that has traffic: all of `berth up` but the pods, the data plane of Services, the Docker Engine. Pods, their
//! connections and what is left are looked at each time.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]

#[allow(dead_code, reason = "other tests use all of it")]
mod machine;
#[path = "kills/poll.rs"]
mod poll;
#[path = "../../store/tests/stores/tier.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod tier;
#[path = "kills/traffic.rs"]
mod traffic;

use berth_balancer_testkit::{have_docker, until};
use machine::{Machine, Up};
use poll::Poll;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tier::Row;
use traffic::{Traffic, outage};

/// After this something counts as hung.
const HANG: Duration = Duration::from_mins(2);
/// Pods under traffic.
const PODS: usize = 20;
const IDS: &str =
    "get pods -l app=kept -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
const RESTARTS: &str =
    "get pods -l app=kept -o jsonpath={.items[*].status.containerStatuses[*].restartCount}";

/// So many pods that answer, behind a Service with a node port. Each is ready as soon as it answers.
fn kept(image: &str, pods: usize) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: kept}}
spec:
  replicas: {pods}
  selector: {{matchLabels: {{app: kept}}}}
  template:
    metadata: {{labels: {{app: kept}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: {image}
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: kept}}
spec:
  type: NodePort
  selector: {{app: kept}}
  ports: [{{port: 80, targetPort: 8080, nodePort: 30080}}]
"
    )
}

/// A machine with pods under a Service, and the Service's addresses.
struct Node {
    machine: Machine,
    up: Option<Up>,
    addresses: Vec<SocketAddr>,
}

impl Node {
    fn start(options: &[&str], pods: usize) -> Self {
        let machine = Machine::with(options);
        // The demonstration's image is what the pods run.
        let mut up = machine.up(&["--demo"]);
        up.says("  try ");
        machine.tell("delete service,deployment echo");
        machine.apply(&kept(&berth_cluster_docker::echo_image(), pods));
        machine.tell("rollout status deployment kept --timeout=120s");
        let ip = machine.tell("get service kept -o jsonpath={.spec.clusterIP}");
        let addresses = [format!("{ip}:80"), "192.168.77.2:30080".to_owned()];
        let addresses = addresses.map(|address| address.parse().unwrap()).into();
        Self { machine, up: Some(up), addresses }
    }

    /// What the engine says of each container: its id, and since when it runs.
    fn runs(&self) -> BTreeMap<String, String> {
        let ids = self.machine.engine.docker("ps -q --no-trunc");
        let ids = ids.split_whitespace().collect::<Vec<_>>().join(" ");
        let line =
            format!("inspect -f {{{{.Id}}}}={{{{.State.StartedAt}}}}={{{{.State.Pid}}}} {ids}");
        let said = self.machine.engine.docker(&line);
        let pairs = said.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(id, since)| (id.to_owned(), since.to_owned())).collect()
    }

    /// Ends all, and looks for what is left.
    fn end(mut self) {
        self.machine.tell("delete deployment kept --cascade=foreground --timeout=60s");
        self.machine.tell("wait --for=delete pod -l app=kept --timeout=60s");
        self.up.take().unwrap().interrupt();
        assert_eq!(self.machine.engine.docker("ps -aq"), "", "no container is left");
        let networks = self.machine.engine.docker("network ls --format {{.Name}}");
        assert!(!networks.contains("berth"), "{networks}");
        let node = &self.machine.engine.node;
        let tables = node.sh("nft list tables");
        assert!(!tables.contains("berth"), "{tables}");
        let files = std::path::Path::new("/var/lib/berth/nodes").join(&node.name);
        assert!(!files.exists(), "{} is left", files.display());
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&files.display().to_string()), "{mounts}");
    }
}

/// What is done to an engine.
#[derive(Debug, Clone, Copy)]
enum Fall {
    Stopped,
    Killed,
}

impl Node {
    /// The process that carries the Services' traffic.
    fn data_plane(&self) -> Option<Pid> {
        let folder = self.machine.folder().display().to_string();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut own = all.filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let words: Vec<&str> = line.split('\0').collect();
            let is = words.windows(2).any(|two| two == ["balancer", "data"]);
            (is && line.contains(&folder)).then(|| Pid::from_raw(number))?
        });
        own.next()
    }

    /// How the Service's ports are served, by the data plane's own words.
    fn table(&self) -> String {
        let folder = self.machine.folder().display();
        let program = env!("CARGO_BIN_EXE_berth");
        let line = format!("{program} balancer status --control {folder}/berth/up-at-*.sock");
        self.machine.engine.node.sh(&line)
    }

    /// All pods are ready, each of their containers has been started again so often, and none of them is held up.
    fn is_well(&self, restarts: u64) -> bool {
        let line = "get pods -l app=kept -o jsonpath={range .items[*].status.containerStatuses[*]}{.ready},{.restartCount},{.state.waiting.reason};{end}";
        let mut words: Vec<&str> = line.splitn(6, ' ').collect();
        words.retain(|word| !word.is_empty());
        let said = self.machine.kubectl(&words);
        assert!(
            said.status.success(),
            "the API answers: {}",
            String::from_utf8_lossy(&said.stderr)
        );
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(!said.contains("CrashLoopBackOff"), "it is no pod's fault: {said}");
        let wanted = format!("true,{restarts},");
        let mut pods = said.split(';').filter(|pod| !pod.is_empty()).peekable();
        pods.peek().is_some() && pods.all(|pod| pod == wanted)
    }

    /// Ends the engine so, and starts it again. Gives how long it takes until all pods are ready.
    fn fall(&mut self, how: Fall, restarts: u64) -> Duration {
        let api = Poll::start(&self.machine.engine.node);
        match how {
            Fall::Stopped => self.machine.engine.stop(),
            Fall::Killed => self.machine.engine.crash(),
        }
        // A while without an engine.
        std::thread::sleep(Duration::from_secs(1));
        let begun = Instant::now();
        self.machine.engine.begin_again();
        while !self.is_well(restarts) || !self.node_is_ready() {
            let pods = || self.machine.tell("get pods -o wide");
            assert!(begun.elapsed() < HANG, "{how:?}: pods are not ready again:\n{}", pods());
            std::thread::sleep(Duration::from_millis(100));
        }
        let took = begun.elapsed();
        let (asked, failed) = api.stop();
        assert!(asked > 10 && failed.is_empty(), "of {asked} questions: {failed:#?}");
        for address in &self.addresses {
            self.machine.engine.node.run(|| outage(*address, HANG));
        }
        took
    }

    fn node_is_ready(&self) -> bool {
        let line =
            "get nodes -o jsonpath={.items[0].status.conditions[?(@.type==\"Ready\")].status}";
        self.machine.tell(line) == "True"
    }
}

#[test]
fn what_is_killed_costs_no_connection_that_is_held() {
    if !have_docker() {
        return;
    }
    let mut node = Node::start(&[], PODS);
    let (runs, ids) = (node.runs(), node.machine.tell(IDS));
    agent_is_killed(&mut node, &runs);
    data_plane_is_killed(&node);
    engine_falls_and_pods_live(&mut node, &runs);
    assert_eq!(node.machine.tell(IDS), ids);
    assert!(node.machine.tell(RESTARTS).split(' ').all(|count| count == "0"));
    node.end();
}

fn agent_is_killed(node: &mut Node, runs: &BTreeMap<String, String>) {
    let within = Traffic::start(&node.machine.engine.node, &node.addresses, 2, 8);
    let outside = Traffic::start(&node.machine.outside, &node.addresses[1..], 2, 8);
    let mut row = Row::new("agent killed", 5, 100);
    while let Some(turn) = row.next() {
        outside.goes_on(5);
        node.up.take().unwrap().crash();
        // While nobody is there, too.
        within.goes_on(5 + turn % 20);
        let mut up = node.machine.up(&[]);
        up.says("Ctrl-C");
        node.up = Some(up);
        until("the node's pods are told of", || node.is_well(0));
        assert_eq!(&node.runs(), runs, "round {turn}: no container was touched");
    }
    for found in [within.stop(), outside.stop()] {
        assert!(found.fresh > 100 && found.held > 100, "there was traffic");
        assert!(found.failed.is_empty(), "{:#?}", found.failed);
        assert!(found.dropped.is_empty(), "{:#?}", found.dropped);
    }
}

fn data_plane_is_killed(node: &Node) {
    let table = node.table();
    let fast = table.lines().filter(|line| line.contains("kept") && line.contains("fast"));
    assert!(fast.count() >= 1, "the Service is on the fast path: {table}");
    // Those that connect anew may fail, for as long as is measured.
    let within = Traffic::start(&node.machine.engine.node, &node.addresses[..1], 0, 8);
    let outside = Traffic::start(&node.machine.outside, &node.addresses[1..], 0, 8);
    let mut longest = Duration::ZERO;
    let mut row = Row::new("data plane killed", 3, 20);
    while let Some(turn) = row.next() {
        std::thread::sleep(Duration::from_millis(500 + 37 * turn % 300));
        let before = node.data_plane().expect("it runs");
        kill_process(before, Signal::KILL).unwrap();
        let spaces = [&node.machine.engine.node, &node.machine.outside];
        let outages = std::thread::scope(|scope| {
            let all = spaces.iter().zip(&node.addresses);
            let all =
                all.map(|(space, address)| scope.spawn(|| space.run(|| outage(*address, HANG))));
            let all: Vec<_> = all.collect();
            all.into_iter().map(|one| one.join().unwrap()).max().unwrap()
        });
        println!("data plane killed: a Service is back after {} ms", outages.as_millis());
        longest = longest.max(outages);
        until("another one runs", || node.data_plane().is_some_and(|after| after != before));
    }
    eprintln!("data plane killed: a Service is back after {} ms at most", longest.as_millis());
    for found in [within.stop(), outside.stop()] {
        assert!(found.held > 50, "there was traffic");
        assert!(found.dropped.is_empty(), "{:#?}", found.dropped);
    }
}

fn engine_falls_and_pods_live(node: &mut Node, runs: &BTreeMap<String, String>) {
    let within = Traffic::start(&node.machine.engine.node, &node.addresses, 2, 8);
    let mut row = Row::new("engine falls, its containers live", 2, 20);
    while let Some(turn) = row.next() {
        let how = if turn % 2 == 0 { Fall::Killed } else { Fall::Stopped };
        let took = node.fall(how, 0);
        eprintln!("engine {how:?}, with live-restore: all ready after {:.1} s", took.as_secs_f32());
        assert_eq!(&node.runs(), runs, "no container was touched");
    }
    let found = within.stop();
    assert!(found.fresh > 100 && found.held > 100, "there was traffic");
    assert!(found.failed.is_empty(), "{:#?}", found.failed);
    assert!(found.dropped.is_empty(), "{:#?}", found.dropped);
}

#[test]
fn pods_are_back_after_an_engine_that_takes_its_containers_along() {
    if !have_docker() {
        return;
    }
    let mut node = Node::start(&["--live-restore=false"], PODS);
    let mut row = Row::new("engine falls with its containers", 2, 20);
    while let Some(turn) = row.next() {
        let how = if turn % 2 == 0 { Fall::Killed } else { Fall::Stopped };
        let took = node.fall(how, turn + 1);
        eprintln!(
            "engine {how:?}, without live-restore: all ready after {:.1} s",
            took.as_secs_f32()
        );
    }
    node.end();
}
