// SPDX-License-Identifier: Apache-2.0
//! Recorded patches of a real kube-apiserver: what they make of the object before them.
#![allow(clippy::unwrap_used, reason = "what is recorded has these fields")]

mod record;

use berth_cluster_api::registry::Kind;
use berth_cluster_api::{Refusal, kinds, patch, schema, strict};
use berth_cluster_json::{Value, json};
use record::scenarios_with_times;
use std::collections::BTreeMap;

/// The schema of an object by what it says of itself.
fn schema_of(object: &Value) -> schema::Schema {
    let version = object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    schema::lookup(group, version, object["kind"].as_str().unwrap()).unwrap()
}

fn apply(object: &Value, request: &Value) -> Option<Result<Value, Refusal>> {
    let headers = request["headers"].as_object()?;
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?.1;
    let body = match request.get("raw") {
        Some(raw) => serde_json::from_str(raw.as_str()?).ok()?,
        None => request["body"].clone(),
    };
    Some(match kind.as_str()?.split(';').next()? {
        "application/json-patch+json" => patch::json(object.clone(), &body),
        "application/merge-patch+json" => patch::merge(object.clone(), &body),
        "application/strategic-merge-patch+json" => {
            patch::strategic(object.clone(), &body, &schema_of(object))
        }
        _ => return None,
    })
}

/// Without what the server sets beside the patch.
fn stripped(value: &Value) -> Value {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, field| {
                    !field.is_null() && *field != json!({}) && *field != json!([])
                });
                fields.values_mut().for_each(clean);
                fields.retain(|_, field| *field != json!({}));
            }
            Value::Array(items) => items.iter_mut().for_each(clean),
            _ => {}
        }
    }
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        // 1.33 has a default of it, which 1.20 did not know
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("internalTrafficPolicy");
        }
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("resourceVersion");
            meta.remove("generation");
        }
    }
    clean(&mut value);
    value
}

/// Scenarios where the server does more than the patch, the walkers and the defaults say, and what.
const MORE: [(&str, &str); 6] = [
    ("patch/strategic/service-type", "ports of nodes are given out"),
    ("partial/patch", "the answer is metadata only"),
    ("scale/deployment/patch", "a scale has the labels of what it scales"),
    ("scale/rs/patch", "the same"),
    ("watch/secrets-events", "stringData becomes data"),
    ("patch/merge/creationtimestamp", "metadata that may not change is kept"),
];

/// What a write makes of an object before it is judged.
fn read_again(mut object: Value, kinds: &[Kind]) -> Value {
    let schema = schema_of(&object);
    strict::check(&mut object, &schema).unwrap();
    schema::normalise(&mut object, &schema);
    let version = object["apiVersion"].as_str().unwrap().to_owned();
    let kind = kinds.iter().find(|kind| {
        let slash = if kind.group.is_empty() { "" } else { "/" };
        object["kind"] == *kind.kind && version == format!("{}{slash}{}", kind.group, kind.version)
    });
    if let (Some(kind), Some(fields)) = (kind, object.as_object_mut()) {
        kind.rules.default(fields);
    }
    object
}

#[test]
fn objects_become_what_they_became() {
    let kinds = kinds::builtin();
    let (mut compared, mut differ) = (0, Vec::new());
    for scenario in scenarios_with_times() {
        let name = scenario["name"].as_str().unwrap();
        let mut live: BTreeMap<String, Value> = BTreeMap::new();
        for step in scenario["steps"].as_array().unwrap() {
            let (request, response) = (&step["request"], &step["response"]);
            let path = request["path"].as_str().unwrap().split('?').next().unwrap().to_owned();
            let (status, body) = (response["status"].as_u64().unwrap(), &response["body"]);
            if request["method"] == "PATCH"
                && let Some(before) = live.get(&path)
                && let Some(made) = apply(before, request)
            {
                compared += 1;
                match made {
                    Ok(made) if status == 200 && MORE.iter().all(|(known, _)| *known != name) => {
                        let made = read_again(made, &kinds);
                        if stripped(&made) != stripped(body) {
                            differ.push(format!(
                                "{name}: {}\n   {}",
                                stripped(&made),
                                stripped(body)
                            ));
                        }
                    }
                    Err(refusal)
                        if u64::from(refusal.code) != status
                            && step.get("differs_in_1_33").is_none() =>
                    {
                        differ.push(format!("{name}: {refusal} {status}"));
                    }
                    _ => {}
                }
            }
            if status < 300 && body["metadata"]["name"].is_string() && body["kind"] != "Status" {
                let mut at = path;
                if request["method"] == "POST" {
                    at = format!("{at}/{}", body["metadata"]["name"].as_str().unwrap());
                }
                live.insert(at, body.clone());
            }
        }
    }
    assert!(differ.is_empty(), "{} of {compared}:\n{}", differ.len(), differ.join("\n"));
    assert!(compared > 100, "{compared}");
}
