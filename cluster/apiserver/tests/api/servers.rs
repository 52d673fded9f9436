// SPDX-License-Identifier: Apache-2.0
//! Servers of different processes on one etcd: each has a state of its own, which hears of the others' writes a little later.

use crate::etcd::Etcd;
use crate::kit::{Cluster, NOW, config, pod};
use berth_cluster_apiserver::{Fixed, Server, read_meta};
use berth_cluster_json::json;
use berth_cluster_store::{Options, Store};
use std::sync::Arc;

/// Two servers.
pub(crate) async fn two(etcd: &Etcd) -> [Cluster; 2] {
    let open =
        async || Store::connect(&etcd.spec(), read_meta(), Options::default()).await.unwrap();
    let cluster = Cluster::with(open().await, |builder| builder).await;
    let far = open().await;
    let clock = Arc::new(Fixed::new(NOW, 8));
    let server = Server::builder(far.clone()).environment(Arc::<Fixed>::clone(&clock)).build();
    [cluster, Cluster { server, store: far, clock }]
}

/// What was acknowledged by one server is there for every verb of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_has_made_another_changes_at_once() {
    let Some(etcd) = Etcd::start() else { return };
    let [one, other] = two(&etcd).await;
    for round in 0..60 {
        let namespace = format!("n{round}");
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        one.make("/api/v1/namespaces", object).await;
        let configs = format!("/api/v1/namespaces/{namespace}/configmaps");
        other.admin("POST", &configs).json(&config("a", "")).done(201).await;
        for (method, status) in [("PATCH", 200), ("PUT", 200), ("DELETE", 200)] {
            let name = method.to_lowercase();
            one.make(&configs, config(&name, "")).await;
            let call = other.admin(method, &format!("{configs}/{name}"));
            let call = match method {
                "PATCH" => call.merge(&json!({ "data": { "b": "c" } })),
                "PUT" => call.json(&config(&name, "c")),
                _ => call,
            };
            call.done(status).await;
        }
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        one.admin("POST", &pods).json(&pod("p")).done(201).await;
        let eviction =
            json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" } });
        other.admin("POST", &format!("{pods}/p/eviction")).json(&eviction).done(201).await;
        one.make(&configs, config("last", "")).await;
        other.admin("DELETE", &configs).done(200).await;
        let left = one.get(&configs).await;
        assert_eq!(left["items"], json!([]), "all were deleted in {namespace}");
    }
    for one in [one, other] {
        one.store.close().await;
    }
}
