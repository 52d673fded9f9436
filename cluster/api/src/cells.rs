// SPDX-License-Identifier: Apache-2.0
//! Cells of tables that several kinds have.

use crate::Map;
use serde_json::Value;

/// The name, and when it was created.
pub fn name_and_age(object: &Map, _now: i64) -> Vec<Value> {
    let meta = |field: &str| {
        object.get("metadata").and_then(|meta| meta.get(field)).cloned().unwrap_or(Value::Null)
    };
    vec![meta("name"), meta("creationTimestamp")]
}
