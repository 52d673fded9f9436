// SPDX-License-Identifier: Apache-2.0
//! What the record of a real server does not hold.

use super::*;
use crate::schema::lookup;
use berth_cluster_json::{Value, json};

fn pod(object: &Value, patch: &Value) -> Value {
    strategic(object.clone(), patch, &lookup("", "v1", "Pod").unwrap()).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn directives_of_lists() {
    let object = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}, {"name": "c"}]}});
    let patch = json!({"spec": {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}],
        "containers": [{"name": "d"}, {"name": "a", "image": null, "tty": true}, {"name": "b", "$patch": "delete"}],
    }});
    let merged = pod(&object, &patch);
    assert_eq!(names(&merged["spec"]["containers"]), ["c", "d", "a"]);
    assert_eq!(merged["spec"]["containers"][2], json!({"name": "a", "tty": true}));
    let replaced =
        pod(&object, &json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}));
    assert_eq!(names(&replaced["spec"]["containers"]), ["z"]);
}

#[test]
fn lists_of_scalars() {
    let object = json!({"metadata": {"finalizers": ["a/1", "a/2", "a/3"]}});
    let merged = pod(&object, &json!({"metadata": {"finalizers": ["a/2", "a/4"]}}));
    assert_eq!(merged["metadata"]["finalizers"].as_array().unwrap().len(), 4);
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/1", "a/9"]}});
    assert_eq!(pod(&object, &patch)["metadata"]["finalizers"], json!(["a/2", "a/3"]));
}

#[test]
fn kept_keys_take_the_other_fields_away() {
    let object = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let patch = json!({"spec": {"volumes": [
        {"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}},
    ]}});
    assert_eq!(
        pod(&object, &patch)["spec"]["volumes"],
        json!([{"name": "v", "hostPath": {"path": "/"}}])
    );
}

#[test]
fn json_patches_are_bounded() {
    let many = vec![json!({"op": "test", "path": "/a", "value": 1}); OPERATIONS_MAX + 1];
    let refusal = json(json!({"a": 1}), &Value::Array(many)).unwrap_err();
    assert_eq!((refusal.code, refusal.reason), (413, "RequestEntityTooLarge"));
    assert!(refusal.message.contains("10000, got 10001"), "{}", refusal.message);
    let doubling = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 60];
    assert_eq!(json(json!({"a": ["x"]}), &Value::Array(doubling)).unwrap_err().code, 422);
}

#[test]
fn json_patches_make_nothing_deep() {
    let deeper = vec![json!({"op": "copy", "from": "/a", "path": "/a/a"}); 150];
    assert_eq!(json(json!({"a": {}}), &Value::Array(deeper)).unwrap_err().code, 422);
    let path = "/a".repeat(30);
    let back_and_forth: Vec<Value> = (0..50)
        .flat_map(|_| {
            [
                json!({"op": "move", "from": "/x", "path": format!("{path}/x")}),
                json!({"op": "move", "from": format!("{path}/x"), "path": "/x"}),
            ]
        })
        .collect();
    let mut object = json!({"x": 1});
    let mut place = &mut object;
    for _ in 0..30 {
        place["a"] = json!({});
        place = &mut place["a"];
    }
    assert_eq!(json(object.clone(), &Value::Array(back_and_forth)).unwrap(), object);
}

#[test]
fn json_patches_walk_lists_and_escapes() {
    let object = json!({"a/b": {"~": [1, 2, 3]}});
    let patch = json!([
        {"op": "test", "path": "/a~1b/~0/1", "value": 2.0},
        {"op": "add", "path": "/a~1b/~0/-", "value": 4},
        {"op": "remove", "path": "/a~1b/~0/-1"},
        {"op": "move", "from": "/a~1b/~0/0", "path": "/x"},
    ]);
    assert_eq!(json(object.clone(), &patch).unwrap(), json!({"a/b": {"~": [2, 3]}, "x": 1}));
}

#[test]
fn merge_patches_take_away_by_null() {
    let merged =
        merge(json!({"a": {"b": 1, "c": 2}}), &json!({"a": {"b": null}, "d": {"e": null, "f": 1}}));
    assert_eq!(merged.unwrap(), json!({"a": {"c": 2}, "d": {"f": 1}}));
    assert_eq!(merge(json!({}), &json!(null)).unwrap_err().code, 400);
}
