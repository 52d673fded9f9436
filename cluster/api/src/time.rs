// SPDX-License-Identifier: Apache-2.0
//! Times as objects have them, RFC 3339, and as seconds since 1970.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970 and billionths of one; none if the text is no time.
pub fn parse(text: &str) -> Option<(i64, u32)> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    // The library takes any mark between date and time; upstream does not.
    let plain = text.as_bytes().get(10) == Some(&b'T');
    plain.then(|| (time.unix_timestamp(), time.nanosecond()))
}

/// A time in whole seconds, as upstream's `Time`; none if its year has not four digits.
pub fn seconds(seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}

/// A time in microseconds, as upstream's `MicroTime`.
pub fn micros(seconds: i64, nanos: u32) -> Option<String> {
    let whole = self::seconds(seconds)?;
    let digits = format!(".{:06}Z", nanos.min(999_999_999) / 1_000);
    whole.strip_suffix('Z').map(|date| format!("{date}{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (given, wanted) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2024-02-29T23:59:59.999+02:00", "2024-02-29T21:59:59Z"),
            ("2000-03-01T00:30:00+01:00", "2000-02-29T23:30:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(given).and_then(|(at, _)| seconds(at)).as_deref(), Some(wanted));
        }
        let (at, nanos) = parse("2024-01-02T03:04:05.123456789Z").unwrap();
        assert_eq!(micros(at, nanos).unwrap(), "2024-01-02T03:04:05.123456Z");
        assert_eq!(parse("2024-02-29T12:00:01Z"), Some((1_709_208_001, 0)));
        assert_eq!(parse("2026-11-27T10:51:05Z"), Some((1_795_776_665, 0)));
        for wrong in [
            "never",
            "2024-02-30T00:00:00Z",
            "",
            "2024-01-02",
            "2023-02-29T00:00:00Z",
            "2024-01-02T03:04:05",
            "2024-01-02 03:04:05Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for at in (-62_000_000_000..250_000_000_000_i64).step_by(777_777_777) {
            assert_eq!(seconds(at).and_then(|text| parse(&text)), Some((at, 0)));
        }
    }
}
