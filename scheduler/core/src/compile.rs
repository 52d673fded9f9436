// SPDX-License-Identifier: Apache-2.0
//! From a spec to its class: labels that matter, default spread, signature, requests.

use crate::class::{Class, ClassId, ClassKey};
use crate::engine::Engine;
use crate::local::Shape;
use crate::nodes::Usage;
use crate::peers::{PeerId, PeerKey, Terms};
use crate::rules::Compiled;
use crate::sig::{Sig, SigId, SigKey, Tables};
use crate::specs::SpecIx;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::LabelSelector;
use berth_scheduler_model::pod::{PodSpec, PreemptionPolicy};
use berth_scheduler_model::profile::DefaultSpread;
use berth_scheduler_model::requests::Requests;

impl Engine {
    /// The index of a spec, made on first sight.
    pub(crate) fn spec_of(&mut self, namespace: u32, spec: &Arc<PodSpec>) -> SpecIx {
        let hash = self.specs.hash(namespace, spec);
        if let Some(ix) = self.specs.find(hash, namespace, spec) {
            return ix;
        }
        let mut usage = Usage::new(&spec.requests, &mut self.resources);
        usage.ports = spec.host_ports.iter().map(|p| self.nodes.compact_port(p)).collect();
        let newly = self.label_keys.add_spec(spec);
        let ix = self.specs.insert(hash, namespace, spec, usage);
        self.split_peers(&newly);
        while let Some(old) = self.specs.evict() {
            self.label_keys.remove_spec(&old.spec);
            if old.peer != PeerId::NONE {
                self.peers.release(old.peer);
            }
            if old.class != ClassId::NONE {
                self.release_class(old.class);
            }
        }
        ix
    }

    /// Takes a signature out, brought up to date. It is to be put back.
    pub(crate) fn take_sig(&mut self, id: SigId) -> Box<Sig> {
        let mut sig = self.sigs[id.0 as usize].take().expect("a class's signature is there");
        let tables = Tables {
            nodes: &self.nodes,
            pods: &self.pods,
            peers: &self.peers,
            log: &self.log,
            namespaces: &self.namespaces,
            profiles: &self.profiles,
        };
        sig.catch_up(tables, &mut self.columns, &self.hasher);
        sig
    }

    /// Keys are now read that were not: what was one peer may be several.
    pub(crate) fn split_peers(&mut self, newly: &[Str]) {
        if newly.is_empty() {
            return;
        }
        self.label_epoch += 1;
        let affected: Vec<SpecIx> = self
            .specs
            .iter_mut()
            .filter(|(_, entry)| newly.iter().any(|key| entry.spec.labels.get(key).is_some()))
            .map(|(ix, _)| ix)
            .collect();
        let pods: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, r)| r.peer != PeerId::NONE && affected.binary_search(&r.spec).is_ok())
            .map(|(ix, _)| ix)
            .collect();
        for pod in pods {
            self.repeer(pod);
        }
    }

    /// What a pod of the spec is to others. The spec keeps a reference for pods that are not terminating.
    pub(crate) fn peer_of(&mut self, ix: SpecIx, terminating: bool) -> PeerId {
        let entry = self.specs.get(ix);
        if !terminating && entry.peer != PeerId::NONE && entry.label_epoch == self.label_epoch {
            let peer = entry.peer;
            self.peers.retain(peer);
            return peer;
        }
        let key = PeerKey {
            namespace: entry.namespace,
            labels: self.label_keys.read(&entry.spec.labels),
            terminating,
            terms: Terms::of(&entry.spec),
        };
        let peer = self.peers.acquire(key, self.log.head());
        if !terminating {
            self.renew(ix);
            self.specs.get_mut(ix).peer = peer;
            self.peers.retain(peer);
        }
        peer
    }

    /// Drops what was worked out for a spec under older epochs.
    fn renew(&mut self, ix: SpecIx) {
        let groups = self.groups.epoch(self.specs.get(ix).namespace);
        let entry = self.specs.get_mut(ix);
        let (labels_moved, groups_moved) =
            (entry.label_epoch != self.label_epoch, entry.group_epoch != groups);
        if !labels_moved && !groups_moved {
            return;
        }
        entry.label_epoch = self.label_epoch;
        entry.group_epoch = groups;
        let class = core::mem::replace(&mut entry.class, ClassId::NONE);
        let peer = if labels_moved {
            core::mem::replace(&mut entry.peer, PeerId::NONE)
        } else {
            PeerId::NONE
        };
        if class != ClassId::NONE {
            self.release_class(class);
        }
        if peer != PeerId::NONE {
            self.peers.release(peer);
        }
    }

    /// The class of a spec; `None` if no profile serves its scheduler name.
    pub(crate) fn class_of(&mut self, ix: SpecIx) -> Option<ClassId> {
        let entry = self.specs.get(ix);
        let current = entry.label_epoch == self.label_epoch
            && entry.group_epoch == self.groups.epoch(entry.namespace);
        if current && entry.class != ClassId::NONE {
            return Some(entry.class);
        }
        self.renew(ix);
        let entry = self.specs.get(ix);
        let (spec, namespace, usage) = (entry.spec.clone(), entry.namespace, entry.usage.clone());
        let profile = self.profile_of(&spec)?;
        let default_selector = self.default_selector(profile, namespace, &spec);
        let labels = self.label_keys.read(&spec.labels);
        let blank = PodSpec {
            labels,
            controller: None,
            scheduler_name: None,
            priority: 0,
            preemption: PreemptionPolicy::default(),
            requests: Requests::default(),
            images: Vec::new(),
            containers: 0,
            gates: Vec::new(),
            ..(*spec).clone()
        };
        let sig = self.sig_with(SigKey { profile, namespace, spec: blank, default_selector });
        let key = ClassKey {
            sig,
            usage,
            images: spec.images.clone(),
            containers: spec.containers,
            priority: spec.priority,
            may_preempt: spec.preemption,
        };
        let class = self.class_with(key);
        self.specs.get_mut(ix).class = class;
        Some(class)
    }

    /// The profile that serves a spec's scheduler name.
    pub(crate) fn profile_of(&self, spec: &PodSpec) -> Option<u32> {
        let name = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
        let at = self.profiles.iter().position(|p| *p.profile.name == *name)?;
        Some(u32::try_from(at).expect("few profiles"))
    }

    fn default_selector(
        &self,
        profile: u32,
        namespace: u32,
        spec: &PodSpec,
    ) -> Option<LabelSelector> {
        let profile = &self.profiles[profile as usize].profile;
        let none = matches!(&profile.default_spread, DefaultSpread::List(list) if list.is_empty());
        if none || !spec.spread.is_empty() {
            return None;
        }
        self.groups.default_selector(namespace, spec)
    }

    fn sig_with(&mut self, key: SigKey) -> SigId {
        let hash = self.hasher.hash(&key);
        let sigs = &self.sigs;
        let found = self
            .sig_ids
            .find(hash, |id| sigs[id.0 as usize].as_ref().is_some_and(|sig| *sig.key == key));
        if let Some(id) = found {
            let id = *id;
            self.sig_mut(id).refs += 1;
            return id;
        }
        let rules = Compiled::new(&key, &self.profiles[key.profile as usize], &self.namespaces);
        let mut sig = Sig::new(Arc::new(key), rules);
        sig.refs = 1;
        let id = match self.free_sigs.pop() {
            Some(id) => {
                self.sigs[id.0 as usize] = Some(Box::new(sig));
                id
            }
            None => {
                self.sigs.push(Some(Box::new(sig)));
                SigId(u32::try_from(self.sigs.len() - 1).expect("fewer than 2^32 signatures"))
            }
        };
        let (sigs, hasher) = (&self.sigs, &self.hasher);
        self.sig_ids.insert_unique(hash, id, |id| {
            hasher.hash(&*sigs[id.0 as usize].as_ref().expect("listed signatures are there").key)
        });
        id
    }

    fn release_sig(&mut self, id: SigId) {
        let sig = self.sig_mut(id);
        sig.refs -= 1;
        if sig.refs > 0 {
            return;
        }
        let mut sig = self.sigs[id.0 as usize].take().expect("a released signature is there");
        self.class_bytes -= sig.accounted;
        sig.drop_state(&mut self.columns);
        let hash = self.hasher.hash(&*sig.key);
        if let Ok(found) = self.sig_ids.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.free_sigs.push(id);
    }

    fn class_with(&mut self, key: ClassKey) -> ClassId {
        let hash = self.hasher.hash(&key);
        let classes = &self.classes;
        let found = self
            .class_ids
            .find(hash, |id| classes[id.0 as usize].as_ref().is_some_and(|class| class.key == key));
        if let Some(id) = found {
            let id = *id;
            // The class has its own reference to the signature.
            self.release_sig(key.sig);
            self.class_mut(id).refs += 1;
            return id;
        }
        let profile = &self.profiles[self.sig(key.sig).key.profile as usize];
        let filtered = key
            .usage
            .scalars
            .iter()
            .filter(|(id, _)| profile.filters_resource(self.resources.name(*id)))
            .copied()
            .collect();
        let shape = Shape::new(key.usage.clone(), filtered, &profile.local);
        let class = Class { key, shape, refs: 1, uses: 0, last_used: 0, lanes: None, costs: None };
        let id = match self.free_classes.pop() {
            Some(id) => {
                self.classes[id.0 as usize] = Some(class);
                id
            }
            None => {
                self.classes.push(Some(class));
                ClassId(u32::try_from(self.classes.len() - 1).expect("fewer than 2^32 classes"))
            }
        };
        let (classes, hasher) = (&self.classes, &self.hasher);
        self.class_ids.insert_unique(hash, id, |id| {
            hasher.hash(&classes[id.0 as usize].as_ref().expect("listed classes are there").key)
        });
        id
    }

    pub(crate) fn release_class(&mut self, id: ClassId) {
        let class = self.class_mut(id);
        class.refs -= 1;
        if class.refs > 0 {
            return;
        }
        let class = self.classes[id.0 as usize].take().expect("a released class is there");
        if let Some(mut lanes) = class.lanes {
            self.class_bytes -= lanes.accounted;
            lanes.accounted = 0;
            self.spare_lanes = Some(lanes);
        }
        if let Some(spare) = &mut self.spare_lanes {
            // The id may be given to another class.
            spare.owner = ClassId::NONE;
        }
        let hash = self.hasher.hash(&class.key);
        if let Ok(found) = self.class_ids.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.free_classes.push(id);
        self.release_sig(class.key.sig);
    }
}
