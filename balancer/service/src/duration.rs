// SPDX-License-Identifier: Apache-2.0
//! Durations as people write them (`1m30s`, as in Go), and as they read them.

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// Nanoseconds of a duration such as `1500ms`, `1.5s`, `1m30s`, `0`. `None` if it is none, or longer than 64 bits hold.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(product(number, *unit)?)?;
        rest = after;
    }
    Some(total)
}

/// A decimal number times a unit, exactly, rounded down.
fn product(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut step = unit;
    for digit in fraction.chars() {
        step /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?) * step)?;
    }
    Some(total)
}

/// A duration in its largest unit that divides it.
#[must_use]
pub fn shown(nanoseconds: u64) -> String {
    if nanoseconds == 0 {
        return "0".to_owned();
    }
    let largest = UNITS.iter().rev().find(|(_, unit)| nanoseconds.is_multiple_of(*unit));
    let (name, unit) = largest.unwrap_or(&UNITS[0]);
    format!("{}{name}", nanoseconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let second = 1_000_000_000;
        for (text, want) in [
            ("15s", Some(15 * second)),
            ("1m30s", Some(90 * second)),
            ("1.5h", Some(5_400 * second)),
            ("250ms", Some(second / 4)),
            (".5s", Some(second / 2)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("15", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("", None),
            ("-1s", None),
            ("1d", None),
            ("99999999999999h", None),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for nanoseconds in [0, 1, 1_500, 30_000_000_000, 90_000_000_000, 10_800_000_000_000] {
            assert_eq!(parse(&shown(nanoseconds)), Some(nanoseconds));
        }
        assert_eq!(shown(10_800_000_000_000), "3h");
        assert_eq!(shown(90_000_000_000), "90s");
    }
}
