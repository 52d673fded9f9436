// SPDX-License-Identifier: Apache-2.0
//! Claims that are bound when a pod that uses them has a node (`WaitForFirstConsumer`): what was decided about them is written, and
//! waited for; where nothing comes of it, it is taken back, so that another node can be tried.
//!
//! A volume that is there gets a `claimRef`, which the volume controller completes; for one that is to be made, the claim gets the
//! annotation `volume.kubernetes.io/selected-node`, which its provisioner reads.

use crate::books::Shown;
use crate::view::{Claims, Seen};
use berth_cluster_client::{Api, CallError, Informer};
use berth_scheduler_core::Binding;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::volume::PersistentVolumeClaim;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often claims are looked at, in the informer.
const LOOK: Duration = Duration::from_millis(250);
/// How often a write is tried that others come before.
const TRIES: u32 = 5;
const SELECTED: &str = "volume.kubernetes.io/selected-node";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Why a pod's claims are not bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the persistentvolumeclaim \"{0}\" is gone")]
    Gone(String),
    #[error(
        "no volume was provisioned for the persistentvolumeclaim \"{0}\": its selected node was taken back"
    )]
    GivenUp(String),
    #[error("the persistentvolume \"{0}\" serves another claim")]
    Taken(String),
    #[error("timed out waiting for the persistentvolumeclaim \"{0}\" to be bound")]
    Late(String),
    #[error("{0} was changed by others again and again")]
    Contended(String),
}

/// What was decided about a pod's claims.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) pod: Shown,
    pub(crate) node: String,
    pub(crate) bindings: Vec<Binding>,
}

/// Where claims are looked at and written.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) api: Api,
    pub(crate) claims: Informer<Seen<Claims>>,
    /// How long a claim is waited for.
    pub(crate) patience: Duration,
}

/// Whether something was written, or is so already.
type Changed = Result<bool, ClaimError>;

impl Storage {
    /// Writes what was decided, and waits until it is so. What does not come to be is taken back.
    pub(crate) async fn bind(&self, decided: &Decided) -> Result<(), ClaimError> {
        let done = self.try_to_bind(decided).await;
        if done.is_err() {
            for binding in &decided.bindings {
                if let Err(error) = self.take_back(decided, binding).await {
                    tracing::debug!(%error, "a claim's node or volume could not be taken back");
                }
            }
        }
        done
    }

    async fn try_to_bind(&self, decided: &Decided) -> Result<(), ClaimError> {
        for binding in &decided.bindings {
            match binding {
                Binding::Bind { claim, volume } => self.reserve(decided, claim, volume).await?,
                Binding::Provision { claim } => self.select(decided, claim).await?,
            }
        }
        let until = Instant::now() + self.patience;
        for binding in &decided.bindings {
            self.wait(decided, binding, until).await?;
        }
        Ok(())
    }

    fn claim(&self, decided: &Decided, name: &str) -> Option<PersistentVolumeClaim> {
        let item = self.claims.get(&decided.pod.id.namespace, name)?;
        match &item.view.0 {
            Event::Claim(claim) => Some((**claim).clone()),
            _ => None,
        }
    }

    async fn wait(
        &self,
        decided: &Decided,
        binding: &Binding,
        until: Instant,
    ) -> Result<(), ClaimError> {
        let name = binding.claim();
        let mut selected = false;
        loop {
            let claim = self.claim(decided, name).filter(|claim| !claim.terminating);
            let Some(claim) = claim else { return Err(ClaimError::Gone(name.to_string())) };
            if claim.volume.is_some() && claim.bind_completed {
                return Ok(());
            }
            let here = claim.selected_node.as_deref() == Some(&*decided.node);
            if selected && !here {
                return Err(ClaimError::GivenUp(name.to_string()));
            }
            selected = here;
            if Instant::now() >= until {
                return Err(ClaimError::Late(name.to_string()));
            }
            sleep(LOOK).await;
        }
    }

    /// A volume that is there is for this claim.
    async fn reserve(
        &self,
        decided: &Decided,
        claim: &str,
        volume: &str,
    ) -> Result<(), ClaimError> {
        let of = json(&self.api.get(&claim_path(decided, claim)).await?);
        let mine = of["metadata"]["uid"].clone();
        self.change(&volume_path(volume), |object| {
            let reserved = &object["spec"]["claimRef"];
            if reserved["uid"] == mine {
                return Ok(false);
            }
            // One that was reserved by hand names its claim, without knowing its uid.
            let by_hand = reserved["uid"].as_str().unwrap_or_default().is_empty()
                && reserved["name"] == *claim
                && reserved["namespace"] == *decided.pod.id.namespace;
            if !reserved.is_null() && !by_hand {
                return Err(ClaimError::Taken(volume.to_owned()));
            }
            if !by_hand {
                object["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
            }
            object["spec"]["claimRef"] = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": decided.pod.id.namespace, "name": claim, "uid": mine,
                "resourceVersion": of["metadata"]["resourceVersion"],
            });
            Ok(true)
        })
        .await
    }

    /// A volume is to be made where the pod goes.
    async fn select(&self, decided: &Decided, claim: &str) -> Result<(), ClaimError> {
        self.change(&claim_path(decided, claim), |object| {
            let selected = &mut object["metadata"]["annotations"][SELECTED];
            let news = *selected != *decided.node;
            *selected = decided.node.as_str().into();
            Ok(news)
        })
        .await
    }

    /// Takes back what was written and came to nothing.
    async fn take_back(&self, decided: &Decided, binding: &Binding) -> Result<(), ClaimError> {
        match binding {
            Binding::Provision { claim } => {
                self.change(&claim_path(decided, claim), |object| {
                    let bound = !object["spec"]["volumeName"].as_str().unwrap_or("").is_empty();
                    let ours = object["metadata"]["annotations"][SELECTED] == *decided.node;
                    if !bound && ours {
                        remove(&mut object["metadata"]["annotations"], SELECTED);
                    }
                    Ok(!bound && ours)
                })
                .await
            }
            Binding::Bind { claim, volume } => {
                let of = json(&self.api.get(&claim_path(decided, claim)).await?);
                if !of["spec"]["volumeName"].as_str().unwrap_or("").is_empty() {
                    return Ok(());
                }
                let uid = of["metadata"]["uid"].clone();
                self.change(&volume_path(volume), |object| {
                    let annotations = &mut object["metadata"]["annotations"];
                    // What was reserved by hand is left so.
                    let ours = annotations[BY_CONTROLLER] == "yes"
                        && object["spec"]["claimRef"]["uid"] == uid
                        && object["status"]["phase"] != "Bound";
                    if ours {
                        remove(&mut object["metadata"]["annotations"], BY_CONTROLLER);
                        remove(&mut object["spec"], "claimRef");
                    }
                    Ok(ours)
                })
                .await
            }
        }
    }

    /// Changes an object as it is now: `change` says whether there is anything to write.
    async fn change(
        &self,
        path: &str,
        change: impl Fn(&mut Value) -> Changed + Send + Sync,
    ) -> Result<(), ClaimError> {
        for _ in 0..TRIES {
            let mut object = json(&self.api.get(path).await?);
            if !change(&mut object)? {
                return Ok(());
            }
            let body = Bytes::from(object.to_string());
            match self.api.put(path, body).await {
                Err(error) if error.code() == Some(409) => {}
                done => return done.map(drop).map_err(ClaimError::from),
            }
        }
        Err(ClaimError::Contended(path.to_owned()))
    }
}

fn claim_path(decided: &Decided, name: &str) -> String {
    format!("/api/v1/namespaces/{}/persistentvolumeclaims/{name}", decided.pod.id.namespace)
}

fn volume_path(name: &str) -> String {
    format!("/api/v1/persistentvolumes/{name}")
}

fn json(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn remove(object: &mut Value, key: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(key);
    }
}
