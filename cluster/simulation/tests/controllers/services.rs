// SPDX-License-Identifier: Apache-2.0
//! Addresses of load balancers.

use berth_cluster_controllers::Settings;
use berth_cluster_simulation::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn settings() -> Settings {
    let pool = vec![("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())];
    Settings { load_balancer_pool: pool, ..Settings::default() }
}

async fn make(cluster: &Cluster, name: &str, wish: Value) {
    let spec = json!({ "type": "LoadBalancer", "loadBalancerIP": wish, "ports": [{ "port": 80 }] });
    cluster.make(SERVICES, json!({ "metadata": { "name": name }, "spec": spec })).await;
}

async fn ingress(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&format!("{SERVICES}/{name}")).await["status"]["loadBalancer"]["ingress"].clone()
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_keep_them_and_give_them_back() {
    let cluster = Cluster::new().await;
    let controllers = cluster.control(&["service-lb-controller"], settings());
    let of = |ip: &str| json!([{ "ip": ip, "ipMode": "VIP" }]);
    make(&cluster, "a", json!("192.0.2.2")).await;
    cluster.until("it has its wish", async |c| ingress(c, "a").await == of("192.0.2.2")).await;
    make(&cluster, "b", json!("192.0.2.2")).await;
    cluster.until("it has another", async |c| ingress(c, "b").await == of("192.0.2.1")).await;
    make(&cluster, "c", Value::Null).await;
    cluster
        .until("it is told", async |c| {
            c.told.of("Service/c").iter().any(|text| text.starts_with("SyncLoadBalancerFailed"))
        })
        .await;
    drop(controllers);
    let _controllers = cluster.control(&["service-lb-controller"], settings());
    cluster.silent(Duration::from_secs(100)).await;
    cluster.change(&format!("{SERVICES}/b"), json!({ "spec": { "type": "ClusterIP" } })).await;
    cluster
        .until("what is given back goes to who waits", async |c| {
            ingress(c, "c").await == of("192.0.2.1") && ingress(c, "b").await.is_null()
        })
        .await;
    cluster.silent(Duration::from_secs(100)).await;
}
