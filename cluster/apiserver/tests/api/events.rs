// SPDX-License-Identifier: Apache-2.0
//! Events of components before this server: what is recorded is there, in both groups; what happens again is counted; a server that
//! fails delays, and loses few.

use crate::kit::{Cluster, NOW};
use berth_cluster_apiserver::{Caller, Faults, Fixed, Server};
use berth_cluster_auth::user::{MASTERS, User};
use berth_cluster_client::events::{Recorder, Reference, Type};
use berth_cluster_client::{Api, Clock};
use berth_cluster_json::Value;
use std::sync::Arc;
use std::time::Duration;

const CORE: &str = "/api/v1/namespaces/t1/events";
const NEW: &str = "/apis/events.k8s.io/v1/namespaces/t1/events";

fn recorder(server: &Server, groups: &[&str]) -> Recorder {
    let groups = groups.iter().map(|&one| one.to_owned()).collect();
    let caller = Caller(User::authenticated("component", "", groups));
    let clock = Clock::counted(NOW * 1_000_000);
    Recorder::start(Api::within(server.clone(), caller), "default-scheduler", clock)
}

fn pod(name: &str) -> Reference {
    Reference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: "t1".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        resource_version: String::new(),
        field_path: String::new(),
    }
}

async fn items(cluster: &Cluster, path: &str) -> Vec<Value> {
    cluster.get(path).await["items"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn events_are_in_both_groups_and_what_happens_again_is_counted() {
    let cluster = Cluster::new().await;
    let recorder = recorder(&cluster.server, &[MASTERS]);
    let say = |message: &str| {
        recorder.record(
            &pod("a"),
            Type::Warning,
            "FailedScheduling",
            "Scheduling",
            message.to_owned(),
        );
    };
    say("no node");
    assert!(recorder.flush().await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    say("no node");
    say("no node");
    say(&"long".repeat(1_000));
    let node = Reference { kind: "Node".into(), name: "N1".into(), uid: "N1".into(), ..pod("") };
    let node = Reference { namespace: String::new(), ..node };
    recorder.record(&node, Type::Normal, "NodeReady", "", "it is ready".to_owned());
    assert!(recorder.flush().await);
    let core = items(&cluster, CORE).await;
    assert_eq!(core.len(), 2);
    assert_eq!(core[0]["involvedObject"]["uid"], "uid-a");
    assert_eq!(core[0]["reportingComponent"], "default-scheduler");
    let new = items(&cluster, NEW).await;
    assert_eq!(new[0]["note"], "no node");
    assert_eq!(new[0]["series"]["count"], 3);
    assert_eq!(new[0]["series"]["lastObservedTime"], "2027-01-15T08:00:05.000000Z");
    assert_eq!(new[1]["note"].as_str().unwrap().len(), 1_024);
    let of_node = items(&cluster, "/api/v1/namespaces/default/events").await;
    assert_eq!(of_node[0]["action"], "NodeReady");
    // One that was removed is told anew when it happens again.
    let name = new[0]["metadata"]["name"].as_str().unwrap();
    cluster.admin("DELETE", &format!("{CORE}/{name}")).done(200).await;
    say("no node");
    assert!(recorder.flush().await);
    let found = cluster.get(&format!("{NEW}/{name}")).await;
    assert_eq!(found["series"]["count"], 4);
    assert_eq!((recorder.left_out(), recorder.failed()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_delays_events_and_the_end_of_the_recorder_does_not_lose_them() {
    let cluster = Cluster::new().await;
    let faults = Faults {
        unavailable: 150,
        too_many: 50,
        slow: 200,
        lost: 100,
        delay: Duration::from_millis(700),
    };
    // Chance is the same each time: in one run of forty, one of 500 events would be refused six times in a row, and rightly given up.
    let environment = Arc::new(Fixed::new(1_800_000_000, 1));
    let bad =
        Server::builder(cluster.store.clone()).environment(environment).faults(faults).build();
    let recorder = recorder(&bad, &[MASTERS]);
    for number in 0..500 {
        let about = pod(&format!("p{number}"));
        recorder.record(&about, Type::Normal, "Scheduled", "Binding", "bound".to_owned());
    }
    drop(recorder);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(items(&cluster, CORE).await.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_tried_again_and_a_full_queue_never_makes_wait() {
    let cluster = Cluster::new().await;
    let recorder = recorder(&cluster.server, &[]);
    recorder.record(&pod("a"), Type::Normal, "R", "A", "m".to_owned());
    let began = tokio::time::Instant::now();
    assert!(recorder.flush().await);
    assert_eq!((recorder.failed(), began.elapsed()), (1, Duration::ZERO));
    for number in 0..20_000 {
        recorder.record(&pod(&format!("p{number}")), Type::Normal, "R", "A", "m".to_owned());
    }
    assert_eq!(recorder.left_out(), 20_000 - 16_384);
}
