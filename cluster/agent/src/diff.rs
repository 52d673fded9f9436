// SPDX-License-Identifier: Apache-2.0
//! What of a pod's status is to be written: what has changed, and nothing that is others' to write. Pure.

use serde_json::{Map, Value, json};

/// Conditions that the agent answers for.
const OWN: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
/// One that several write; this reason is the agent's.
const DISRUPTION: (&str, &str) = ("DisruptionTarget", "TerminationByKubelet");
/// What others write.
const THEIRS: [&str; 4] =
    ["ephemeralContainerStatuses", "nominatedNodeName", "resize", "resourceClaimStatuses"];
/// Lists whose elements the server merges by their address.
const ADDRESSES: [&str; 2] = ["podIPs", "hostIPs"];

/// A strategic merge patch from the status that the API has to the one that it should have; none if it has that.
pub(crate) fn patch(uid: &str, old: &Value, new: &Value) -> Option<Value> {
    let nothing = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&nothing), new.as_object().unwrap_or(&nothing));
    let mut changes = Map::new();
    for (key, value) in new {
        if THEIRS.contains(&key.as_str()) || old.get(key) == Some(value) {
            continue;
        }
        let before = old.get(key);
        let change = match key.as_str() {
            "conditions" => conditions(before, value),
            key if ADDRESSES.contains(&key) => Some(addresses(before, value)),
            _ => Some(value.clone()),
        };
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    for key in old.keys() {
        let kept = key == "conditions" || THEIRS.contains(&key.as_str());
        if !kept && !new.contains_key(key) {
            changes.insert(key.clone(), Value::Null);
        }
    }
    (!changes.is_empty()).then(|| json!({ "metadata": { "uid": uid }, "status": changes }))
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Own conditions that have changed.
fn conditions(old: Option<&Value>, new: &Value) -> Option<Value> {
    let own = |one: &&Value| {
        let kind = one["type"].as_str().unwrap_or_default();
        OWN.contains(&kind) || (kind, one["reason"].as_str().unwrap_or_default()) == DISRUPTION
    };
    let mut changed = Vec::new();
    for one in list(Some(new)).iter().filter(own) {
        let before = list(old).iter().find(|before| before["type"] == one["type"]);
        if before == Some(one) {
            continue;
        }
        let mut one = one.clone();
        // What is left out of a merge stays: it has to be said that it goes.
        for key in before.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            if one.get(key).is_none() {
                one[key] = Value::Null;
            }
        }
        changed.push(one);
    }
    (!changed.is_empty()).then_some(Value::Array(changed))
}

/// The new addresses, and those that go.
fn addresses(old: Option<&Value>, new: &Value) -> Value {
    let mut all = list(Some(new)).to_vec();
    for before in list(old) {
        if !list(Some(new)).iter().any(|one| one["ip"] == before["ip"]) {
            all.push(json!({ "$patch": "delete", "ip": before["ip"] }));
        }
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(old: &Value, new: &Value) -> Option<Value> {
        patch("u", old, new).map(|mut patch| {
            assert_eq!(patch["metadata"]["uid"], "u");
            patch["status"].take()
        })
    }

    #[test]
    fn only_what_has_changed_is_written() {
        let old = json!({"phase": "Pending", "reason": "Old", "qosClass": "Burstable", "podIPs": [{"ip": "1.1.1.1"}]});
        let new =
            json!({"phase": "Running", "qosClass": "Burstable", "podIPs": [{"ip": "2.2.2.2"}]});
        let gone = json!({"$patch": "delete", "ip": "1.1.1.1"});
        let wanted =
            json!({"phase": "Running", "reason": null, "podIPs": [{"ip": "2.2.2.2"}, gone]});
        assert_eq!(of(&old, &new), Some(wanted));
        assert_eq!(of(&new, &new), None);
        assert_eq!(of(&Value::Null, &new), Some(new));
    }

    #[test]
    fn what_others_write_is_left_alone() {
        let old = json!({"nominatedNodeName": "n", "conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
            {"type": "PodScheduled", "status": "True"}, {"type": "example.com/gate", "status": "True"},
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]});
        let new = json!({"nominatedNodeName": "m", "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"},
            {"type": "example.com/gate", "status": "False"},
            {"type": "DisruptionTarget", "status": "False", "reason": "EvictionByEvictionAPI"}]});
        let wanted = json!({"conditions": [{"type": "Ready", "status": "True", "reason": null}]});
        assert_eq!(of(&old, &new), Some(wanted));
        assert_eq!(of(&old, &json!({})), None);
    }
}
