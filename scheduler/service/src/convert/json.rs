// SPDX-License-Identifier: Apache-2.0
//! Parts of messages as Kubernetes' JSON.

use berth_proto::v1;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A map of texts.
pub(super) fn map(map: &BTreeMap<String, String>) -> Value {
    map.iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

/// A list.
pub(super) fn list<T>(list: &[T], entry: impl FnMut(&T) -> Value) -> Value {
    list.iter().map(entry).collect::<Vec<_>>().into()
}

/// A message that may be absent; `null` means the same as absence.
pub(super) fn maybe<T>(part: Option<&T>, value: impl FnOnce(&T) -> Value) -> Value {
    part.map_or(Value::Null, value)
}

/// A text with a default.
pub(super) fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

pub(super) fn requirement(requirement: &v1::Requirement) -> Value {
    json!({
        "key": requirement.key,
        "operator": requirement.operator,
        "values": requirement.values,
    })
}

pub(super) fn label_selector(selector: &v1::LabelSelector) -> Value {
    json!({
        "matchLabels": map(&selector.match_labels),
        "matchExpressions": list(&selector.match_expressions, requirement),
    })
}

pub(super) fn node_selector(selector: &v1::NodeSelector) -> Value {
    json!({ "nodeSelectorTerms": list(&selector.node_selector_terms, node_term) })
}

pub(super) fn node_term(term: &v1::NodeSelectorTerm) -> Value {
    json!({
        "matchExpressions": list(&term.match_expressions, requirement),
        "matchFields": list(&term.match_fields, requirement),
    })
}

/// Requests, those that are missing filled in from the limits.
pub(super) fn resources(resources: Option<&v1::ResourceRequirements>) -> Value {
    maybe(resources, |resources| {
        let mut requests = resources.limits.clone();
        requests
            .extend(resources.requests.iter().map(|(name, amount)| (name.clone(), amount.clone())));
        json!({ "requests": map(&requests) })
    })
}
