// SPDX-License-Identifier: Apache-2.0
//! Nodes that join over the network: `berth server`, and several `berth agent`s that share one engine.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]
#![allow(dead_code, reason = "of the machine each test uses what it needs")]

mod machine;
#[path = "machine/nodes.rs"]
mod nodes;

use berth_balancer_testkit::{HANG, have_docker, have_namespaces, until};
use machine::process::Process;
use machine::{Machine, busybox, containers};
use nodes::Server;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Pods that tell their names over HTTP, one on each node, behind a Service.
const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: busybox:test
        command: [sh, -c, 'mkdir -p /www; hostname > /www/index.html; echo began; exec httpd -f -p 8080 -h /www']
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

/// A pod: its name, its node, its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pod {
    name: String,
    node: String,
    address: String,
}

fn pods(machine: &Machine) -> Vec<Pod> {
    let line = "get pods -l app=web -o jsonpath={range.items[*]}{.metadata.name},{.spec.nodeName},{.status.podIP};{end}";
    let all = machine.tell(line);
    let one = |text: &str| {
        let words: Vec<&str> = text.split(',').collect();
        Pod { name: words[0].into(), node: words[1].into(), address: words[2].into() }
    };
    all.split(';').filter(|text| !text.is_empty()).map(one).collect()
}

/// Everyone reaches everyone by address, and through the Service, by its address and its name, all of them together.
fn everyone_reaches_everyone(machine: &Machine, pods: &[Pod]) {
    let service = machine.tell("get service web -o jsonpath={.spec.clusterIP}");
    let names: BTreeSet<String> = pods.iter().map(|pod| pod.name.clone()).collect();
    let own: Vec<String> = pods.iter().map(|pod| format!("http://{}:8080/", pod.address)).collect();
    // Many calls by one command: what takes long is kubectl. The Service may prefer who is near or quick.
    let line = format!(
        "for one in {}; do wget -qO- $one; done; for i in $(seq 20); do wget -qO- http://{service}/; wget -qO- http://web/; done",
        own.join(" ")
    );
    let end = Instant::now() + HANG;
    let mut found: BTreeSet<String> = BTreeSet::new();
    while found != names {
        for pod in pods {
            let all = machine.told(&["exec", &pod.name, "--", "sh", "-ec", &line]);
            let all: Vec<&str> = all.lines().collect();
            let (direct, through) = all.split_at(pods.len());
            assert!(direct.iter().zip(pods).all(|(name, pod)| *name == pod.name), "{direct:?}");
            assert_eq!(through.len(), 40, "from {pod:?}");
            found.extend(through.iter().map(|&name| name.to_owned()));
        }
        assert!(Instant::now() < end, "{found:?} of {names:?}");
    }
    for pod in pods {
        assert!(machine.tell(&format!("logs {}", pod.name)).contains("began"));
    }
}

fn ready(machine: &Machine, nodes: &[&str]) {
    for node in nodes {
        machine.tell(&format!("wait --for=condition=Ready node/{node} --timeout=60s"));
    }
}

fn of_nodes(machine: &Machine, field: &str) -> Vec<String> {
    let all = machine.tell(&format!("get nodes -o jsonpath={{.items[*]{field}}}"));
    all.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn three_agents_share_an_engine_and_make_one_cluster() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    busybox(&machine);
    let networks = machine.engine.docker("network ls --format {{.Name}}");
    let (tables, routes) =
        (machine.engine.node.sh("nft list tables"), machine.engine.node.sh("ip route"));
    let server = machine.server(&[]);
    let token = ["--token", &server.token];
    let mut a = machine.agent("a", &server.url, &[&token[..], &["--label", "zone=left"]].concat());
    a.says("Ready after");
    a.says("are served by this agent's data plane");
    let mut b = machine.agent("b", &server.url, &token);
    let mut c = machine.agent(
        "c",
        &server.url,
        &[&token[..], &["--pod-network", "10.244.9.0/24"]].concat(),
    );
    for agent in [&mut b, &mut c] {
        agent.says("Ready after");
        agent.says("this one stands by");
    }
    ready(&machine, &["a", "b", "c"]);
    assert_eq!(machine.tell("get node a -o jsonpath={.metadata.labels.zone}"), "left");
    let ranges: BTreeSet<String> = of_nodes(&machine, ".spec.podCIDR").into_iter().collect();
    assert!(ranges.len() == 3 && ranges.contains("10.244.9.0/24"), "{ranges:?}");
    for file in ["client.pem", "services.pem", "serving.pem"] {
        let path = machine.agent_folder("a").join("pki").join(file);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    machine.apply(WEB);
    machine.tell("rollout status deployment web --timeout=90s");
    let before = pods(&machine);
    let on: BTreeSet<&str> = before.iter().map(|pod| pod.node.as_str()).collect();
    assert_eq!(on, ["a", "b", "c"].into(), "one on each");
    everyone_reaches_everyone(&machine, &before);
    // Nobody else gets the name of a node that lives.
    let other = machine.folder().join("another").display().to_string();
    let taken = machine.agent("a", &server.url, &[&token[..], &["--data", &other]].concat());
    let said = taken.refuses();
    assert!(said.contains("the name a is taken"), "{said}");
    let a = an_agent_is_killed(&machine, a, [&mut b, &mut c], &server.url, &before);
    a_node_is_deleted(&machine);
    let server = the_server_is_away(&machine, server);
    everyone_reaches_everyone(&machine, &pods(&machine));
    // Told to end, they leave all as it is; and once more, to be removed, they leave nothing.
    for agent in [a, b, c] {
        agent.end();
    }
    // What has ended is kept for its log.
    let running = machine.engine.docker("ps -q");
    assert_eq!(running.lines().count(), 6, "three pods, each with its sandbox");
    removed(&machine, &server);
    assert!(containers(&machine).is_empty(), "{:?}", containers(&machine));
    assert_eq!(machine.engine.docker("network ls --format {{.Name}}"), networks);
    assert_eq!(machine.engine.node.sh("nft list tables"), tables);
    assert_eq!(machine.engine.node.sh("ip route"), routes);
    server.process.end();
}

/// The agent that leads is killed, and comes back without a token.
fn an_agent_is_killed(
    machine: &Machine,
    mut leader: Process,
    others: [&mut Process; 2],
    url: &str,
    before: &[Pod],
) -> Process {
    let ids = "get pods -l app=web -o jsonpath={.items[*].status.containerStatuses[*].containerID}";
    let ids_before = machine.tell(ids);
    let service = machine.tell("get service web -o jsonpath={.spec.clusterIP}");
    let answers = || {
        let line = format!("wget -qO- -T 5 http://{service}/ || curl -fsS -m 5 http://{service}/");
        machine.engine.node.try_sh(&line).is_some()
    };
    leader.crash();
    for _ in 0..20 {
        assert!(answers(), "the data plane goes on");
    }
    let [one, other] = others;
    until("another agent serves Services", || {
        [&*one, &*other].iter().any(|agent| agent.said().contains("this agent's data plane"))
    });
    assert!(answers());
    let mut back = machine.agent("a", url, &[]);
    back.says("Ready after");
    ready(machine, &["a"]);
    assert_eq!(machine.tell(ids), ids_before, "no container was made anew");
    everyone_reaches_everyone(machine, before);
    // A pod that comes later is served, too.
    machine.tell("scale deployment web --replicas=4");
    machine.tell("rollout status deployment web --timeout=60s");
    everyone_reaches_everyone(machine, &pods(machine));
    machine.tell("scale deployment web --replicas=3");
    until("three are left", || pods(machine).len() == 3);
    back
}

/// A node that is deleted registers anew, with the addresses that its pods have.
fn a_node_is_deleted(machine: &Machine) {
    let of = |field: &str| {
        let output = machine.kubectl(&["get", "node", "b", "-o", &format!("jsonpath={{{field}}}")]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (uid, range) = (of(".metadata.uid"), of(".spec.podCIDR"));
    machine.tell("delete node b");
    until("it is back", || !of(".metadata.uid").is_empty() && of(".metadata.uid") != uid);
    ready(machine, &["b"]);
    assert_eq!(of(".spec.podCIDR"), range);
}

/// For longer than a node's lease holds, nobody can be asked: pods go on, one that ends is started again, and Services serve. Afterwards all is
/// told, and nobody was taken for lost.
fn the_server_is_away(machine: &Machine, mut server: Server) -> Server {
    let before = pods(machine);
    let service = machine.tell("get service web -o jsonpath={.spec.clusterIP}");
    let field = |pod: &str, field: &str| {
        machine.tell(&format!("get pod {pod} -o jsonpath={{.status.containerStatuses[0]{field}}}"))
    };
    let ids = |pods: &[Pod]| -> Vec<String> {
        pods.iter().map(|pod| field(&pod.name, ".containerID")).collect()
    };
    let ids_before = ids(&before);
    let died = ids_before[0].strip_prefix("docker://").unwrap();
    let lives = |pod: &Pod| {
        let line = format!("curl -fsS -m 5 http://{}:8080/", pod.address);
        machine.engine.node.try_sh(&line).is_some_and(|name| name.trim() == pod.name)
    };
    server.process.crash();
    let began = Instant::now();
    machine.engine.docker(&format!("kill {died}"));
    until("it is started again", || lives(&before[0]));
    while began.elapsed() < away() {
        assert!(before.iter().all(lives));
        for _ in 0..10 {
            let line = format!("curl -fsS -m 5 http://{service}/");
            assert!(machine.engine.node.try_sh(&line).is_some(), "Services go on");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let back = machine.server(&[]);
    assert_eq!(back.url, server.url);
    until("the restart is told", || field(&before[0].name, ".restartCount") == "1");
    ready(machine, &["a", "b", "c"]);
    assert_eq!(pods(machine), before, "nobody was replaced");
    assert_eq!(ids(&before)[1..], ids_before[1..], "no other container was made anew");
    assert_eq!(field(&before[0].name, ".lastState.terminated.exitCode"), "137");
    until("all are ready", || before.iter().all(|pod| field(&pod.name, ".ready") == "true"));
    back
}

/// How long a server is away: longer than the 40 s after which a silent node is taken for lost; on request, than the five minutes after which
/// its pods would be replaced, too.
fn away() -> Duration {
    let long = std::env::var("BERTH_TIER").is_ok_and(|tier| tier == "N");
    Duration::from_secs(if long { 420 } else { 45 })
}

/// Every agent once more, to be removed.
fn removed(machine: &Machine, server: &Server) {
    let all: Vec<Process> =
        ["a", "b", "c"].map(|name| machine.agent(name, &server.url, &["--remove"])).into();
    for mut agent in all {
        agent.says("Ready after");
        agent.end();
    }
    for name in ["a", "b", "c"] {
        assert!(!machine.agent_folder(name).exists(), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_before_anything_secret_is() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    // A server that is away is waited for.
    let dead = "https://192.168.77.2:6499";
    let some = "abcdef.0123456789abcdef";
    let mut early = machine.agent("early", dead, &["--token", some]);
    let said = early.says("it is tried again until it answers");
    assert!(said.contains(dead) && said.contains("refused"), "{said}");
    early.end();
    let server = machine.server(&[]);
    let (id, rest) = server.token.split_once('.').unwrap();
    let (secret, ca) = rest.split_once('.').unwrap();
    let refused =
        |name: &str, token: &str| machine.agent(name, &server.url, &["--token", token]).refuses();
    let zeros = "0".repeat(64);
    for (name, token, words) in [
        ("secret", format!("{id}.{}.{ca}", "0".repeat(16)), "that is secret is wrong"),
        (
            "ca",
            format!("{id}.{secret}.{zeros}"),
            "the server's CA is not the one that the token is of",
        ),
        ("unknown", format!("zzzzzz.{secret}.{ca}"), "the server knows no token zzzzzz"),
        ("nonsense", "nonsense".to_owned(), "this is no token"),
    ] {
        let said = refused(name, &token);
        assert!(said.contains(words), "{name}: {said}");
        assert!(!said.contains(secret), "{name}: {said}");
    }
    // Tokens are made, listed, taken back; one that is over is none.
    let token =
        machine.berth_says(&["token", "create", "--ttl", "1h", "--description", "of a test"]);
    let own = token.trim().split('.').next().unwrap().to_owned();
    let listed = machine.berth_says(&["token", "list"]);
    assert!(
        listed.contains(&own)
            && listed.contains("of a test")
            && (listed.contains("in 59m") || listed.contains("in 1h ")),
        "{listed}"
    );
    assert!(!listed.contains(token.trim().split('.').nth(1).unwrap()), "{listed}");
    let line = machine.berth_says(&["token", "create", "--print-join-command"]);
    assert!(line.starts_with(&format!("berth agent --server {} --token ", server.url)), "{line}");
    machine.berth_says(&["token", "delete", &own]);
    let said = refused("deleted", token.trim());
    assert!(said.contains("taken back"), "{said}");
    let short = machine.berth_says(&["token", "create", "--ttl", "1s"]);
    std::thread::sleep(Duration::from_secs(1));
    let said = refused("over", short.trim());
    assert!(said.contains("it is over") && said.contains("berth token create"), "{said}");
    let output = machine.berth(&["token", "delete", &own]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no token"), "{output:?}");
    // Without one, and without a cluster.
    let said = machine.agent("bare", &server.url, &[]).refuses();
    assert!(said.contains("--token TOKEN is needed once"), "{said}");
    server.process.end();
    let output = machine.berth(&["token", "list"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("`berth up` or `berth server`"),
        "{output:?}"
    );
}

#[test]
fn certificates_are_renewed_while_the_agent_runs() {
    if !have_docker() || !have_namespaces() {
        return;
    }
    let machine = Machine::new();
    busybox(&machine);
    let server = machine.server(&["--cluster-signing-duration", "15s"]);
    let mut agent = machine.agent("short", &server.url, &["--token", &server.token]);
    agent.says("Ready after");
    let begun = Instant::now();
    let files = ["client.pem", "services.pem", "serving.pem"];
    let read = || {
        files.map(|file| fs::read(machine.agent_folder("short").join("pki").join(file)).unwrap())
    };
    let first = read();
    let changed = |before: &[Vec<u8>; 3]| {
        let now = read();
        (0..3).all(|one| now[one] != before[one])
    };
    until("all three are new", || changed(&first));
    let second = read();
    until("and once more", || changed(&second));
    // The first ones are over: what works now works by the new ones.
    while begun.elapsed() < Duration::from_secs(16) {
        std::thread::sleep(Duration::from_millis(100));
    }
    machine.tell("create service clusterip later --tcp=80:80");
    machine.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: busybox:test, command: [sh, -c, 'echo began; exec sleep 1000']}]
",
    );
    machine.tell("wait --for=condition=Ready pod/late --timeout=60s");
    assert!(machine.tell("logs late").contains("began"));
    assert_eq!(machine.tell("exec late -- echo said").trim(), "said");
    machine.tell("delete pod late");
    agent.end();
    let mut again = machine.agent("short", &server.url, &["--remove"]);
    again.says("Ready after");
    again.end();
    server.process.end();
}
