// SPDX-License-Identifier: Apache-2.0
//! Cells of tables that several kinds have.

use crate::Map;
use crate::kinds::access::{map, text};
use berth_cluster_json::{Text, Value};

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
    match crate::time::parse(time) {
        Some((then, _)) => duration(now.saturating_sub(then)),
        None => "<unknown>".to_owned(),
    }
}

/// Labels in one line: `a=b,c=d`; `<none>` if there are none.
pub fn labels(labels: Option<&Map>) -> String {
    let pair = |(key, value): (&Text, &Value)| format!("{key}={}", value.as_str().unwrap_or(""));
    let mut all: Vec<String> = labels.into_iter().flatten().map(pair).collect();
    all.sort();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_where_they_are_short() {
        let ages =
            [(5, "5s"), (125, "2m5s"), (3600, "60m"), (5 * 3600 + 60, "5h1m"), (86_400 * 3, "3d")];
        for (passed, text) in ages {
            assert_eq!(since("1970-01-01T00:00:00Z", passed), text);
        }
        assert_eq!(since("", 0), "<unknown>");
    }
}
