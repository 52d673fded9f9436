// SPDX-License-Identifier: Apache-2.0
//! Rolling updates under traffic, on three agents that are processes of their own: no request fails, though the server closes its port with
//! SIGTERM and nobody waits in a preStop hook. `BERTH_ROLLOUTS` says how many updates there are on each data path.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]
#![allow(dead_code, reason = "of the machine each test uses what it needs")]

#[path = "rollout/clients.rs"]
mod clients;
mod machine;
#[path = "machine/nodes.rs"]
mod nodes;

use berth_balancer_testkit::{Space, have_docker, until};
use clients::Clients;
use machine::{Machine, busybox};
use std::net::SocketAddr;
use std::time::Duration;

const SERVER: &str = include_str!("rollout/server.c");
const REPLICAS: usize = 4;
const NODES: [&str; 3] = ["a", "b", "c"];

const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: own:latest
        imagePullPolicy: IfNotPresent
        command: [/main]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox:test, command: [sleep, '100000']}]
";

/// How many updates are tried.
fn rounds() -> usize {
    let said = std::env::var("BERTH_ROLLOUTS").ok().and_then(|text| text.parse().ok());
    said.unwrap_or(3)
}

#[test]
fn no_request_fails_while_pods_are_replaced_on_the_fast_path() {
    roll(&[], "fast");
}

#[test]
fn no_request_fails_while_pods_are_replaced_on_the_proxy_path() {
    roll(&["--no-fast"], "proxy");
}

fn roll(flags: &[&str], path: &str) {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    busybox(&machine);
    machine.engine.image(
        &SERVER.replace("#include <errno.h>\n", "#define _GNU_SOURCE\n#include <errno.h>\n"),
    );
    let server = machine.server(&[]);
    // Told to end, they leave nothing: a data plane would go on.
    let own = [&["--remove", "--token", server.token.as_str()][..], flags].concat();
    let mut agents = Vec::new();
    for name in NODES {
        let mut agent = machine.agent(name, &server.url, &own);
        agent.says("Ready after");
        agents.push(agent);
    }
    machine.apply(MANIFEST);
    machine.tell("rollout status deployment web --timeout=120s");
    machine.tell("wait --for=condition=Ready pod/client --timeout=60s");
    let status = machine.berth(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let all = status["services"].as_array().unwrap();
    let web = all.iter().find(|one| one["name"] == "default/web").unwrap();
    assert!(web["path"].as_str().unwrap_or_default().starts_with(path), "{web}");
    let mut clients = begin(&machine);
    for round in 0..rounds() {
        update(&machine, round);
        let failed = clients.failed();
        assert!(failed.is_empty(), "in update {round}: {failed:#?}");
        goes_on(&mut clients);
    }
    let found = clients.stop();
    assert!(found.failed.is_empty(), "{:#?}", found.failed);
    assert!(found.connected > 100 && found.kept > 50, "{} {}", found.connected, found.kept);
    machine.tell("delete deployment web");
    machine.tell("delete pod client");
    for agent in agents {
        agent.end();
    }
    server.process.end();
}

/// Clients in a pod, on the node, and outside.
fn begin(machine: &Machine) -> Clients {
    let address = machine.tell("get service web -o jsonpath={.spec.clusterIP}");
    let port = machine.tell("get service web -o jsonpath={.spec.ports[0].nodePort}");
    let service: SocketAddr = format!("{address}:80").parse().unwrap();
    let node: SocketAddr = format!("192.168.77.2:{port}").parse().unwrap();
    let id = machine.tell("get pod client -o jsonpath={.status.containerStatuses[0].containerID}");
    let id = id.strip_prefix("docker://").unwrap();
    let pid = machine.engine.docker(&format!("inspect -f {{{{.State.Pid}}}} {id}"));
    let pod = Space::of(pid.parse().unwrap());
    let mut clients = Clients::new();
    clients.add("a pod", &pod, service);
    clients.add("the node", &machine.engine.node, service);
    clients.add("outside", &machine.outside, node);
    goes_on(&mut clients);
    clients
}

/// Nothing is shown by clients that are not at work.
fn goes_on(clients: &mut Clients) {
    let before = clients.answered();
    until("clients are answered", || clients.answered() > before + 100);
}

/// Replaces all pods; every second time on another node.
fn update(machine: &Machine, round: usize) {
    if round.is_multiple_of(2) {
        machine.tell(&format!("set env deployment/web ROUND={round}"));
    } else {
        let node = NODES[round / 2 % NODES.len()];
        let patch = format!(
            "{{\"spec\":{{\"template\":{{\"spec\":{{\"nodeSelector\":{{\"kubernetes.io/hostname\":\"{node}\"}}}}}}}}}}"
        );
        machine.told(&["patch", "deployment", "web", "-p", &patch]);
    }
    machine.tell("rollout status deployment web --timeout=120s");
    until("those that were replaced have ended", || {
        machine.tell("get pods -l app=web -o name").lines().count() == REPLICAS
    });
    std::thread::sleep(Duration::from_millis(100));
}
