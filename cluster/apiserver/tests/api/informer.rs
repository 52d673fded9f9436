// SPDX-License-Identifier: Apache-2.0
//! Informers of components before this server: they end where the store is, through refusals, lost answers, ends of watches and revisions
//! that are forgotten; and they may only what their user may.

use crate::kit::{Cluster, Random, config, rule};
use berth_cluster_apiserver::{Caller, Faults, Options, Server};
use berth_cluster_auth::user::User;
use berth_cluster_client::{Api, Change, Informer, ObjectError, Resource, View};
use berth_cluster_store::{Options as StoreOptions, Store};
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";

/// What is kept of a ConfigMap.
#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl View for Data {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))
    }
}

fn configs() -> Resource {
    Resource { namespace: "t1".to_owned(), ..Resource::new("", "v1", "configmaps") }
}

fn api(server: &Server, user: &str) -> Api {
    Api::within(server.clone(), Caller(User::authenticated(user, "", Vec::new())))
}

/// What a subscriber has made of changes: each has to fit to what it has.
#[derive(Debug, Default)]
struct Book(BTreeMap<String, String>);

impl Book {
    fn take(&mut self, change: &Change<Data>) {
        let version = |item: &Option<Arc<berth_cluster_client::Item<Data>>>| {
            item.as_ref()
                .map(|item| (item.id.name.to_string(), item.id.resource_version.to_string()))
        };
        let (before, after) = (version(&change.before), version(&change.after));
        if let Some((name, version)) = before {
            assert_eq!(self.0.remove(&name), Some(version), "{name} was so");
        }
        if let Some((name, version)) = after {
            assert_eq!(self.0.insert(name.clone(), version), None, "{name} was not there");
        }
    }
}

/// What the store has.
async fn truth(cluster: &Cluster) -> BTreeMap<String, String> {
    let list = cluster.get(CONFIGS).await;
    let text = |value: &berth_cluster_json::Value| value.as_str().unwrap().to_owned();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| (text(&item["metadata"]["name"]), text(&item["metadata"]["resourceVersion"])))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn informers_end_where_the_store_is_whatever_happens_on_the_way() {
    let rounds: u64 =
        std::env::var("BERTH_INFORMER_ROUNDS").map_or(10, |text| text.parse().unwrap());
    for seed in 0..rounds {
        // The past is short: who is away for a while has to list again.
        let store = Store::memory(StoreOptions {
            history_events: 20,
            history_bytes: 1,
            ..StoreOptions::default()
        });
        let cluster = Cluster::with(store, |builder| builder).await;
        cluster.grant("watcher", "t1", rule(&["configmaps"], &["list", "watch"])).await;
        let faults = Faults {
            unavailable: 150,
            too_many: 50,
            slow: 200,
            lost: 100,
            delay: Duration::from_millis(700),
        };
        // Watchers that are slow by few bytes are sent away.
        let options = Options { watch_bytes: 4_000, ..Options::default() };
        let bad = Server::builder(cluster.store.clone()).faults(faults).options(options).build();
        let informers: Vec<_> = (0..3)
            .map(|number| {
                Informer::<Data>::start(api(&bad, "watcher"), configs(), seed * 3 + number)
            })
            .collect();
        let mut early: Vec<_> =
            informers.iter().map(|one| (one.subscribe(), Book::default())).collect();
        let mut random = Random(seed);
        for step in 0..400 {
            let name = format!("c{}", random.pick(&["1", "2", "3", "4", "5", "6"]));
            let path = format!("{CONFIGS}/{name}");
            match random.pick(&["set", "set", "set", "delete", "wait"]) {
                "delete" => drop(cluster.admin("DELETE", &path).status().await),
                "wait" => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => {
                    let value = config(&name, &format!("{step}"));
                    if cluster.admin("PUT", &path).json(&value).status().await == 404 {
                        cluster.make(CONFIGS, value).await;
                    }
                }
            }
        }
        let wanted = truth(&cluster).await;
        // Half an hour is more than any pause; nothing happens any more.
        tokio::time::sleep(Duration::from_mins(30)).await;
        for (informer, (changes, book)) in informers.iter().zip(&mut early) {
            while let Some(change) = changes.try_next() {
                book.take(&change);
            }
            assert_eq!(book.0, wanted, "seed {seed}: who listened from the beginning");
            let all = informer.all().into_iter();
            let all: BTreeMap<_, _> = all
                .map(|item| (item.id.name.to_string(), item.id.resource_version.to_string()))
                .collect();
            assert_eq!(all, wanted, "seed {seed}: what the informer has");
            let (mut late, mut book) = (informer.subscribe(), Book::default());
            while let Some(change) = late.try_next() {
                book.take(&change);
            }
            assert_eq!(book.0, wanted, "seed {seed}: who came late");
        }
        let value = informers[0].all().first().map(|item| item.view.data.len());
        assert!(wanted.is_empty() || value.is_some_and(|fields| fields > 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_component_may_what_its_user_may_and_no_more() {
    let cluster = Cluster::new().await;
    let nobody = api(&cluster.server, "component");
    assert_eq!(nobody.get(CONFIGS).await.unwrap_err().code(), Some(403));
    let informer = Informer::<Data>::start(api(&cluster.server, "component"), configs(), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), informer.synced()).await.is_err());
    // As soon as it may, it does.
    cluster.grant("component", "t1", rule(&["configmaps"], &["list", "watch", "create"])).await;
    informer.synced().await;
    let object = Bytes::from(config("a", "b").to_string());
    nobody.post(CONFIGS, object.clone()).await.unwrap();
    let again = nobody.post(CONFIGS, object).await.unwrap_err();
    assert_eq!(again.code(), Some(409));
    assert!(again.to_string().contains("already exists"), "{again}");
    let mut changes = informer.subscribe();
    let change = changes.next().await.unwrap();
    assert_eq!(change.after.unwrap().id.name, "a");
    let delete = nobody.delete(&format!("{CONFIGS}/a"), None).await;
    assert_eq!(delete.unwrap_err().code(), Some(403), "it may not delete");
}
