// SPDX-License-Identifier: Apache-2.0
//! Several servers over one etcd: what one has acknowledged the next question of another one sees.

use crate::etcd::Etcd;
use crate::kit::{Cluster, NOW, Random, config, revision};
use crate::tier::Row;
use berth_cluster_apiserver::{Fixed, Server, read_meta};
use berth_cluster_json::json;
use berth_cluster_store::{Options, Store};
use std::sync::Arc;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";

/// Servers of different processes: each follows the etcd by itself.
async fn replicas(etcd: &Etcd, count: u64) -> Vec<Cluster> {
    let open =
        async || Store::connect(&etcd.spec(), read_meta(), Options::default()).await.unwrap();
    let mut all = vec![Cluster::with(open().await, |builder| builder).await];
    for number in 1..count {
        let (store, clock) = (open().await, Arc::new(Fixed::new(NOW, 7 + number)));
        let environment = Arc::<Fixed>::clone(&clock);
        let server = Server::builder(store.clone()).environment(environment).build();
        all.push(Cluster { server, store, clock });
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_has_written_another_one_lists_at_once() {
    let Some(etcd) = Etcd::start() else { return };
    let mut row = Row::new("reads through another server", 100, 10_000);
    let all = replicas(&etcd, 3).await;
    all[0].make(CONFIGS, config("a", "")).await;
    while let Some(number) = row.next() {
        let mut random = Random(number);
        let writer = usize::try_from(number % 3).unwrap();
        let reader = &all[(writer + 1 + usize::try_from(random.below(2)).unwrap()) % 3];
        let change = json!({ "data": { "text": number.to_string() } });
        let path = format!("{CONFIGS}/a");
        let written = all[writer].admin("PATCH", &path).merge(&change).done(200).await;
        if random.below(2) == 0 {
            let list = reader.get(CONFIGS).await;
            let item = &list["items"][0];
            assert_eq!(
                (&item["metadata"], &item["data"]),
                (&written["metadata"], &written["data"])
            );
            assert!(revision(&list) >= revision(&written));
        } else {
            assert_eq!(reader.get(&path).await, written);
        }
    }
    for one in all {
        one.store.close().await;
    }
}
