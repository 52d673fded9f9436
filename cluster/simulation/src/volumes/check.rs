// SPDX-License-Identifier: Apache-2.0
//! Replays the store's log for what is promised of claims. Written apart from the scheduler: it reads the objects' JSON by itself.
//!
//! A pod is bound only when each of its claims has a volume that its node reaches; no volume has two claims; and when all is quiet no
//! volume is kept for a claim that never got it, and no claim keeps a node where nobody makes anything.

use super::{COMPLETED, NOBODY, SELECTED, annotation, text};
use crate::checker::quantity;
use berth_cluster_store::Event;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Objects = BTreeMap<String, Value>;

/// What is there at a revision.
#[derive(Debug, Default)]
pub struct State {
    kinds: BTreeMap<String, Objects>,
    /// Names of nodes and claims that were there, each used once: a pod that is on its way when one goes is nobody's mistake.
    gone: BTreeSet<String>,
}

fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Names of the claims of a pod.
fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    let names = |volume| text(volume, "/persistentVolumeClaim/claimName");
    list(pod, "/spec/volumes").iter().map(names).filter(|name| !name.is_empty())
}

/// Whether a node reaches a volume.
fn reaches(node: &Value, volume: &Value) -> bool {
    let terms = list(volume, "/spec/nodeAffinity/required/nodeSelectorTerms");
    let labels = &node["metadata"]["labels"];
    terms.is_empty()
        || terms.iter().any(|term| {
            list(term, "/matchExpressions").iter().all(|one| {
                let has = &labels[text(one, "/key")];
                assert_eq!(one["operator"], "In", "others are not read here");
                !has.is_null() && list(one, "/values").contains(has)
            })
        })
}

fn size(object: &Value, path: &str) -> i64 {
    object.pointer(path).map_or(0, |amount| quantity("storage", amount))
}

impl State {
    fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.kinds.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.all(kind).find(|one| text(one, "/metadata/name") == name)
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.find("PersistentVolumeClaim", name)
    }

    /// The volume of a claim that is bound on both sides.
    fn volume_of(&self, claim: &Value) -> Option<&Value> {
        let volume = self.find("PersistentVolume", text(claim, "/spec/volumeName"))?;
        let mutual = volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"];
        (mutual && !annotation(claim, COMPLETED).is_empty()).then_some(volume)
    }

    fn take(&mut self, event: &Event) -> Vec<String> {
        let object: Value = serde_json::from_slice(&event.entry.bytes).expect("objects are JSON");
        let (kind, key) = (text(&object, "/kind").to_owned(), event.entry.key.to_string());
        let place = self.kinds.entry(kind.clone()).or_default();
        if event.deleted {
            place.remove(&key);
            if ["Node", "PersistentVolumeClaim"].contains(&&*kind) {
                self.gone.insert(text(&object, "/metadata/name").to_owned());
            }
            return Vec::new();
        }
        let before = place.insert(key, object.clone());
        match &*kind {
            "Pod" => {
                let was = before.as_ref().map_or("", |pod| text(pod, "/spec/nodeName"));
                let is = text(&object, "/spec/nodeName");
                if was.is_empty() && !is.is_empty() { self.bound(&object, is) } else { Vec::new() }
            }
            "PersistentVolumeClaim" => self.shared(&object).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What is wrong with a pod that gets a node.
    fn bound(&self, pod: &Value, node: &str) -> Vec<String> {
        let name = text(pod, "/metadata/name");
        let Some(node) = self.find("Node", node) else { return Vec::new() };
        let wrong = claims(pod).filter(|claim| !self.gone.contains(*claim)).filter_map(|claim| {
            let Some(has) = self.claim(claim) else { return Some(format!("{claim} is not there")) };
            let Some(volume) = self.volume_of(has) else {
                return Some(format!("{claim} has no volume"));
            };
            (!reaches(node, volume)).then(|| format!("its node does not reach that of {claim}"))
        });
        wrong.map(|why| format!("SC-4: {name} is bound, and {why}")).collect()
    }

    /// Whether the volume of a claim has another claim, too.
    fn shared(&self, claim: &Value) -> Option<String> {
        let volume = text(claim, "/spec/volumeName");
        let uid = text(claim, "/metadata/uid");
        let other = self.all("PersistentVolumeClaim").find(|other| {
            !volume.is_empty()
                && text(other, "/spec/volumeName") == volume
                && text(other, "/metadata/uid") != uid
        })?;
        let [one, other] = [claim, other].map(|claim| text(claim, "/metadata/name"));
        Some(format!("{volume} is the volume of {one} and of {other}"))
    }

    /// What is left behind when all is quiet: pods that count on claims as at the beginning, volumes and claims of which nothing came.
    pub fn left_behind(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let here = |pod: &&Value| {
            let phase = text(pod, "/status/phase");
            !text(pod, "/spec/nodeName").is_empty() && !["Succeeded", "Failed"].contains(&phase)
        };
        for volume in self.all("PersistentVolume") {
            let (name, uid) = (text(volume, "/metadata/name"), text(volume, "/spec/claimRef/uid"));
            let claims = self.all("PersistentVolumeClaim");
            let holder = claims.into_iter().find(|claim| text(claim, "/metadata/uid") == uid);
            let has = holder.is_some_and(|claim| text(claim, "/spec/volumeName") == name);
            // One whose claim is gone is its administrator's, who knows what is on it.
            if !uid.is_empty() && !has && text(volume, "/status/phase") != "Released" {
                wrong.push(format!("{name} is kept for a claim that never got it"));
            }
        }
        for claim in self.all("PersistentVolumeClaim") {
            let name = text(claim, "/metadata/name");
            let mut pods = self.all("Pod").filter(here);
            let used = pods.any(|pod| claims(pod).any(|one| one == name));
            if used && self.volume_of(claim).is_none() {
                wrong.push(format!("{name} is used, and has no volume"));
            }
            let selected = annotation(claim, SELECTED);
            if self.volume_of(claim).is_none() && self.gone.contains(selected) {
                wrong.push(format!("{name} is to be made on {selected}, which is gone"));
            }
        }
        wrong
    }

    /// How many claims have their volume.
    pub fn bound_claims(&self) -> u64 {
        let claims = self.all("PersistentVolumeClaim");
        claims.filter(|claim| self.volume_of(claim).is_some()).count() as u64
    }

    /// Whether the claims of a pod let it go to a node, one by one: a pod of a test has at most one that waits of each class.
    pub fn lets(&self, pod: &Value, node: &Value) -> bool {
        claims(pod).all(|name| {
            let Some(claim) = self.claim(name) else { return false };
            if !text(claim, "/metadata/deletionTimestamp").is_empty() || self.is_taken(claim, pod) {
                return false;
            }
            if !text(claim, "/spec/volumeName").is_empty() {
                return self.volume_of(claim).is_some_and(|volume| reaches(node, volume));
            }
            let class = text(claim, "/spec/storageClassName");
            let Some(class) = self.find("StorageClass", class) else { return false };
            let selected = annotation(claim, SELECTED);
            let here = selected.is_empty() || node["metadata"]["name"] == selected;
            let made = text(class, "/provisioner") != NOBODY;
            here && text(class, "/volumeBindingMode") == "WaitForFirstConsumer"
                && (made || self.all("PersistentVolume").any(|one| serves(one, claim, node)))
        })
    }

    /// Whether a claim is for one pod alone, and another one has it.
    fn is_taken(&self, claim: &Value, pod: &Value) -> bool {
        let once = list(claim, "/spec/accessModes").iter().any(|mode| mode == "ReadWriteOncePod");
        let name = text(claim, "/metadata/name");
        let other = |one: &&Value| {
            one["metadata"]["uid"] != pod["metadata"]["uid"]
                && !text(one, "/spec/nodeName").is_empty()
                && claims(one).any(|used| used == name)
        };
        once && self.all("Pod").any(|one| other(&one))
    }
}

/// Whether a volume is free for a claim on a node.
fn serves(volume: &Value, claim: &Value, node: &Value) -> bool {
    text(volume, "/status/phase") == "Available"
        && volume["spec"]["claimRef"].is_null()
        && volume["spec"]["storageClassName"] == claim["spec"]["storageClassName"]
        && size(volume, "/spec/capacity/storage") >= size(claim, "/spec/resources/requests/storage")
        && reaches(node, volume)
}

/// Replays the log: what is there at the end, and what was broken on the way.
pub fn replay(log: &[Arc<Event>]) -> (State, Vec<String>) {
    let mut state = State::default();
    let mut broken = Vec::new();
    for event in log {
        let found = state.take(event);
        broken.extend(found.into_iter().map(|what| format!("at {}: {what}", event.revision)));
    }
    (state, broken)
}
