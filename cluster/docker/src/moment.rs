// SPDX-License-Identifier: Apache-2.0
//! Moments as an engine writes them (RFC 3339), to the nanosecond.

use std::fmt;

const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// The bytes of a moment before each line of a log: always nine digits of a second, always UTC.
pub(crate) const FIXED: usize = "2006-01-02T15:04:05.000000000Z".len();

/// A moment: nanoseconds since 1970 began in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// Reads one. None for what is no moment, and for `0001-01-01T00:00:00Z`, which stands for none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
            return None;
        }
        let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = fraction(text.get(19..)?)?;
        let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset(zone)?;
        seconds.checked_mul(SECOND)?.checked_add(nanos).map(Self)
    }

    /// As an engine wants it in a query: seconds, and nine digits behind a point.
    #[must_use]
    pub fn query(self) -> String {
        format!("{}.{:09}", self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND));
        let (year, month, day) = date(seconds.div_euclid(DAY_SECONDS));
        let of_day = seconds.rem_euclid(DAY_SECONDS);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

/// The nanoseconds of `.123` and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, zone) = digits.split_at(end);
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    Some((format!("{digits:0<9}").parse().ok()?, zone))
}

/// Seconds that `Z` or `+hh:mm` is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok())?.map(i64::from);
    Some(sign * (two(hours)? * 3600 + two(minutes)? * 60))
}

/// Days from 1970 began to a date of the Gregorian calendar, whose years are counted from March so that the odd day is a year's last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The other way round.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_engines_are_read() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.000000001Z", Some(1)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500_000_000)),
            ("2026-11-28T18:48:32.123456789Z", Some(1_795_891_712_123_456_789)),
            ("2026-11-28T20:48:32.123456789+02:00", Some(1_795_891_712_123_456_789)),
            ("2026-11-28T17:18:32.123456789-01:30", Some(1_795_891_712_123_456_789)),
            ("0001-01-01T00:00:00Z", None),
            ("2026-13-28T18:48:32Z", None),
            ("2026-11-28T24:48:32Z", None),
            ("2026-11-28 18:48:32Z", None),
            ("2026-11-28T18:48:32", None),
            ("2026-11-28T18:48:32.Z", None),
            ("2026-11-28T18:48:32.1234567890Z", None),
            ("2026-11-28T18:48:32+2", None),
            ("+026-11-28T18:48:32Z", None),
            ("", None),
            ("äöü6-11-28T18:48:32Z", None),
        ] {
            assert_eq!(Moment::parse(text), nanos.map(Moment), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // To the year 2191.
            let moment = Moment(i64::try_from(state >> 1).unwrap() % 7_000_000_000_000_000_000);
            let text = moment.to_string();
            assert_eq!((Moment::parse(&text), text.len()), (Some(moment), FIXED), "{text}");
        }
        assert_eq!(Moment(1_500_000_000).query(), "1.500000000");
    }
}
