// SPDX-License-Identifier: Apache-2.0
//! Replays the store's log for what controllers promise. Written apart from them: it reads the objects' JSON by itself.
//!
//! The names are those of the invariants: C-1 all is as it should be in the end, and then nobody writes; C-2 a Deployment keeps maxSurge and
//! maxUnavailable at every revision; C-6 nothing goes whose owner is there; C-10 a set never has more pods than it was ever to have.

use berth_cluster_store::Event;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Objects = BTreeMap<String, Value>;

/// What is there at a revision, and what was.
#[derive(Debug, Default)]
pub struct State {
    kinds: BTreeMap<String, Objects>,
    /// Of each ReplicaSet, by uid, the most pods that it was to have.
    most: BTreeMap<String, i64>,
    /// Deployments that were available once.
    available: BTreeSet<String>,
}

/// What Deployments of a test are held to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `maxSurge`.
    pub surge: i64,
    /// `maxUnavailable`.
    pub unavailable: i64,
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn leaves(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let all = object["metadata"]["ownerReferences"].as_array();
    all.into_iter().flatten().filter_map(|owner| owner["uid"].as_str())
}

fn owned_by(object: &Value, uid: &str) -> bool {
    owners(object).any(|owner| owner == uid)
}

fn is_ready(pod: &Value) -> bool {
    let all = pod["status"]["conditions"].as_array();
    !leaves(pod)
        && all.is_some_and(|all| {
            all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        })
}

impl State {
    fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.kinds.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    /// The sets of a Deployment.
    fn sets<'a>(&'a self, deployment: &'a Value) -> impl Iterator<Item = &'a Value> {
        let uid = text(deployment, "/metadata/uid");
        self.all("ReplicaSet").filter(move |set| owned_by(set, uid))
    }

    /// The pods of a set that count.
    fn pods<'a>(&'a self, set: &'a Value) -> impl Iterator<Item = &'a Value> {
        let uid = text(set, "/metadata/uid");
        self.all("Pod").filter(move |pod| owned_by(pod, uid) && !leaves(pod))
    }

    fn ready(&self, deployment: &Value) -> i64 {
        let sets = self.sets(deployment);
        let ready =
            sets.map(|set| self.pods(set).filter(|pod| is_ready(pod)).count()).sum::<usize>();
        i64::try_from(ready).unwrap_or(i64::MAX)
    }

    fn take(&mut self, event: &Event, limits: Limits, asked: &BTreeSet<String>) -> Vec<String> {
        let object: Value = serde_json::from_slice(&event.entry.bytes).expect("objects are JSON");
        let (kind, name) = (text(&object, "/kind"), text(&object, "/metadata/name"));
        let key = event.entry.key.to_string();
        let place = self.kinds.entry(kind.to_owned()).or_default();
        let is_new = !event.deleted && !place.contains_key(&key);
        if event.deleted {
            place.remove(&key);
        } else {
            place.insert(key, object.clone());
        }
        match kind {
            "ConfigMap" if event.deleted && !asked.contains(name) => self.collected(&object),
            "ReplicaSet" if !event.deleted => self.resized(&object, limits),
            "Pod" => {
                let mut broken = self.availability(limits);
                broken.extend(self.one_too_many(&object).filter(|_| is_new));
                broken
            }
            _ => Vec::new(),
        }
    }

    /// Somebody went whom nobody told to.
    fn collected(&self, object: &Value) -> Vec<String> {
        let lives =
            |owner: &str| self.all("ConfigMap").any(|one| text(one, "/metadata/uid") == owner);
        let name = text(object, "/metadata/name");
        if owners(object).next().is_none() || owners(object).any(lives) {
            return vec![format!("C-6: {name} goes, and nobody asked for it")];
        }
        Vec::new()
    }

    /// A set has another size, or is new.
    fn resized(&mut self, set: &Value, limits: Limits) -> Vec<String> {
        let size = |set: &Value| set["spec"]["replicas"].as_i64().unwrap_or(0);
        let most = self.most.entry(text(set, "/metadata/uid").to_owned()).or_default();
        *most = size(set).max(*most);
        let name = text(set, "/metadata/name");
        let deployments = self.all("Deployment");
        let of = deployments.filter(|one| owned_by(set, text(one, "/metadata/uid")));
        of.filter_map(|deployment| {
            let sum: i64 = self.sets(deployment).map(size).sum();
            let most = size(deployment) + limits.surge;
            (sum > most).then(|| format!("C-2: {name} makes it {sum} pods, where {most} may be"))
        })
        .collect()
    }

    /// A new pod that its set was never to have.
    fn one_too_many(&self, pod: &Value) -> Option<String> {
        let set = self.all("ReplicaSet").find(|set| owned_by(pod, text(set, "/metadata/uid")))?;
        let count = i64::try_from(self.pods(set).count()).unwrap_or(i64::MAX);
        let most = self.most.get(text(set, "/metadata/uid")).copied().unwrap_or(0);
        let name = text(pod, "/metadata/name");
        (count > most).then(|| {
            format!(
                "C-10: with {name} its set has {count} pods, and was never to have more than {most}"
            )
        })
    }

    /// Deployments that were available stay so, and none has more pods than it may.
    fn availability(&mut self, limits: Limits) -> Vec<String> {
        let (mut broken, mut available) = (Vec::new(), Vec::new());
        for deployment in self.all("Deployment") {
            let uid = text(deployment, "/metadata/uid").to_owned();
            let least = deployment["spec"]["replicas"].as_i64().unwrap_or(0) - limits.unavailable;
            let pods = self.sets(deployment).map(|set| self.pods(set).count()).sum::<usize>();
            let most = deployment["spec"]["replicas"].as_i64().unwrap_or(0) + limits.surge;
            if i64::try_from(pods).is_ok_and(|pods| pods > most) {
                broken.push(format!("C-2: there are {pods} pods, where {most} may be"));
            }
            let ready = self.ready(deployment);
            if ready >= least {
                available.push(uid);
            } else if self.available.contains(&uid) {
                broken.push(format!(
                    "C-2: {ready} pods are ready, where at least {least} have to be"
                ));
            }
        }
        self.available.extend(available);
        broken
    }

    /// What is not as it should be, when all had time.
    pub fn unfinished(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.all("Deployment").flat_map(|deployment| self.unfinished_one(deployment)).collect();
        let there: BTreeSet<&str> =
            self.all("ConfigMap").map(|one| text(one, "/metadata/uid")).collect();
        for one in self.all("ConfigMap") {
            let mut all = owners(one).peekable();
            if all.peek().is_some() && !all.any(|owner| there.contains(owner)) {
                wrong.push(format!("C-1: {} outlives its owners", text(one, "/metadata/name")));
            }
        }
        wrong
    }

    fn unfinished_one(&self, deployment: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let name = text(deployment, "/metadata/name");
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(0);
        let image = "/spec/containers/0/image";
        let newest = text(&deployment["spec"]["template"], image);
        let pods: Vec<&Value> = self.sets(deployment).flat_map(|set| self.pods(set)).collect();
        let fine = pods.iter().filter(|pod| is_ready(pod) && text(pod, image) == newest).count();
        if [fine, pods.len()].iter().any(|count| *count as u64 != wanted) {
            wrong.push(format!(
                "C-1: {name} has {} pods, {fine} of them as wanted, and wants {wanted}",
                pods.len()
            ));
        }
        let said = deployment["status"]["availableReplicas"].as_u64().unwrap_or(0);
        if said != wanted {
            wrong.push(format!("C-1: {name} says that {said} pods are available"));
        }
        let serves: BTreeSet<&str> = pods.iter().map(|pod| text(pod, "/metadata/name")).collect();
        let of = "/metadata/labels/kubernetes.io~1service-name";
        let slices = self.all("EndpointSlice").filter(|slice| text(slice, of) == name);
        let listed: BTreeSet<&str> = slices
            .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
            .map(|one| text(one, "/targetRef/name"))
            .collect();
        if serves != listed {
            wrong.push(format!("C-1: {serves:?} serve {name}, and {listed:?} are listed"));
        }
        wrong
    }
}

/// Replays the log: what is there at the end, and what was broken on the way. `asked`: names of ConfigMaps that somebody deleted.
pub fn replay(
    log: &[Arc<Event>],
    limits: Limits,
    asked: &BTreeSet<String>,
) -> (State, Vec<String>) {
    let mut state = State::default();
    let mut broken = Vec::new();
    for event in log {
        let found = state.take(event, limits, asked);
        broken.extend(found.into_iter().map(|what| format!("at {}: {what}", event.revision)));
    }
    (state, broken)
}

/// Revisions of a time in which nobody was to write, but for Leases: what was written all the same (C-1).
pub fn restless(log: &[Arc<Event>], from: u64) -> Vec<String> {
    let written = log.iter().filter(|event| event.revision > from);
    let written = written.filter(|event| !event.entry.key.contains("/leases/"));
    written
        .map(|event| format!("C-1: at {} {} is written", event.revision, event.entry.key))
        .collect()
}
