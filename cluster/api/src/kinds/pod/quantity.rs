// SPDX-License-Identifier: Apache-2.0
//! Amounts of resources, in billionths: enough to compare and to see fractions.

use crate::Map;
use crate::kinds::access::map_mut;
use crate::schema::quantity;
use berth_cluster_json::Value;

/// The amount in billionths; none if it is not well formed.
pub(crate) fn nano(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => quantity::nano(&number.to_string()),
        Value::String(text) => quantity::nano(text),
        _ => None,
    }
}

/// Whether the amount is a whole number.
pub(crate) fn is_whole(value: &Value) -> bool {
    nano(value).is_some_and(|amount| amount % quantity::NANO == 0)
}

/// Rounds the amounts below `field` up to thousandths: upstream's types once held no less.
pub(crate) fn round(owner: &mut Map, field: &str) {
    for amount in map_mut(owner, field).into_iter().flat_map(Map::values_mut) {
        if let Some(rounded) = amount.as_str().and_then(quantity::milli) {
            *amount = rounded.into();
        }
    }
}
