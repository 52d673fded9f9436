// SPDX-License-Identifier: Apache-2.0
//! Recorded answers of a real kube-apiserver against the rules of the kinds: what a POST makes of an object, or says of it.
//!
//! Without a server around them the rules see no unknown fields, no wrong types and no allocated values: such steps are left out, by
//! what their answers are. `testdata/README.md` says where the record comes from.
#![allow(clippy::unwrap_used, reason = "what is recorded has these fields")]

use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::registry::Kind;
use berth_cluster_api::{Map, Refusal, kinds, meta};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::Read;

/// Scenarios that differ, and why.
const KNOWN: [(&str, &str); 0] = [];

fn scenarios() -> Vec<Value> {
    let mut text = String::new();
    let packed = include_bytes!("../testdata/scenarios.jsonl.gz");
    GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The kind and the namespace of a path that objects are created at.
fn target<'a>(kinds: &'a [Kind], path: &str) -> Option<(&'a Kind, String)> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, plural) = match rest {
        ["namespaces", namespace, plural] => (*namespace, *plural),
        [plural] => ("", *plural),
        _ => return None,
    };
    let kind = kinds
        .iter()
        .find(|kind| (&*kind.group, &*kind.version, &*kind.plural) == (group, version, plural))?;
    (kind.namespaced != namespace.is_empty()).then(|| (kind, namespace.to_owned()))
}

fn create(kind: &Kind, namespace: &str, body: &Value) -> Result<Value, Refusal> {
    let mut object: Map = body.as_object().cloned().unwrap_or_default();
    kind.rules.default(&mut object);
    let once = object.clone();
    kind.rules.default(&mut object);
    assert_eq!(object, once, "defaults are set once");
    meta::prepare_create(&mut object, namespace)?;
    let metadata = object["metadata"].as_object_mut().unwrap();
    if !kind.namespaced {
        metadata.remove("namespace");
    }
    let generated = metadata.get("generateName").and_then(Value::as_str).map(str::to_owned);
    if let Some(prefix) =
        generated.filter(|prefix| !prefix.is_empty() && !metadata.contains_key("name"))
    {
        metadata.insert("name".to_owned(), format!("{prefix}abcde").into());
    }
    kind.rules.prepare_create(&mut object);
    let mut errors = Errors::new();
    let metadata = object["metadata"].as_object().unwrap();
    meta::validate(metadata, kind.namespaced, &*kind.rules, &Path::new("metadata"), &mut errors);
    kind.rules.validate(&object, &mut errors);
    if errors.is_empty() {
        return Ok(object.into());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Refusal::invalid(&kind.group, &kind.kind, name, &errors))
}

/// Leaves out what the server adds, and what is the same as nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null());
            entries.map(|(name, value)| (name.clone(), plain(value))).collect::<Map>().into()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn stored(value: &Value) -> Value {
    let mut value = plain(value);
    if let Some(metadata) = value["metadata"].as_object_mut() {
        let added = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink"];
        for field in added {
            metadata.remove(field);
        }
        if metadata.contains_key("generateName") {
            metadata.remove("name");
        }
        // 1.21 and later label namespaces with their name; 1.33 counts generations of pods.
        if value["kind"] == "Namespace" || value["kind"] == "Pod" {
            value["metadata"].as_object_mut().unwrap().remove("generation");
        }
    }
    value
}

fn differs(step: &Value, made: &Result<Value, Refusal>) -> Option<String> {
    let (status, answer) =
        (step["response"]["status"].as_u64().unwrap(), &step["response"]["body"]);
    let marked = step.get("differs_in_1_33").is_some();
    match (status, made) {
        (201, Ok(object)) => {
            let (wanted, got) = (stored(answer), stored(object));
            (wanted != got && !marked).then(|| format!("wanted {wanted}\n   got    {got}"))
        }
        (422, Err(refusal)) => {
            let status: Value = serde_json::from_str(&refusal.to_json()).unwrap();
            let wanted = json!([answer["message"], answer["details"]["causes"]]);
            let got = json!([status["message"], status["details"]["causes"]]);
            (wanted != got && !marked).then(|| format!("wanted {wanted}\n   got    {got}"))
        }
        (201 | 422, made) => Some(format!("wanted {status}, got {made:?}")),
        // Conflicts, broken JSON and the like are the server's.
        _ => None,
    }
}

#[test]
fn what_is_created_and_what_is_refused_is_as_recorded() {
    let kinds = kinds::builtin();
    let (mut compared, mut failed) = (0, Vec::new());
    for scenario in scenarios() {
        let name = scenario["name"].as_str().unwrap();
        for step in scenario["steps"].as_array().unwrap() {
            let request = &step["request"];
            let path = request["path"].as_str().unwrap();
            let (Some((kind, namespace)), "POST") =
                (target(&kinds, path), request["method"].as_str().unwrap())
            else {
                continue;
            };
            if request.get("body").is_none() || step.get("setup").is_some() {
                continue;
            }
            compared += 1;
            let difference = differs(step, &create(kind, &namespace, &request["body"]));
            if let Some(difference) =
                difference.filter(|_| KNOWN.iter().all(|(known, _)| *known != name))
            {
                failed.push(format!("{name}\n   {}\n   {difference}", request["body"]));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {compared} differ:\n{}", failed.len(), failed.join("\n"));
    assert!(compared > 50, "{compared}");
}
