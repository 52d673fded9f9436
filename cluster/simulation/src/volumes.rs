// SPDX-License-Identifier: Apache-2.0
//! Stands in for the volume controller of kube-controller-manager and for an external provisioner, which act through the API alone.
//!
//! What is played of the first (`pv_controller.go`): a volume without a claim becomes Available; one whose `claimRef` names a claim that has
//! no volume yet is completed, on both sides; one whose claim has another volume is given back; one whose claim is gone is Released, and
//! deleted where its policy says so. Of the second (`external-provisioner`): a claim with a selected node gets a volume that the node
//! reaches, or loses the annotation when it is given up or when the node is gone.

pub mod check;

use crate::cluster::bytes;
use berth_cluster_client::Api;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Where persistent volumes are.
pub const VOLUMES: &str = "/api/v1/persistentvolumes";
/// Where the claims of all namespaces are.
pub const CLAIMS: &str = "/api/v1/persistentvolumeclaims";
/// The annotation that says on which node a claim is needed.
pub const SELECTED: &str = "volume.kubernetes.io/selected-node";
const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const NOBODY: &str = "kubernetes.io/no-provisioner";

/// So many times less often they look when there is nothing to do.
const REST: u32 = 20;

/// What a provisioner makes of a claim on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A volume, after so long.
    Makes(Duration),
    /// Nothing: it gives up after so long, and removes the annotation.
    GivesUp(Duration),
    /// It never says anything.
    IsSilent,
}

/// How both behave.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How often they look at everything.
    pub pace: Duration,
    /// The label of nodes whose value says which nodes reach a volume that is made.
    pub topology: &'static str,
    /// A volume whose making has begun is made also when the claim's node is taken back meanwhile, as drivers do.
    pub stubborn: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            pace: Duration::from_millis(500),
            topology: "kubernetes.io/hostname",
            stubborn: false,
        }
    }
}

/// Both, while it is not dropped.
#[derive(Debug)]
pub struct Volumes(JoinHandle<()>);

impl Drop for Volumes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Volumes {
    /// Starts both. `fate` is asked once for each try, by the names of the claim and of the node.
    pub fn start<F>(api: Api, manner: Manner, fate: F) -> Self
    where
        F: FnMut(&str, &str) -> Fate + Send + 'static,
    {
        let pace = manner.pace;
        let mut playing = Playing { api, manner, fate, tries: BTreeMap::new(), written: 0 };
        Self(tokio::spawn(async move {
            let mut pause = pace;
            loop {
                let before = playing.written;
                playing.round().await;
                // Where nothing happens they look less often.
                let rests = playing.written == before && playing.tries.is_empty();
                pause = if rests { (pause * 2).min(pace * REST) } else { pace };
                sleep(pause).await;
            }
        }))
    }
}

/// A try to make a volume for a claim.
#[derive(Debug, Clone)]
struct Try {
    node: String,
    began: Instant,
    fate: Fate,
}

struct Playing<F> {
    api: Api,
    manner: Manner,
    fate: F,
    /// By uid of the claim.
    tries: BTreeMap<String, Try>,
    /// Writes so far.
    written: u64,
}

/// What is there, as it was listed.
struct There {
    claims: Vec<Value>,
    volumes: Vec<Value>,
}

pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The value of an annotation.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

fn path_of(claim: &Value) -> String {
    let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
    format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
}

impl There {
    /// The claim that a volume's `claimRef` means.
    fn holder(&self, volume: &Value) -> Option<&Value> {
        let uid = text(volume, "/spec/claimRef/uid");
        self.claims.iter().find(|claim| text(claim, "/metadata/uid") == uid)
    }

    /// The volume that is kept for a claim: for this one, or for any of its name.
    fn kept_for(&self, claim: &Value) -> Option<&Value> {
        let of = |volume: &&Value| {
            let reserved = &volume["spec"]["claimRef"];
            let uid = text(reserved, "/uid");
            reserved["name"] == claim["metadata"]["name"]
                && reserved["namespace"] == claim["metadata"]["namespace"]
                && (uid.is_empty() || uid == text(claim, "/metadata/uid"))
                && text(volume, "/metadata/deletionTimestamp").is_empty()
        };
        self.volumes.iter().find(of)
    }
}

impl<F: FnMut(&str, &str) -> Fate> Playing<F> {
    async fn list(&mut self, path: &str) -> Option<Vec<Value>> {
        let list: Value = serde_json::from_slice(&self.api.get(path).await.ok()?).ok()?;
        Some(list["items"].as_array()?.clone())
    }

    /// Writes an object as it was listed and changed. What others came before is done in the next round.
    async fn put(&mut self, path: &str, object: &Value) -> Option<Value> {
        self.written += 1;
        let written = self.api.put(path, bytes(object)).await.ok()?;
        serde_json::from_slice(&written).ok()
    }

    async fn round(&mut self) {
        let (Some(volumes), Some(claims)) = (self.list(VOLUMES).await, self.list(CLAIMS).await)
        else {
            return;
        };
        let there = There { claims, volumes };
        for volume in &there.volumes {
            self.tend_volume(&there, volume).await;
        }
        for claim in there.claims.iter().filter(|one| text(one, "/spec/volumeName").is_empty()) {
            if let Some(volume) = there.kept_for(claim) {
                self.complete(volume.clone(), claim.clone()).await;
            } else {
                self.provision(claim).await;
            }
        }
        let waits = |uid: &str| {
            there.claims.iter().any(|claim| {
                text(claim, "/metadata/uid") == uid && text(claim, "/spec/volumeName").is_empty()
            })
        };
        self.tries.retain(|uid, _| waits(uid));
    }

    async fn phase(&mut self, volume: &Value, phase: &str) {
        if text(volume, "/status/phase") != phase {
            let path = format!("{VOLUMES}/{}", text(volume, "/metadata/name"));
            let mut volume = volume.clone();
            volume["status"]["phase"] = phase.into();
            self.put(&format!("{path}/status"), &volume).await;
        }
    }

    async fn tend_volume(&mut self, there: &There, volume: &Value) {
        let name = text(volume, "/metadata/name");
        let path = format!("{VOLUMES}/{name}");
        if text(volume, "/spec/claimRef/uid").is_empty() {
            return self.phase(volume, "Available").await;
        }
        let Some(claim) = there.holder(volume) else {
            self.phase(volume, "Released").await;
            if text(volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
                drop(self.api.delete(&path, None).await);
            }
            return;
        };
        let has = text(claim, "/spec/volumeName");
        if has == name {
            self.phase(volume, "Bound").await;
        } else if !has.is_empty() {
            let mut free = volume.clone();
            if annotation(volume, BY_CONTROLLER).is_empty() {
                free["spec"]["claimRef"]["uid"] = "".into();
            } else {
                free["spec"]["claimRef"] = Value::Null;
                if let Some(all) = free["metadata"]["annotations"].as_object_mut() {
                    all.remove(BY_CONTROLLER);
                }
            }
            self.put(&path, &free).await;
        }
    }

    /// Binds both, the volume first.
    async fn complete(&mut self, mut volume: Value, mut claim: Value) -> Option<()> {
        let name = text(&volume, "/metadata/name").to_owned();
        let path = format!("{VOLUMES}/{name}");
        if text(&volume, "/spec/claimRef/uid").is_empty() {
            volume["spec"]["claimRef"]["uid"] = claim["metadata"]["uid"].clone();
            volume = self.put(&path, &volume).await?;
        }
        volume["status"]["phase"] = "Bound".into();
        self.put(&format!("{path}/status"), &volume).await?;
        let at = path_of(&claim);
        claim["spec"]["volumeName"] = name.into();
        for annotation in [COMPLETED, BY_CONTROLLER] {
            claim["metadata"]["annotations"][annotation] = "yes".into();
        }
        let mut claim = self.put(&at, &claim).await?;
        claim["status"]["phase"] = "Bound".into();
        self.put(&format!("{at}/status"), &claim).await?;
        Some(())
    }

    /// Makes a volume for a claim whose node is known, or gives up.
    async fn provision(&mut self, claim: &Value) -> Option<()> {
        let (uid, name) = (text(claim, "/metadata/uid"), text(claim, "/metadata/name"));
        let class = text(claim, "/spec/storageClassName");
        let class = self.api.get(&format!("/apis/storage.k8s.io/v1/storageclasses/{class}")).await;
        let class: Value = serde_json::from_slice(&class.ok()?).ok()?;
        if text(&class, "/provisioner") == NOBODY {
            return None;
        }
        let selected = annotation(claim, SELECTED).to_owned();
        let goes_on = |one: &Try| self.manner.stubborn && matches!(one.fate, Fate::Makes(_));
        let begun = self.tries.get(uid).filter(|one| goes_on(one) || one.node == selected);
        let one = match begun {
            Some(one) => one.clone(),
            None if selected.is_empty() => {
                self.tries.remove(uid);
                return None;
            }
            None => {
                let fate = (self.fate)(name, &selected);
                let one = Try { node: selected.clone(), began: Instant::now(), fate };
                self.tries.insert(uid.to_owned(), one.clone());
                one
            }
        };
        let node = self.api.get(&format!("/api/v1/nodes/{}", one.node)).await;
        let is_gone = node.as_ref().is_err_and(|error| error.code() == Some(404));
        let gives_up = match one.fate {
            Fate::GivesUp(after) => one.began.elapsed() >= after,
            Fate::Makes(_) | Fate::IsSilent => is_gone,
        };
        if gives_up {
            self.tries.remove(uid);
            let mut claim = claim.clone();
            if selected == one.node {
                claim["metadata"]["annotations"].as_object_mut()?.remove(SELECTED);
                self.put(&path_of(&claim), &claim).await?;
            }
            return Some(());
        }
        if matches!(one.fate, Fate::Makes(after) if one.began.elapsed() >= after) {
            let node: Value = serde_json::from_slice(&node.ok()?).ok()?;
            let volume = self.volume(claim, &node);
            drop(self.api.post(VOLUMES, bytes(&volume)).await);
        }
        Some(())
    }

    /// A volume for a claim, which the nodes of one topology reach.
    fn volume(&self, claim: &Value, node: &Value) -> Value {
        let name = format!("pvc-{}", text(claim, "/metadata/uid"));
        let key = self.manner.topology;
        let here = node["metadata"]["labels"][key].clone();
        let meta = &claim["metadata"];
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": "test" } },
            "spec": {
                "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] },
                "accessModes": claim["spec"]["accessModes"],
                "storageClassName": claim["spec"]["storageClassName"],
                "persistentVolumeReclaimPolicy": "Delete",
                "csi": { "driver": "test", "volumeHandle": name },
                "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"] },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [
                    { "matchExpressions": [{ "key": key, "operator": "In", "values": [here] }] },
                ] } },
            },
        })
    }
}
