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

/// Whether a text surely is a time in whole seconds as [`seconds`] writes it. Of a few that are (the last days of months) it does not know.
pub fn is_canonical(text: &str) -> bool {
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
        s0,
        s1,
        b'Z',
    ] = text.as_bytes()
    else {
        return false;
    };
    let digits = [y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, n0, n1, s0, s1];
    let two = |tens: &u8, ones: &u8| u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    digits.iter().all(|digit| digit.is_ascii_digit())
        && (1..=12).contains(&two(m0, m1))
        && (1..=28).contains(&two(d0, d1))
        && two(h0, h1) < 24
        && two(n0, n1) < 60
        && two(s0, s1) < 60
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
            let text = seconds(at).unwrap();
            assert_eq!(parse(&text), Some((at, 0)));
            assert!(is_canonical(&text) || ["29", "30", "31"].contains(&&text[8..10]), "{text}");
        }
        for text in [
            "2024-13-02T03:04:05Z",
            "2024-00-02T03:04:05Z",
            "2024-01-00T03:04:05Z",
            "2024-01-02T24:04:05Z",
            "2024-01-02t03:04:05Z",
            "2024-01-02T03:60:05Z",
            "2024-01-02T03:04:60Z",
            "2024-01-02T03:04:05+",
            "2024-01-02T03:04:05.1Z",
            "+024-01-02T03:04:05Z",
        ] {
            assert!(!is_canonical(text), "{text}");
        }
    }
}
