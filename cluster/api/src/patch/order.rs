// SPDX-License-Identifier: Apache-2.0
//! The order of a merged list: what the patch names stands in the patch's order, everything else keeps its place among it as far as
//! the two orders agree.

use berth_cluster_json::Value;
use std::collections::BTreeMap;

/// What an item is told apart by: the merge key of an object, or the whole of a scalar.
pub(super) fn identity(item: &Value, key: &str) -> String {
    let told = if key.is_empty() { Some(item) } else { item.get(key) };
    match told {
        // a text and a number that looks like it are the same to upstream, which compares them as printed
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// Puts the items of `merged` in order, where `wanted` is the order of the patch and `before` the list as it was.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    before: &[Value],
    key: &str,
) -> Vec<Value> {
    let places = |list: &[Value]| {
        let mut places = BTreeMap::new();
        for (place, item) in list.iter().enumerate() {
            places.entry(identity(item, key)).or_insert(place);
        }
        places
    };
    let (wanted, before) = (places(wanted), places(before));
    let (mut named, mut other): (Vec<_>, Vec<_>) = merged
        .into_iter()
        .map(|item| (identity(&item, key), item))
        .partition(|(name, _)| wanted.contains_key(name));
    let place = |places: &BTreeMap<String, usize>, name: &String| {
        places.get(name).copied().unwrap_or(usize::MAX)
    };
    named.sort_by_key(|(name, _)| place(&wanted, name));
    other.sort_by_key(|(name, _)| place(&before, name));
    let mut all = Vec::with_capacity(named.len() + other.len());
    let (mut named, mut other) = (named.into_iter().peekable(), other.into_iter().peekable());
    while let Some((name, _)) = other.peek() {
        let first = match named.peek() {
            None => true,
            Some((patched, _)) => match (before.get(name), before.get(patched)) {
                (Some(one), Some(two)) => one < two,
                _ => false,
            },
        };
        let next = if first { other.next() } else { named.next() };
        all.extend(next.map(|(_, item)| item));
    }
    all.extend(named.map(|(_, item)| item));
    all
}
