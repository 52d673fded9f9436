// SPDX-License-Identifier: Apache-2.0
//! Cells of tables that several kinds have.

use crate::Map;
use crate::kinds::access::{map, text};
use serde_json::Value;

/// The name, and how old it is.
pub fn name_and_age(object: &Map, now: i64) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

/// The name.
pub fn name(object: &Map) -> Value {
    map(object, "metadata").map_or("", |meta| text(meta, "name")).into()
}

/// How old it is, in short.
pub fn age(object: &Map, now: i64) -> Value {
    since(map(object, "metadata").map_or("", |meta| text(meta, "creationTimestamp")), now).into()
}

/// The time from `time` to `now`, in short; `<unknown>` if there is none.
pub fn since(time: &str, now: i64) -> String {
    match seconds(time) {
        Some(then) => duration(now.saturating_sub(then)),
        None => "<unknown>".to_owned(),
    }
}

/// Labels in one line: `a=b,c=d`; `<none>` if there are none.
pub fn labels(labels: Option<&Map>) -> String {
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or(""));
    let mut all: Vec<String> = labels.into_iter().flatten().map(pair).collect();
    all.sort();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}

/// Seconds since 1970 of a time as Kubernetes writes it (`2006-01-02T15:04:05Z`, with or without parts of seconds).
pub fn seconds(time: &str) -> Option<i64> {
    let part = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    // Days since 1970 of the civil calendar, with years that start in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A duration as upstream's tables show it: at most two units, the smaller only while the greater is small.
pub fn duration(seconds: i64) -> String {
    let two = |a: i64, of: &str, b: i64, unit: &str| {
        if b == 0 { format!("{a}{of}") } else { format!("{a}{of}{b}{unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}
