// SPDX-License-Identifier: Apache-2.0
//! What becomes of a pod's claims once it is placed.
//!
//! The engine assumes at once that a claim has its volume, and is told by the cluster later. The naive scheduler knows no
//! assumptions: it is told at once what the cluster will say. In between both must answer alike; and they must when the pod is
//! gone before the cluster said anything, when nothing is to be left of it.

use berth_scheduler_core::Binding;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::volume::{ClaimRef, PersistentVolume, PersistentVolumeClaim};
use std::collections::BTreeMap;

/// Namespace and name.
type Key = (Str, Str);

/// A claim about which a placement decided something that the cluster has not said yet.
#[derive(Debug)]
struct Unsettled {
    key: Key,
    /// What the cluster will say, if the claim gets a volume that is there; the naive scheduler knows.
    bound: Vec<Event>,
    /// What it will say, if a volume is made.
    made: Vec<Event>,
    /// What takes it all back.
    back: Vec<Event>,
}

/// What is to be told to whom.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) to_engine: Vec<Event>,
    pub(crate) to_reference: Vec<Event>,
}

/// Claims and volumes as the cluster has them, and what is not settled.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    present: BTreeMap<Key, PersistentVolumeClaim>,
    volumes: BTreeMap<Str, PersistentVolume>,
    unsettled: Vec<Unsettled>,
    /// By uid of pods that were placed: the claims that were decided about.
    holders: BTreeMap<Str, Vec<Key>>,
}

impl Claims {
    /// Takes in what the cluster says. The answer is to be told to both first.
    pub(crate) fn apply(&mut self, event: &Event) -> News {
        let mut news = News::default();
        match event {
            Event::PodGone { uid } => {
                self.holders.remove(uid);
                news = self.take_back();
            }
            Event::Pod(pod) if pod.node.is_none() => {
                self.holders.remove(&pod.uid);
                news = self.take_back();
            }
            Event::Pod(_)
            | Event::Node(_)
            | Event::NodeGone(_)
            | Event::Namespace(_)
            | Event::NamespaceGone(_)
            | Event::Group(_)
            | Event::GroupGone { .. }
            | Event::Budget(_)
            | Event::BudgetGone { .. } => {}
            _ => news = self.settle(),
        }
        self.remember(event);
        news
    }

    fn remember(&mut self, event: &Event) {
        match event {
            Event::Claim(claim) => {
                let key = (claim.namespace.clone(), claim.name.clone());
                self.present.insert(key, (**claim).clone());
            }
            Event::ClaimGone { namespace, name } => {
                self.present.remove(&(namespace.clone(), name.clone()));
            }
            Event::Volume(volume) => {
                self.volumes.insert(volume.name.clone(), (**volume).clone());
            }
            Event::VolumeGone(name) => drop(self.volumes.remove(name)),
            _ => {}
        }
    }

    /// A pod was placed with these decisions about its claims: what the naive scheduler is to be told.
    pub(crate) fn placed(&mut self, pod: &Pod, bindings: &[Binding]) -> Vec<Event> {
        let named = bindings.iter().map(|b| (pod.namespace.clone(), b.claim().clone()));
        self.holders.insert(pod.uid.clone(), named.collect());
        let mut told = Vec::new();
        for binding in bindings {
            let key = (pod.namespace.clone(), binding.claim().clone());
            if self.unsettled.iter().all(|unsettled| unsettled.key != key)
                && let Some(old) = self.present.get(&key).cloned()
            {
                let unsettled = match binding {
                    Binding::Bind { volume, .. } => self.bind(key, old, volume),
                    Binding::Provision { .. } => provision(key, old, pod, &mut told),
                };
                told.extend(unsettled.bound.iter().cloned());
                self.unsettled.push(unsettled);
            }
        }
        for event in &told {
            self.remember(event);
        }
        told
    }

    fn bind(&self, key: Key, old: PersistentVolumeClaim, volume: &Str) -> Unsettled {
        let free = self.volumes[volume].clone();
        let taken = PersistentVolume { claim: Some(reference(&old)), ..free.clone() };
        let bound = [Event::Volume(Box::new(taken)), Event::Claim(Box::new(bound(&old, volume)))];
        let back = [Event::Claim(Box::new(old)), Event::Volume(Box::new(free))];
        Unsettled { key, bound: bound.into(), made: Vec::new(), back: back.into() }
    }

    /// The cluster says what was decided.
    pub(crate) fn settle(&mut self) -> News {
        let mut news = News::default();
        for unsettled in std::mem::take(&mut self.unsettled) {
            news.to_engine.extend(unsettled.bound);
            news.to_engine.extend(unsettled.made.iter().cloned());
            news.to_reference.extend(unsettled.made);
        }
        for event in &news.to_reference {
            self.remember(event);
        }
        news
    }

    /// Takes back what was decided about claims for pods that are all gone.
    fn take_back(&mut self) -> News {
        let holders = &self.holders;
        let held = |key: &Key| holders.values().flatten().any(|held| held == key);
        let (kept, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unsettled).into_iter().partition(|u| held(&u.key));
        self.unsettled = kept;
        let back: Vec<Event> = left.into_iter().flat_map(|unsettled| unsettled.back).collect();
        for event in &back {
            self.remember(event);
        }
        News { to_engine: Vec::new(), to_reference: back }
    }
}

/// A volume is to be made for a claim where the pod is.
fn provision(key: Key, old: PersistentVolumeClaim, pod: &Pod, told: &mut Vec<Event>) -> Unsettled {
    let selected = PersistentVolumeClaim { selected_node: pod.node.clone(), ..old.clone() };
    told.push(Event::Claim(Box::new(selected.clone())));
    let volume = made(&old);
    let claim = bound(&selected, &volume.name);
    let made = [Event::Volume(Box::new(volume)), Event::Claim(Box::new(claim))];
    let back = vec![Event::Claim(Box::new(old))];
    Unsettled { key, bound: Vec::new(), made: made.into(), back }
}

fn reference(claim: &PersistentVolumeClaim) -> ClaimRef {
    ClaimRef {
        namespace: claim.namespace.clone(),
        name: claim.name.clone(),
        uid: claim.uid.clone(),
    }
}

fn bound(claim: &PersistentVolumeClaim, volume: &Str) -> PersistentVolumeClaim {
    PersistentVolumeClaim { volume: Some(volume.clone()), bind_completed: true, ..claim.clone() }
}

/// A volume made for a claim.
fn made(claim: &PersistentVolumeClaim) -> PersistentVolume {
    PersistentVolume {
        name: Str::from(format!("made-{}-{}", claim.namespace, claim.name)),
        labels: berth_scheduler_model::labels::Labels::default(),
        capacity: claim.request,
        access: claim.access,
        class: claim.class.clone().unwrap_or_else(|| Str::from("")),
        claim: Some(reference(claim)),
        node_affinity: None,
        csi: Some((Str::from("driver0"), Str::from(format!("{}/{}", claim.namespace, claim.name)))),
        block: claim.block,
        available: false,
        terminating: false,
    }
}
