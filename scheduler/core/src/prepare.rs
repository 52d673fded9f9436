// SPDX-License-Identifier: Apache-2.0
//! Classes brought up to date ahead of the placements that need them, on several threads.
//!
//! A placement first mends what its class holds about the nodes that changed. Classes do not share that, so those of the next
//! pods can be mended side by side; what changes until a pod's turn comes is little, and mended then. Answers are the same with
//! and without it.

use crate::class::{ClassId, Inputs, Lanes};
use crate::engine::Engine;
use crate::parallel::for_each;
use crate::sig::{Sig, SigId, Tables};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::rules::Plugin;

/// Pods of which it makes sense to prepare the classes at once: with more of them, more changes until a pod's turn comes.
pub const AHEAD: usize = 16;

/// A signature and its classes, on their way through a thread.
struct Unit {
    id: SigId,
    sig: Box<Sig>,
    classes: Vec<(ClassId, Box<Lanes>)>,
}

impl Engine {
    /// Whether there are threads that [`Engine::prepare`] could use.
    pub fn prepares(&self) -> bool {
        self.parallel.as_ref().is_some_and(|parallel| parallel.threads() > 1)
    }

    /// Brings what is held of these pods' classes up to date, on all threads. It changes no answer; best for [`AHEAD`] pods.
    pub fn prepare<'a>(&mut self, pods: impl Iterator<Item = (&'a str, &'a Arc<PodSpec>)>) {
        let Some(parallel) = self.parallel.clone().filter(|p| p.threads() > 1) else { return };
        if !self.nominated_nodes.is_empty() {
            return;
        }
        let mut classes: Vec<ClassId> = Vec::with_capacity(AHEAD);
        for (namespace, spec) in pods {
            let ix = self.intern(namespace, spec);
            classes.extend(self.class_of(ix));
        }
        // Nothing is compiled from here on, when some are not in their places.
        let mut units: Vec<Unit> = Vec::with_capacity(AHEAD);
        for class in classes {
            self.take_along(class, &mut units);
        }
        if units.len() > 1 {
            self.mend(&mut units, &*parallel);
        }
        for unit in units {
            self.sigs[unit.id.0 as usize] = Some(unit.sig);
            for (class, lanes) in unit.classes {
                self.class_mut(class).lanes = Some(lanes);
            }
        }
    }

    /// Takes a class out of the engine, if it can be mended by itself.
    fn take_along(&mut self, id: ClassId, units: &mut Vec<Unit>) {
        let images = self.images.epoch();
        let head = self.log.head();
        // A later pod's spec may have taken the place of an earlier one's.
        let Some(class) = self.classes[id.0 as usize].as_mut() else { return };
        let sig_id = class.key.sig;
        let Some(lanes) = class.lanes.take_if(|l| l.owner == id && l.image_epoch == images) else {
            return;
        };
        if let Some(unit) = units.iter_mut().find(|unit| unit.id == sig_id) {
            unit.classes.push((id, lanes));
            return;
        }
        let plain = |sig: &Sig| sig.key.spec.volumes.is_empty() && sig.is_behind(head);
        match self.sigs[sig_id.0 as usize].take_if(|sig| plain(sig)) {
            Some(sig) => units.push(Unit { id: sig_id, sig, classes: Vec::from([(id, lanes)]) }),
            None => self.class_mut(id).lanes = Some(lanes),
        }
    }

    fn mend(&self, units: &mut [Unit], parallel: &dyn crate::Parallel) {
        let tables = Tables {
            nodes: &self.nodes,
            pods: &self.pods,
            peers: &self.peers,
            log: &self.log,
            namespaces: &self.namespaces,
            profiles: &self.profiles,
        };
        for_each(parallel, units, |unit| {
            if !unit.sig.mend(tables, &self.columns, &self.hasher) {
                return;
            }
            let profile = &self.profiles[unit.sig.key.profile as usize];
            for (class, lanes) in &mut unit.classes {
                let inputs = Inputs {
                    nodes: &self.nodes,
                    log: &self.log,
                    sig: &unit.sig,
                    rules: &profile.local,
                    shape: &self.class(*class).shape,
                    filters_ports: profile.filters(Plugin::NodePorts),
                    volumes: None,
                    listed: self.listed,
                    vector: self.vector,
                    parallel: None,
                };
                lanes.mend_ahead(inputs);
            }
        });
    }
}
