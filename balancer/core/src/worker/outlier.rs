// SPDX-License-Identifier: Apache-2.0
//! Ejecting backends that fail.
//!
//! | state | event | next |
//! |---|---|---|
//! | in use | a failure, fewer than `failures` in a row | in use |
//! | in use | the `failures`-th in a row, and fewer ejected than `percent_max` allows | ejected for n x `ejection_ns` |
//! | in use | the same, but as many are ejected | in use, and tried again at the next failure |
//! | ejected | its time is over | in use; n + 1 the next time |
//! | in use | each `ejection_ns` without being ejected | n - 1 |

use super::Worker;
use crate::model::Outlier;
use crate::table::{BackendId, Frontend};

/// What speaks against a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Until when it is passed over, in nanoseconds; in the past if it is not.
    pub until_ns: u64,
    /// Ejections in short order.
    pub ejections: u16,
    /// Failures in a row.
    pub failures: u16,
}

impl Worker {
    /// What speaks against a backend, for a worker that takes over; `None` if nothing does.
    #[must_use]
    pub fn record(&self, backend: BackendId) -> Option<Record> {
        let state = self.states.get(backend);
        let (until_ns, ejections, failures) =
            (state.ejected_until, state.ejections, state.failures);
        (ejections > 0 || failures > 0).then_some(Record { until_ns, ejections, failures })
    }

    /// Takes over what speaks against a backend of its table.
    pub fn restore(&mut self, backend: BackendId, record: Record) {
        let state = self.states.of(backend);
        state.ejected_until = record.until_ns;
        (state.ejections, state.failures) = (record.ejections, record.failures);
    }

    /// Ejects a backend if it failed often enough.
    pub(super) fn judge(&mut self, frontend: &Frontend, backend: BackendId, now: u64) {
        let Some(outlier) = frontend.settings.outlier else { return };
        let state = self.states.get(backend);
        if state.failures < outlier.failures || state.ejected_until > now {
            return;
        }
        let ejected = |id| self.states.get(id).ejected_until > now;
        let out = frontend.backends.iter().filter(|other| ejected(other.id)).count();
        let most = frontend.backends.len() * usize::from(outlier.percent_max) / 100;
        if out >= most {
            return;
        }
        let state = self.states.of(backend);
        let forgiven = now.saturating_sub(state.ejected_until) / outlier.ejection_ns.max(1);
        let forgiven = u16::try_from(forgiven).unwrap_or(u16::MAX);
        state.ejections = state.ejections.saturating_sub(forgiven).saturating_add(1);
        state.ejected_until = now.saturating_add(time(&outlier, state.ejections));
        state.failures = 0;
    }
}

/// Time of the n-th ejection in short order.
fn time(outlier: &Outlier, ejections: u16) -> u64 {
    outlier.ejection_ns.saturating_mul(ejections.into()).min(outlier.ejection_ns_max)
}
