// SPDX-License-Identifier: Apache-2.0
//! Events in both forms, and how they are judged.

use super::*;
use berth_cluster_json::json;

fn object(value: Value) -> Map {
    value.as_object().unwrap().clone()
}

fn newer() -> Map {
    object(json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": "e", "namespace": "n" },
        "eventTime": "1970-01-01T00:00:10.000000Z",
        "regarding": { "kind": "Pod", "namespace": "n", "name": "p" },
        "note": " m ",
        "reason": "R",
        "type": "Normal",
        "action": "a",
        "reportingController": "c.d/e",
        "reportingInstance": "i",
    }))
}

fn fields(errors: &Errors) -> Vec<&str> {
    errors.0.iter().map(|error| error.path.as_str()).collect()
}

#[test]
fn the_two_forms_are_one_object() {
    let core = object(json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod" },
        "message": "m",
        "source": { "component": "c" },
        "firstTimestamp": "1970-01-01T00:00:00Z",
        "lastTimestamp": "1970-01-01T00:00:01Z",
        "count": 2,
        "reportingComponent": "r",
        "reportingInstance": "i",
        "series": { "count": 2 },
    }));
    let other = to_events_group(&core);
    let wanted = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": "e" },
        "regarding": { "kind": "Pod" },
        "note": "m",
        "deprecatedSource": { "component": "c" },
        "deprecatedFirstTimestamp": "1970-01-01T00:00:00Z",
        "deprecatedLastTimestamp": "1970-01-01T00:00:01Z",
        "deprecatedCount": 2,
        "reportingController": "r",
        "reportingInstance": "i",
        "series": { "count": 2 },
    });
    assert_eq!(Value::from(other.clone()), wanted);
    assert_eq!(to_core(&other), core);
}

#[test]
fn the_names_of_both_forms_are_those_of_the_schemas() {
    for (version, names) in [("", NAMES.map(|it| it.0)), (GROUP, NAMES.map(|it| it.1))] {
        let schema = row::schema(version, "Event");
        let known: Vec<&str> = schema.fields().map(|(name, ..)| name).collect();
        assert!(names.iter().all(|name| known.contains(name)), "{version}: {known:?}");
    }
}

#[test]
fn a_new_event_of_the_newer_group_is_judged_strictly() {
    let rules = Event { strict: true };
    let judge = |event: &Map| {
        let mut errors = Errors::new();
        rules.validate(event, &mut errors);
        rules.validate_create(event, &mut errors);
        errors
    };
    assert!(judge(&newer()).is_empty());
    assert!(judge(&to_core(&newer())).is_empty());
    let bad = object(json!({
        "apiVersion": "events.k8s.io/v1",
        "metadata": { "name": "e", "namespace": "n" },
        "regarding": { "namespace": "n" },
        "series": { "count": 1 },
        "deprecatedCount": 1,
        "deprecatedSource": { "host": "h" },
    }));
    let wanted =
        ["series.count", "series.lastObservedTime", "eventTime", "type", "count", "source"];
    assert_eq!(fields(&judge(&bad)), wanted);
    let mut errors = Errors::new();
    Event { strict: false }.validate_create(&bad, &mut errors);
    assert!(errors.is_empty());
}

#[test]
fn only_the_series_of_the_newer_group_goes_on() {
    let rules = Event { strict: true };
    let mut new = newer();
    new.insert("note".to_owned(), "other".into());
    new.insert(
        "series".to_owned(),
        json!({ "count": 2, "lastObservedTime": "1970-01-01T00:00:30.000000Z" }),
    );
    let mut errors = Errors::new();
    rules.validate_update(&new, &to_core(&newer()), Part::Main, &mut errors);
    assert_eq!(fields(&errors), ["message"]);
    let wanted = json!(["60s", "Normal", "R", "pod/p", "", "c.d/e, i", "other", "80s", 2, "e"]);
    assert_eq!(Value::from(rules.cells(&new, 90)), wanted);
    assert_eq!(cells::columns().len(), 10);
}

#[test]
fn each_group_selects_by_its_own_names() {
    let names = |strict| -> Vec<&str> {
        Event { strict }.fields(&newer()).into_iter().map(|(name, _)| name).collect()
    };
    assert!(names(true).contains(&"regarding.name"));
    assert!(names(true).contains(&"reportingController"));
    assert!(names(false).contains(&"involvedObject.name"));
    let source = Event { strict: false }.fields(&newer());
    assert!(source.contains(&("source", "c.d/e".to_owned())));
}
