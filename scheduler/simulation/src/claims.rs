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

/// A placement that the cluster has not confirmed.
#[derive(Debug)]
struct Unsettled {
    uid: Str,
    names: Vec<Key>,
    /// What the cluster will say of volumes that are there; the naive scheduler knows.
    bound: Vec<Event>,
    /// What it will say of volumes that are made.
    made: Vec<Event>,
    /// What takes `bound` back.
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
}

impl Claims {
    /// Takes in what the cluster says. The answer is to be told to both first.
    pub(crate) fn apply(&mut self, event: &Event) -> News {
        let mut news = News::default();
        match event {
            Event::PodGone { uid } => news = self.gone(uid),
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
    pub(crate) fn placed(&mut self, pod: &Pod, node: &Str, bindings: &[Binding]) -> Vec<Event> {
        let mut unsettled = Unsettled {
            uid: pod.uid.clone(),
            names: Vec::new(),
            bound: Vec::new(),
            made: Vec::new(),
            back: Vec::new(),
        };
        let mut told = Vec::new();
        for binding in bindings {
            let key = (pod.namespace.clone(), binding.claim().clone());
            let Some(old) = self.present.get(&key).cloned() else { continue };
            unsettled.names.push(key);
            unsettled.back.push(Event::Claim(Box::new(old.clone())));
            let by = ClaimRef {
                namespace: old.namespace.clone(),
                name: old.name.clone(),
                uid: old.uid.clone(),
            };
            if let Binding::Bind { volume, .. } = binding {
                let Some(free) = self.volumes.get(volume).cloned() else { continue };
                unsettled.back.push(Event::Volume(Box::new(free.clone())));
                unsettled.bound.extend([
                    Event::Volume(Box::new(PersistentVolume { claim: Some(by), ..free })),
                    Event::Claim(Box::new(bound(&old, volume))),
                ]);
            } else {
                let selected = Some(node.clone());
                told.push(Event::Claim(Box::new(PersistentVolumeClaim {
                    selected_node: selected.clone(),
                    ..old.clone()
                })));
                let volume = made(&old, by);
                let claim = bound(&old, &volume.name);
                unsettled.made.extend([
                    Event::Volume(Box::new(volume)),
                    Event::Claim(Box::new(PersistentVolumeClaim {
                        selected_node: selected,
                        ..claim
                    })),
                ]);
            }
        }
        if !unsettled.names.is_empty() {
            told.extend(unsettled.bound.iter().cloned());
            self.unsettled.push(unsettled);
        }
        for event in &told {
            self.remember(event);
        }
        told
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

    /// A pod is gone.
    fn gone(&mut self, uid: &Str) -> News {
        let Some(at) = self.unsettled.iter().position(|u| u.uid == *uid) else {
            return News::default();
        };
        let leaving = &self.unsettled[at];
        let shared = |other: &Unsettled| {
            other.uid != *uid && other.names.iter().any(|name| leaving.names.contains(name))
        };
        // Another pod counts on the same claim: the cluster is quick enough.
        if self.unsettled.iter().any(shared) {
            return self.settle();
        }
        let back = self.unsettled.remove(at).back;
        for event in &back {
            self.remember(event);
        }
        News { to_engine: Vec::new(), to_reference: back }
    }
}

fn bound(claim: &PersistentVolumeClaim, volume: &Str) -> PersistentVolumeClaim {
    PersistentVolumeClaim { volume: Some(volume.clone()), bind_completed: true, ..claim.clone() }
}

/// A volume made for a claim.
fn made(claim: &PersistentVolumeClaim, by: ClaimRef) -> PersistentVolume {
    PersistentVolume {
        name: Str::from(format!("made-{}-{}", claim.namespace, claim.name)),
        labels: berth_scheduler_model::labels::Labels::default(),
        capacity: claim.request,
        access: claim.access,
        class: claim.class.clone().unwrap_or_else(|| Str::from("")),
        claim: Some(by),
        node_affinity: None,
        csi: Some((Str::from("driver0"), Str::from(format!("{}/{}", claim.namespace, claim.name)))),
        block: claim.block,
        available: false,
        terminating: false,
    }
}
