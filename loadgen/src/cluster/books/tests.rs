// SPDX-License-Identifier: Apache-2.0
//! Faults that are planted are found, and what is in order is left alone.

use super::*;
use serde_json::json;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn pod(name: &str, node: &str) -> Seen {
    let node = (!node.is_empty()).then(|| node.to_owned());
    Seen { name: name.to_owned(), uid: format!("{name}-1"), node, ..Seen::default() }
}

#[test]
fn a_pod_is_read_from_its_object() {
    let object = json!({
        "metadata": {"namespace": "a", "name": "p", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let seen = Seen::read(&object, false);
    assert_eq!((&*seen.name, &*seen.uid, seen.node.as_deref()), ("a/p", "u", Some("n")));
    assert!(seen.running && seen.ready && seen.leaving && !seen.gone);
    let seen = Seen::read(&json!({"metadata": {"name": "p"}, "spec": {"nodeName": ""}}), true);
    assert!(seen.node.is_none() && !seen.ready && seen.gone);
}

#[test]
fn a_pod_counts_once_when_it_is_first_on_its_node() {
    let mut books = Books::default();
    books.event(at(1), pod("a/p", ""));
    assert_eq!(books.times("a/p"), (None, None));
    books.event(at(2), pod("a/p", "n1"));
    books.event(at(3), Seen { running: true, ..pod("a/p", "n1") });
    books.event(at(4), Seen { running: true, gone: true, ..pod("a/p", "n1") });
    assert_eq!((books.bound, books.running, books.faults), (1, 1, 0));
    assert_eq!(books.times("a/p"), (Some(at(2)), Some(at(3))));
    assert_eq!((books.last_bound, books.staying()), (at(2), 0));
}

#[test]
fn a_pod_on_another_node_is_a_fault() {
    let mut books = Books::default();
    books.event(at(1), pod("a/p", "n1"));
    books.event(at(2), pod("a/p", "n2"));
    assert_eq!((books.bound, books.rebound, books.faults), (1, 1, 1));
    assert_eq!(books.told(), ["a/p was on n1 and is on n2"]);
    books.event(at(3), pod("a/q", "n1"));
    books.event(at(4), pod("a/q", ""));
    assert_eq!(books.rebound, 2, "nor does a pod leave its node");
}

#[test]
fn another_pod_of_that_name_may_be_elsewhere() {
    let mut books = Books::default();
    books.event(at(1), pod("a/p", "n1"));
    books.event(at(2), Seen { uid: "other".to_owned(), ..pod("a/p", "n2") });
    assert_eq!((books.bound, books.faults, books.staying()), (2, 0, 1));
}

#[test]
fn a_rolling_update_that_goes_too_far_is_a_fault() {
    let ready = |name: &str| Seen { ready: true, ..pod(name, "n") };
    let mut books = Books::default();
    for name in ["a/1", "a/2", "a/3", "a/4"] {
        books.event(at(1), ready(name));
    }
    books.bounds(Some(Bounds { most: 5, least: 3 }));
    books.event(at(2), pod("a/5", ""));
    books.event(at(3), Seen { leaving: true, ..ready("a/1") });
    assert_eq!(books.faults, 0, "both bounds are reached and kept");
    books.event(at(4), pod("a/6", ""));
    assert_eq!(books.faults, 0);
    books.event(at(5), pod("a/7", ""));
    assert_eq!(books.told(), ["there are 6 pods, and 5 may be"]);
    books.event(at(6), Seen { ready: false, ..ready("a/2") });
    assert_eq!(books.told()[1], "2 pods are available, and 3 must be");
    assert_eq!(books.extremes, (6, 2));
    books.bounds(None);
    books.event(at(7), pod("a/8", ""));
    assert_eq!(books.faults, 2);
}

#[test]
fn faults_are_counted_even_where_they_are_not_told() {
    let mut books = Books::default();
    for n in 0..20 {
        books.fault(format!("{n}"));
    }
    assert_eq!((books.faults, books.told().len()), (20, TOLD));
}
