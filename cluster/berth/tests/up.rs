// SPDX-License-Identifier: Apache-2.0
//! `berth up` with containers: the demonstration, kubectl's walk over real pods, and that nothing is left at the end. The machine is a
//! network namespace with a Docker Engine of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]

#[allow(dead_code, reason = "each test uses some of it")]
mod machine;

use berth_balancer_testkit::{have_docker, until};
use machine::{Machine, busybox, containers};
use std::fs;
use std::path::Path;

#[test]
fn the_demo_is_answered_through_every_address_and_leaves_nothing() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    // Somebody else's: it is nobody's to touch.
    machine.engine.image("int main(){for(;;)sleep(1000);}");
    machine.engine.docker("run -d --name foreign own /main");
    let before = machine.engine.docker("network ls --format {{.Name}}");
    let tables = machine.engine.node.sh("nft list tables");
    let routes = machine.engine.node.sh("ip route");
    let mut up = machine.up(&["--demo"]);
    let said = up.says("  try ");
    for step in ["posted", "bound", "ready", "ClusterIP", "NodePort", "LoadBalancer"] {
        assert!(said.lines().any(|line| line.trim_start().starts_with(step)), "{step}: {said}");
    }
    let pods: Vec<String> = machine
        .tell("get pods -l app=echo -o jsonpath={.items[*].metadata.name}")
        .split(' ')
        .map(str::to_owned)
        .collect();
    assert_eq!(pods.len(), 3);
    for title in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let line = said.lines().find(|line| line.trim_start().starts_with(title)).unwrap();
        assert!(pods.iter().any(|pod| line.contains(pod.as_str())), "{line}");
    }
    up.interrupt();
    assert_eq!(containers(&machine), ["foreign"]);
    assert_eq!(machine.engine.docker("inspect -f {{.State.Running}} foreign"), "true");
    assert_eq!(machine.engine.docker("network ls --format {{.Name}}"), before);
    assert_eq!(machine.engine.node.sh("nft list tables"), tables);
    assert_eq!(machine.engine.node.sh("ip route"), routes);
    assert!(!Path::new("/var/lib/berth/nodes").join(&machine.engine.node.name).exists());
}

/// The pod of two containers that talk over the loopback, behind a Service.
fn two(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: two, labels: {{app: two}}}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - {{name: web, image: {image}, ports: [{{containerPort: 8080}}], readinessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 1}}}}
  - name: side
    image: busybox:test
    command: [sh, -c, 'while ! wget -qO- 127.0.0.1:8080; do sleep 0.1; done; echo began; exec sleep 1000']
---
apiVersion: v1
kind: Service
metadata: {{name: two}}
spec: {{selector: {{app: two}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    )
}

#[test]
fn kubectl_walks_over_real_pods_and_a_crash_costs_them_nothing() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    busybox(&machine);
    let mut up = machine.up(&["--demo"]);
    up.says("  try ");
    let echo =
        machine.tell("get deployment echo -o jsonpath={.spec.template.spec.containers[0].image}");
    machine.apply(&two(&echo));
    machine.tell("wait --for=condition=Ready pod/two --timeout=60s");
    walk(&machine);
    // Those that the last rollout replaced still end.
    until("five pods and the one of two containers are left", || {
        machine.tell("get pods -o name").lines().count() == 6
    });
    // Killed, it leaves its pods and its data plane as they are.
    let address = machine.tell("get service two -o jsonpath={.spec.clusterIP}");
    let restarts = "get pods -o jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let ids = "get pods -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
    let (restarts_before, ids_before) = (machine.tell(restarts), machine.tell(ids));
    up.crash();
    let call =
        format!("wget -qO- -T 5 http://{address}/ 2>/dev/null || curl -fsS -m 5 http://{address}/");
    for _ in 0..20 {
        assert!(machine.engine.node.try_sh(&call).is_some(), "the data plane goes on");
    }
    let mut up = machine.up(&["--demo"]);
    up.says("  try ");
    machine.tell("wait --for=condition=Ready pod/two --timeout=60s");
    assert_eq!(machine.tell(restarts), restarts_before);
    assert_eq!(machine.tell(ids), ids_before, "no container was made anew");
    machine.tell("delete pod two --timeout=60s");
    assert!(!containers(&machine).iter().any(|name| name.contains("_two_")));
    let log = up.log();
    assert!(!log.contains("cannot be written yet"), "kube-dns of the first run is good: {log}");
    up.interrupt();
    assert!(containers(&machine).is_empty(), "{:?}", containers(&machine));
}

#[test]
fn what_is_to_be_kept_runs_on_and_is_taken_over() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    let mut up = machine.up(&["--demo", "--keep"]);
    up.says("  try ");
    let address = machine.tell("get service echo -o jsonpath={.spec.clusterIP}");
    let ids = "get pods -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
    let before = machine.tell(ids);
    up.interrupt();
    assert_eq!(containers(&machine).len(), 6, "three pods, each with its sandbox");
    let call = format!("curl -fsS -m 5 http://{address}/");
    assert!(machine.engine.node.try_sh(&call).is_some(), "their Service is served");
    let mut up = machine.up(&["--demo"]);
    up.says("  try ");
    assert_eq!(machine.tell(ids), before, "no container was made anew");
    up.interrupt();
    assert!(containers(&machine).is_empty(), "{:?}", containers(&machine));
}

/// What README.md shows of pods.
fn walk(machine: &Machine) {
    let address = machine.tell("get service two -o jsonpath={.spec.clusterIP}");
    let inside = ["exec", "two", "-c", "side", "--"];
    let run = |command: &[&str]| machine.told(&[&inside[..], command].concat());
    assert!(run(&["wget", "-qO-", &format!("http://{address}/")]).contains("server: "));
    assert!(run(&["wget", "-qO-", "http://echo.default.svc.cluster.local/"]).contains("server: "));
    let resolv = run(&["cat", "/etc/resolv.conf"]);
    assert!(
        resolv.contains("search default.svc.cluster.local") && !resolv.contains("127.0.0.11"),
        "{resolv}"
    );
    until("the sidecar has spoken", || machine.tell("logs two -c side").contains("began"));
    assert!(machine.tell("logs two -c side --tail=1").trim() == "began");
    let failed = machine.kubectl(&[&inside[..], &["sh", "-c", "exit 7"]].concat());
    assert_eq!(failed.status.code(), Some(7));
    // 3 MB there and back.
    let (there, back) = (machine.folder().join("there"), machine.folder().join("back"));
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    fs::write(&there, &bytes).unwrap();
    machine.told(&["cp", there.to_str().unwrap(), "two:/tmp/there", "-c", "side"]);
    machine.told(&["cp", "two:/tmp/there", back.to_str().unwrap(), "-c", "side"]);
    assert!(fs::read(&back).unwrap() == bytes, "what was copied is the same");
    forward(machine);
    let described = machine.tell("describe pod two");
    for words in ["Scheduled", "Pulled", "Created", "Started", "Ready             True"] {
        assert!(described.contains(words), "{words}: {described}");
    }
    machine.tell("scale deployment echo --replicas=5");
    machine.tell("rollout status deployment echo --timeout=60s");
    machine.tell("set env deployment/echo VERSION=2");
    machine.tell("rollout status deployment echo --timeout=60s");
    machine.tell("rollout undo deployment echo");
    machine.tell("rollout status deployment echo --timeout=60s");
}

fn forward(machine: &Machine) {
    let kubeconfig = machine.kubeconfig();
    let line = format!(
        "kubectl --kubeconfig {} port-forward pod/two 18080:8080 >/dev/null",
        kubeconfig.display()
    );
    let forwarding = machine.engine.node.spawn(&line);
    until("the forwarded port answers", || {
        machine.engine.node.try_sh("curl -fsS -m 2 http://127.0.0.1:18080/ 2>/dev/null || wget -qO- -T 2 http://127.0.0.1:18080/").is_some()
    });
    drop(forwarding);
}
