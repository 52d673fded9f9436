// SPDX-License-Identifier: Apache-2.0
//! What is of no kind: metrics count what was asked, a backup of a running server can be restored, warnings and faults are those of every
//! request.

use crate::kit::{Cluster, config};
use berth_cluster_apiserver::{Faults, Server, read_meta};
use berth_cluster_store::{OpenError, Options, Store};

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";

#[tokio::test]
async fn requests_are_counted_by_verb_and_status() {
    let cluster = Cluster::new().await;
    let before = cluster.admin("GET", "/metrics").reply().await.text();
    cluster.make(CONFIGS, config("a", "b")).await;
    cluster.get(&format!("{CONFIGS}/a")).await;
    cluster.admin("GET", &format!("{CONFIGS}/none")).done(404).await;
    cluster.admin("GET", CONFIGS).done(200).await;
    cluster.call("PUT", &format!("{CONFIGS}/a")).done(403).await;
    let after = cluster.admin("GET", "/metrics").reply().await.text();
    let total = "apiserver_request_total";
    for (series, more) in [
        (format!("{total}{{verb=\"create\",code=\"201\"}}"), 1),
        (format!("{total}{{verb=\"get\",code=\"200\"}}"), 1),
        (format!("{total}{{verb=\"get\",code=\"404\"}}"), 1),
        (format!("{total}{{verb=\"list\",code=\"200\"}}"), 1),
        (format!("{total}{{verb=\"update\",code=\"403\"}}"), 1),
        (format!("{total}{{verb=\"page\",code=\"200\"}}"), 1),
        ("apiserver_request_duration_seconds_count{verb=\"get\"}".to_owned(), 2),
        ("apiserver_current_inflight_requests{request_kind=\"mutating\"}".to_owned(), 0),
    ] {
        assert_eq!(value(&after, &series) - value(&before, &series), more, "{series} in\n{after}");
    }
}

/// The value of a series; 0 of one that is not there.
fn value(page: &str, series: &str) -> i64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_one_revision_and_can_be_restored() {
    let cluster = Cluster::new().await;
    cluster.make(CONFIGS, config("a", "kept")).await;
    cluster.call("GET", "/backup").done(403).await;
    let told = cluster.admin("GET", "/backup").reply().await;
    assert_eq!(told.status, 200);
    cluster.make(CONFIGS, config("b", "later")).await;

    let restore =
        |mut bytes: &[u8]| Store::restore(&mut bytes, "memory", read_meta(), Options::default());
    let restored = restore(&told.body).unwrap();
    let original = cluster.store.get("configmaps/t1/a").unwrap();
    assert_eq!(restored.get("configmaps/t1/a").unwrap().bytes, original.bytes);
    assert!(restored.get("configmaps/t1/b").is_none());

    let cut = restore(&told.body[..told.body.len() - 5]);
    assert!(matches!(&cut, Err(OpenError::Damaged(why)) if why.contains("cut off")), "{cut:?}");
}

#[tokio::test]
async fn who_uses_a_deprecated_kind_is_told_by_every_answer() {
    let cluster = Cluster::new().await;
    let path = "/api/v1/namespaces/t1/endpoints";
    let object = berth_cluster_json::json!({ "metadata": { "name": "a" } });
    for call in [
        cluster.admin("POST", path).json(&object),
        cluster.admin("GET", path),
        cluster.admin("GET", &format!("{path}/a")),
        cluster.admin("GET", &format!("{path}?watch=1&timeoutSeconds=1")),
    ] {
        let told = call.reply().await.warnings();
        assert!(told.len() == 1 && told[0].contains("EndpointSlice"), "{told:?}");
    }
    assert!(cluster.admin("GET", CONFIGS).reply().await.warnings().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_of_something_that_was_done() {
    let cluster = Cluster::new().await;
    let faults = Faults { lost: 1_000, ..Faults::default() };
    let server = Server::builder(cluster.store.clone()).faults(faults).build();
    let losing = Cluster { server, ..cluster.clone() };
    losing.admin("POST", CONFIGS).json(&config("a", "b")).done(504).await;
    cluster.get(&format!("{CONFIGS}/a")).await;
    losing.admin("DELETE", &format!("{CONFIGS}/a")).done(504).await;
    cluster.admin("GET", &format!("{CONFIGS}/a")).done(404).await;
}
