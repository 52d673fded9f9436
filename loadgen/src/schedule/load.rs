// SPDX-License-Identifier: Apache-2.0
//! The load on the service, apart from how it travels: which pod comes next, which one goes, what an answer means.

use super::names::{NAMESPACE, Name, Uid};
use super::source::Source;
use crate::books::{Books, ClassIx, PodIx, Rule};
use berth_proto::raw::request::{PodToWrite, RequestWriter, WhatToWrite};
use berth_proto::raw::result::Placement;
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_workload::{Next, Rng};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What became of pods so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Placed.
    pub placed: u64,
    /// Refused: no node takes them.
    pub refused: u64,
    /// Not taken up, and sent again: the service was overloaded, or about to stop.
    pub not_accepted: u64,
    /// Given back.
    pub released: u64,
    /// Pods that others were evicted for.
    pub preempting: u64,
    /// Reasons of refusals, and how often each was given.
    pub reasons: BTreeMap<String, u64>,
}

/// Reasons that are told apart; the others are counted as one.
const REASONS_MAX: usize = 100;

/// How a spec travels.
#[derive(Debug, Clone, Default)]
struct Wire {
    encoded: Bytes,
    /// 0: none; the spec itself travels.
    template: u32,
}

/// The load.
#[derive(Debug)]
pub struct Load {
    /// The client's books.
    pub books: Books,
    /// What became of pods.
    pub tally: Tally,
    source: Box<dyn Source>,
    rng: Rng,
    /// Tells the uids of this run from those of others.
    run: u32,
    serial: u64,
    /// Classes of the specs that come again.
    classes: Vec<ClassIx>,
    /// By class.
    wires: Vec<Wire>,
    /// Pods that are placed and not about to be released.
    live: Vec<PodIx>,
    /// Pods to be sent again.
    again: VecDeque<PodIx>,
    /// Smallest and largest spec sent.
    sizes: (usize, usize),
}

impl Load {
    /// The load of a source; the same seed gives the same pods.
    pub fn new(source: Box<dyn Source>, seed: u64, run: u32) -> Self {
        let mut load = Self {
            books: Books::new(source.nodes()),
            tally: Tally::default(),
            rng: Rng::new(seed),
            run,
            serial: 0,
            classes: Vec::new(),
            wires: Vec::new(),
            live: Vec::new(),
            again: VecDeque::new(),
            sizes: (usize::MAX, 0),
            source,
        };
        for spec in load.source.specs().to_vec() {
            let class = load.books.class(NAMESPACE, &spec);
            load.classes.push(class);
            load.remember(class, &spec);
        }
        for pod in load.source.resident() {
            let class = load.books.class(&pod.namespace, &pod.spec);
            load.serial += 1;
            let ix = load.books.admit(class, load.serial);
            load.books.put_on(ix, pod.node.as_deref().unwrap_or_default());
        }
        load
    }

    /// Where its pods come from: nodes, groups, budgets and residents are to be registered.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    fn remember(&mut self, class: ClassIx, spec: &PodSpec) {
        let encoded = Bytes::from(super::encode::spec(spec).encode_to_vec());
        let (smallest, largest) = self.sizes;
        self.sizes = (smallest.min(encoded.len()), largest.max(encoded.len()));
        let at = class as usize;
        if at >= self.wires.len() {
            self.wires.resize(at + 1, Wire::default());
        }
        self.wires[at] = Wire { encoded, template: 0 };
    }

    /// Specs that can be registered as templates: class and encoded spec. Empty where every pod has its own spec.
    pub fn templates(&self) -> Vec<(ClassIx, Bytes)> {
        self.classes
            .iter()
            .map(|class| (*class, self.wires[*class as usize].encoded.clone()))
            .collect()
    }

    /// From now on the class's pods travel by template.
    pub fn use_template(&mut self, class: ClassIx, template: u32) {
        self.wires[class as usize].template = template;
    }

    /// Bytes of the smallest and of the largest spec.
    pub fn spec_bytes(&self) -> (usize, usize) {
        (self.sizes.0.min(self.sizes.1), self.sizes.1)
    }

    /// Number of pods that are placed and not about to be released.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Uids and nodes of the pods that are placed and not about to be released.
    pub fn placed_pods(&self) -> impl Iterator<Item = (Uid, &Str)> {
        self.live.iter().filter_map(|pod| Some((self.uid(*pod), self.books.node_of(*pod)?)))
    }

    /// Pods that wait to be sent again.
    pub fn waiting(&self) -> usize {
        self.again.len()
    }

    /// The next pod to be sent.
    pub fn next_pod(&mut self) -> PodIx {
        if let Some(pod) = self.again.pop_front() {
            return pod;
        }
        let class = match self.source.next(&mut self.rng) {
            Next::Again(index) => self.classes[index],
            Next::New(spec) => self.new_class(&spec),
        };
        self.serial += 1;
        self.books.admit(class, self.serial)
    }

    /// A pod with the spec at this place among those that come again.
    pub fn pod_of(&mut self, spec: usize) -> PodIx {
        self.serial += 1;
        self.books.admit(self.classes[spec], self.serial)
    }

    /// A number below `bound`, at random.
    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound)
    }

    fn new_class(&mut self, spec: &Arc<PodSpec>) -> ClassIx {
        let class = self.books.class_once(NAMESPACE, spec);
        self.remember(class, spec);
        class
    }

    /// A pod to be released, drawn uniformly from those that are placed. It is no longer among them.
    pub fn pick_release(&mut self) -> Option<PodIx> {
        if self.live.is_empty() {
            return None;
        }
        let at = self.rng.below(self.live.len());
        Some(self.live.swap_remove(at))
    }

    /// The release was not taken up: the pod is still placed.
    pub fn keep(&mut self, pod: PodIx) {
        self.live.push(pod);
    }

    /// All pods that are placed; they are no longer this load's to release.
    pub fn take_live(&mut self) -> Vec<PodIx> {
        std::mem::take(&mut self.live)
    }

    /// The serial number of a pod of this run, by its uid.
    pub fn serial(&self, uid: &str) -> Option<u64> {
        Uid::serial(self.run, uid)
    }

    /// A pod's uid.
    pub fn uid(&self, pod: PodIx) -> Uid {
        Uid::new(self.run, self.books.serial(pod))
    }

    /// Writes a pod's request.
    pub fn write_pod(&self, writer: &mut RequestWriter, pod: PodIx) {
        let serial = self.books.serial(pod);
        let wire = &self.wires[self.books.class_of(pod) as usize];
        let what = match wire.template {
            0 => WhatToWrite::Spec(&wire.encoded),
            template => WhatToWrite::Template(template),
        };
        let (uid, name) = (Uid::new(self.run, serial), Name::new(serial));
        writer.pod(&PodToWrite {
            uid: uid.as_str(),
            namespace: NAMESPACE,
            name: name.as_str(),
            what,
        });
    }

    /// Bytes that a pod's request takes, roughly.
    pub fn pod_bytes(&self) -> usize {
        self.sizes.1 + 96
    }

    /// A release was answered.
    pub fn released(&mut self, pod: PodIx) {
        self.books.release(pod);
        self.tally.released += 1;
    }

    /// The pod is placed, says the service.
    #[inline]
    pub fn placed(&mut self, pod: PodIx, placement: &Placement<'_>) {
        if placement.repeated || placement.lease_until_unix_ms != 0 {
            self.misplaced(placement);
        }
        if self.books.place(pod, placement.node).is_some() {
            self.tally.placed += 1;
            self.live.push(pod);
        }
    }

    #[cold]
    fn misplaced(&mut self, placement: &Placement<'_>) {
        // A pod that is sent again may have been placed at the first time.
        if placement.lease_until_unix_ms != 0 || self.tally.not_accepted == 0 {
            let text = || format!("a first, final request was answered by {placement:?}");
            self.books.violate(Rule::Protocol, text);
        }
    }

    /// The pod has another result.
    pub fn result(&mut self, pod: PodIx, result: &v1::PodResult) {
        match &result.outcome {
            Some(Outcome::Placed(placed)) => self.placed(
                pod,
                &Placement {
                    revision: result.revision,
                    uid: &result.uid,
                    node: &placed.node,
                    repeated: placed.repeated,
                    lease_until_unix_ms: placed.lease_until_unix_ms,
                },
            ),
            Some(Outcome::Refused(refused)) => self.refused(pod, refused),
            Some(Outcome::NotAccepted(_)) => self.resend(pod),
            other => {
                let uid = self.uid(pod);
                let text = || format!("pod {} was answered by {other:?}", uid.as_str());
                self.books.violate(Rule::Protocol, text);
                self.books.release(pod);
            }
        }
    }

    fn refused(&mut self, pod: PodIx, refused: &v1::Refused) {
        self.tally.refused += 1;
        let told: u64 = refused.rules.iter().map(|rule| u64::from(rule.nodes)).sum();
        let nodes = self.books.nodes() as u64;
        if u64::from(refused.nodes) != nodes || told != nodes {
            let text =
                || format!("a refusal by {told} of {} nodes; there are {nodes}", refused.nodes);
            self.books.violate(Rule::Protocol, text);
        }
        if let Some(count) = self.tally.reasons.get_mut(&refused.message) {
            *count += 1;
        } else {
            let full = self.tally.reasons.len() >= REASONS_MAX;
            let reason = if full { "other reasons" } else { &*refused.message };
            *self.tally.reasons.entry(reason.to_owned()).or_insert(0) += 1;
        }
        self.books.refuse(self.books.class_of(pod));
        self.books.release(pod);
    }

    /// The pod was not taken up, and is sent again.
    pub fn resend(&mut self, pod: PodIx) {
        self.tally.not_accepted += 1;
        self.again.push_back(pod);
    }
}
