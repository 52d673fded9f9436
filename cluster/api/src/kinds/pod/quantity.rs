// SPDX-License-Identifier: Apache-2.0
//! Amounts of resources, in billionths: enough to compare and to see fractions.

use crate::schema::quantity;
use serde_json::Value;

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
