// SPDX-License-Identifier: Apache-2.0
//! Faults on purpose: how clients and components take errors and delays can be tried with a server that makes them.

use crate::ask::Ask;
use crate::environment::Environment;
use berth_cluster_api::Refusal;
use std::time::Duration;

/// Which faults are made, and how often. None by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Of 1,000 requests so many are refused with 503 before anything is done.
    pub unavailable: u16,
    /// Of 1,000 requests so many are refused with 429.
    pub too_many: u16,
    /// Of 1,000 requests so many wait for [`delay`](Self::delay).
    pub slow: u16,
    /// Of 1,000 requests so many are carried out, and answered with 504: as if the answer was lost.
    pub lost: u16,
    /// How long slow requests wait.
    pub delay: Duration,
}

impl Faults {
    /// Makes the faults that come before a request is carried out.
    pub(crate) async fn before(
        &self,
        environment: &dyn Environment,
        ask: &Ask,
    ) -> Result<(), Refusal> {
        let hits = |of| hits(environment, of);
        if hits(self.slow) {
            tokio::time::sleep(self.delay).await;
        }
        if hits(self.unavailable) {
            let text = format!("a fault on purpose: {} of {}", ask.verb, ask.kind.plural);
            return Err(Refusal::new(503, "ServiceUnavailable", text));
        }
        if hits(self.too_many) {
            return Err(Refusal::too_many_requests("a fault on purpose", 1));
        }
        Ok(())
    }

    /// Makes the fault that comes after a request was carried out.
    pub(crate) fn after(&self, environment: &dyn Environment) -> Result<(), Refusal> {
        if hits(environment, self.lost) {
            return Err(Refusal::new(
                504,
                "Timeout",
                "a fault on purpose: what was done is not told",
            ));
        }
        Ok(())
    }
}

fn hits(environment: &dyn Environment, of: u16) -> bool {
    of > 0 && environment.random() % 1_000 < u64::from(of)
}
