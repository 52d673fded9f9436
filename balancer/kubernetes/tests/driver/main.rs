// SPDX-License-Identifier: Apache-2.0
//! The driver between a real API in this process and a control plane over a data plane that forwards nothing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod double;

use berth_balancer_core::model::{Endpoint, Service, ServicePort};
use berth_balancer_core::model::{Protocol, Settings as Treated};
use berth_balancer_kubernetes::{Kubernetes, NodePorts, Rotation, Settings, Stats};
use berth_balancer_service::Server as Balancer;
use berth_balancer_service::wanted::{Draft, Origin, Owner, Update, Wish};
use berth_cluster_apiserver::{Caller, Server};
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::{Api, Media};
use berth_cluster_store::{Options, Store};
use double::Double;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After this something counts as hung.
const HANG: Duration = Duration::from_secs(20);

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A cluster: its API alone.
struct Cluster {
    api: Api,
}

impl Cluster {
    async fn new() -> Self {
        let server = Server::builder(Store::memory(Options::default())).build();
        server.bootstrap().await.unwrap();
        let admin = User::authenticated("admin", "", vec![MASTERS.to_owned()]);
        let cluster = Self { api: Api::within(server, Caller(admin)) };
        let namespace = json!({ "metadata": { "name": "default" } });
        drop(cluster.api.post("/api/v1/namespaces", namespace.to_string().into()).await);
        cluster
    }

    async fn post(&self, path: &str, object: Value) -> Value {
        let made = self.api.post(path, object.to_string().into()).await.unwrap();
        serde_json::from_slice(&made).unwrap()
    }

    async fn patch(&self, path: &str, patch: Value) {
        self.api.patch(path, Media::Merge, patch.to_string().into()).await.unwrap();
    }

    /// A node that is ready, or not.
    async fn node(&self, name: &str, ready: bool) {
        let path = format!("/api/v1/nodes/{name}");
        if self.api.get(&path).await.is_err() {
            self.post("/api/v1/nodes", json!({ "metadata": { "name": name } })).await;
        }
        let status = if ready { "True" } else { "Unknown" };
        self.patch(
            &format!("{path}/status"),
            json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "conditions": [{ "type": "Ready", "status": status }],
        } }),
        )
        .await;
    }

    async fn service(&self, name: &str, more: Value) -> String {
        let mut spec = json!({ "ports": [{ "port": 80 }] });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let made = self.post(SERVICES, json!({ "metadata": { "name": name }, "spec": spec })).await;
        made["spec"]["clusterIP"].as_str().unwrap().to_owned()
    }

    async fn slice(&self, service: &str, endpoints: Value) {
        self.post(SLICES, json!({
            "metadata": { "name": service, "labels": { "kubernetes.io/service-name": service } },
            "addressType": "IPv4", "ports": [{ "name": "", "port": 8080 }], "endpoints": endpoints,
        }))
        .await;
    }

    async fn endpoints(&self, service: &str, endpoints: Value) {
        self.patch(&format!("{SLICES}/{service}"), json!({ "endpoints": endpoints })).await;
    }
}

fn endpoint(address: &str, ready: bool) -> Value {
    json!({
        "addresses": [address], "nodeName": "n1",
        "conditions": { "ready": ready, "serving": true, "terminating": !ready },
    })
}

/// A balancer of a cluster, on a node.
struct Node {
    balancer: Balancer,
    plane: Double,
    rotation: Rotation,
    stats: Arc<Stats>,
}

impl Node {
    async fn start(cluster: &Cluster, name: &str, health: Option<SocketAddr>) -> Self {
        Self::start_over(cluster, name, health, Double::default()).await
    }

    async fn start_over(
        cluster: &Cluster,
        name: &str,
        health: Option<SocketAddr>,
        plane: Double,
    ) -> Self {
        let settings = Settings { health, node_ports: NodePorts::Primary, ..Settings::new(name) };
        let source = Kubernetes::new(cluster.api.clone(), settings);
        let (rotation, stats) = (source.rotation(), source.stats());
        let builder = plane.builder().source(Box::new(source));
        let balancer = builder.start().await.unwrap();
        Self { balancer, plane, rotation, stats }
    }

    fn endpoints(&self, service: &str) -> Option<Vec<Endpoint>> {
        let config = self.plane.config();
        config.services.iter().find(|one| &*one.name == service)?;
        let set = config.endpoints.into_iter().find(|set| &*set.service == service);
        Some(set.map(|set| set.endpoints).unwrap_or_default())
    }

    fn ready(&self, service: &str) -> Vec<String> {
        let all = self.endpoints(service).unwrap_or_default();
        all.iter().filter(|one| one.ready).map(|one| one.address.to_string()).collect()
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < HANG, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_endpoint_comes_into_effect_and_touches_nothing_else() {
    let cluster = Cluster::new().await;
    cluster.node("n1", true).await;
    for name in ["web", "api"] {
        cluster.service(name, json!({})).await;
        cluster.slice(name, json!([endpoint("10.1.0.1", true)])).await;
    }
    let node = Node::start(&cluster, "n1", None).await;
    until("all is served", || node.ready("default/web") == ["10.1.0.1"]).await;
    until("all is served", || node.ready("default/api") == ["10.1.0.1"]).await;
    assert!(node.balancer.control().shared().moment().ready);
    let calls = node.plane.told(|told| told.calls.len());
    for number in 0..200 {
        let address = format!("10.1.1.{}", number % 250 + 1);
        cluster.endpoints("web", json!([endpoint(&address, true)])).await;
        until("it is in effect", || node.ready("default/web") == [address.clone()]).await;
    }
    let (all, within) = node.stats.effects(50);
    // A machine that does other things as well may take longer: said, and not judged.
    println!("{within} of {all} changes were in effect within 50 ms");
    assert!(all >= 200, "{all}");
    let names = node.plane.told(|told| {
        let changes = told.calls[calls..].iter().flatten();
        changes.map(|change| format!("{change:?}")).collect::<Vec<_>>()
    });
    assert!(names.iter().all(|one| one.contains("default/web") && !one.contains("default/api")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_leaves_the_others_alone_and_comes_in_when_it_can() {
    let cluster = Cluster::new().await;
    cluster.node("n1", true).await;
    let node = Node::start(&cluster, "n1", None).await;
    until("it begins", || node.balancer.control().shared().moment().ready).await;
    // A client of the balancer has an address that a load balancer's status names.
    let mut update = Update::new(Owner::Grpc);
    let taken = Service {
        name: "client".into(),
        cluster_ips: vec!["198.19.0.1".parse().unwrap()],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        settings: Arc::new(Treated::default()),
    };
    let wish = Wish { service: taken, from_pool: false, endpoints: Vec::new() };
    update.services.push(Draft { wish, origin: Origin::at("services[0]") });
    let control = node.balancer.control();
    control.update(update, Instant::now()).await.unwrap();
    cluster.service("lb", json!({ "type": "LoadBalancer" })).await;
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "198.19.0.1" }] } } });
    cluster.patch(&format!("{SERVICES}/lb/status"), status).await;
    cluster.service("web", json!({})).await;
    until("the other is served", || node.endpoints("default/web").is_some()).await;
    let condition = async || {
        let lb = cluster.api.get(&format!("{SERVICES}/lb")).await.unwrap();
        let lb: Value = serde_json::from_slice(&lb).unwrap();
        lb["status"]["conditions"][0].clone()
    };
    let begun = Instant::now();
    while condition().await["reason"] != "Refused" {
        assert!(begun.elapsed() < HANG, "{}", condition().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(condition().await["message"].as_str().unwrap().contains("\"client\""));
    assert!(node.endpoints("default/lb").is_none());
    let mut gone = Update::new(Owner::Grpc);
    gone.remove.push("client".into());
    control.update(gone, Instant::now()).await.unwrap();
    until("it comes in", || node.endpoints("default/lb").is_some()).await;
    let begun = Instant::now();
    while !condition().await.is_null() {
        assert!(begun.elapsed() < HANG, "{}", condition().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_that_dies_is_told_everything_and_what_came_meanwhile() {
    let cluster = Cluster::new().await;
    cluster.node("n1", true).await;
    cluster.service("web", json!({})).await;
    cluster.slice("web", json!([endpoint("10.1.0.1", true)])).await;
    let node = Node::start(&cluster, "n1", None).await;
    until("it is served", || node.ready("default/web") == ["10.1.0.1"]).await;
    node.plane.told(|told| told.dies = true);
    cluster.endpoints("web", json!([endpoint("10.1.0.2", true)])).await;
    until("the new one is told", || node.ready("default/web") == ["10.1.0.2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_process_left_is_taken_over_and_what_is_gone_goes() {
    let cluster = Cluster::new().await;
    cluster.node("n1", true).await;
    for name in ["web", "gone"] {
        cluster.service(name, json!({})).await;
        cluster.slice(name, json!([endpoint("10.1.0.1", true)])).await;
    }
    let first = Node::start(&cluster, "n1", None).await;
    until("both are served", || first.ready("default/gone") == ["10.1.0.1"]).await;
    let Node { balancer, plane, .. } = first;
    balancer.stop(false).await;
    cluster.api.delete(&format!("{SERVICES}/gone"), None).await.unwrap();
    let revision = plane.told(|told| told.compiler.table().version());
    let second = Node::start_over(&cluster, "n1", None, plane).await;
    until("what is gone goes", || second.endpoints("default/gone").is_none()).await;
    assert_eq!(second.ready("default/web"), ["10.1.0.1"]);
    let changes = second.plane.told(|told| told.compiler.table().version() - revision);
    assert!(changes <= 2, "what stays is not told again: {changes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_confirms_that_an_address_is_out_and_who_does_not_is_named_in_time() {
    let cluster = Cluster::new().await;
    cluster.node("n1", true).await;
    cluster.node("n2", true).await;
    cluster.node("stranger", true).await;
    cluster.service("web", json!({})).await;
    cluster.slice("web", json!([endpoint("10.1.0.1", true), endpoint("10.1.0.2", true)])).await;
    let one = Node::start(&cluster, "n1", Some(free())).await;
    let two = Node::start(&cluster, "n2", Some(free())).await;
    for node in [&one, &two] {
        until("both serve", || node.ready("default/web").len() == 2).await;
    }
    let announced = async |name: &str| {
        let node = cluster.api.get(&format!("/api/v1/nodes/{name}")).await.unwrap();
        let node: Value = serde_json::from_slice(&node).unwrap();
        !node["metadata"]["annotations"]["berth.dev/service-proxy"].is_null()
    };
    while !(announced("n1").await && announced("n2").await) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nobody has heard that it ends: both are late, after the limit and no later.
    let address = ["10.1.0.1".parse().unwrap()];
    let begun = Instant::now();
    let late = one.rotation.left(&address, Duration::from_millis(600)).await;
    assert_eq!(late, ["n1", "n2"]);
    assert!(begun.elapsed() < HANG, "{:?}", begun.elapsed());
    // It ends: both confirm as soon as it is so.
    let leaving = one.rotation.left(&address, Duration::from_mins(1));
    let writing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let both = json!([endpoint("10.1.0.1", false), endpoint("10.1.0.2", true)]);
        cluster.endpoints("web", both).await;
        Instant::now()
    };
    let (late, written) = tokio::join!(leaving, writing);
    assert!(late.is_empty(), "{late:?}");
    assert!(written.elapsed() < HANG, "{:?}", written.elapsed());
    for node in [&one, &two] {
        assert_eq!(node.ready("default/web"), ["10.1.0.2"], "confirmed is in effect");
    }
    // A node that is gone is named after the limit; one that has been silent for a while sooner.
    two.balancer.stop(true).await;
    let begun = Instant::now();
    assert_eq!(one.rotation.left(&address, Duration::from_secs(9)).await, ["n2"]);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    cluster.node("n2", false).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    assert_eq!(one.rotation.left(&address, Duration::from_secs(9)).await, ["n2"]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
