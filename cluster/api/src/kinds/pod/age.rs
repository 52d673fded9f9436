// SPDX-License-Identifier: Apache-2.0
//! How long ago something was, as tables show it.

/// Seconds since 1970 of a time as the API writes it.
pub(crate) fn seconds(time: &str) -> Option<i64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // years from March on: the day that leap years have comes last
    let year = if month <= 2 { year - 1 } else { year };
    let days_of_months = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some((days + days_of_months - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The time since then, with at most two units; upstream's `HumanDuration`.
pub(crate) fn since(time: &str, now: i64) -> String {
    let Some(then) = seconds(time) else { return "<unknown>".to_owned() };
    let passed = now - then;
    let (minutes, hours) = (passed / 60, passed / 3600);
    let two = |whole: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    if passed < -1 {
        "<invalid>".to_owned()
    } else if passed < 0 {
        "0s".to_owned()
    } else if passed < 120 {
        format!("{passed}s")
    } else if minutes < 10 {
        two(minutes, "m", passed % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        two(hours / 24, "d", hours % 24, "h")
    } else if hours < 24 * 365 * 2 {
        format!("{}d", hours / 24)
    } else if hours < 24 * 365 * 8 {
        two(hours / 24 / 365, "y", hours / 24 % 365, "d")
    } else {
        format!("{}y", hours / 24 / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2024-02-29T12:00:01Z"), Some(1_709_208_001));
        assert_eq!(seconds("never"), None);
    }

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
