// SPDX-License-Identifier: Apache-2.0
//! Selectors of labels as text.

use crate::kinds::view::View;
use berth_cluster_json::Value;

/// `a=b,c in (d,e),!f`, in order of the keys; empty if it selects everything.
pub(crate) fn text(selector: &Value) -> String {
    let mut all: Vec<(&str, String)> = Vec::new();
    // The oldest kind of workload has labels alone, without a form around them.
    let plain = selector.as_object().into_iter().flatten().filter(|(_, value)| value.is_string());
    for (key, value) in plain {
        all.push((key, format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for (key, value) in selector.entries("matchLabels") {
        all.push((key, format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for one in selector.list("matchExpressions") {
        let key = one.text("key");
        let mut values: Vec<&str> = one.list("values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match one.text("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        all.push((key, text));
    }
    all.sort_by_key(|(key, _)| *key);
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}
