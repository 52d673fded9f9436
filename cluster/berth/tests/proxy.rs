// SPDX-License-Identifier: Apache-2.0
//! `berth proxy` as its user has it: the binary on a node of its own, an API, Services and slices, clients that come through the node.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

#[path = "apiserver/mod.rs"]
mod apiserver;
#[path = "../../../balancer/fast/tests/lab/mod.rs"]
mod lab;

use apiserver::Apiserver;
use berth_balancer_data::control::Client as Data;
use berth_cluster_client::{Api, CallError, Media};
use http::Method;
use lab::{Row, Talks, have_namespaces, until};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BERTH: &str = env!("CARGO_BIN_EXE_berth");
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A node with an API and a proxy.
struct Lab {
    row: Row,
    api: Apiserver,
    flags: Vec<&'static str>,
    control: PathBuf,
    proxy: Option<Child>,
}

impl Lab {
    fn new(flags: &[&'static str]) -> Self {
        let row = Row::new();
        // Durable, so that it can be started anew.
        let store = format!("sled:{}", row.state.path().join("store").display());
        let api = row.node.run(|| Apiserver::start_on(&store, &[]));
        let control = row.state.path().join("control.sock");
        let mut lab = Self { row, api, flags: flags.to_vec(), control, proxy: None };
        lab.post(
            "/api/v1/nodes",
            &json!({
                "metadata": { "name": "n1", "labels": { "topology.kubernetes.io/zone": "z1" } },
            }),
        );
        let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.11.0.1" }] } });
        lab.call(Method::PATCH, "/api/v1/nodes/n1/status", Some((Media::Merge, &status))).unwrap();
        lab.start();
        lab
    }

    fn start(&mut self) {
        let mut command = Command::new(BERTH);
        command.args(["--log", "warn", "proxy", "--node-name", "n1", "--workers", "2"]);
        command.arg("--kubeconfig").arg(&self.api.kubeconfig).arg("--control").arg(&self.control);
        command.args(&self.flags);
        self.proxy = Some(self.row.node.run(|| command.stdout(Stdio::null()).spawn().unwrap()));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.proxy.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(Media, &Value)>,
    ) -> Result<Value, CallError> {
        self.row.node.run(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let api = Api::connect(&self.api.kubeconfig).await.unwrap();
                let body = body.map(|(media, value)| (media, value.to_string().into()));
                let answer = Box::pin(api.call(method, path, body)).await?;
                Ok(serde_json::from_slice(&answer).unwrap())
            })
        })
    }

    fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).unwrap()
    }

    fn post(&self, path: &str, object: &Value) -> Value {
        self.call(Method::POST, path, Some((Media::Json, object))).unwrap()
    }

    fn patch(&self, path: &str, patch: &Value) {
        self.call(Method::PATCH, path, Some((Media::Merge, patch))).unwrap();
    }

    fn delete(&self, path: &str) {
        self.call(Method::DELETE, path, None).unwrap();
    }

    /// A Service; its cluster address.
    fn service(&self, name: &str, spec: &Value) -> String {
        let made = self.post(SERVICES, &json!({ "metadata": { "name": name }, "spec": spec }));
        made["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned()
    }

    /// A slice of one port, with these endpoints.
    fn slice(&self, service: &str, protocol: &str, endpoints: &Value) {
        self.post(SLICES, &json!({
            "metadata": { "name": service, "labels": { "kubernetes.io/service-name": service } },
            "addressType": "IPv4",
            "ports": [{ "name": "", "port": 8080, "protocol": protocol }],
            "endpoints": endpoints,
        }));
    }

    /// These are the endpoints of a slice now.
    fn endpoints(&self, service: &str, endpoints: &Value) {
        self.patch(&format!("{SLICES}/{service}"), &json!({ "endpoints": endpoints }));
    }

    /// An answer to GET from the node, with its head.
    fn http(&self, address: &str, path: &str) -> std::io::Result<String> {
        self.row.node.run(|| {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        })
    }

    /// Who answers a new connection of the client's.
    fn server(&self, address: &str) -> Option<String> {
        self.row.client.connect_within(address, Duration::from_secs(1)).ok().map(|one| one.server)
    }

    /// How a connection of the client's fails, and how soon.
    fn refusal(&self, address: &str) -> (Option<ErrorKind>, Duration) {
        let begun = Instant::now();
        let failed = self.row.client.connect_within(address, Duration::from_secs(5)).err();
        (failed.map(|error| error.kind()), begun.elapsed())
    }

    fn condition(&self, service: &str) -> Value {
        let all = self.get(&format!("{SERVICES}/{service}"));
        let all = all["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["type"] == "berth.dev/Served").unwrap_or_default()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill();
        if let Ok(mut data) = self.row.node.run(|| Data::connect(&self.control)) {
            drop(data.stop());
        }
    }
}

/// An endpoint on a server of the row.
fn at(address: &str, node: &str) -> Value {
    json!({
        "addresses": [address], "nodeName": node,
        "conditions": { "ready": true, "serving": true, "terminating": false },
        "targetRef": { "kind": "Pod", "name": format!("p-{address}"), "namespace": "default" },
    })
}

fn ending(address: &str, node: &str) -> Value {
    let mut one = at(address, node);
    one["conditions"] = json!({ "ready": false, "serving": true, "terminating": true });
    one
}

#[test]
fn a_cluster_address_is_served_and_follows_its_slices() {
    if !have_namespaces() {
        return;
    }
    let mut lab = Lab::new(&[]);
    let address = lab.service("web", &json!({ "ports": [{ "port": 80 }] }));
    let web = format!("{address}:80");
    lab.slice("web", "TCP", &json!([at("10.12.0.2", "n1")]));
    until("it is served", || lab.server(&web).as_deref() == Some("10.12.0.2"));
    let mut held = lab.row.client.connect(&web).unwrap();
    held.echo().unwrap();

    // Another endpoint; the old one gets nothing new, and keeps what it has.
    lab.endpoints("web", &json!([ending("10.12.0.2", "n1"), at("10.12.0.3", "n1")]));
    until("the new one serves", || lab.server(&web).as_deref() == Some("10.12.0.3"));
    for _ in 0..20 {
        assert_eq!(lab.server(&web).as_deref(), Some("10.12.0.3"));
    }
    held.echo().unwrap();
    lab.endpoints("web", &json!([at("10.12.0.3", "n1")]));
    for _ in 0..20 {
        assert_eq!(lab.server(&web).as_deref(), Some("10.12.0.3"));
    }
    held.echo().unwrap();
    // The last that serves while it ends goes on, if there is no other (KEP-1669).
    lab.endpoints("web", &json!([ending("10.12.0.3", "n1")]));
    for _ in 0..20 {
        assert_eq!(lab.server(&web).as_deref(), Some("10.12.0.3"));
    }
    // None: refused at once, and no hang.
    lab.endpoints("web", &json!([]));
    until("it is refused", || lab.refusal(&web).0 == Some(ErrorKind::ConnectionRefused));
    assert!(lab.refusal(&web).1 < Duration::from_secs(1));

    // The API is away: what was served is served on; and what is different when it is back is told.
    lab.endpoints("web", &json!([at("10.12.0.2", "n1")]));
    until("it is served", || lab.server(&web).as_deref() == Some("10.12.0.2"));
    let Lab { row, api, .. } = &mut lab;
    row.node.run(|| api.restart());
    assert_eq!(lab.server(&web).as_deref(), Some("10.12.0.2"));
    held.echo().unwrap();
    lab.endpoints("web", &json!([at("10.12.0.3", "n1")]));
    until("what is new is served", || lab.server(&web).as_deref() == Some("10.12.0.3"));
    held.echo().unwrap();

    // The proxy dies: the data plane goes on, and the next one adopts it; what went meanwhile goes.
    lab.kill();
    assert_eq!(lab.server(&web).as_deref(), Some("10.12.0.3"));
    let gone = lab.service("gone", &json!({ "ports": [{ "port": 80 }] }));
    lab.start();
    lab.slice("gone", "TCP", &json!([at("10.12.0.2", "n1")]));
    until("the next one serves", || lab.server(&format!("{gone}:80")).is_some());
    held.echo().unwrap();
    lab.kill();
    lab.delete(&format!("{SERVICES}/gone"));
    lab.start();
    until("what is gone is gone", || lab.server(&format!("{gone}:80")).is_none());
    assert_eq!(lab.server(&web).as_deref(), Some("10.12.0.3"));
    held.echo().unwrap();
}

#[test]
fn node_ports_load_balancers_udp_affinity_and_local_policy() {
    if !have_namespaces() {
        return;
    }
    // On the fast path a client behind a veth pair counts as a pod, and `Local` does not hold for those.
    let lab = Lab::new(&["--healthz", "10.11.0.1:10256", "--no-fast"]);
    let both = json!([at("10.12.0.2", "n1"), at("10.12.0.3", "n2")]);
    lab.service("np", &json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }] }));
    lab.slice("np", "TCP", &both);
    let dns = lab.service("dns", &json!({ "ports": [{ "port": 53, "protocol": "UDP" }] }));
    lab.slice("dns", "UDP", &both);
    let sticky =
        lab.service("sticky", &json!({ "ports": [{ "port": 80 }], "sessionAffinity": "ClientIP" }));
    lab.slice("sticky", "TCP", &both);
    let headless =
        lab.service("headless", &json!({ "clusterIP": "None", "ports": [{ "port": 80 }] }));
    assert_eq!(headless, "None");
    lab.slice("headless", "TCP", &both);

    // A node port, from outside, from the node, and on its loopback.
    until("the node port is served", || lab.server("10.11.0.1:30080").is_some());
    let mut seen: Vec<_> = (0..40).filter_map(|_| lab.server("10.11.0.1:30080")).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["10.12.0.2", "10.12.0.3"]);
    assert!(lab.row.node.connect("127.0.0.1:30080").is_ok());
    // UDP, and affinity.
    until("UDP is served", || lab.row.client.ask(&format!("{dns}:53")).is_ok());
    let sticky = format!("{sticky}:80");
    until("affinity is served", || lab.server(&sticky).is_some());
    let first = lab.server(&sticky);
    assert!((0..30).all(|_| lab.server(&sticky) == first), "one client, one endpoint");

    // A load balancer's address, to endpoints of this node alone, from a range of sources alone; and its health check.
    lab.service(
        "lb",
        &json!({
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32_000,
            "ports": [{ "port": 80, "nodePort": 30081 }],
        }),
    );
    let ingress = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "198.19.0.7" }] } } });
    lab.patch(&format!("{SERVICES}/lb/status"), &ingress);
    lab.slice("lb", "TCP", &both);
    until("the load balancer's address is served", || lab.server("198.19.0.7:80").is_some());
    for place in ["198.19.0.7:80", "10.11.0.1:30081"] {
        assert!((0..20).all(|_| lab.server(place).as_deref() == Some("10.12.0.2")), "{place}");
    }
    let health = || lab.http("10.11.0.1:32000", "/").unwrap_or_default();
    until("the health check says so", || health().starts_with("HTTP/1.1 200"));
    let text = health().to_lowercase();
    assert!(text.contains("x-load-balancing-endpoint-weight: 1"), "{text}");
    assert!(text.contains("\"localendpoints\": 1") && text.contains("\"name\": \"lb\""), "{text}");
    lab.endpoints("lb", &json!([at("10.12.0.3", "n2")]));
    until("nobody is here", || health().starts_with("HTTP/1.1 503"));
    until("and nobody is reached", || lab.server("198.19.0.7:80").is_none());
    lab.endpoints("lb", &both);
    until("it is served again", || lab.server("198.19.0.7:80").is_some());
    let ranges = |range: &str| json!({ "spec": { "loadBalancerSourceRanges": [range] } });
    lab.patch(&format!("{SERVICES}/lb"), &ranges("192.0.2.0/24"));
    until("others are kept out", || lab.server("198.19.0.7:80").is_none());
    assert!(lab.server("10.11.0.1:30081").is_some(), "the node's port is for all");
    lab.patch(&format!("{SERVICES}/lb"), &ranges("10.11.0.0/24"));
    until("who is in the range is let in", || lab.server("198.19.0.7:80").is_some());

    // Whether an address is out of rotation is told to who asks, once it is.
    assert!(
        lab.http("10.11.0.1:10256", "/rotation/10.12.0.9").unwrap().starts_with("HTTP/1.1 200")
    );
    let (begun, answer) =
        (Instant::now(), lab.http("10.11.0.1:10256", "/rotation/10.12.0.2").unwrap());
    assert!(answer.starts_with("HTTP/1.1 503") && begun.elapsed() >= Duration::from_secs(2));
    for service in ["np", "sticky", "lb"] {
        lab.endpoints(service, &json!([ending("10.12.0.2", "n1"), at("10.12.0.3", "n2")]));
    }
    lab.endpoints("dns", &json!([at("10.12.0.3", "n2")]));
    let answer = lab.http("10.11.0.1:10256", "/rotation/10.12.0.2").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(lab.http("10.11.0.1:10256", "/healthz").unwrap().starts_with("HTTP/1.1 200"));
    let node = lab.get("/api/v1/nodes/n1");
    assert_eq!(node["metadata"]["annotations"]["berth.dev/service-proxy"], "10.11.0.1:10256");
    let metrics = lab.http("10.11.0.1:10256", "/metrics").unwrap();
    assert!(metrics.contains("berth_service_proxy_effect_seconds_bucket"), "{metrics}");
}

#[test]
fn a_port_that_cannot_be_had_is_said_on_its_service_until_it_can() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new(&[]);
    let other = lab.row.node.run(|| std::net::TcpListener::bind("0.0.0.0:30080").unwrap());
    lab.service(
        "np",
        &json!({
            "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }, ],
        }),
    );
    lab.slice("np", "TCP", &json!([at("10.12.0.2", "n1")]));
    until("it is said", || lab.condition("np")["status"] == "False");
    let condition = lab.condition("np");
    assert_eq!(condition["reason"], "PortInUse");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.starts_with("n1: TCP ") && message.contains("ss -ltnp 'sport = :30080'"),
        "{message}"
    );
    let events = lab.get("/api/v1/namespaces/default/events");
    let events = events["items"].as_array().unwrap();
    assert!(events.iter().any(|one| one["reason"] == "PortInUse"), "{events:?}");
    drop(other);
    until("it is served", || lab.server("10.11.0.1:30080").is_some());
    until("it is taken back", || lab.condition("np").is_null());
}

#[test]
fn ports_of_pods_on_the_node_are_served() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new(&[]);
    lab.post(
        "/api/v1/namespaces/default/serviceaccounts",
        &json!({ "metadata": { "name": "own" } }),
    );
    let pods = "/api/v1/namespaces/default/pods";
    lab.post(pods, &json!({
        "metadata": { "name": "p" },
        "spec": {
            "nodeName": "n1", "serviceAccountName": "own", "automountServiceAccountToken": false,
            "containers": [{ "name": "c", "image": "x", "ports": [{ "hostPort": 8088, "containerPort": 8080 }] }],
        },
    }));
    let ip = json!({ "status": { "phase": "Running", "podIP": "10.12.0.2", "podIPs": [{ "ip": "10.12.0.2" }] } });
    lab.patch(&format!("{pods}/p/status"), &ip);
    until("it is served", || lab.server("10.11.0.1:8088").as_deref() == Some("10.12.0.2"));
    lab.call(Method::DELETE, &format!("{pods}/p?gracePeriodSeconds=0"), None).unwrap();
    until("it is gone", || lab.refusal("10.11.0.1:8088").0 == Some(ErrorKind::ConnectionRefused));
}

#[test]
fn what_it_needs_is_said() {
    let output = Command::new(BERTH).args(["proxy", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for want in
        ["instead of kube-proxy", "--nodeport-addresses", "berth.dev/Served", "CVE-2020-8554"]
    {
        assert!(help.contains(want), "{want} is not in\n{help}");
    }
    let output =
        Command::new(BERTH).args(["proxy", "--kubeconfig", "/nonexistent"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent"));
}

#[test]
fn what_is_confirmed_is_in_effect_and_connections_live_through_it() {
    if !have_namespaces() {
        return;
    }
    let lab = Lab::new(&["--healthz", "10.11.0.1:10256"]);
    let address = lab.service("web", &json!({ "ports": [{ "port": 80 }] }));
    let web = format!("{address}:80");
    lab.slice("web", "TCP", &json!([at("10.12.0.2", "n1")]));
    until("it is served", || lab.server(&web).as_deref() == Some("10.12.0.2"));
    let mut held = lab.row.client.connect(&web).unwrap();
    for number in 0..100 {
        let (one, other) = if number % 2 == 0 { ("3", "2") } else { ("2", "3") };
        let (one, other) = (format!("10.12.0.{one}"), format!("10.12.0.{other}"));
        lab.endpoints("web", &json!([at(&one, "n1"), ending(&other, "n1")]));
        // Asked over a connection of its own, the answer comes once it is in effect.
        let answer = lab.http("10.11.0.1:10256", &format!("/rotation/{other}")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(lab.server(&web).as_deref(), Some(one.as_str()), "what is confirmed is so");
        held.echo().unwrap();
    }
    let metrics = lab.http("10.11.0.1:10256", "/metrics").unwrap();
    let count = |line: &str| -> u64 {
        let line = metrics.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        line.trim().parse().unwrap()
    };
    let within = count("berth_service_proxy_effect_seconds_bucket{le=\"0.05\"}");
    let all = count("berth_service_proxy_effect_seconds_count");
    // A machine that does other things as well may take longer: said, and not judged.
    println!("{within} of {all} changes were in effect within 50 ms");
    assert!(all >= 100, "{all}");
}
