// SPDX-License-Identifier: Apache-2.0
//! Merge patches, RFC 7396.

use crate::{Map, Refusal};
use berth_cluster_json::Value;

/// The object as the patch makes it. Lists are replaced; null takes a field away.
pub fn merge(object: Value, patch: &Value) -> Result<Value, Refusal> {
    let Value::Object(patch) = patch else {
        return Err(Refusal::bad_request("Invalid JSON Patch"));
    };
    let mut merged = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    apply(&mut merged, patch);
    Ok(Value::Object(merged))
}

fn apply(object: &mut Map, patch: &Map) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                object.remove(name);
            }
            Value::Object(inner) => {
                let place = object.entry(name.clone()).or_insert(Value::Null);
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                if let Value::Object(place) = place {
                    apply(place, inner);
                }
            }
            _ => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}
