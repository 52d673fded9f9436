// SPDX-License-Identifier: Apache-2.0
//! Pods, ReplicaSets and Deployments against what a real server answered: `testdata/scenarios.jsonl.gz`.
#![allow(clippy::unwrap_used)] // a record that cannot be read is a failure of the test

mod record;

use berth_cluster_api::field::Errors;
use berth_cluster_api::registry::{Kind, Part, Rules};
use berth_cluster_api::{Map, kinds};
use berth_cluster_json::{Value, json};
use record::scenarios;
use std::collections::{BTreeMap, BTreeSet};

/// Steps that do not agree yet, and why.
const KNOWN: &str = include_str!("pods_known.txt");

/// The kind of a path, the object's name (none for the collection), and the part.
fn target<'a>(path: &'a str, kinds: &'a [Kind]) -> Option<(&'a Kind, Option<&'a str>, Part)> {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().position(|part| *part == "namespaces")?;
    let kind = kinds.iter().find(|kind| Some(&&*kind.plural) == parts.get(at + 2))?;
    match &parts[at + 3..] {
        [] => Some((kind, None, Part::Main)),
        [name] => Some((kind, Some(name), Part::Main)),
        [name, "status"] => Some((kind, Some(name), Part::Status)),
        _ => None,
    }
}

/// Takes away what the server, its admission and later releases add, and what JSON of Go leaves out.
fn normal(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, value) in map {
                let value = normal(value, key);
                let server = name == "metadata"
                    && [
                        "uid",
                        "creationTimestamp",
                        "resourceVersion",
                        "managedFields",
                        "generation",
                        "namespace",
                    ]
                    .contains(&key.as_str());
                let admission =
                    name == "spec" && ["priority", "preemptionPolicy"].contains(&key.as_str());
                let maps =
                    ["labels", "annotations", "nodeSelector", "limits", "requests", "matchLabels"];
                let empty = match &value {
                    Value::Null => true,
                    Value::String(text) => text.is_empty(),
                    Value::Array(all) => all.is_empty(),
                    Value::Object(all) => all.is_empty() && maps.contains(&key.as_str()),
                    _ => false,
                };
                // of sets, later than the record
                let later = key == "persistentVolumeClaimRetentionPolicy"
                    || ["maxSurge", "availableReplicas"].contains(&key.as_str()) && value == 0;
                if !server && !admission && !empty && !later {
                    kept.insert(key.clone(), value);
                }
            }
            kept.into()
        }
        Value::Array(all) => {
            let added = |one: &&Value| {
                name == "tolerations"
                    && one["tolerationSeconds"] == 300
                    && ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
                        .iter()
                        .any(|key| one["key"] == **key)
            };
            all.iter().filter(|one| !added(one)).map(|one| normal(one, "")).collect()
        }
        other => other.clone(),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map>().into()
        }
        Value::Array(all) => all.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Causes as field, reason and message; metadata is checked elsewhere.
fn causes(all: &[Value]) -> Vec<[String; 3]> {
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|one| [text(one, "field"), text(one, "reason"), text(one, "message")])
        .filter(|[field, ..]| !field.starts_with("metadata"))
        .collect()
}

/// What differs between an answer and ours.
fn difference(step: &Value, object: &Map, errors: &Errors) -> Option<String> {
    let answer = &step["response"];
    let marked = step.get("differs_in_1_33").is_some();
    if answer["status"] == 422 {
        let theirs = causes(answer["body"]["details"]["causes"].as_array().unwrap());
        let ours: Vec<[String; 3]> = errors
            .causes()
            .into_iter()
            .map(|cause| [cause.field, cause.reason, cause.message])
            .collect();
        let agrees = if marked { ours.is_empty() == theirs.is_empty() } else { ours == theirs };
        return (!agrees).then(|| format!("theirs {theirs:?}\n  ours   {ours:?}"));
    }
    if !errors.is_empty() {
        return Some(format!("refused: {}", errors.text()));
    }
    let (theirs, ours) = (normal(&answer["body"], ""), normal(&Value::from(object.clone()), ""));
    (theirs != ours).then(|| format!("theirs {theirs}\n  ours   {ours}"))
}

/// Plays the steps of one scenario that are about our kinds; gives `name#step` of each, and what differs.
fn play(scenario: &Value, kinds: &[Kind]) -> Vec<(String, Option<String>)> {
    let mut stored: BTreeMap<String, Map> = BTreeMap::new();
    let mut seen = Vec::new();
    for (number, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let (request, status) = (&step["request"], step["response"]["status"].as_u64().unwrap());
        let Some((kind, name, part)) = target(request["path"].as_str().unwrap(), kinds) else {
            continue;
        };
        let method = request["method"].as_str().unwrap();
        let key = |name: &str| format!("{}/{name}", kind.plural);
        let answer = step["response"]["body"].as_object();
        if method == "PATCH" && status == 200 {
            // patches are another module's: what the server then held is what the next step starts from
            stored.insert(key(name.unwrap()), answer.unwrap().clone());
            continue;
        }
        let (Some(body), true) = (request["body"].as_object(), [200, 201, 422].contains(&status))
        else {
            continue;
        };
        if request["headers"]["Accept"].is_string() {
            continue;
        }
        let mut object = without_nulls(&body.clone().into()).as_object().unwrap().clone();
        let mut errors = Errors::new();
        kind.rules.default(&mut object);
        let once = object.clone();
        kind.rules.default(&mut object);
        assert_eq!(once, object, "{}: defaults twice are not as once", scenario["name"]);
        match (method, name) {
            ("POST", None) => kind.rules.prepare_create(&mut object),
            ("PUT", Some(name)) if stored.contains_key(&key(name)) => {
                let mut old = normal(&Value::from(stored[&key(name)].clone()), "")
                    .as_object()
                    .unwrap()
                    .clone();
                kind.rules.default(&mut old);
                kind.rules.prepare_update(&mut object, &old, part);
                if part == Part::Main {
                    kind.rules.validate(&object, &mut errors);
                }
                kind.rules.validate_update(&object, &old, part, &mut errors);
            }
            _ => continue,
        }
        if method == "POST" {
            kind.rules.validate(&object, &mut errors);
            kind.rules.validate_create(&object, &mut errors);
        }
        let theirs = &step["response"]["body"]["details"]["causes"];
        if status == 422 && causes(theirs.as_array().unwrap()).is_empty() {
            continue; // only the metadata is wrong
        }
        seen.push((
            format!("{}#{number}", scenario["name"].as_str().unwrap()),
            difference(step, &object, &errors),
        ));
        if status != 422 {
            let object = answer.unwrap();
            stored.insert(key(object["metadata"]["name"].as_str().unwrap()), object.clone());
        }
    }
    seen
}

#[test]
fn answers_are_as_recorded() {
    let kinds: Vec<Kind> =
        kinds::pod::kinds().into_iter().chain(kinds::workload::kinds()).collect();
    let known: BTreeSet<&str> = KNOWN
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    let (mut total, mut agree, mut wrong, mut differing) = (0, 0, Vec::new(), BTreeSet::new());
    for scenario in scenarios() {
        for (step, difference) in play(&scenario, &kinds) {
            total += 1;
            match difference {
                None => agree += 1,
                Some(text) => {
                    if !known.contains(step.as_str()) {
                        wrong.push(format!("{step}\n  {text}"));
                    }
                    differing.insert(step);
                }
            }
        }
    }
    println!("{agree} of {total} steps agree");
    assert!(total > 250, "the record holds more steps of these kinds than {total}");
    assert!(wrong.is_empty(), "{} steps differ:\n{}", wrong.len(), wrong.join("\n"));
    let healed: Vec<&&str> = known.iter().filter(|step| !differing.contains(**step)).collect();
    assert!(healed.is_empty(), "these agree now, take them off the list: {healed:?}");
}

#[test]
fn a_wrong_default_would_be_seen() {
    let step = json!({ "response": { "status": 201, "body": { "spec": { "a": 1 } } } });
    let object = json!({ "spec": { "a": 2 } });
    assert!(difference(&step, object.as_object().unwrap(), &Errors::new()).is_some());
}

#[test]
fn rows_and_scales_are_as_kubectl_shows_them() {
    let pod = json!({
        "metadata": { "name": "p", "creationTimestamp": "1970-01-01T00:00:00Z" },
        "spec": { "containers": [{ "name": "c" }], "nodeName": "n" },
        "status": {
            "phase": "Running",
            "containerStatuses": [{
                "name": "c",
                "restartCount": 3,
                "lastState": { "terminated": { "finishedAt": "1970-01-01T00:01:00Z" } },
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            }],
        },
    });
    let cells = kinds::pod::PodRules.cells(pod.as_object().unwrap(), 90);
    let row = json!([
        "p",
        "0/1",
        "CrashLoopBackOff",
        "3 (30s ago)",
        "90s",
        "<none>",
        "n",
        "<none>",
        "<none>"
    ]);
    assert_eq!(Value::from(cells), row);
    let deployment = json!({
        "metadata": { "name": "d", "creationTimestamp": "1970-01-01T00:00:00Z" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "b": "c" }, "matchExpressions": [{ "key": "a", "operator": "In", "values": ["y", "x"] }] },
            "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
        "status": { "replicas": 1 },
    });
    let mut deployment = deployment.as_object().unwrap().clone();
    let cells = kinds::workload::DeploymentRules.cells(&deployment, 5);
    assert_eq!(Value::from(cells), json!(["d", "0/2", 0, 0, "5s", "c", "i", "a in (x,y),b=c"]));
    let mut scale = kinds::workload::scale::read(&deployment);
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(scale["status"], json!({ "replicas": 1, "selector": "a in (x,y),b=c" }));
    scale["spec"]["replicas"] = 5.into();
    kinds::workload::scale::write(&mut deployment, scale.as_object().unwrap());
    assert_eq!(deployment["spec"]["replicas"], 5);
}
