// SPDX-License-Identifier: Apache-2.0
//! The node in the API: registered, told of, and kept alive by its Lease.

mod object;
mod system;

pub(crate) use object::amounts;

use crate::settings::StartError;
use crate::shared::Shared;
use crate::sources::{status as status_of, text};
use berth_cluster_client::{CallError, Media, clock};
use object::{Fixed, Observed, registration, status};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How often the Lease is renewed, and how long it holds, in seconds (upstream's `nodeLeaseDurationSeconds`).
const RENEW: Duration = Duration::from_secs(10);
const LEASE_SECONDS: u32 = 40;
/// How often the node is looked at, and how often it is told of though nothing has changed.
const LOOK: Duration = Duration::from_secs(10);
const TELL: Duration = Duration::from_mins(5);
/// How long the first registration may take.
const REGISTER: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);
/// Images that are told of (upstream's `nodeStatusMaxImages`).
const IMAGES: usize = 50;

/// Tells of the node.
#[derive(Debug)]
pub(crate) struct Teller {
    shared: Arc<Shared>,
    fixed: Fixed,
    /// The status that the API has.
    known: Value,
    told: Instant,
}

impl Teller {
    /// Registers the node, or takes it over, and tells that it is ready.
    pub(crate) async fn register(shared: Arc<Shared>) -> Result<Self, StartError> {
        let end = Instant::now() + REGISTER;
        loop {
            match Box::pin(Self::try_register(&shared)).await {
                Ok(teller) => return Ok(teller),
                Err(source) if Instant::now() > end => {
                    let node = shared.settings.node.clone();
                    return Err(StartError::Register { node, source: Box::new(source) });
                }
                Err(error) => tracing::warn!(why = text(&error), "the node is not registered yet"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn try_register(shared: &Arc<Shared>) -> Result<Self, CallError> {
        let api = &shared.settings.api;
        let version = api.get("/version").await?;
        let version: Value = serde_json::from_slice(&version).unwrap_or_default();
        let version = version["gitVersion"].as_str().unwrap_or("v1.33.0").to_owned();
        let node = &shared.settings.node;
        let path = format!("/api/v1/nodes/{node}");
        let mut teller = Self {
            shared: Arc::clone(shared),
            fixed: fixed(shared, version),
            known: Value::Null,
            told: Instant::now(),
        };
        let observed = Box::pin(teller.observe()).await;
        let mut object = registration(&teller.fixed);
        object["status"] = status(&teller.fixed, &observed, &Value::Null);
        match api.post("/api/v1/nodes", object.to_string().into()).await {
            Ok(made) => {
                teller.known = status_of(&made).0;
            }
            Err(error) if error.code() == Some(409) => {
                let meta = &object["metadata"];
                let own = json!({ "labels": meta["labels"], "annotations": meta["annotations"] });
                let own = json!({ "metadata": own });
                let found = api.patch(&path, Media::Merge, own.to_string().into()).await?;
                teller.known = status_of(&found).0;
            }
            Err(error) => return Err(error),
        }
        // The server may have left the status of a new object out.
        teller.write(&observed).await?;
        shared.tell_node(false, "Starting", "Starting kubelet.".to_owned());
        Ok(teller)
    }

    /// Looks at the node again and again, and tells what has changed.
    pub(crate) async fn run(mut self) {
        let mut engine = self.shared.engine_up.subscribe();
        let mut ready = true;
        loop {
            // The engine's coming and going is told at once.
            drop(timeout(LOOK, engine.changed()).await);
            let observed = Box::pin(self.observe()).await;
            if !self.is_there() {
                // Somebody removed it, or the API has forgotten all.
                match Box::pin(Self::try_register(&self.shared)).await {
                    Ok(teller) => self = teller,
                    Err(error) => tracing::warn!(why = text(&error), "the node is not registered"),
                }
            } else if let Err(error) = Box::pin(self.write(&observed)).await {
                tracing::warn!(why = text(&error), "the node's status is not written");
                // What the API has is not known any more.
                self.read().await;
            }
            if std::mem::replace(&mut ready, observed.engine) != observed.engine {
                let node = &self.shared.settings.node;
                let (reason, is) = if observed.engine {
                    ("NodeReady", "NodeReady")
                } else {
                    ("NodeNotReady", "NodeNotReady")
                };
                self.shared.tell_node(false, reason, format!("Node {node} status is now: {is}"));
            }
        }
    }

    /// Whether the API shows the node. If it does and that is not seen yet, it is registered once more, which changes nothing.
    fn is_there(&self) -> bool {
        self.shared.own.get("", &self.shared.settings.node).is_some()
    }

    async fn observe(&self) -> Observed {
        let (root, shared) = (self.shared.settings.root.clone(), &self.shared);
        let system = tokio::task::spawn_blocking(move || system::look(&root)).await;
        let engine = *shared.engine_up.borrow();
        let images =
            if engine { shared.engine.images().await.unwrap_or_default() } else { Vec::new() };
        Observed { engine, system: system.unwrap_or_default(), images, at: shared.micros() }
    }

    async fn read(&mut self) {
        let path = format!("/api/v1/nodes/{}", self.shared.settings.node);
        if let Ok(found) = self.shared.settings.api.get(&path).await {
            self.known = status_of(&found).0;
        }
    }

    /// Writes what has changed; all of it, with new heartbeats, if it is time.
    async fn write(&mut self, observed: &Observed) -> Result<(), CallError> {
        let shared = &self.shared;
        let mut wanted = status(&self.fixed, observed, &self.known);
        if !observed.engine {
            // What is there is not known now.
            wanted["images"] = self.known["images"].clone();
        }
        let same = object::is_same(&wanted, &self.known);
        if same && self.told.elapsed() < TELL {
            return Ok(());
        }
        let patch = object::patch(&self.known, &wanted);
        let path = format!("/api/v1/nodes/{}/status", shared.settings.node);
        let written = shared.settings.api.patch(&path, Media::Strategic, patch.to_string().into());
        self.known = status_of(&written.await?).0;
        self.told = Instant::now();
        Ok(())
    }
}

fn fixed(shared: &Shared, version: String) -> Fixed {
    let settings = &shared.settings;
    Fixed {
        node: settings.node.clone(),
        address: settings.address.to_string(),
        labels: settings.labels.clone(),
        annotations: settings.annotations.clone(),
        range: settings.range.to_string(),
        pods_max: settings.pods_max,
        port: shared.port.get().copied(),
        pressure: settings.pressure,
        info: shared.info.clone(),
        amounts: shared.facts.allocatable,
        version,
    }
}

/// Renews the node's Lease, as long as the engine or not: the node lives as long as its agent does.
pub(crate) async fn renew(shared: Arc<Shared>) {
    let mut turns = interval(RENEW);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        while let Err(error) = Box::pin(renew_once(&shared)).await {
            tracing::debug!(why = text(&error), "the node's Lease is not renewed");
            sleep(AGAIN).await;
        }
    }
}

async fn renew_once(shared: &Shared) -> Result<(), CallError> {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let (api, node) = (&shared.settings.api, &shared.settings.node);
    let spec = json!({
        "holderIdentity": node, "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": clock::micro_time(shared.micros()),
    });
    let patch = json!({ "spec": spec });
    let path = format!("{LEASES}/{node}");
    match api.patch(&path, Media::Merge, patch.to_string().into()).await {
        Err(error) if error.code() == Some(404) => {
            let owner = shared.own.get("", node).map(|item| item.id.uid.clone());
            let owners: Vec<Value> = owner
                .map(|uid| json!({"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}))
                .into_iter()
                .collect();
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {
                    "name": node, "namespace": "kube-node-lease", "ownerReferences": owners,
                },
                "spec": spec,
            });
            api.post(LEASES, lease.to_string().into()).await.map(drop)
        }
        done => done.map(drop),
    }
}
