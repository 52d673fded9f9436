// SPDX-License-Identifier: Apache-2.0
//! What a real kube-apiserver writes is what the schemas know, and in the normal form.
#![allow(clippy::unwrap_used, reason = "what is recorded has these fields")]

mod record;

use berth_cluster_api::{schema, strict};
use berth_cluster_json::Value;
use record::scenarios_with_times;
use std::collections::BTreeSet;

/// Without nulls, which say nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect::<berth_cluster_json::Map>()
            .into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        // a port of nodes that was given out
        Value::String(text) if text.starts_with("$port") => 30_000.into(),
        other => other.clone(),
    }
}

/// Paths at which two values differ, with both.
fn differences(wanted: &Value, got: &Value, at: &str, found: &mut BTreeSet<String>) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys()) {
                let of = |map: &berth_cluster_json::Map| map.get(name).cloned().unwrap_or_default();
                differences(&of(a), &of(b), &format!("{at}.{name}"), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b) {
                differences(a, b, at, found);
            }
        }
        _ if wanted != got => {
            found.insert(format!("{at}: {wanted} {got}"));
        }
        _ => {}
    }
}

/// What 1.20 writes otherwise than 1.33, and a sign that upstream keeps of a quantity that it need not rewrite.
const KNOWN: [&str; 2] = [
    "StatefulSet.status.availableReplicas: null 0",
    "Pod.spec.containers.resources.requests.cpu: \"+1\" \"1\"",
];

#[test]
fn what_a_server_writes_is_known_and_normal() {
    let mut problems = BTreeSet::new();
    let mut compared = 0;
    for scenario in scenarios_with_times() {
        for step in scenario["steps"].as_array().unwrap() {
            let body = &step["response"]["body"];
            let (Some(version), Some(kind)) = (body["apiVersion"].as_str(), body["kind"].as_str())
            else {
                continue;
            };
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let Some(schema) = schema::lookup(group, version, kind) else { continue };
            compared += 1;
            let mut read = plain(body);
            match strict::check(&mut read, &schema) {
                Err(wrong) => {
                    problems.insert(format!("{kind}: {wrong}"));
                }
                Ok(unknown) => {
                    problems.extend(unknown.fields.iter().map(|path| format!("{kind} {path}")));
                }
            }
            schema::normalise(&mut read, &schema);
            let once = read.clone();
            schema::normalise(&mut read, &schema);
            assert_eq!(once, read, "twice is as once");
            differences(&plain(body), &read, kind, &mut problems);
        }
    }
    problems.retain(|problem| !KNOWN.contains(&problem.as_str()));
    assert!(
        problems.is_empty(),
        "of {compared}:\n{}",
        problems.into_iter().collect::<Vec<_>>().join("\n")
    );
    assert!(compared > 1_000, "{compared}");
}
