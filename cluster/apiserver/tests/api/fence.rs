// SPDX-License-Identifier: Apache-2.0
//! `Berth-Fence`: who is no longer the holder of a lease writes nothing, by any verb, through any server, on any store.

use crate::kit::{Call, Cluster, NOW, Reply, config, pod, revision, rule};
use berth_cluster_apiserver::{Server, read_meta};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/t1/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/t1/leases/lead";
const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const PODS: &str = "/api/v1/namespaces/t1/pods";
const HEADER: &str = "berth-fence";

fn lease(holder: &str) -> Value {
    json!({ "metadata": { "name": "lead" }, "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15 } })
}

/// What the answer about the lease says.
fn told(reply: &Reply) -> Option<String> {
    reply.headers.get(HEADER).map(|value| value.to_str().unwrap().to_owned())
}

fn number(fence: &str) -> u64 {
    fence.strip_prefix("t1/lead/").unwrap_or_else(|| panic!("{fence}")).parse().unwrap()
}

/// The lease is made, with a holder; its fence.
async fn made(cluster: &Cluster, holder: &str) -> String {
    let reply = cluster.admin("POST", LEASES).json(&lease(holder)).reply().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    told(&reply).unwrap()
}

/// The lease gets a holder; the answer.
async fn taken(cluster: &Cluster, holder: &str) -> Reply {
    let change = json!({ "spec": { "holderIdentity": holder } });
    let reply = cluster.admin("PATCH", LEASE).merge(&change).reply().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn is_stale(reply: &Reply) -> bool {
    let status = reply.value();
    reply.status == 409
        && status["reason"] == "Conflict"
        && status["details"]["causes"][0]["reason"] == "FenceStale"
}

/// What a leader does, by each verb and part: all of it would be fine without a fence.
fn writes(cluster: &Cluster) -> Vec<(&'static str, Call)> {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/t1/deployments/d";
    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "d", "namespace": "t1" },
        "spec": { "replicas": 3 },
    });
    let bound = json!({ "target": { "kind": "Node", "name": "n1" } });
    let evicted =
        json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "b" } });
    let text = json!({ "data": { "text": "new" } });
    let phase = json!({ "status": { "phase": "Running" } });
    let json_patch = json!([{ "op": "add", "path": "/data/more", "value": "x" }]).to_string();
    let put = |path: &str, body: &Value| cluster.admin("PUT", path).json(body);
    let patch = |path: &str, body: &Value| cluster.admin("PATCH", path).merge(body);
    let post = |path: &str, body: &Value| cluster.admin("POST", path).json(body);
    let one = format!("{CONFIGS}/one");
    vec![
        ("create, dry run", post(&format!("{CONFIGS}?dryRun=All"), &config("new", ""))),
        ("update, dry run", put(&format!("{one}?dryRun=All"), &config("one", "dry"))),
        ("delete, dry run", cluster.admin("DELETE", &format!("{one}?dryRun=All"))),
        ("update that changes nothing", put(&one, &config("one", "old"))),
        ("create", post(CONFIGS, &config("new", ""))),
        (
            "create with a generated name",
            post(CONFIGS, &json!({ "metadata": { "generateName": "g-" } })),
        ),
        ("update", put(&one, &config("one", "put"))),
        ("patch", patch(&one, &text)),
        (
            "JSON patch",
            cluster.admin("PATCH", &one).bytes("application/json-patch+json", json_patch),
        ),
        ("status", patch(&format!("{PODS}/a/status"), &phase)),
        ("binding", post(&format!("{PODS}/a/binding"), &bound)),
        ("eviction", post(&format!("{PODS}/b/eviction"), &evicted)),
        ("scale", put(&format!("{DEPLOYMENT}/scale"), &scale)),
        (
            "scale by patch",
            patch(&format!("{DEPLOYMENT}/scale"), &json!({ "spec": { "replicas": 4 } })),
        ),
        ("the lease itself", patch(LEASE, &json!({ "spec": { "leaseDurationSeconds": 20 } }))),
        ("delete at once", cluster.admin("DELETE", &one)),
        ("delete of a pod", cluster.admin("DELETE", &format!("{PODS}/c"))),
        ("deletecollection", cluster.admin("DELETE", CONFIGS)),
        (
            "deletecollection of nothing",
            cluster.admin("DELETE", &format!("{CONFIGS}?labelSelector=a%3Db")),
        ),
    ]
}

async fn prepared() -> Cluster {
    let cluster = Cluster::new().await;
    cluster.make(CONFIGS, config("one", "old")).await;
    for name in ["a", "b", "c"] {
        cluster.make(PODS, pod(name)).await;
    }
    cluster.make("/api/v1/nodes", json!({ "metadata": { "name": "n1" } })).await;
    let labels = json!({ "app": "d" });
    let deployment = json!({
        "metadata": { "name": "d" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    cluster.make("/apis/apps/v1/namespaces/t1/deployments", deployment).await;
    cluster
}

#[tokio::test]
async fn no_verb_writes_for_a_holder_that_was_replaced() {
    let cluster = prepared().await;
    let old = made(&cluster, "a").await;
    // Of one that holds it the server knows before it begins; that nobody does, the transaction finds.
    for holder in ["b", ""] {
        taken(&cluster, holder).await;
        let before = cluster.store.revision();
        for (what, call) in writes(&cluster) {
            let reply = call.header(HEADER, &old).reply().await;
            assert!(is_stale(&reply), "{what}: {} {}", reply.status, reply.text());
            assert_eq!(cluster.store.revision(), before, "{what} has written");
        }
    }
    let new = told(&taken(&cluster, "b").await).unwrap();
    for (what, call) in writes(&cluster) {
        let reply = call.header(HEADER, &new).reply().await;
        assert!(reply.status < 300, "{what}: {} {}", reply.status, reply.text());
    }
    // Who sends none is bound to nothing.
    cluster.make(CONFIGS, config("free", "")).await;
}

#[tokio::test]
async fn an_epoch_lasts_as_long_as_its_holder() {
    let cluster = Cluster::new().await;
    let first = made(&cluster, "a").await;
    // Renewed in every way there is: by the same holder.
    let renewed = cluster
        .admin("PATCH", LEASE)
        .merge(&json!({ "spec": { "renewTime": "2027-01-15T08:00:01.000000Z" } }));
    assert_eq!(told(&renewed.reply().await).as_ref(), Some(&first));
    let mut object = cluster.get(LEASE).await;
    object["spec"]["leaseTransitions"] = 7.into();
    let put = cluster.admin("PUT", LEASE).json(&object).reply().await;
    assert_eq!((put.status, told(&put).as_ref()), (200, Some(&first)));
    assert_eq!(told(&taken(&cluster, "a").await).as_ref(), Some(&first), "nothing changes");
    for accept in
        ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"]
    {
        let read = cluster.admin("GET", LEASE).header("accept", accept).reply().await;
        assert_eq!(told(&read).as_ref(), Some(&first), "{accept}");
    }
    // The epoch is the server's: what a client writes into the lease has no part in it.
    let next = taken(&cluster, "b").await;
    let second = told(&next).unwrap();
    assert_eq!(number(&second), revision(&next.value()), "it is the revision of the take-over");
    assert!(number(&second) > number(&first));
    // Back to the first holder is not back to its epoch.
    let third = told(&taken(&cluster, "a").await).unwrap();
    assert!(number(&third) > number(&second));
    // Given up: there is no epoch, and with none nothing is written.
    let given_up = taken(&cluster, "").await;
    assert_eq!(told(&given_up), None);
    assert_eq!(told(&cluster.admin("GET", LEASE).reply().await), None);
    let reply = cluster.admin("POST", CONFIGS).json(&config("x", "")).header(HEADER, &third);
    assert!(is_stale(&reply.reply().await));
    let again = told(&taken(&cluster, "a").await).unwrap();
    assert!(number(&again) > number(&third));
    // A take-over that is only tried has none.
    let tried = cluster.admin("PATCH", &format!("{LEASE}?dryRun=All"));
    let tried = tried.merge(&json!({ "spec": { "holderIdentity": "z" } })).reply().await;
    assert_eq!((tried.status, told(&tried)), (200, None));
    let reply = cluster.admin("POST", CONFIGS).json(&config("x", "")).header(HEADER, &again);
    assert_eq!(reply.status().await, 201);
    // Other objects tell nothing.
    assert_eq!(told(&cluster.admin("GET", &format!("{CONFIGS}/x")).reply().await), None);
}

#[tokio::test]
async fn a_lease_that_is_made_again_has_a_new_epoch() {
    let cluster = Cluster::new().await;
    let mut last = made(&cluster, "a").await;
    let held = json!({ "metadata": { "finalizers": ["example.org/x"] } });
    let released = json!({ "metadata": { "finalizers": null } });
    for round in 0..3 {
        match round {
            0 => drop(cluster.admin("DELETE", LEASE).done(200).await),
            1 => drop(cluster.admin("DELETE", LEASES).done(200).await),
            _ => {
                // One that waits for a finalizer is still held.
                cluster.admin("PATCH", LEASE).merge(&held).done(200).await;
                cluster.admin("DELETE", LEASE).done(200).await;
                let call = cluster.admin("POST", CONFIGS).json(&config("held", ""));
                assert_eq!(call.header(HEADER, &last).status().await, 201);
                cluster.admin("PATCH", LEASE).merge(&released).done(200).await;
            }
        }
        let gone = cluster.admin("POST", CONFIGS).json(&config("x", "")).header(HEADER, &last);
        let gone = gone.reply().await;
        assert!(is_stale(&gone), "round {round}: {}", gone.text());
        let next = made(&cluster, "a").await;
        assert!(number(&next) > number(&last), "round {round}");
        let moved = cluster.admin("POST", CONFIGS).json(&config("x", "")).header(HEADER, &last);
        let moved = moved.reply().await;
        assert_eq!(moved.text(), gone.text(), "which of both it is, is nobody's business");
        assert!(!moved.text().contains(&number(&next).to_string()), "{}", moved.text());
        last = next;
    }
}

#[tokio::test]
async fn a_lease_without_a_holder_has_no_epoch() {
    let cluster = Cluster::new().await;
    let reply = cluster
        .admin("POST", LEASES)
        .json(&json!({ "metadata": { "name": "lead" } }))
        .reply()
        .await;
    assert_eq!((reply.status, told(&reply)), (201, None));
    let version = revision(&reply.value());
    for epoch in [version, version - 1, 1] {
        let call = cluster.admin("POST", CONFIGS).json(&config("x", ""));
        assert!(is_stale(&call.header(HEADER, &format!("t1/lead/{epoch}")).reply().await));
    }
    // A number that is yet to come is as wrong as one that was.
    let fence = told(&taken(&cluster, "a").await).unwrap();
    for epoch in [number(&fence) - 1, number(&fence) + 1, u64::MAX] {
        let call = cluster.admin("POST", CONFIGS).json(&config("x", ""));
        assert!(
            is_stale(&call.header(HEADER, &format!("t1/lead/{epoch}")).reply().await),
            "{epoch}"
        );
    }
    // The same name elsewhere is another lease.
    let call = cluster.admin("POST", CONFIGS).json(&config("x", ""));
    let other = fence.replace("t1/", "default/");
    assert!(is_stale(&call.header(HEADER, &other).reply().await));
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_nothing_is_granted() {
    let cluster = Cluster::new().await;
    let fence = made(&cluster, "a").await;
    let create = || cluster.admin("POST", CONFIGS).json(&config("x", ""));
    for wrong in [
        "",
        "t1",
        "t1/lead",
        "t1/lead/",
        "t1/lead/x",
        "t1/lead/-1",
        "t1/lead/+9",
        "t1/lead/09",
        "t1/lead/0",
        "/lead/9",
        "t1//9",
        "t1/lead/9/9",
        "t1/Lead/9",
        "t1/../9",
        "t1/lead/99999999999999999999999",
        "t1/l\u{e9}ad/9",
    ] {
        let reply = create().header(HEADER, wrong).reply().await;
        assert_eq!(reply.status, 400, "{wrong:?}: {}", reply.text());
        assert!(reply.text().contains("NAMESPACE/LEASE/EPOCH"), "{}", reply.text());
        let read = cluster.admin("GET", CONFIGS).header(HEADER, wrong).status().await;
        assert_eq!(read, 200, "reads are bound to nothing");
    }
    let twice = create().header(HEADER, &fence).header(HEADER, &fence).reply().await;
    assert_eq!(twice.status, 400);
    // One that holds gives no right that one does not have, and one that does not says no more than that.
    cluster.grant("u", "t1", rule(&["configmaps"], &["get"])).await;
    for value in [&*fence, "t1/lead/1", "x"] {
        let call = cluster.call("POST", CONFIGS).user("u", &[]).json(&config("x", ""));
        assert_eq!(call.header(HEADER, value).status().await, 403, "{value}");
    }
    let read = cluster.call("GET", LEASE).user("u", &[]).reply().await;
    assert_eq!((read.status, told(&read)), (403, None));
    assert_eq!(create().header(HEADER, &fence).status().await, 201);
}

#[tokio::test]
async fn an_epoch_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    let old = made(&cluster, "a").await;
    let new = told(&taken(&cluster, "b").await).unwrap();
    let Cluster { server, store, clock } = cluster;
    drop(server);
    store.close().await;
    let store =
        Store::open(&format!("sled:{}", folder.path().display()), read_meta(), Options::default());
    let store = store.unwrap();
    let server = Server::builder(store.clone())
        .environment(Arc::<berth_cluster_apiserver::Fixed>::clone(&clock))
        .build();
    let cluster = Cluster { server, store, clock };
    assert_eq!(told(&cluster.admin("GET", LEASE).reply().await), Some(new.clone()));
    let create = || cluster.admin("POST", CONFIGS).json(&config("x", ""));
    assert!(is_stale(&create().header(HEADER, &old).reply().await));
    assert_eq!(create().header(HEADER, &new).status().await, 201);
    assert_eq!(told(&taken(&cluster, "b").await), Some(new), "renewed after it");
}

// ---- races ----

fn rounds(usual: u32) -> u32 {
    std::env::var("BERTH_FENCE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Leaders write until they are refused; meanwhile another takes the lease. Whatever was written lies before the take-over.
///
/// The writers fight for one object with patches, so that the server tries them again: with the fence that they came with.
async fn race(taker: &Cluster, writers: &[Cluster], rounds: u32) {
    let mut fence = made(taker, "h0").await;
    taker.make(CONFIGS, config("one", "")).await;
    let (mut written, mut refused) = (0, 0);
    for round in 1..=rounds {
        let warm = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        for (number, writer) in writers.iter().cloned().enumerate() {
            let (fence, warm) = (fence.clone(), Arc::clone(&warm));
            running.push(tokio::spawn(async move {
                let mut revisions = Vec::new();
                for turn in 0.. {
                    let change =
                        json!({ "data": { format!("w{number}"): format!("{round}-{turn}") } });
                    let call = writer.admin("PATCH", &format!("{CONFIGS}/one")).merge(&change);
                    let reply = call.header(HEADER, &fence).reply().await;
                    warm.store(true, Ordering::Relaxed);
                    if reply.status != 200 {
                        assert!(is_stale(&reply), "{}", reply.text());
                        break;
                    }
                    revisions.push(revision(&reply.value()));
                    // A store in memory does not let others in by itself.
                    tokio::task::yield_now().await;
                }
                revisions
            }));
        }
        while !warm.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        let reply = taken(taker, &format!("h{round}")).await;
        let (taken_at, next) = (revision(&reply.value()), told(&reply).unwrap());
        assert_eq!(number(&next), taken_at);
        for one in running {
            let revisions = one.await.unwrap();
            let late: Vec<_> = revisions.iter().filter(|one| **one >= taken_at).collect();
            assert!(late.is_empty(), "round {round}: {late:?} after the take-over at {taken_at}");
            written += revisions.len();
            refused += 1;
        }
        fence = next;
    }
    assert!(written > 0, "nobody has written anything");
    assert_eq!(refused, rounds as usize * writers.len(), "each was refused in the end");
}

fn of_one_store(cluster: &Cluster) -> Cluster {
    let clock = Arc::new(berth_cluster_apiserver::Fixed::new(NOW, 8));
    let server = Server::builder(cluster.store.clone())
        .environment(Arc::<berth_cluster_apiserver::Fixed>::clone(&clock))
        .build();
    Cluster { server, store: cluster.store.clone(), clock }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_a_take_over_in_memory() {
    let cluster = Cluster::new().await;
    let other = of_one_store(&cluster);
    race(&cluster, &[cluster.clone(), other.clone(), other], rounds(200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_a_take_over_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    let other = of_one_store(&cluster);
    race(&cluster, &[cluster.clone(), other.clone(), other], rounds(60)).await;
}

/// Servers of different processes: each has a state of its own, which may not have heard of the take-over yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_a_take_over_through_another_server() {
    let Some(etcd) = crate::etcd::Etcd::start() else { return };
    let [cluster, other] = crate::servers::two(&etcd).await;
    // An epoch that one server has told holds at once at the other, and so does its end.
    let fence = made(&cluster, "h").await;
    for round in 0..20 {
        let name = format!("x{round}");
        let create = |dry: &str, name: &str| {
            other.admin("POST", &format!("{CONFIGS}{dry}")).json(&config(name, ""))
        };
        let next = told(&taken(&cluster, &name).await).unwrap();
        assert_eq!(create("?dryRun=All", &name).header(HEADER, &next).status().await, 201);
        assert_eq!(create("", &name).header(HEADER, &next).status().await, 201);
        taken(&cluster, "h").await;
        let late = create("?dryRun=All", "new").header(HEADER, &next).reply().await;
        assert!(is_stale(&late), "{}", late.text());
    }
    let late = other.admin("POST", CONFIGS).json(&config("y", "")).header(HEADER, &fence);
    assert!(is_stale(&late.reply().await));
    cluster.admin("DELETE", LEASE).done(200).await;
    race(&cluster, &[cluster.clone(), other.clone(), other.clone()], rounds(20)).await;
    for one in [cluster, other] {
        one.store.close().await;
    }
}
