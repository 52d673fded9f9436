// SPDX-License-Identifier: Apache-2.0
//! The state back from the journal. Nothing is decided here: pods go where the records say.

use super::books::{Entry, Nomination, Waiting};
use super::record::{Placed, PodKey, Queued, Reader, Record};
use super::specs::SpecId;
use super::{Options, Sequencer, object_id};
use crate::convert::{self, Change, Gone};
use berth_proto::v1;
use berth_scheduler_core::{Binding, PodId, PodIx, PodState};
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use hashbrown::HashMap;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes records in, and becomes a sequencer.
#[derive(Debug)]
pub struct Restore<R> {
    sequencer: Sequencer<R>,
    specs: HashMap<u64, SpecId, foldhash::fast::FixedState>,
    /// Waiting pods by uid: they are queued at the end, in the order in which they came.
    waiting: BTreeMap<Str, Waits>,
    revision: u64,
}

#[derive(Debug)]
struct Waits {
    namespace: Str,
    name: Str,
    spec: SpecId,
    since_revision: u64,
    queued: (u64, u64, u64, u64, u64),
    nomination: Option<Nomination>,
}

impl<R: Clone> Restore<R> {
    /// From nothing.
    pub fn new(options: Options) -> Self {
        let hasher = foldhash::fast::FixedState::with_seed(options.engine.hash_seed);
        Self {
            sequencer: Sequencer::new(options),
            specs: HashMap::with_hasher(hasher),
            waiting: BTreeMap::new(),
            revision: 0,
        }
    }

    /// The highest revision seen.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes a batch of the journal, or a slice of a snapshot.
    pub fn batch(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(bytes).map_err(|error| error.to_string())?;
        while let Some(record) = reader.record().map_err(|error| error.to_string())? {
            self.record(&record)?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Numbers { revision, spec, template } => {
                self.saw(*revision);
                self.sequencer.specs.skip_to(*spec);
                let template = u32::try_from(*template).unwrap_or(u32::MAX);
                self.sequencer.last_template = self.sequencer.last_template.max(template);
            }
            Record::Spec { number, namespace, name, bytes } => {
                let read = self.sequencer.specs.restore(*number, namespace, name, bytes);
                let id = read.map_err(|v| format!("spec {number}: {}: {}", v.field, v.message))?;
                self.hold_spec(*number, id);
            }
            Record::Placed(placed) => {
                self.saw(placed.revision);
                self.place(placed)?;
            }
            Record::Gone { revision, pod, .. } => {
                self.saw(*revision);
                self.forget(pod.uid);
            }
            Record::Queued(queued) => {
                self.saw(queued.revision);
                self.queue(queued)?;
            }
            Record::Nominated(nominated) => {
                self.saw(nominated.revision);
                if let Some(waits) = self.waiting.get_mut(nominated.pod.uid) {
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
                self.saw(*revision);
                if let Some(waits) = self.waiting.get_mut(pod.uid) {
                    waits.since_revision = *revision;
                    waits.nomination = None;
                }
            }
            Record::Confirmed { revision, pod } => {
                self.saw(*revision);
                if let Some(ix) = self.sequencer.engine.find_pod(pod.uid) {
                    self.sequencer.books.end_lease(ix);
                    self.sequencer.books.set_since(ix, *revision);
                    self.sequencer.engine.confirm(pod.uid);
                }
            }
            Record::Object { revision, update } => {
                self.saw(*revision);
                self.object(update)?;
            }
            Record::ObjectGone { revision, key } => {
                self.saw(*revision);
                self.object_gone(key)?;
            }
            Record::Template { revision, number, bytes } => {
                self.saw(*revision);
                let number = u32::try_from(*number).map_err(|_| "a template's number")?;
                self.sequencer.put_template(number, (*bytes).into());
            }
            Record::TemplateGone { revision, number } => {
                self.saw(*revision);
                let number = u32::try_from(*number).map_err(|_| "a template's number")?;
                if let Some(bytes) = self.sequencer.templates.remove(&number) {
                    self.sequencer.template_ids.remove(&bytes);
                }
            }
        }
        Ok(())
    }

    fn saw(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// Specs are held until the end, so that their numbers stay valid.
    fn hold_spec(&mut self, number: u64, id: SpecId) {
        if let Some(before) = self.specs.insert(number, id) {
            self.sequencer.specs.release(before);
        }
        self.sequencer.specs.retain(id);
    }

    fn spec(&self, number: u64) -> Result<SpecId, String> {
        self.specs.get(&number).copied().ok_or_else(|| format!("spec {number} was not defined"))
    }

    fn forget(&mut self, uid: &str) {
        if let Some(waits) = self.waiting.remove(uid) {
            self.sequencer.specs.release(waits.spec);
        }
        if let Some(pod) = self.sequencer.engine.find_pod(uid) {
            let (entry, _) = self.sequencer.books.remove(pod);
            self.sequencer.specs.release(entry.spec);
            self.sequencer.engine.release(uid);
        }
    }

    fn place(&mut self, placed: &Placed<'_>) -> Result<(), String> {
        let spec = self.spec(placed.spec)?;
        self.forget(placed.pod.uid);
        let sequencer = &mut self.sequencer;
        sequencer.specs.retain(spec);
        let PodKey { uid, namespace, name } = placed.pod;
        let id = PodId { uid, namespace, name };
        let final_state = if placed.lease_until == 0 { PodState::Bound } else { PodState::Assumed };
        let plain = placed.started.is_none() && !placed.terminating;
        let slot = sequencer.engine.find_node(placed.node).filter(|_| plain);
        let bound = slot.and_then(|slot| {
            sequencer.engine.bind(id, sequencer.specs.spec(spec), slot, final_state).ok()
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
        let spec = self.spec(queued.spec)?;
        self.forget(queued.pod.uid);
        self.sequencer.specs.retain(spec);
        self.sequencer.books.skip_order(queued.order);
        let waits = Waits {
            namespace: queued.pod.namespace.into(),
            name: queued.pod.name.into(),
            spec,
            since_revision: queued.revision,
            queued: (queued.since, queued.order, queued.deadline, queued.lease_ms, queued.hold_ms),
            nomination: None,
        };
        self.waiting.insert(queued.pod.uid.into(), waits);
        Ok(())
    }

    fn object(&mut self, bytes: &[u8]) -> Result<(), String> {
        let update = v1::Update::decode(bytes).map_err(|error| error.to_string())?;
        let read = convert::update(update).map_err(|v| format!("{}: {}", v.field, v.message))?;
        let Change::Object(key, event) = read else {
            return Err("an object that is none".to_owned());
        };
        if !matches!(event, Event::Node(_)) {
            self.sequencer.keep_object(object_id(&key), bytes.into());
        }
        self.sequencer.engine.apply(event);
        Ok(())
    }

    fn object_gone(&mut self, bytes: &[u8]) -> Result<(), String> {
        let key = v1::ObjectKey::decode(bytes).map_err(|error| error.to_string())?;
        let update = v1::Update { what: Some(v1::update::What::Gone(key)) };
        let read = convert::update(update).map_err(|v| format!("{}: {}", v.field, v.message))?;
        if let Change::Gone(Gone::Object(key, event)) = read {
            self.sequencer.drop_object(&object_id(&key));
            self.sequencer.engine.apply(event);
        }
        Ok(())
    }

    /// Everything was taken in.
    pub fn finish(mut self) -> Sequencer<R> {
        self.sequencer.log.skip_to(self.revision);
        let mut waiting: Vec<(Str, Waits)> =
            std::mem::take(&mut self.waiting).into_iter().collect();
        waiting.sort_by_key(|(_, waits)| (waits.queued.0, waits.queued.1));
        let mut victims = Vec::new();
        for (uid, waits) in waiting {
            victims.extend(self.wait_again(&uid, waits));
        }
        self.sequencer.review(&victims);
        for id in self.specs.values() {
            self.sequencer.specs.release(*id);
        }
        self.sequencer
    }

    /// Queues a pod as it was; the pods that have to go for it.
    fn wait_again(&mut self, uid: &Str, waits: Waits) -> Vec<Str> {
        let sequencer = &mut self.sequencer;
        let (since, order, deadline, lease_ms, hold_ms) = waits.queued;
        let id = PodId { uid, namespace: &waits.namespace, name: &waits.name };
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

fn binding((claim, volume): (String, String)) -> Binding {
    let claim: Str = claim.into();
    if volume.is_empty() {
        Binding::Provision { claim }
    } else {
        Binding::Bind { claim, volume: volume.into() }
    }
}
