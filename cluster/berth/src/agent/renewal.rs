// SPDX-License-Identifier: Apache-2.0
//! Certificates are renewed while the agent runs, before they end.

use super::folder::{Cluster, Folder};
use super::request::{Asker, Kind, due};
use crate::apiserver::now;
use crate::node::tell_expiry;
use berth_cluster_agent::Running;
use berth_cluster_auth::pki::Pair;
use berth_cluster_client::{Api, Way};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long is slept at most: a machine's clock is set now and then.
const NAP: Duration = Duration::from_mins(1);
/// What is waited after a failure.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_mins(1);

/// Where a new certificate goes.
#[derive(Debug, Clone)]
pub(super) enum User {
    /// Calls are made with it.
    Calls(Way),
    /// The agent's server shows it.
    Shows(Arc<Running>),
}

/// Whose certificates are renewed.
#[derive(Debug, Clone)]
pub(super) struct Renewal {
    pub(super) folder: Folder,
    pub(super) cluster: Cluster,
    pub(super) asker: Asker,
    /// As the node's agent.
    pub(super) api: Api,
}

impl Renewal {
    /// Renews one, for ever.
    pub(super) async fn keep(self, kind: Kind, mut pair: Pair, user: User) {
        loop {
            let validity = pair.validity().unwrap_or_default();
            wait_until(due(validity, chance())).await;
            let mut pause = AGAIN;
            pair = loop {
                match self.renew(kind, &user).await {
                    Ok(pair) => break pair,
                    Err(error) => {
                        let left = validity.1 - now();
                        tracing::warn!(
                            seconds_left = left,
                            "a certificate ({}) is not renewed yet: {error:#}",
                            kind.file()
                        );
                        if left <= 0 {
                            tracing::error!(
                                "the certificate {} is over; `berth agent --token TOKEN` gets another one",
                                kind.file()
                            );
                        }
                    }
                }
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN_MAX);
            };
            tracing::info!("a certificate ({}) was renewed", kind.file());
        }
    }

    async fn renew(&self, kind: Kind, user: &User) -> anyhow::Result<Pair> {
        let pair = self.asker.certificate(&self.api, kind).await?;
        self.folder.keep(kind, &pair)?;
        match user {
            User::Calls(way) => {
                way.change(&self.cluster.api(&pair).await?);
                if kind == Kind::Client {
                    let ends = pair.validity().map_or(0, |(_, ends)| ends);
                    tell_expiry(&self.api, &self.asker.node, ends).await;
                }
            }
            User::Shows(agent) => agent.show(&pair.certificate, &pair.key)?,
        }
        Ok(pair)
    }
}

async fn wait_until(second: i64) {
    loop {
        let left = u64::try_from(second - now()).unwrap_or(0);
        if left == 0 {
            return;
        }
        sleep(Duration::from_secs(left).min(NAP)).await;
    }
}

/// A number between 0 and 1.
fn chance() -> f64 {
    // Of 32 bits each has its double.
    f64::from(u32::try_from(crate::scheduler::random() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
