// SPDX-License-Identifier: Apache-2.0
//! The state back from the journal. Nothing is decided here: pods go where the records say.
//!
//! Steps come from [`Ahead`], which has read the records. Pods are put on their nodes all at once, at the end: of those that came
//! and went since the snapshot the nodes never learn.

mod waits;

use super::ahead::{Plain, Step, Steps};
use super::books::{Entry, Nomination, Waiting};
use super::record::{Claims, Placed, PodKey, Queued, Reader, Record};
use super::specs::SpecId;
use super::{Ahead, Options, Sequencer, object_id};
use crate::convert::{Change, Gone};
use berth_scheduler_core::{Binding, PodId, PodIx, PodState, Slot, SpecIx, UidHash};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use hashbrown::HashMap;
use std::sync::Arc;
use waits::{WaitList, Waits};

/// Takes records in, and becomes a sequencer.
#[derive(Debug)]
pub struct Restore<R> {
    sequencer: Sequencer<R>,
    /// By number: the spec here, and in the engine. Both are held until the end, so that they stay valid.
    specs: HashMap<u64, (SpecId, SpecIx), foldhash::fast::FixedState>,
    /// Names of nodes by their number, and where the engine has them.
    nodes: Vec<(Box<str>, Option<Slot>)>,
    waiting: WaitList,
    revision: u64,
}

impl<R: Clone> Restore<R> {
    /// From nothing.
    pub fn new(options: Options) -> Self {
        let hasher = foldhash::fast::FixedState::with_seed(options.engine.hash_seed);
        Self {
            sequencer: Sequencer::new(options),
            specs: HashMap::with_hasher(hasher),
            nodes: Vec::new(),
            waiting: WaitList::default(),
            revision: 0,
        }
    }

    /// What reads the records of the journal.
    pub fn ahead(&self) -> Ahead {
        Ahead::new(self.sequencer.engine.uid_hasher())
    }

    /// Takes the next steps, and leaves the room that they took.
    pub fn take(&mut self, steps: &mut Steps) -> Result<(), String> {
        self.revision = self.revision.max(steps.revision);
        self.nodes.extend(steps.nodes.drain(..).map(|name| (name, None)));
        let mut list = std::mem::take(&mut steps.steps);
        for step in list.drain(..) {
            self.step(step, steps)?;
        }
        steps.steps = list;
        steps.clear();
        Ok(())
    }

    fn step(&mut self, step: Step, steps: &Steps) -> Result<(), String> {
        match step {
            Step::Place(plain) => self.place_plain(&plain, steps),
            Step::Forget { hash, uid } => {
                self.forget(hash, steps.text(uid));
                Ok(())
            }
            Step::Object { node, change, bytes } => self.object(node, *change, steps.bytes(&bytes)),
            Step::Record { base, bytes } => {
                let mut reader = Reader::resume(steps.bytes(&bytes), base);
                match reader.record().map_err(|error| error.to_string())? {
                    Some(record) => self.record(&record),
                    None => Ok(()),
                }
            }
        }
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Numbers { spec, template, .. } => {
                self.sequencer.specs.skip_to(*spec);
                let template = u32::try_from(*template).unwrap_or(u32::MAX);
                self.sequencer.last_template = self.sequencer.last_template.max(template);
            }
            Record::Spec { number, namespace, name, bytes } => {
                let read = self.sequencer.specs.restore(*number, namespace, name, bytes);
                let id = read.map_err(|v| format!("spec {number}: {}: {}", v.field, v.message))?;
                self.hold_spec(*number, namespace, id);
            }
            Record::Placed(placed) => {
                self.place(placed)?;
            }
            Record::Queued(queued) => {
                self.queue(queued)?;
            }
            Record::Nominated(nominated) => {
                if let Some(waits) = self.waits(nominated.pod) {
                    waits.since_revision = nominated.revision;
                    waits.nomination = Some(Nomination {
                        node: nominated.node.into(),
                        hold_until: nominated.hold_until,
                        violations: u32::try_from(nominated.violations).unwrap_or(u32::MAX),
                        victims: nominated.victims.iter().map(|victim| victim.uid.into()).collect(),
                    });
                }
            }
            Record::NominationEnded { revision, pod } => {
                if let Some(waits) = self.waits(*pod) {
                    waits.since_revision = *revision;
                    waits.nomination = None;
                }
            }
            Record::Confirmed { revision, pod } => {
                if let Some(ix) = self.sequencer.engine.find_pod(pod.uid) {
                    self.sequencer.books.end_lease(ix);
                    self.sequencer.books.set_since(ix, *revision);
                    self.sequencer.engine.confirm(pod.uid);
                }
            }
            Record::Template { number, bytes, .. } => {
                let number = u32::try_from(*number).map_err(|_| "a template's number")?;
                self.sequencer.put_template(number, (*bytes).into());
            }
            Record::TemplateGone { number, .. } => {
                let number = u32::try_from(*number).map_err(|_| "a template's number")?;
                if let Some(bytes) = self.sequencer.templates.remove(&number) {
                    self.sequencer.template_ids.remove(&bytes);
                }
            }
            Record::Gone { .. } | Record::Object { .. } | Record::ObjectGone { .. } => {
                return Err("a record that was to be read ahead".to_owned());
            }
        }
        Ok(())
    }

    /// Of a waiting pod that a record is about.
    fn waits(&mut self, pod: PodKey<'_>) -> Option<&mut Waits> {
        let hash = self.sequencer.engine.uid_hash(pod.uid);
        self.waiting.get_mut(hash, pod.uid)
    }

    /// Specs are held until the end, so that their numbers stay valid.
    fn hold_spec(&mut self, number: u64, namespace: &str, id: SpecId) {
        let known = self.specs.get(&number);
        if known.is_some_and(|(known, _)| *known == id) {
            return;
        }
        let spec = self.sequencer.specs.spec(id);
        let held = self.sequencer.engine.hold_spec(namespace, spec);
        self.sequencer.specs.retain(id);
        if let Some((before, held_before)) = self.specs.insert(number, (id, held)) {
            self.sequencer.specs.release(before);
            self.sequencer.engine.drop_spec(held_before);
        }
    }

    fn spec(&self, number: u64) -> Result<(SpecId, SpecIx), String> {
        self.specs.get(&number).copied().ok_or_else(|| format!("spec {number} was not defined"))
    }

    fn forget(&mut self, hash: UidHash, uid: &str) {
        if let Some(waits) = self.waiting.remove(hash, uid) {
            self.sequencer.specs.release(waits.spec);
        }
        if let Some(pod) = self.sequencer.engine.find_pod_hashed(hash, uid) {
            let (entry, _) = self.sequencer.books.remove(pod);
            self.sequencer.specs.release(entry.spec);
            self.sequencer.engine.forget_bound(hash, pod);
        }
    }

    fn place_plain(&mut self, plain: &Plain, steps: &Steps) -> Result<(), String> {
        let (spec, held) = self.spec(plain.spec)?;
        let (uid, name) = (steps.text(plain.uid), steps.text(plain.name));
        let (node, slot) =
            self.nodes.get(plain.node as usize).ok_or("a node's number is not known")?;
        let Some(slot) = *slot else {
            // Its node is not there (yet).
            let namespace = self.sequencer.engine.namespace_of(held).to_owned();
            let node = node.clone();
            return self.place(&Placed {
                revision: plain.revision,
                pod: PodKey { uid, namespace: &namespace, name },
                node: &node,
                spec: plain.spec,
                lease_until: plain.lease_until,
                bound: plain.bound,
                terminating: false,
                started: None,
                claims: Claims::NONE,
            });
        };
        self.forget(plain.hash, uid);
        let sequencer = &mut self.sequencer;
        sequencer.specs.retain(spec);
        let state = state(plain.lease_until);
        let pod = sequencer.engine.bind_later((plain.hash, uid), name, held, (slot, state));
        let entry = Entry {
            since: plain.revision,
            lease_until: plain.lease_until,
            spec,
            bound: plain.bound,
            terminating: false,
        };
        sequencer.books.insert(pod, entry);
        Ok(())
    }

    fn place(&mut self, placed: &Placed<'_>) -> Result<(), String> {
        let (spec, _) = self.spec(placed.spec)?;
        self.forget(self.sequencer.engine.uid_hash(placed.pod.uid), placed.pod.uid);
        let sequencer = &mut self.sequencer;
        sequencer.specs.retain(spec);
        let PodKey { uid, namespace, name } = placed.pod;
        let id = PodId { uid, namespace, name };
        let plain = placed.started.is_none() && !placed.terminating;
        let slot = sequencer.engine.find_node(placed.node).filter(|_| plain);
        let bound = slot.and_then(|slot| {
            sequencer
                .engine
                .bind(id, sequencer.specs.spec(spec), slot, state(placed.lease_until))
                .ok()
        });
        let pod = match bound {
            Some(pod) => pod,
            None => self.place_by_event(placed, spec)?,
        };
        let sequencer = &mut self.sequencer;
        let claims = placed.claims.to_list();
        if !claims.is_empty() {
            sequencer.engine.rebind_claims(pod, claims.into_iter().map(binding).collect());
        }
        sequencer.books.insert(
            pod,
            Entry {
                since: placed.revision,
                lease_until: placed.lease_until,
                spec,
                bound: placed.bound,
                terminating: placed.terminating,
            },
        );
        Ok(())
    }

    /// The long way: for pods whose node is not there, or of which more is known.
    fn place_by_event(&mut self, placed: &Placed<'_>, spec: SpecId) -> Result<PodIx, String> {
        let engine = &mut self.sequencer.engine;
        let PodKey { uid, namespace, name } = placed.pod;
        engine.apply(Event::Pod(Box::new(Pod {
            uid: uid.into(),
            namespace: namespace.into(),
            name: name.into(),
            spec: Arc::clone(self.sequencer.specs.spec(spec)),
            node: Some(placed.node.into()),
            nominated: None,
            started: placed.started,
            terminating: placed.terminating,
            preempted: false,
        })));
        engine.find_pod(uid).ok_or_else(|| format!("pod {uid} was not taken"))
    }

    fn queue(&mut self, queued: &Queued<'_>) -> Result<(), String> {
        let (spec, _) = self.spec(queued.spec)?;
        let uid = queued.pod.uid;
        let hash = self.sequencer.engine.uid_hash(uid);
        self.forget(hash, uid);
        self.sequencer.specs.retain(spec);
        self.sequencer.books.skip_order(queued.order);
        let waits = Waits {
            uid: uid.into(),
            namespace: queued.pod.namespace.into(),
            name: queued.pod.name.into(),
            spec,
            since_revision: queued.revision,
            since: queued.since,
            order: queued.order,
            deadline: queued.deadline,
            lease_ms: queued.lease_ms,
            hold_ms: queued.hold_ms,
            nomination: None,
        };
        self.waiting.insert(hash, waits);
        Ok(())
    }

    /// An object is there, or gone; `node` is the number of a node's name.
    fn object(&mut self, node: Option<u32>, change: Change, bytes: &[u8]) -> Result<(), String> {
        let (key, event, gone) = match change {
            Change::Object(key, event) => (key, event, false),
            Change::Gone(Gone::Object(key, event)) => (key, event, true),
            _ => return Err("an object that is none".to_owned()),
        };
        if gone {
            // Who is on a node that goes has to be known to it.
            self.sequencer.engine.seat_all();
            self.sequencer.drop_object(&object_id(&key));
        } else if node.is_none() {
            self.sequencer.keep_object(object_id(&key), bytes.into());
        }
        self.sequencer.engine.apply(event);
        if let Some(number) = node {
            let entry =
                self.nodes.get_mut(number as usize).ok_or("a node's number is not known")?;
            entry.1 = self.sequencer.engine.find_node(&entry.0);
        }
        Ok(())
    }

    /// Everything was taken in.
    pub fn finish(mut self) -> Sequencer<R> {
        self.sequencer.engine.seat_all();
        self.sequencer.log.skip_to(self.revision);
        let mut victims = Vec::new();
        for waits in std::mem::take(&mut self.waiting).into_sorted() {
            victims.extend(self.wait_again(waits));
        }
        self.sequencer.review(&victims);
        for (id, held) in self.specs.values() {
            self.sequencer.specs.release(*id);
            self.sequencer.engine.drop_spec(*held);
        }
        self.sequencer
    }

    /// Queues a pod as it was; the pods that have to go for it.
    fn wait_again(&mut self, waits: Waits) -> Vec<Str> {
        let sequencer = &mut self.sequencer;
        let Waits { since, order, deadline, lease_ms, hold_ms, .. } = waits;
        let id = PodId { uid: &waits.uid, namespace: &waits.namespace, name: &waits.name };
        let spec = sequencer.specs.spec(waits.spec);
        let Ok(pod) = sequencer.engine.enqueue(since, id, spec) else {
            sequencer.specs.release(waits.spec);
            return Vec::new();
        };
        let nomination = waits.nomination;
        if let Some(nomination) = &nomination {
            sequencer.engine.renominate(pod, &nomination.node);
        }
        let victims = nomination.as_ref().map_or_else(Vec::new, |n| n.victims.clone());
        let since_revision = waits.since_revision;
        sequencer
            .books
            .insert(pod, Entry { since: since_revision, spec: waits.spec, ..Entry::NONE });
        sequencer.books.wait(
            pod,
            Waiting {
                since,
                order,
                deadline,
                lease_ms,
                hold_ms,
                stream: None,
                nomination,
                refusal: None,
                attempts: 0,
            },
        );
        victims
    }
}

/// A lease is not final.
fn state(lease_until: u64) -> PodState {
    if lease_until == 0 { PodState::Bound } else { PodState::Assumed }
}

fn binding((claim, volume): (String, String)) -> Binding {
    let claim: Str = claim.into();
    if volume.is_empty() {
        Binding::Provision { claim }
    } else {
        Binding::Bind { claim, volume: volume.into() }
    }
}
