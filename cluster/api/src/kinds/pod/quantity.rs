// SPDX-License-Identifier: Apache-2.0
//! Amounts of resources, in billionths: enough to compare and to see fractions.

use serde_json::Value;

const NANO: i128 = 1_000_000_000;

/// The amount in billionths; none if it is not well formed.
pub(crate) fn nano(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => parse(&number.to_string()),
        Value::String(text) => parse(text),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let padded: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let amount = whole.checked_mul(NANO)?.checked_add(padded.parse().ok()?)?;
    let amount = scale(amount, suffix)?;
    Some(if negative { -amount } else { amount })
}

fn scale(amount: i128, suffix: &str) -> Option<i128> {
    let binary = |power: u32| amount.checked_mul(1024_i128.checked_pow(power)?);
    let decimal = |power: i32| {
        let factor = 10_i128.checked_pow(power.unsigned_abs())?;
        if power < 0 { Some(amount / factor) } else { amount.checked_mul(factor) }
    };
    match suffix {
        "" => Some(amount),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => decimal(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

/// Whether the amount is a whole number.
pub(crate) fn is_whole(value: &Value) -> bool {
    nano(value).is_some_and(|amount| amount % NANO == 0)
}
