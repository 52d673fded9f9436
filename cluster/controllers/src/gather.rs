// SPDX-License-Identifier: Apache-2.0
//! How long changes of an owner's objects are gathered before it is looked at: looking costs what all of them cost, so whoever has more
//! is looked at less often.

use std::time::Duration;

/// For each object. Looking at one is taken to cost some two microseconds (an estimate), so that looking again and again takes a tenth of
/// a core.
const EACH: Duration = Duration::from_micros(20);
/// Nobody waits longer.
const MOST: Duration = Duration::from_secs(1);

/// How long changes of one of so many objects are gathered.
pub(crate) fn pause(objects: usize) -> Duration {
    EACH.saturating_mul(u32::try_from(objects).unwrap_or(u32::MAX)).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_waits_longer_up_to_a_bound() {
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(10_000), Duration::from_millis(200));
        assert_eq!([pause(50_000), pause(usize::MAX)], [MOST; 2]);
    }
}
