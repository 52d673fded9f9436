// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next try, as upstream's `flowcontrol.Backoff` counts it.

use crate::time::{Millis, SECOND};

/// The first wait after something has failed again, and the longest one.
pub(crate) const FIRST: Millis = 10 * SECOND;
/// See [`FIRST`].
pub(crate) const LONGEST: Millis = 300 * SECOND;
/// What went well for longer than this is forgiven: the next wait is the first one again.
pub(crate) const FORGIVEN: Millis = 2 * LONGEST;

/// The wait of one container, or of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backoff {
    /// The wait that holds, and since when; `None` before the first try that follows a failure.
    entry: Option<(Millis, Millis)>,
}

impl Backoff {
    /// As it was noted down when the last try began.
    pub(crate) fn restored(wait: Millis, since: Millis) -> Self {
        Self { entry: (wait > 0).then_some((wait.min(LONGEST), since)) }
    }

    /// The wait that holds; 0 if there is none.
    pub(crate) fn wait(&self) -> Millis {
        self.entry.map_or(0, |(wait, _)| wait)
    }

    /// Until when to wait after what failed at `failed`; `None` if nothing holds it up.
    pub(crate) fn until(&self, failed: Millis, now: Millis) -> Option<Millis> {
        let (wait, since) = self.entry?;
        let until = failed.saturating_add(wait);
        (!expired(failed, since) && now < until).then_some(until)
    }

    /// Until when to wait after the last failure that was counted; `None` if nothing holds it up.
    pub(crate) fn held(&self, now: Millis) -> Option<Millis> {
        let (wait, since) = self.entry?;
        let until = since.saturating_add(wait);
        (now < until).then_some(until)
    }

    /// A try begins at `now` that is not counted: the wait after it is the one that holds.
    pub(crate) fn again(&mut self, now: Millis) {
        if let Some((_, since)) = &mut self.entry {
            *since = now;
        }
    }

    /// A try begins at `now`, after one that failed at `failed`.
    pub(crate) fn next(&mut self, failed: Millis, now: Millis) {
        let wait = match self.entry {
            Some((wait, since)) if !expired(failed, since) => (wait * 2).min(LONGEST),
            _ => FIRST,
        };
        self.entry = Some((wait, now));
    }
}

fn expired(failed: Millis, since: Millis) -> bool {
    failed.saturating_sub(since) > FORGIVEN
}

/// The wait before try number `tries` (from 1) of what is tried every `first`, doubling up to `longest`.
pub(crate) fn doubling(first: Millis, longest: Millis, tries: u32) -> Millis {
    first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut failed = 1_000;
        // What fails for the first time is tried again at once.
        assert_eq!(backoff.until(failed, failed), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let at = backoff.until(failed, failed).unwrap_or(failed);
            waits.push((at - failed) / SECOND);
            assert_eq!(backoff.until(failed, at), None);
            backoff.next(failed, at);
            failed = at + 500;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_are_forgiven() {
        for (ran, wait) in [(FORGIVEN, Some(20 * SECOND)), (FORGIVEN + 1, None)] {
            let mut backoff = Backoff::restored(10 * SECOND, 0);
            backoff.next(0, 5_000);
            let failed = 5_000 + ran;
            assert_eq!(backoff.until(failed, failed).map(|at| at - failed), wait);
            backoff.next(failed, failed);
            assert_eq!(backoff.wait(), if wait.is_some() { 40 * SECOND } else { FIRST });
        }
    }

    #[test]
    fn a_wait_that_was_noted_down_goes_on() {
        assert_eq!(Backoff::restored(0, 7).until(8, 8), None);
        assert_eq!(Backoff::restored(40 * SECOND, 7).until(8, 8), Some(40 * SECOND + 8));
        assert_eq!(Backoff::restored(u64::MAX, 7).wait(), LONGEST);
    }

    #[test]
    fn doubling_has_an_end() {
        assert_eq!(
            [1, 2, 3, 99].map(|tries| doubling(500, 10_000, tries)),
            [500, 1_000, 2_000, 10_000]
        );
    }
}
