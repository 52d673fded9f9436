// SPDX-License-Identifier: Apache-2.0
//! Watches (invariants W): no event is lost, none comes twice, all come in order, from wherever a client begins.

use crate::kit::{Cluster, Random, brief, config, pod, revision};
use crate::tier::Row;
use berth_cluster_apiserver::Options;
use berth_cluster_json::{Value, json};
use berth_cluster_store::Store;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const PODS: &str = "/api/v1/namespaces/t1/pods";

/// The revision of a collection.
async fn now(cluster: &Cluster, path: &str) -> u64 {
    revision(&cluster.get(path).await)
}

fn watch_path(path: &str, more: &str) -> String {
    format!("{path}?watch=1{more}")
}

// ---- no event lost, none twice, in order ----

/// What one writer did: creates, changes and deletes of its own objects, in order; with revisions where the answer has one.
async fn write(cluster: Cluster, writer: usize) -> Vec<(String, String, u64)> {
    let mut done = Vec::new();
    for round in 0..12 {
        let name = format!("w{writer}-{}", round % 3);
        let path = format!("{CONFIGS}/{name}");
        let made = cluster.make(CONFIGS, config(&name, "")).await;
        done.push(("ADDED".to_owned(), name.clone(), revision(&made)));
        for change in 0..3 {
            let patch = json!({ "data": { "text": format!("{round} {change}") } });
            let changed = cluster.admin("PATCH", &path).merge(&patch).done(200).await;
            done.push(("MODIFIED".to_owned(), name.clone(), revision(&changed)));
        }
        cluster.admin("DELETE", &path).done(200).await;
        done.push(("DELETED".to_owned(), name, 0));
    }
    done
}

/// Watches before, during and after concurrent writes tell each of them once, by their revisions.
async fn check_writers(cluster: Cluster) {
    let start = now(&cluster, CONFIGS).await;
    let from = watch_path(CONFIGS, &format!("&resourceVersion={start}"));
    let early = cluster.admin("GET", &from).watch().await;
    let writers: Vec<_> =
        (0..8).map(|writer| tokio::spawn(write(cluster.clone(), writer))).collect();
    let amid = cluster.admin("GET", &from).watch().await;
    let mut done = Vec::new();
    for writer in writers {
        done.push(writer.await.unwrap());
    }
    let late = cluster.admin("GET", &from).watch().await;
    let count = done.iter().map(Vec::len).sum();
    for (when, mut watch) in [("before", early), ("amid", amid), ("after", late)] {
        let told: Vec<_> = watch.take(count).await.iter().map(brief).collect();
        assert_eq!(watch.ready(), Vec::<Value>::new(), "{when}: nothing twice");
        let rising = told.windows(2).all(|pair| pair[0].2 < pair[1].2);
        assert!(rising && told[0].2 > start, "{when}: in order: {told:?}");
        for (writer, wanted) in done.iter().enumerate() {
            let own = format!("w{writer}-");
            let own = told.iter().filter(|(_, name, _)| name.starts_with(&own)).cloned();
            // The answer to a deletion has no revision.
            let own = own.map(|(word, name, at)| {
                let at = if word == "DELETED" { 0 } else { at };
                (word, name, at)
            });
            assert_eq!(&own.collect::<Vec<_>>(), wanted, "{when}: writer {writer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_write_is_told_once_and_in_order() {
    check_writers(Cluster::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_write_to_a_disk_is_told_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    check_writers(Cluster::on_disk(&folder).await).await;
}

// ---- the model: what a watch has to tell, from any revision, through any selector ----

/// Labels and revision of an object after a write; the object is gone where there are none.
type State = Option<String>;

/// A write: its revision, its object, and the label `l` before and after.
struct Step {
    at: u64,
    name: String,
    before: Option<State>,
    after: Option<State>,
}

/// Random writes to five pods, one after the other.
async fn history(cluster: &Cluster, seed: u64, steps: usize) -> Vec<Step> {
    let mut random = Random(seed);
    let mut there: BTreeMap<String, State> = BTreeMap::new();
    let mut all = Vec::new();
    while all.len() < steps {
        let name = format!("p{}", random.below(5));
        let path = format!("{PODS}/{name}");
        let label = [None, Some("a"), Some("b")][usize::try_from(random.below(3)).unwrap()];
        let after: State = label.map(str::to_owned);
        let before = there.get(&name).cloned();
        let gone = before.is_some() && random.below(4) == 0;
        if gone {
            let all = format!("{path}?gracePeriodSeconds=0");
            cluster.admin("DELETE", &all).done(200).await;
        } else if before.is_some() {
            let mark = random.below(1 << 40).to_string();
            let patch =
                json!({ "metadata": { "labels": { "l": label }, "annotations": { "m": mark } } });
            cluster.admin("PATCH", &path).merge(&patch).done(200).await;
        } else {
            let mut object = pod(&name);
            object["metadata"]["labels"] = label.map_or(json!({}), |l| json!({ "l": l }));
            cluster.make(PODS, object).await;
        }
        let after = (!gone).then_some(after);
        match &after {
            Some(state) => there.insert(name.clone(), state.clone()),
            None => there.remove(&name),
        };
        all.push(Step { at: now(cluster, PODS).await, name, before, after });
    }
    all
}

/// A selector, and what it lets through: of the name and the label.
type Selector = (&'static str, fn(&str, &State) -> bool);

const SELECTORS: [Selector; 7] = [
    ("", |_, _| true),
    ("&labelSelector=l%3Da", |_, label| label.as_deref() == Some("a")),
    ("&labelSelector=l!%3Da", |_, label| label.as_deref() != Some("a")),
    ("&labelSelector=!l", |_, label| label.is_none()),
    ("&labelSelector=l+in+(a,b)", |_, label| label.is_some()),
    ("&fieldSelector=metadata.name%3Dp1", |name, _| name == "p1"),
    ("&fieldSelector=metadata.name%3Dp1&labelSelector=l%3Db", |name, label| {
        name == "p1" && label.as_deref() == Some("b")
    }),
];

/// What a watch through the selector has to tell of the steps: type, name, revision, and the label that is shown.
fn wanted(steps: &[Step], takes: fn(&str, &State) -> bool) -> Vec<(String, String, u64, State)> {
    let mut all = Vec::new();
    for step in steps {
        let seen = |state: &Option<State>| state.clone().filter(|one| takes(&step.name, one));
        let (word, shown) = match (seen(&step.before), seen(&step.after)) {
            (None, Some(label)) => ("ADDED", label),
            (Some(_), Some(label)) => ("MODIFIED", label),
            // The last state that was in sight.
            (Some(label), None) => ("DELETED", label),
            (None, None) => continue,
        };
        all.push((word.to_owned(), step.name.clone(), step.at, shown));
    }
    all
}

fn told(events: &[Value]) -> Vec<(String, String, u64, State)> {
    let read = |event: &Value| {
        let (word, name, at) = brief(event);
        let label = event["object"]["metadata"]["labels"]["l"].as_str().map(str::to_owned);
        (word, name, at, label)
    };
    events.iter().map(read).collect()
}

/// The deletion of a pod is two writes (the mark, and the end). The mark is a change that the client sees.
fn without_marks(events: Vec<Value>) -> Vec<Value> {
    let marked = |event: &Value| {
        event["type"] == "MODIFIED" && event["object"]["metadata"]["deletionTimestamp"].is_string()
    };
    events.into_iter().filter(|event| !marked(event)).collect()
}

#[tokio::test]
async fn from_any_revision_and_through_any_selector_a_watch_tells_the_rest_of_the_history() {
    let mut row = Row::new("histories through selectors", 10, 1_000);
    while let Some(seed) = row.next() {
        let cluster = Cluster::new().await;
        let start = now(&cluster, PODS).await;
        let mut running = Vec::new();
        for (query, takes) in SELECTORS {
            let path = watch_path(PODS, &format!("&resourceVersion={start}{query}"));
            running.push((query, takes, cluster.admin("GET", &path).watch().await));
        }
        let steps = history(&cluster, seed, 60).await;
        for (query, takes, mut watch) in running {
            let events = without_marks(watch.ready());
            assert_eq!(told(&events), wanted(&steps, takes), "seed {seed}, running, {query}");
        }
        for (place, step) in steps.iter().enumerate().step_by(3) {
            for (query, takes) in SELECTORS {
                let path = watch_path(PODS, &format!("&resourceVersion={}{query}", step.at));
                let mut watch = cluster.admin("GET", &path).watch().await;
                let events = without_marks(watch.ready());
                let rest = wanted(&steps[place + 1..], takes);
                assert_eq!(told(&events), rest, "seed {seed}, from {}, {query}", step.at);
            }
        }
    }
}

#[tokio::test]
async fn a_list_and_the_watch_from_it_make_the_state() {
    let mut row = Row::new("lists and the watches from them", 10, 1_000);
    while let Some(seed) = row.next() {
        list_and_watch(seed).await;
    }
}

async fn list_and_watch(seed: u64) {
    let cluster = Cluster::new().await;
    history(&cluster, seed, 20).await;
    let list = cluster.get(PODS).await;
    let path = watch_path(PODS, &format!("&resourceVersion={}", revision(&list)));
    let mut watch = cluster.admin("GET", &path).watch().await;
    history_of_more(&cluster).await;
    let mut state: BTreeMap<String, Value> = BTreeMap::new();
    for item in list["items"].as_array().unwrap() {
        state.insert(item["metadata"]["name"].to_string(), item["metadata"].clone());
    }
    for event in watch.ready() {
        let metadata = event["object"]["metadata"].clone();
        let name = metadata["name"].to_string();
        match event["type"].as_str() {
            Some("DELETED") => assert!(state.remove(&name).is_some(), "{name} was there"),
            Some("ADDED") => assert!(state.insert(name, metadata).is_none(), "it was not there"),
            _ => assert!(state.insert(name, metadata).is_some(), "it was there"),
        }
    }
    let list = cluster.get(PODS).await;
    let items = list["items"].as_array().unwrap().iter();
    let end = items.map(|one| (one["metadata"]["name"].to_string(), one["metadata"].clone()));
    assert_eq!(state, end.collect());
}

/// Some changes to whatever is there.
async fn history_of_more(cluster: &Cluster) {
    for name in ["p0", "p1", "p2"] {
        let path = format!("{PODS}/{name}");
        let there = cluster.admin("GET", &path).status().await == 200;
        if there {
            cluster.admin("DELETE", &path).done(200).await;
        }
        cluster.make(PODS, pod(name)).await;
    }
    let patch = json!({ "metadata": { "labels": { "x": "y" } } });
    cluster.admin("PATCH", &format!("{PODS}/p1")).merge(&patch).done(200).await;
    cluster.admin("DELETE", &format!("{PODS}/p2")).done(200).await;
}

#[tokio::test]
async fn a_watch_of_pods_of_a_node_sees_them_come_and_go() {
    let cluster = Cluster::new().await;
    let all = "/api/v1/pods?watch=1&resourceVersion=1&fieldSelector=spec.nodeName%3D";
    let mut on_n1 = cluster.admin("GET", &format!("{all}n1")).watch().await;
    let mut on_none = cluster.admin("GET", all).watch().await;
    cluster.make(PODS, pod("a")).await;
    let binding =
        json!({ "metadata": { "name": "a" }, "target": { "kind": "Node", "name": "n1" } });
    cluster.admin("POST", &format!("{PODS}/a/binding")).json(&binding).done(201).await;
    let words = |events: Vec<Value>| events.iter().map(|one| brief(one).0).collect::<Vec<_>>();
    assert_eq!(words(on_none.ready()), ["ADDED", "DELETED"]);
    assert_eq!(words(on_n1.ready()), ["ADDED"]);
    cluster.admin("DELETE", &format!("{PODS}/a?gracePeriodSeconds=0")).done(200).await;
    assert_eq!(words(on_n1.ready()).last().unwrap(), "DELETED");
    assert_eq!(words(on_none.ready()), Vec::<String>::new());
}

// ---- the past and the future ----

#[tokio::test]
async fn what_is_compacted_is_gone_and_says_so() {
    let cluster = Cluster::new().await;
    for name in ["a", "b", "c", "d"] {
        cluster.make(CONFIGS, config(name, "")).await;
    }
    let page = cluster.get(&format!("{CONFIGS}?limit=2")).await;
    let old = revision(&page);
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    cluster.make(CONFIGS, config("e", "")).await;
    cluster.make(CONFIGS, config("f", "")).await;
    cluster.store.compact(cluster.store.revision());
    for (query, status) in [
        (format!("resourceVersion={old}&resourceVersionMatch=Exact"), 410),
        (format!("resourceVersion={old}&limit=1"), 410),
        (format!("limit=2&continue={token}"), 410),
        (format!("resourceVersion={old}"), 200),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan"), 200),
        ("resourceVersion=0".to_owned(), 200),
    ] {
        let reply = cluster.admin("GET", &format!("{CONFIGS}?{query}")).reply().await;
        assert_eq!(reply.status, status, "{query}: {}", reply.text());
        if status == 410 {
            assert_eq!(reply.value()["reason"], "Expired", "{query}");
        }
    }
    // A watch says so in an event, and ends.
    for options in ["", "&allowWatchBookmarks=true"] {
        let path = watch_path(CONFIGS, &format!("&resourceVersion={old}{options}"));
        let events = cluster.admin("GET", &path).watch().await.all().await;
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
        assert_eq!(event["object"]["reason"], "Expired");
    }
    // The answer to an old token has a new one, which goes on in the present.
    let refused =
        cluster.admin("GET", &format!("{CONFIGS}?limit=2&continue={token}")).done(410).await;
    let token = refused["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = cluster.get(&format!("{CONFIGS}?continue={token}")).await;
    let names = rest["items"].as_array().unwrap().iter().map(|one| one["metadata"]["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["c", "d", "e", "f"]);
    let last = cluster.store.revision();
    let path = watch_path(CONFIGS, &format!("&resourceVersion={last}"));
    let mut watch = cluster.admin("GET", &path).watch().await;
    cluster.make(CONFIGS, config("g", "")).await;
    assert_eq!(brief(&watch.next().await.unwrap()).1, "g");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_does_not_come_is_waited_for_and_refused() {
    let cluster = Cluster::new().await;
    let far = cluster.store.revision() + 50;
    for query in ["watch=1&", "", "limit=1&"] {
        let start = Instant::now();
        let path = format!("{CONFIGS}?{query}resourceVersion={far}");
        let reply = cluster.admin("GET", &path).reply().await;
        assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (504, "1"));
        assert_eq!(reply.value()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
        assert_eq!(start.elapsed().as_secs(), 3, "the clock of the test");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_revision_is_to_come_no_older_event_is_told() {
    let mut row = Row::new("revisions to come", 30, 10_000);
    let cluster = Cluster::new().await;
    while let Some(number) = row.next() {
        let mut random = Random(number);
        let (ahead, writes) = (1 + random.below(100), random.below(120));
        let soon = cluster.store.revision() + ahead;
        let path = watch_path(CONFIGS, &format!("&resourceVersion={soon}"));
        let answer = tokio::spawn(cluster.admin("GET", &path).answer());
        for turn in 0..writes {
            tokio::time::sleep(Duration::from_millis(10)).await;
            cluster.make(CONFIGS, config(&format!("c{number}-{turn}"), "")).await;
        }
        let answer = answer.await.unwrap();
        // 504 only where it did not come: no time has passed but that of the test's clock, and far less than three seconds.
        assert_eq!(answer.status(), if writes >= ahead { 200 } else { 504 });
        if answer.status() != 200 {
            continue;
        }
        let text = crate::kit::start_of(answer.into_body());
        let told = text.lines().map(|line| brief(&serde_json::from_str(line).unwrap()).2);
        let wanted = soon + 1..=cluster.store.revision();
        assert_eq!(told.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "from {soon}");
        cluster.admin("DELETE", CONFIGS).done(200).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_comes_in_time_begins_a_watch_without_older_events() {
    let cluster = Cluster::new().await;
    let soon = cluster.store.revision() + 2;
    let path = watch_path(CONFIGS, &format!("&resourceVersion={soon}"));
    let watch = tokio::spawn(cluster.admin("GET", &path).watch());
    for name in ["a", "b", "c"] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.make(CONFIGS, config(name, "")).await;
    }
    let mut watch = watch.await.unwrap();
    assert_eq!(watch.ready().iter().map(|one| brief(one).1).collect::<Vec<_>>(), ["c"]);
}

// ---- beginnings, bookmarks, ends ----

#[tokio::test]
async fn a_watch_begins_with_what_is_there_where_it_is_asked_to() {
    let cluster = Cluster::new().await;
    for name in ["a", "b"] {
        cluster.make(CONFIGS, config(name, "")).await;
    }
    let all = now(&cluster, CONFIGS).await;
    let stream =
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let names = ["a", "b"].map(|name| format!("ADDED {name}"));
    for (query, initial, marked) in [
        (String::new(), true, false),
        ("&resourceVersion=0".to_owned(), true, false),
        (format!("&resourceVersion={all}"), false, false),
        (stream.to_owned(), true, true),
        (format!("{stream}&resourceVersion={all}"), true, true),
        (format!("{stream}&resourceVersion=0"), true, true),
        ("&sendInitialEvents=false&resourceVersionMatch=NotOlderThan".to_owned(), false, false),
    ] {
        let mut watch = cluster.admin("GET", &watch_path(CONFIGS, &query)).watch().await;
        let events = watch.ready();
        let told: Vec<String> = events
            .iter()
            .map(|one| format!("{} {}", brief(one).0, brief(one).1).trim().to_owned())
            .collect();
        let mut wanted = if initial { names.to_vec() } else { Vec::new() };
        if marked {
            wanted.push("BOOKMARK".to_owned());
            let mark = &events.last().unwrap()["object"];
            assert_eq!(mark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
            assert_eq!((revision(mark), &mark["kind"]), (all, &json!("ConfigMap")));
        }
        assert_eq!(told, wanted, "{query}");
    }
}

#[tokio::test]
async fn initial_events_go_through_the_selector_and_nothing_comes_between_them_and_the_rest() {
    let cluster = Cluster::new().await;
    // More than goes into one piece.
    let text = "x".repeat(10_000);
    for number in 0..40 {
        let mut object = config(&format!("c{number:02}"), &text);
        object["metadata"]["labels"] = json!({ "even": (number % 2 == 0).to_string() });
        cluster.make(CONFIGS, object).await;
    }
    let query =
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&labelSelector=even%3Dtrue";
    let mut watch = cluster.admin("GET", &watch_path(CONFIGS, query)).watch().await;
    let late = json!({ "metadata": { "name": "late", "labels": { "even": "true" } } });
    cluster.make(CONFIGS, late).await;
    cluster.admin("DELETE", &format!("{CONFIGS}/c00")).done(200).await;
    let events = watch.ready();
    let mut wanted: Vec<(String, String)> =
        (0..20).map(|half| ("ADDED".into(), format!("c{:02}", 2 * half))).collect();
    wanted.push(("BOOKMARK".into(), String::new()));
    wanted.push(("ADDED".into(), "late".into()));
    wanted.push(("DELETED".into(), "c00".into()));
    let told: Vec<_> = events.iter().map(brief).map(|(word, name, _)| (word, name)).collect();
    assert_eq!(told, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_tells_how_far_a_quiet_watch_is() {
    let cluster = Cluster::new().await;
    let start = now(&cluster, CONFIGS).await;
    let query = format!("&resourceVersion={start}&timeoutSeconds=150");
    let with = format!("{query}&allowWatchBookmarks=true");
    let marked = cluster.admin("GET", &watch_path(CONFIGS, &with)).watch().await;
    let plain = cluster.admin("GET", &watch_path(CONFIGS, &query)).watch().await;
    // None of it is of the watch's concern.
    for number in 0..5 {
        cluster
            .make("/api/v1/namespaces/default/configmaps", config(&format!("o{number}"), ""))
            .await;
    }
    let end = cluster.store.revision();
    let (marked, plain) = tokio::join!(marked.all(), plain.all());
    assert_eq!(
        marked.iter().map(brief).collect::<Vec<_>>(),
        [("BOOKMARK".into(), String::new(), end)]
    );
    assert_eq!(plain, Vec::<Value>::new());
    // Who goes on from the bookmark has missed nothing.
    cluster.store.compact(end);
    let path = watch_path(CONFIGS, &format!("&resourceVersion={end}"));
    let mut watch = cluster.admin("GET", &path).watch().await;
    cluster.make(CONFIGS, config("a", "")).await;
    assert_eq!(watch.ready().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_time_is_over() {
    let cluster = Cluster::new().await;
    for (query, least, most) in
        [("&timeoutSeconds=7", 7, 7), ("", 1_800, 3_600), ("&timeoutSeconds=0", 1_800, 3_600)]
    {
        let start = Instant::now();
        let watch = cluster.admin("GET", &watch_path(CONFIGS, query)).watch().await;
        assert_eq!(watch.all().await, Vec::<Value>::new());
        let lasted = start.elapsed().as_secs();
        assert!((least..=most).contains(&lasted), "{query}: {lasted} s by the clock of the test");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches_and_takes_none() {
    let cluster = Cluster::new().await;
    let path = watch_path(CONFIGS, "");
    let watch = tokio::spawn(cluster.admin("GET", &path).watch().await.all());
    assert_eq!(cluster.admin("GET", "/readyz").status().await, 200);
    cluster.server.stop();
    assert_eq!(watch.await.unwrap(), Vec::<Value>::new());
    assert_eq!(cluster.admin("GET", &path).status().await, 429);
    assert_eq!(cluster.admin("GET", "/readyz").status().await, 500);
    assert_eq!(cluster.admin("GET", "/livez").status().await, 200);
    cluster.make(CONFIGS, config("a", "requests that are no watches are still answered")).await;
}

// ---- slow readers ----

/// Memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_reader_that_stalls_is_closed_and_the_others_miss_nothing() {
    let store = Store::memory(berth_cluster_store::Options::default());
    let options = Options { watch_bytes: 8 << 10, ..Options::default() };
    let cluster = Cluster::with(store, |builder| builder.options(options)).await;
    let path = watch_path(CONFIGS, "");
    let mut quick = cluster.admin("GET", &path).watch().await;
    let mut row = Row::new("readers that stall", 20, 1_000);
    let (mut stalled, before) = (Vec::new(), resident());
    while row.next().is_some() {
        stalled.push(cluster.admin("GET", &path).watch().await);
    }
    let mut told = Vec::new();
    for number in 0..100 {
        cluster.make(CONFIGS, config(&format!("c{number:03}"), &"x".repeat(500))).await;
        told.extend(quick.ready().iter().map(brief).map(|(_, name, _)| name));
    }
    let wanted: Vec<String> = (0..100).map(|number| format!("c{number:03}")).collect();
    assert_eq!(told, wanted);
    // Other tests of this process take memory too; the bound counts where this one runs alone.
    let more = resident().saturating_sub(before) >> 20;
    assert!(row.goal() < 1_000 || more <= 64, "{more} MiB for those who do not read");
    for watch in stalled {
        // What it was told before is a beginning without a gap; then it is told to list again.
        let mut events = watch.all().await;
        let last = events.pop().unwrap();
        assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
        let names: Vec<String> = events.iter().map(|one| brief(one).1).collect();
        assert_eq!(names, wanted[..names.len()]);
    }
    assert_eq!(cluster.store.stats().watchers, 2, "the quick one, and the server's own of roles");
}

// ---- other forms ----

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

#[tokio::test]
async fn a_watch_of_tables_has_its_columns_once_and_rows_that_count() {
    let cluster = Cluster::new().await;
    cluster.make(PODS, pod("a")).await;
    let call = cluster.admin("GET", &watch_path(PODS, "")).header("accept", TABLE);
    let mut watch = call.watch().await;
    cluster.make(PODS, pod("b")).await;
    cluster.admin("DELETE", &format!("{PODS}/a")).done(200).await;
    let events = watch.ready();
    let first = &events[0]["object"];
    assert_eq!((&first["kind"], &first["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(first["columnDefinitions"][0]["name"], "Name");
    for (place, event) in events.iter().enumerate() {
        let table = &event["object"];
        assert_eq!(table["columnDefinitions"].is_null(), place > 0, "{event}");
        let row = &table["rows"][0];
        assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(row["cells"][0], row["object"]["metadata"]["name"]);
        let of_row = &row["object"]["metadata"]["resourceVersion"];
        assert_eq!(&table["metadata"]["resourceVersion"], of_row);
    }
    let name = |event: &Value| event["object"]["rows"][0]["cells"][0].clone();
    assert_eq!((name(&events[0]), name(&events[1])), (json!("a"), json!("b")));
    let last = events.last().unwrap();
    assert_eq!((&last["type"], name(last)), (&json!("DELETED"), json!("a")));
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_metadata_has_nothing_else() {
    let cluster = Cluster::new().await;
    let query = "&allowWatchBookmarks=1&timeoutSeconds=70&sendInitialEvents=1&resourceVersionMatch=NotOlderThan";
    let call = cluster.admin("GET", &watch_path(CONFIGS, query)).header("accept", PARTIAL);
    let watch = call.watch().await;
    cluster.make(CONFIGS, config("a", "secret")).await;
    cluster.make("/api/v1/namespaces/default/configmaps", config("b", "")).await;
    let events = watch.all().await;
    let words: Vec<String> = events.iter().map(|one| brief(one).0).collect();
    assert_eq!(words, ["BOOKMARK", "ADDED", "BOOKMARK"]);
    for event in &events {
        let object = event["object"].as_object().unwrap();
        let fields: Vec<&str> = object.keys().map(berth_cluster_json::Text::as_str).collect();
        assert_eq!(fields, ["apiVersion", "kind", "metadata"], "{event}");
        assert_eq!(object["kind"], "PartialObjectMetadata");
        assert!(revision(&event["object"]) > 0);
    }
}
