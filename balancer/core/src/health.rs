// SPDX-License-Identifier: Apache-2.0
//! Active health: one state machine per endpoint that is checked.
//!
//! | state | event | next |
//! |---|---|---|
//! | healthy | `fall` failures in a row | unhealthy |
//! | unhealthy | `rise` successes in a row | healthy |
//! | either | a result of the other kind before that | the same, counted from 0 |
//!
//! It begins healthy: an endpoint that its source of truth calls ready gets flows at once, and `fall` failures take it out. The
//! shell makes the checks, asks [`Health::due`], and turns what comes out into a change of the table.

use crate::model::HealthCheck;

/// The health of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    healthy: bool,
    /// Results in a row that speak against `healthy`.
    against: u16,
    /// When the next check begins, in nanoseconds.
    next: u64,
    /// When the check that runs has failed, in nanoseconds.
    deadline: Option<u64>,
}

/// What a result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// The endpoint is healthy again.
    Healthy,
    /// The endpoint is unhealthy.
    Unhealthy,
}

/// What is to be done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Begin a check, and call [`Health::started`].
    Check,
    /// The check that runs took too long: end it, and call [`Health::finished`] with a failure.
    Timeout,
    /// Nothing until then, in nanoseconds.
    Wait(u64),
}

impl Health {
    /// An endpoint whose first check is due within one interval from `now`: where in it follows from `spread`, any number, so that
    /// the checks of many endpoints do not all begin at once.
    #[must_use]
    pub fn new(check: &HealthCheck, spread: u64, now: u64) -> Self {
        let offset = (u128::from(crate::random::mix(spread)) * u128::from(check.interval_ns)) >> 64;
        let next = now.saturating_add(u64::try_from(offset).unwrap_or(0));
        Self { healthy: true, against: 0, next, deadline: None }
    }

    /// Whether the endpoint is healthy.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// What is to be done at `now` (nanoseconds).
    #[must_use]
    pub fn due(&self, now: u64) -> Due {
        match self.deadline {
            Some(deadline) if deadline <= now => Due::Timeout,
            Some(deadline) => Due::Wait(deadline),
            None if self.next <= now => Due::Check,
            None => Due::Wait(self.next),
        }
    }

    /// A check began at `now`.
    pub fn started(&mut self, check: &HealthCheck, now: u64) {
        self.deadline = Some(now.saturating_add(check.timeout_ns));
        // From the planned time, so that checks do not drift; from now on if that is long ago.
        self.next = self.next.saturating_add(check.interval_ns).max(now);
    }

    /// The check that ran succeeded or failed.
    pub fn finished(&mut self, check: &HealthCheck, success: bool) -> Option<Turned> {
        self.deadline = None;
        if success == self.healthy {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let enough = if self.healthy { check.fall } else { check.rise };
        if self.against < enough {
            return None;
        }
        self.against = 0;
        self.healthy = success;
        Some(if success { Turned::Healthy } else { Turned::Unhealthy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn check() -> HealthCheck {
        HealthCheck { rise: 2, fall: 3, ..HealthCheck::default() }
    }

    fn results(health: &mut Health, results: &str) -> std::string::String {
        let turned = |result| match health.finished(&check(), result == '+') {
            Some(Turned::Healthy) => 'H',
            Some(Turned::Unhealthy) => 'U',
            None => '.',
        };
        results.chars().map(turned).collect()
    }

    #[test]
    fn results_in_a_row_turn_it() {
        let mut health = Health::new(&check(), 1, 0);
        assert!(health.is_healthy(), "until something speaks against it");
        assert_eq!(results(&mut health, "--+---"), ".....U");
        assert_eq!(results(&mut health, "-+-+-++"), "......H");
        assert_eq!(results(&mut health, "+--+--+--"), ".........", "never three in a row");
        assert_eq!(results(&mut health, "-"), "U");
    }

    #[test]
    fn checks_come_at_their_interval_and_time_out() {
        let (check, mut checks, mut now) = (check(), 0, 0);
        let mut health = Health::new(&check, 7, 0);
        let mut timeouts = 0;
        while now < 100 * SECOND {
            match health.due(now) {
                Due::Check => {
                    checks += 1;
                    health.started(&check, now);
                    if checks % 10 != 0 {
                        assert_eq!(health.finished(&check, true), None);
                    }
                }
                Due::Timeout => {
                    timeouts += 1;
                    assert_eq!(health.finished(&check, false), None);
                }
                Due::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        assert_eq!((checks, timeouts), (50, 5));
    }

    #[test]
    fn first_checks_are_spread_over_the_interval() {
        let early =
            |spread: &u64| matches!(Health::new(&check(), *spread, 5).due(SECOND + 5), Due::Check);
        let early = (0..1_000).filter(early).count();
        assert!((430..570).contains(&early), "{early} of 1000 in the first half");
    }

    #[test]
    fn a_late_check_is_not_made_up_for() {
        let mut health = Health::new(&check(), 1, 0);
        health.started(&check(), 60 * SECOND);
        health.finished(&check(), true);
        assert_eq!(health.due(60 * SECOND), Due::Check);
        health.started(&check(), 60 * SECOND);
        health.finished(&check(), true);
        assert_eq!(health.due(60 * SECOND), Due::Wait(62 * SECOND));
    }
}
