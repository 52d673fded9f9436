// SPDX-License-Identifier: Apache-2.0
//! The zone follows an apiserver, and outlives it.

use crate::support::{Fake, ask, ready_server, settings, shown, start, until, until_answer};
use berth_cluster_edge_dns::{Limits, Pods, Settings};
use serde_json::json;

const WEB: &str = "web.default.svc.cluster.local.";

#[tokio::test]
async fn services_come_change_and_go() {
    let server = ready_server(Vec::new(), Limits::default()).await;
    let at = server.address;
    assert_eq!(shown(&ask(at, WEB, "A").await), "10.96.0.7");
    server.fake.service("web", &json!({"clusterIP": "10.96.0.8"}));
    until_answer(at, WEB, "A", "10.96.0.8").await;
    until_answer(at, "8.0.96.10.in-addr.arpa.", "PTR", WEB).await;
    server.fake.service("db", &json!({"clusterIP": "None"}));
    server.fake.slice("db-1", "db", &json!([{"addresses": ["10.1.1.1"], "hostname": "db-0"}]));
    until_answer(at, "db-0.db.default.svc.cluster.local.", "A", "10.1.1.1").await;
    server.fake.slice(
        "db-1",
        "db",
        &json!([{"addresses": ["10.1.1.1"], "conditions": {"ready": false}}]),
    );
    until_answer(at, "db.default.svc.cluster.local.", "A", "NXDomain").await;
    server.fake.remove("services", "default", "web");
    until_answer(at, WEB, "A", "NXDomain").await;
    server.fake.set("namespaces", "", "new", json!({}));
    until_answer(at, "10-1-0-1.new.pod.cluster.local.", "A", "10.1.0.1").await;
    server.fake.remove("namespaces", "", "new");
    until_answer(at, "new.svc.cluster.local.", "A", "NXDomain").await;
}

#[tokio::test]
async fn it_answers_from_what_it_knows_while_the_apiserver_is_away() {
    let mut server = ready_server(Vec::new(), Limits::default()).await;
    let at = server.address;
    server.fake.away(true);
    for _ in 0..20 {
        assert_eq!(shown(&ask(at, WEB, "A").await), "10.96.0.7");
    }
    assert!(server.live.is_ready());
    // What happened meanwhile is seen once it is back.
    server.fake.service("web", &json!({"clusterIP": "10.96.0.9"}));
    server.fake.remove("services", "default", "out");
    assert_eq!(shown(&ask(at, WEB, "A").await), "10.96.0.7");
    server.fake.away(false);
    until_answer(at, WEB, "A", "10.96.0.9").await;
    // And without anybody who follows, the zone is as it was last.
    server.follower = None;
    server.fake.service("web", &json!({"clusterIP": "10.96.0.11"}));
    assert_eq!(shown(&ask(at, WEB, "A").await), "10.96.0.9");
}

#[tokio::test]
async fn nothing_is_denied_before_the_apiserver_was_there() {
    let fake = Fake::filled();
    fake.away(true);
    let server = start(fake, settings(), Vec::new(), Limits::default());
    let at = server.address;
    for name in [WEB, "nobody.default.svc.cluster.local.", "7.0.96.10.in-addr.arpa."] {
        assert_eq!(shown(&ask(at, name, "A").await), "ServFail", "{name}");
    }
    assert!(!server.live.is_ready());
    server.fake.away(false);
    until("the zone is ready", || server.live.is_ready()).await;
    assert_eq!(shown(&ask(at, WEB, "A").await), "10.96.0.7");
    assert_eq!(shown(&ask(at, "nobody.default.svc.cluster.local.", "A").await), "NXDomain");
}

#[tokio::test]
async fn names_of_pods_are_verified_by_pods() {
    let fake = Fake::filled();
    let pod = |phase: &str| json!({"status": {"phase": phase, "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}]}});
    fake.set("pods", "default", "p", pod("Running"));
    let settings = Settings { pods: Pods::Verified, ..settings() };
    let server = start(fake, settings, Vec::new(), Limits::default());
    until("the zone is ready", || server.live.is_ready()).await;
    let (at, name) = (server.address, "10-1-0-7.default.pod.cluster.local.");
    assert_eq!(shown(&ask(at, name, "A").await), "10.1.0.7");
    assert_eq!(shown(&ask(at, "10-1-0-8.default.pod.cluster.local.", "A").await), "NXDomain");
    server.fake.set("pods", "default", "p", pod("Succeeded"));
    until_answer(at, name, "A", "NXDomain").await;
    server.fake.set("pods", "default", "q", pod("Running"));
    until_answer(at, name, "A", "10.1.0.7").await;
    server.fake.remove("pods", "default", "q");
    until_answer(at, name, "A", "NXDomain").await;
}
