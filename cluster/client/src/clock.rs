// SPDX-License-Identifier: Apache-2.0
//! What time it is: for timestamps in objects. Waiting is done by tokio's clock, and so is all counting of how long something takes:
//! a machine's time is set forward and back now and then, tokio's is not.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::time::Instant;

/// Where a component takes the time from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    Machine,
    /// Counted from a moment by tokio's clock, which a test can stop and move.
    Counted {
        /// Microseconds since the Unix epoch at `start`.
        at: i64,
        /// When it began to count.
        start: Instant,
    },
    /// As [`Self::Counted`], and set forward or back now and then, as a machine's is.
    Set {
        /// Microseconds since the Unix epoch at `start`, were it never set.
        at: i64,
        /// When it began to count.
        start: Instant,
        /// By how many microseconds it is set forward.
        by: &'static AtomicI64,
    },
}

impl Clock {
    /// One that begins to count now, `at` microseconds since the Unix epoch.
    pub fn counted(at: i64) -> Self {
        Self::Counted { at, start: Instant::now() }
    }

    /// Microseconds since the Unix epoch.
    pub fn micros(&self) -> i64 {
        let count = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        match self {
            // A clock before 1970 is no clock; the beginning is as good as any.
            Self::Machine => {
                count(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
            }
            Self::Counted { at, start } => at.saturating_add(count(start.elapsed())),
            Self::Set { at, start, by } => {
                let counted = at.saturating_add(count(start.elapsed()));
                counted.saturating_add(by.load(Ordering::Relaxed))
            }
        }
    }
}

fn moment(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `Time` of meta/v1: RFC 3339 to the second.
pub fn seconds(micros: i64) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    moment(micros).format(form).unwrap_or_default()
}

/// `MicroTime` of meta/v1: RFC 3339 to the microsecond.
pub fn micro_time(micros: i64) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    moment(micros).format(form).unwrap_or_default()
}

/// Reads a `Time` or a `MicroTime`: microseconds since the Unix epoch; none if it is neither.
pub fn parse(text: &str) -> Option<i64> {
    let moment =
        OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_as_kubernetes_does() {
        let at = 1_800_000_000_012_345;
        assert_eq!(seconds(at), "2027-01-15T08:00:00Z");
        assert_eq!(micro_time(at), "2027-01-15T08:00:00.012345Z");
        assert_eq!(parse(&micro_time(at)), Some(at));
        assert_eq!(parse("2027-01-15T09:00:00+01:00"), Some(1_800_000_000_000_000));
        assert_eq!(parse("yesterday"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_counted_clock_goes_by_tokios() {
        let clock = Clock::counted(7);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(clock.micros(), 2_007);
        assert!(Clock::Machine.micros() > 1_700_000_000_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_goes_on_from_there() {
        static BY: AtomicI64 = AtomicI64::new(0);
        let clock = Clock::Set { at: 7, start: Instant::now(), by: &BY };
        tokio::time::sleep(Duration::from_millis(2)).await;
        BY.store(-1_000, Ordering::Relaxed);
        assert_eq!(clock.micros(), 1_007);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(clock.micros(), 3_007);
    }
}
