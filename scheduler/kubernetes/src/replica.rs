// SPDX-License-Identifier: Apache-2.0
//! One of several schedulers of a cluster: it schedules while it leads.

use crate::feed::Followers;
use crate::run::{Options, Scheduler};
use crate::stats::Stats;
use berth_cluster_client::Api;
use berth_cluster_client::election::{self, Election, Leading};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

/// Who is not elected by then waits for another one's end.
const ALONE: Duration = Duration::from_secs(1);

/// A scheduler that runs, or waits to lead. Dropping it ends it at once.
#[derive(Debug)]
pub struct Replica {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    stats: Arc<Stats>,
}

/// Whether a replica runs.
#[derive(Debug, Clone)]
pub struct Health(AbortHandle);

impl Health {
    /// Whether it has not ended, by itself or by a mistake.
    pub fn is_alive(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replica {
    /// Starts one. With `election` it schedules only while it is the leader, and its writes say so (`Berth-Fence`).
    pub fn start(api: Api, options: Options, election: Option<election::Options>) -> Self {
        let stats = Arc::new(Stats::default());
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::clone(&stats);
        let task = tokio::spawn(async move {
            match election {
                Some(election) => contend(api, options, election, counts, stopped).await,
                None => {
                    counts.set_leads(true);
                    term(Scheduler::start(api, options, counts), stopped).await;
                }
            }
        });
        Self { task, stop, stats }
    }

    /// What it has done.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Whether it runs still, to be asked by others.
    pub fn health(&self) -> Health {
        Health(self.task.abort_handle())
    }

    /// Ends it: what is under way is waited for, and then another one may lead.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        drop((&mut self.task).await);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the replica.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Schedules until it is told to stop.
async fn term(scheduler: Scheduler, mut stop: watch::Receiver<bool>) {
    stopped(&mut stop).await;
    scheduler.stop().await;
}

/// Waits until it leads. Meanwhile it follows what it will need to know; not where nobody else leads.
async fn elected(contender: &mut Election, api: &Api, seed: u64) -> (Leading, Option<Followers>) {
    if let Ok(leading) = timeout(ALONE, contender.elected()).await {
        return (leading, None);
    }
    let followers = Followers::start(api, seed);
    (contender.elected().await, Some(followers))
}

async fn contend(
    api: Api,
    options: Options,
    election: election::Options,
    stats: Arc<Stats>,
    mut stop: watch::Receiver<bool>,
) {
    let identity = election.identity.clone();
    let mut contender = Election::start(api.clone(), election);
    loop {
        let (leading, followers) = tokio::select! {
            biased;
            elected = elected(&mut contender, &api, options.seed) => elected,
            () = stopped(&mut stop) => break,
        };
        tracing::info!(identity, "this scheduler leads");
        stats.set_leads(true);
        let api = leading.fenced(api.clone());
        let scheduler = Scheduler::with(followers, api, options.clone(), Arc::clone(&stats));
        let ended = tokio::select! {
            biased;
            () = leading.lost() => false,
            () = stopped(&mut stop) => true,
        };
        if ended {
            scheduler.stop().await;
            break;
        }
        // Nothing more is begun: whoever leads now begins anew from what the API shows.
        drop(scheduler);
        stats.set_leads(false);
        tracing::warn!(identity, "this scheduler leads no more");
    }
    stats.set_leads(false);
    contender.release().await;
}
