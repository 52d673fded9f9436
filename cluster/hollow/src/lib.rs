// SPDX-License-Identifier: Apache-2.0
//! Simulated nodes, as kubemark has them: they register, renew their leases, tell that they are well, and run the pods that are bound to
//! them by telling so. Nothing runs. A node costs some hundred bytes here, whatever it costs the API.
//!
//! What they do follows from their number, from annotations of pods ([`DURATION`], [`EXIT_CODE`], [`STOP`]) and of nodes ([`SILENT`]), and from
//! the [`Options`], so a program that begins anew takes over nodes and pods of the one before it.
#![forbid(unsafe_code)]

mod agents;
mod life;
mod node;
mod options;
mod place;
mod pod;
mod pods;
mod shared;
mod status;
mod wait;
mod wheel;

pub use node::{SILENT, SIMULATED};
pub use options::{Failures, Identity, Options, Outage, Writes};
pub use pod::{DURATION, EXIT_CODE, STOP, USAGE};

use agents::Agents;
use berth_cluster_client::{Api, Informer, Resource};
use pod::Pod;
use pods::Pods;
use shared::Shared;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How long calls that are under way may take to end.
const LAST_CALLS: Duration = Duration::from_secs(15);

/// Nodes that are simulated, until this is stopped or dropped.
#[derive(Debug)]
pub struct Hollow {
    shared: Arc<Shared>,
    pods: Informer<Pod>,
    tasks: JoinSet<()>,
}

impl Hollow {
    /// Begins. Who calls has to be allowed to list and watch nodes and pods; what nodes write is written as [`Options::identity`] says.
    /// Has to be called within a runtime.
    pub fn start(api: Api, options: Options) -> Self {
        let label = format!("labelSelector={}%3Dtrue", SIMULATED.replace('/', "%2F"));
        let resource = Resource { query: label, ..Resource::new("", "v1", "nodes") };
        let nodes = Informer::start(api.clone(), resource, options.seed);
        // Those that are bound: what is not is no node's.
        let bound = "fieldSelector=spec.nodeName%21%3D".to_owned();
        let resource = Resource { query: bound, ..Resource::new("", "v1", "pods") };
        let pods = Informer::start(api.clone(), resource, options.seed.wrapping_add(1));
        let outages = options.outages.clone();
        let shared = Arc::new(Shared::new(api, options, nodes));
        let mut tasks = JoinSet::new();
        tasks.spawn(Agents::new(Arc::clone(&shared)).run());
        tasks.spawn(Pods::new(Arc::clone(&shared), pods.clone()).run());
        let start = Instant::now();
        for outage in outages {
            tasks.spawn(happen(Arc::clone(&shared), outage, start));
        }
        Self { shared, pods, tasks }
    }

    /// These nodes, by number, stop: no lease, no status, nothing of their pods.
    pub fn crash(&self, nodes: Range<u32>) {
        self.shared.set(nodes, false);
    }

    /// These nodes go on.
    pub fn recover(&self, nodes: Range<u32>) {
        self.shared.set(nodes, true);
    }

    /// Waits until all nodes are registered.
    pub async fn registered(&self) {
        let all = self.shared.options.nodes;
        let mut registered = self.shared.registered.subscribe();
        // The sender lives as long as this.
        drop(registered.wait_for(|count| *count >= all).await);
    }

    /// What a pod says it uses ([`USAGE`]).
    pub fn usage(&self, namespace: &str, name: &str) -> Option<String> {
        self.pods.get(namespace, name)?.view.usage.as_deref().map(str::to_owned)
    }

    /// Ends, after the calls that are under way. Nodes and pods stay as they are.
    pub async fn stop(mut self) {
        self.shared.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        // What does not end by then is dropped.
        drop(tokio::time::timeout(LAST_CALLS, ended).await);
    }
}

/// A crash that was planned.
async fn happen(shared: Arc<Shared>, outage: Outage, start: Instant) {
    let mut stop = shared.stop.subscribe();
    let at = |since: Duration| sleep_until(start + since);
    if wait::unless(&mut stop, at(outage.from)).await.is_none() {
        return;
    }
    shared.set(outage.nodes.clone(), false);
    let Some(until) = outage.until else { return };
    if wait::unless(&mut stop, at(until)).await.is_some() {
        shared.set(outage.nodes, true);
    }
}
