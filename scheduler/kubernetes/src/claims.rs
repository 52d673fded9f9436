// SPDX-License-Identifier: Apache-2.0
//! Claims that are bound when a pod that uses them has a node (`WaitForFirstConsumer`): what was decided about them is written, and
//! waited for; where nothing comes of it, it is taken back, so that another node can be tried.
//!
//! A volume that is there gets a `claimRef`, which the volume controller completes; for one that is to be made, the claim gets the
//! annotation `volume.kubernetes.io/selected-node`, which its provisioner reads, and removes if it gives up. That is upstream's
//! (plugin volumebinding, `bindAPIUpdate` and `checkBindings`); that what came to nothing is taken back is not.

mod look;
mod users;

use crate::books::Shown;
use crate::calls::{PAUSE, PAUSE_MAX, is_open, pause_of};
use crate::feed::Followed;
use berth_cluster_client::{Api, CallError};
use berth_scheduler_core::Binding;
use bytes::Bytes;
use look::Look;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};
pub(crate) use users::Users;

/// How often claims are looked at, in the informer.
const LOOK: Duration = Duration::from_millis(250);
/// How often a write is tried that others come before.
const TRIES: u32 = 5;
/// How long it is tried to take something back: as long as nothing can be written, nothing else goes on either.
const UNDOING: Duration = Duration::from_mins(10);
const SELECTED: &str = "volume.kubernetes.io/selected-node";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Why a pod's claims are not bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the pod is gone")]
    Nobody,
    #[error("the node \"{0}\" is gone")]
    NoNode(String),
    #[error("the persistentvolumeclaim \"{0}\" is gone")]
    Gone(String),
    #[error(
        "no volume was provisioned for the persistentvolumeclaim \"{0}\": its selected node was taken back"
    )]
    GivenUp(String),
    #[error("the persistentvolume \"{0}\" is not there for the claim")]
    Taken(String),
    #[error("the persistentvolumeclaim \"{0}\" was bound by somebody else")]
    Elsewhere(String),
    #[error("the persistentvolume \"{0}\" cannot be reached from the node")]
    Unreachable(String),
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
    pub(crate) followed: Followed,
    /// How long a claim is waited for.
    pub(crate) patience: Duration,
    /// Claims that pods wait for now.
    pub(crate) users: Users,
}

/// What was written for a claim, or was about to be.
#[derive(Debug)]
struct Written<'a> {
    binding: &'a Binding,
    /// The claim's: one of the same name with another uid is another claim.
    uid: String,
    /// The claim's version when it was looked at.
    seen: String,
    /// The version of what was written; what is older in the informer is not looked at.
    version: u64,
}

/// The version that was written, or what is there already.
type Changed = Result<u64, ClaimError>;

impl Storage {
    /// Writes what was decided, and waits until it is so. What does not come to be is taken back.
    pub(crate) async fn bind(&self, decided: &Decided) -> Result<(), ClaimError> {
        let namespace = &decided.pod.id.namespace;
        let mut using = self.users.begin(namespace, decided.bindings.iter().map(Binding::claim));
        let mut written = Vec::new();
        let done = self.try_to_bind(decided, &mut written).await;
        if let Err(error) = &done {
            let is_late = matches!(error, ClaimError::Late(_));
            for one in &written {
                // Where another pod waits for it as well it is for that one to take it back; but a claim that was waited for all
                // the time is late for whoever came later, too: else two pods could take turns in waiting for ever.
                let is_last = using.end(one.binding.claim());
                if (is_last || is_late)
                    && let Err(error) = self.take_back(decided, one).await
                {
                    tracing::warn!(%error, "a claim's node or volume could not be taken back");
                }
            }
        }
        done
    }

    async fn try_to_bind<'a>(
        &self,
        decided: &'a Decided,
        written: &mut Vec<Written<'a>>,
    ) -> Result<(), ClaimError> {
        let until = Instant::now() + self.patience;
        for binding in &decided.bindings {
            let one = self.begin(decided, binding, until).await?;
            written.push(one);
            // It is to be taken back also if nothing is known of the write.
            let Some(one) = written.last_mut() else { continue };
            one.version = match binding {
                Binding::Bind { volume, .. } => self.reserve(decided, one, volume, until).await?,
                Binding::Provision { .. } => self.select(decided, one, until).await?,
            };
        }
        loop {
            let mut late = None;
            for one in written.iter() {
                if look::at(&self.followed, decided, one)? == Look::Waits {
                    late = late.or(Some(one.binding.claim()));
                }
            }
            let Some(late) = late else { return Ok(()) };
            if Instant::now() >= until {
                return Err(ClaimError::Late(late.to_string()));
            }
            sleep(LOOK).await;
        }
    }

    /// Looks which claim it is that something is about to be written for.
    async fn begin<'a>(
        &self,
        decided: &Decided,
        binding: &'a Binding,
        until: Instant,
    ) -> Result<Written<'a>, ClaimError> {
        let gone = || ClaimError::Gone(binding.claim().to_string());
        let claim = self.read(&claim_path(decided, binding.claim()), until).await?;
        let claim = claim.ok_or_else(gone)?;
        if !claim["metadata"]["deletionTimestamp"].is_null() {
            return Err(gone());
        }
        if let Binding::Bind { claim: name, volume } = binding
            && !["", volume].contains(&text(&claim["spec"]["volumeName"]))
        {
            return Err(ClaimError::Elsewhere(name.to_string()));
        }
        let meta = &claim["metadata"];
        let [uid, seen] = ["uid", "resourceVersion"].map(|field| text(&meta[field]).to_owned());
        Ok(Written { binding, uid, seen, version: 0 })
    }

    /// A volume that is there is for this claim.
    async fn reserve(
        &self,
        decided: &Decided,
        one: &Written<'_>,
        volume: &str,
        until: Instant,
    ) -> Changed {
        let claim = one.binding.claim();
        self.change(&volume_path(volume), until, |object| {
            let reserved = &object["spec"]["claimRef"];
            if reserved["uid"] == *one.uid {
                return Ok(false);
            }
            // One that was reserved by hand names its claim, without knowing its uid.
            let by_hand = text(&reserved["uid"]).is_empty()
                && reserved["name"] == **claim
                && reserved["namespace"] == *decided.pod.id.namespace;
            let leaves = !object["metadata"]["deletionTimestamp"].is_null();
            if leaves || !reserved.is_null() && !by_hand {
                return Err(ClaimError::Taken(volume.to_owned()));
            }
            if !by_hand {
                object["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
            }
            object["spec"]["claimRef"] = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": decided.pod.id.namespace, "name": &**claim, "uid": one.uid,
                "resourceVersion": one.seen,
            });
            Ok(true)
        })
        .await
    }

    /// A volume is to be made where the pod goes.
    async fn select(&self, decided: &Decided, one: &Written<'_>, until: Instant) -> Changed {
        let claim = one.binding.claim();
        self.change(&claim_path(decided, claim), until, |object| {
            if object["metadata"]["uid"] != *one.uid {
                return Err(ClaimError::Gone(claim.to_string()));
            }
            let selected = text(&object["metadata"]["annotations"][SELECTED]);
            if selected == decided.node {
                return Ok(false);
            }
            if !selected.is_empty() || is_given(object) {
                return Err(ClaimError::Elsewhere(claim.to_string()));
            }
            object["metadata"]["annotations"][SELECTED] = decided.node.as_str().into();
            Ok(true)
        })
        .await
    }

    /// Takes back what was written and came to nothing. What the volume controller has completed stays.
    async fn take_back(&self, decided: &Decided, one: &Written<'_>) -> Result<(), ClaimError> {
        let until = Instant::now() + UNDOING;
        let path = claim_path(decided, one.binding.claim());
        let done = match one.binding {
            Binding::Provision { .. } => {
                self.change(&path, until, |claim| Ok(deselect(claim, one, &decided.node))).await
            }
            Binding::Bind { volume, .. } => {
                let claim = self.read(&path, until).await?.unwrap_or_default();
                let of = text(&claim["spec"]["volumeName"]);
                if claim["metadata"]["uid"] == *one.uid && of == &**volume {
                    return Ok(());
                }
                self.change(&volume_path(volume), until, |volume| Ok(release(volume, one))).await
            }
        };
        match done {
            Err(ClaimError::Call(error)) if error.code() == Some(404) => Ok(()),
            done => done.map(drop),
        }
    }

    /// An object, if it is there.
    async fn read(&self, path: &str, until: Instant) -> Result<Option<Value>, ClaimError> {
        match self.get(path, until).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn get(&self, path: &str, until: Instant) -> Result<Value, CallError> {
        let mut pause = PAUSE;
        loop {
            match self.api.get(path).await {
                Err(error) if is_open(&error) && Instant::now() < until => {
                    sleep(pause_of(&error, pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                answer => return Ok(json(&answer?)),
            }
        }
    }

    /// Changes an object as it is now: `change` says whether there is anything to write. A write of which nothing is known is looked
    /// for, and tried again.
    async fn change(
        &self,
        path: &str,
        until: Instant,
        change: impl Fn(&mut Value) -> Result<bool, ClaimError> + Send + Sync,
    ) -> Changed {
        let (mut pause, mut conflicts) = (PAUSE, 0);
        loop {
            let mut object = self.get(path, until).await?;
            if !change(&mut object)? {
                return Ok(version(&object));
            }
            match self.api.put(path, Bytes::from(object.to_string())).await {
                Ok(written) => return Ok(version(&json(&written))),
                Err(error) if error.code() == Some(409) => {
                    conflicts += 1;
                    if conflicts == TRIES {
                        return Err(ClaimError::Contended(path.to_owned()));
                    }
                }
                Err(error) if is_open(&error) && Instant::now() < until => {
                    sleep(pause_of(&error, pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Takes the node from a claim for which no volume was made there; whether there was anything to take.
fn deselect(claim: &mut Value, one: &Written<'_>, node: &str) -> bool {
    let ours = claim["metadata"]["uid"] == *one.uid
        && claim["metadata"]["annotations"][SELECTED] == *node
        && !is_given(claim);
    if ours {
        remove(&mut claim["metadata"]["annotations"], SELECTED);
    }
    ours
}

/// Takes a volume from a claim that never got it; whether there was anything to take. One that was reserved by hand stays so, for any
/// claim of that name (upstream's volume controller, `unbindVolume`).
fn release(volume: &mut Value, one: &Written<'_>) -> bool {
    let phase = text(&volume["status"]["phase"]);
    let untouched = ["", "Pending", "Available"].contains(&phase);
    if volume["spec"]["claimRef"]["uid"] != *one.uid || !untouched {
        return false;
    }
    if volume["metadata"]["annotations"][BY_CONTROLLER] == "yes" {
        remove(&mut volume["metadata"]["annotations"], BY_CONTROLLER);
        remove(&mut volume["spec"], "claimRef");
    } else {
        for field in ["uid", "resourceVersion"] {
            remove(&mut volume["spec"]["claimRef"], field);
        }
    }
    true
}

/// Whether a claim has a volume, or is about to get one.
fn is_given(claim: &Value) -> bool {
    !text(&claim["spec"]["volumeName"]).is_empty()
}

fn claim_path(decided: &Decided, name: &str) -> String {
    format!("/api/v1/namespaces/{}/persistentvolumeclaims/{name}", decided.pod.id.namespace)
}

fn volume_path(name: &str) -> String {
    format!("/api/v1/persistentvolumes/{name}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Versions of one kind can be compared (KEP-5504).
fn version(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"]).parse().unwrap_or(0)
}

fn json(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn remove(object: &mut Value, key: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(key);
    }
}
