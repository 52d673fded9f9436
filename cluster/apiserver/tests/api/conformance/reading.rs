// SPDX-License-Identifier: Apache-2.0
//! Lists in pieces, tables, watches, and the version.

use super::types;
use crate::kit::{Cluster, NOW, brief, config, revision};
use berth_cluster_auth::pki::{Options as PkiOptions, Pki};
use berth_cluster_auth::token::Issuer;
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
/// How many objects a list has that comes in pieces; upstream's number.
const MANY: usize = 400;

async fn filled(cluster: &Cluster) {
    for number in 0..MANY {
        cluster.make(CONFIGS, config(&format!("c-{number:04}"), "")).await;
    }
}

async fn piece(cluster: &Cluster, limit: usize, token: &str) -> (u16, Value) {
    let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let path = format!("{CONFIGS}?limit={limit}&continue={token}");
    let reply = cluster.admin("GET", &path).reply().await;
    (reply.status, reply.value())
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn token(list: &Value) -> String {
    list["metadata"]["continue"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_list_comes_in_pieces_of_one_revision() {
    let cluster = Cluster::new().await;
    filled(&cluster).await;
    let (mut all, mut go_on, mut version) = (Vec::new(), String::new(), Value::Null);
    for round in 0.. {
        let limit = 17 + round * 7 % 30;
        let (status, list) = piece(&cluster, limit, &go_on).await;
        assert_eq!(status, 200);
        if round == 0 {
            version = list["metadata"]["resourceVersion"].clone();
            // What changes meanwhile is in no piece.
            cluster.make(CONFIGS, config("c-0399-later", "")).await;
            cluster.admin("DELETE", &format!("{CONFIGS}/c-0200")).done(200).await;
        }
        assert_eq!(list["metadata"]["resourceVersion"], version);
        all.extend(names(&list));
        go_on = token(&list);
        let left = list["metadata"]["remainingItemCount"].as_u64();
        if go_on.is_empty() {
            assert_eq!(left, None);
            break;
        }
        assert_eq!(names(&list).len(), limit);
        assert_eq!(left, Some((MANY - all.len()) as u64));
    }
    let wanted: Vec<String> = (0..MANY).map(|number| format!("c-{number:04}")).collect();
    assert_eq!(all, wanted);
    // All at once it is the state now.
    let (_, whole) = piece(&cluster, MANY + 9, "").await;
    assert_eq!(names(&whole).len(), MANY);
    assert!(token(&whole).is_empty());
}

#[tokio::test]
async fn a_list_goes_on_from_its_last_name_when_its_revision_is_forgotten() {
    let cluster = Cluster::new().await;
    filled(&cluster).await;
    let (_, first) = piece(&cluster, 40, "").await;
    cluster.make(CONFIGS, config("c-0000-late", "")).await;
    cluster.make(CONFIGS, config("c-0399-late", "")).await;
    cluster.store.compact(cluster.store.revision());
    let (status, gone) = piece(&cluster, 40, &token(&first)).await;
    assert_eq!((status, &gone["reason"]), (410, &json!("Expired")), "{gone}");
    let go_on = token(&gone);
    assert!(!go_on.is_empty(), "it says how to go on, though not with the same state: {gone}");
    let (status, second) = piece(&cluster, 40, &go_on).await;
    assert_eq!(status, 200);
    assert_eq!(names(&second)[0], "c-0040");
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    // The rest is of one revision again, and has what came meanwhile behind it.
    let mut all = names(&second);
    let mut go_on = token(&second);
    while !go_on.is_empty() {
        let (status, list) = piece(&cluster, 100, &go_on).await;
        assert_eq!(status, 200);
        assert_eq!(list["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
        all.extend(names(&list));
        go_on = token(&list);
    }
    assert_eq!(all.len(), MANY - 40 + 1);
    assert_eq!(all.last().map(String::as_str), Some("c-0399-late"));
}

#[tokio::test]
async fn what_has_no_rows_is_not_made_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::open(folder.path(), &PkiOptions::default(), NOW).unwrap();
    let issuer = Issuer::new("https://berth.test", pki.service_account_key().unwrap(), Vec::new());
    let store = Store::memory(Options::default());
    let cluster = Cluster::with(store, |builder| builder.issuer(issuer)).await;
    cluster
        .make("/api/v1/namespaces/t1/serviceaccounts", json!({ "metadata": { "name": "a" } }))
        .await;
    // A review, as upstream's test has it, is not built; a token is the same: an answer that is kept nowhere.
    let path = "/api/v1/namespaces/t1/serviceaccounts/a/token";
    let ask = |accept: &str| {
        let body = json!({ "spec": { "audiences": [] } });
        cluster.admin("POST", path).json(&body).header("accept", accept)
    };
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let reply = ask(table).reply().await;
    let reason = &reply.value()["reason"];
    assert_eq!((reply.status, reason), (406, &json!("NotAcceptable")), "{}", reply.text());
    // Who takes something else as well gets that.
    let issued = ask(&format!("{table},application/json")).done(201).await;
    assert_eq!(issued["kind"], "TokenRequest");
}

fn labelled(name: &str, label: &str, text: &str) -> Value {
    json!({ "metadata": { "name": name, "labels": { "watch": label } }, "data": { "mutation": text } })
}

#[tokio::test]
async fn watches_see_what_their_selectors_take() {
    let cluster = Cluster::new().await;
    let watch = async |selector: &str| {
        cluster.admin("GET", &format!("{CONFIGS}?watch=1&labelSelector={selector}")).watch().await
    };
    let (mut a, mut b) = (watch("watch%3Da").await, watch("watch%3Db").await);
    let mut both = watch("watch+in+%28a%2Cb%29").await;
    cluster.make(CONFIGS, labelled("a", "a", "0")).await;
    for mutation in ["1", "2"] {
        let patch = json!({ "data": { "mutation": mutation } });
        cluster.admin("PATCH", &format!("{CONFIGS}/a")).merge(&patch).done(200).await;
    }
    cluster.admin("DELETE", &format!("{CONFIGS}/a")).done(200).await;
    cluster.make(CONFIGS, labelled("b", "b", "0")).await;
    cluster.admin("DELETE", &format!("{CONFIGS}/b")).done(200).await;
    cluster.make(CONFIGS, labelled("c", "c", "0")).await;
    let of_a = ["ADDED", "MODIFIED", "MODIFIED", "DELETED"];
    assert_eq!(types(&mut a), of_a);
    assert_eq!(types(&mut b), ["ADDED", "DELETED"]);
    assert_eq!(types(&mut both), [&of_a[..], &["ADDED", "DELETED"]].concat());
}

#[tokio::test]
async fn a_watch_begins_at_a_revision_and_goes_on_where_another_ended() {
    let cluster = Cluster::new().await;
    let path = format!("{CONFIGS}/a");
    let patch = async |text: &str| {
        cluster
            .admin("PATCH", &path)
            .merge(&json!({ "data": { "mutation": text } }))
            .done(200)
            .await
    };
    let from = async |version: u64| {
        cluster.admin("GET", &format!("{CONFIGS}?watch=1&resourceVersion={version}")).watch().await
    };
    let made = cluster.make(CONFIGS, labelled("a", "a", "0")).await;
    let first = patch("1").await;
    patch("2").await;
    cluster.admin("DELETE", &path).done(200).await;
    let events = from(revision(&first)).await.take(2).await;
    assert_eq!(
        (&events[0]["type"], &events[0]["object"]["data"]["mutation"]),
        (&json!("MODIFIED"), &json!("2"))
    );
    assert_eq!(
        (&events[1]["type"], &events[1]["object"]["data"]["mutation"]),
        (&json!("DELETED"), &json!("2"))
    );
    // One that ends after two events, and the next from what it saw last.
    let seen = from(revision(&made) - 1).await.take(2).await;
    assert_eq!(brief(&seen[1]), ("MODIFIED".to_owned(), "a".to_owned(), revision(&first)));
    cluster.make(CONFIGS, labelled("a", "a", "new")).await;
    let mut rest = from(brief(&seen[1]).2).await;
    assert_eq!(types(&mut rest), ["MODIFIED", "DELETED", "ADDED"]);
}

#[tokio::test]
async fn what_leaves_a_selector_is_deleted_and_what_comes_back_is_added() {
    let cluster = Cluster::new().await;
    let path = format!("{CONFIGS}/a");
    let mut events =
        cluster.admin("GET", &format!("{CONFIGS}?watch=1&labelSelector=watch%3Dis")).watch().await;
    let patch = async |label: &str, text: &str| {
        let patch =
            json!({ "metadata": { "labels": { "watch": label } }, "data": { "mutation": text } });
        cluster.admin("PATCH", &path).merge(&patch).done(200).await
    };
    cluster.make(CONFIGS, labelled("a", "is", "0")).await;
    patch("is", "1").await;
    patch("is-not", "1").await;
    patch("is-not", "2").await;
    patch("is", "2").await;
    patch("is", "3").await;
    cluster.admin("DELETE", &path).done(200).await;
    let events = events.ready();
    let told: Vec<_> = events
        .iter()
        .map(|one| {
            (one["type"].as_str().unwrap(), one["object"]["data"]["mutation"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("ADDED", "0"),
            ("MODIFIED", "1"),
            ("DELETED", "1"),
            ("ADDED", "2"),
            ("MODIFIED", "3"),
            ("DELETED", "3"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_begin_one_after_the_other_see_one_order() {
    let cluster = Cluster::new().await;
    let first = cluster.store.revision();
    let writer = {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                let path = format!("{CONFIGS}/c{}", number % 7);
                let there = cluster.admin("GET", &path).status().await == 200;
                if !there {
                    cluster.make(CONFIGS, config(&format!("c{}", number % 7), "")).await;
                } else if number % 3 == 0 {
                    cluster.admin("DELETE", &path).done(200).await;
                } else {
                    let patch = json!({ "data": { "n": number.to_string() } });
                    cluster.admin("PATCH", &path).merge(&patch).done(200).await;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    // Each begins one event later than the one before it.
    let mut watches = vec![
        cluster.admin("GET", &format!("{CONFIGS}?watch=1&resourceVersion={first}")).watch().await,
    ];
    let mut seen = vec![Vec::new()];
    for number in 0..20 {
        let event = brief(&watches[0].next().await.unwrap());
        let path = format!("{CONFIGS}?watch=1&resourceVersion={}", event.2);
        seen[0].push(event);
        watches.push(cluster.admin("GET", &path).watch().await);
        seen.push(seen[0][..=number].to_vec());
    }
    writer.await.unwrap();
    let last = cluster.make(CONFIGS, config("last", "")).await;
    for (watch, seen) in watches.iter_mut().zip(&mut seen) {
        while seen.last().is_none_or(|event| event.2 < revision(&last)) {
            seen.push(brief(&watch.next().await.unwrap()));
        }
    }
    assert!(seen[0].len() > 150, "{}", seen[0].len());
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[tokio::test]
async fn the_version_is_numbers() {
    let cluster = Cluster::new().await;
    let version = cluster.get("/version").await;
    for field in ["major", "minor"] {
        let text = version[field].as_str().unwrap();
        assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()), "{version}");
    }
}
