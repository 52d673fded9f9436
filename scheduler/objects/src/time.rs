// SPDX-License-Identifier: Apache-2.0
//! Times in RFC 3339 as microseconds since the Unix epoch.

/// Reads `2026-01-31T12:00:00Z`, with an optional fraction and any offset; `None` when it is none.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.strip_prefix(['T', 't'])?.split_at_checked(8)?;
    let mut date = date.split('-').map(digits);
    let mut clock = clock.split(':').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !possible || date.next().is_some() || clock.next().is_some() {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (fraction, zone) = rest.split_at(end);
            (digits(&format!("{fraction:0<6}")[..6])?, zone)
        }
        None => (0, rest),
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset(zone)?) * 1_000_000 + fraction)
}

/// The offset from UTC in seconds.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hour, minute) = rest.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Some(sign * (digits(hour)? * 3_600 + digits(minute)? * 60))
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "days from civil").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn times_are_read() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(micros("2000-02-29T23:59:59Z"), Some(951_868_799_000_000));
        assert_eq!(micros("2026-03-23T19:54:24Z"), Some(1_774_295_664_000_000));
        assert_eq!(micros("2026-03-23T21:54:24.5+02:00"), Some(1_774_295_664_500_000));
        assert_eq!(micros("2026-03-23T19:54:24.1234567Z"), Some(1_774_295_664_123_456));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-03-23",
            "2026-13-01T00:00:00Z",
            "2026-03-23T19:54:24",
            "2026-03-23T19:54Z",
            "2026-03-23T25:00:00Z",
            "2026-03-23T19:54:24.Z0",
            "2026-03-23T19:54:24+2",
            "2026-3-23T019:54:24Z",
            "äää-03-23T19:54:24Z",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
