// SPDX-License-Identifier: Apache-2.0
//! Times. The machine has no clock: whoever calls it says what time it is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Milliseconds: since the Unix epoch where it is a time, by a clock that never goes back.
pub type Millis = u64;

/// A second.
pub(crate) const SECOND: Millis = 1_000;

/// Seconds of the API as milliseconds; what is below zero counts as none.
pub(crate) fn seconds(seconds: i64) -> Millis {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND)
}

/// A time as objects carry it: in whole seconds.
pub(crate) fn stamp(at: Millis) -> Time {
    let second = i64::try_from(at / SECOND).unwrap_or(i64::MAX);
    Time(Timestamp::from_second(second).unwrap_or(Timestamp::MAX))
}

/// A time that an object carries.
pub(crate) fn unstamp(time: &Time) -> Millis {
    seconds(time.0.as_second())
}

/// A duration as Go prints one: `10s`, `1m20s`, `5m0s`, `1.5s`, `800ms`.
pub(crate) fn go_duration(duration: Millis) -> String {
    let (minutes, rest) = (duration / 60_000, duration % 60_000);
    let (whole, millis) = (rest / SECOND, rest % SECOND);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    let fraction = fraction.trim_end_matches('0');
    match (minutes, whole) {
        (0, 0) if millis > 0 => format!("{millis}ms"),
        (0, _) => format!("{whole}{fraction}s"),
        (..60, _) => format!("{minutes}m{whole}{fraction}s"),
        _ => format!("{}h{}m{whole}{fraction}s", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (duration, text) in [
            (0, "0s"),
            (800, "800ms"),
            (1_500, "1.5s"),
            (1_230, "1.23s"),
            (10_000, "10s"),
            (80_000, "1m20s"),
            (300_000, "5m0s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(duration), text);
        }
    }

    #[test]
    fn times_of_objects_are_whole_seconds() {
        assert_eq!(unstamp(&stamp(1_700_000_000_999)), 1_700_000_000_000);
        assert_eq!(unstamp(&stamp(u64::MAX)), seconds(Timestamp::MAX.as_second()));
    }
}
