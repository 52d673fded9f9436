// SPDX-License-Identifier: Apache-2.0
//! What clients tell: pods given back, leases confirmed, waits cancelled, objects changed, the whole state replaced.

use super::books::Entry;
use super::record::{Claims, Placed, PodKey, Record, Why};
use super::specs::SpecId;
use super::{Millis, ObjectId, Sequencer, TEMPLATES_MAX, key_of, object_id};
use crate::convert::{BoundPod, Change, Given, Gone, Names, Violation, reply};
use berth_proto::v1;
use berth_proto::v1::update_error::Code;
use berth_scheduler_core::PodState;
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::NODES_MAX;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names in a list of differences.
const NAMES_MAX: usize = 1_000;

/// What became of one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It holds now.
    Done,
    /// It held already.
    Same,
    /// It was left out.
    Left(Code, Violation),
}

impl Applied {
    fn left(code: Code, field: &str, message: &str) -> Self {
        Self::Left(code, Violation::new(field, message))
    }
}

impl<R: Clone> Sequencer<R> {
    /// Gives pods back; calls `unknown` with the uids that are not known.
    pub fn release<'u>(
        &mut self,
        uids: impl Iterator<Item = &'u str>,
        mut unknown: impl FnMut(&str),
    ) {
        for uid in uids {
            match self.engine.find_pod(uid) {
                Some(pod) => {
                    self.forget(pod, Why::Released);
                    self.counts.released += 1;
                }
                None => unknown(uid),
            }
        }
    }

    /// Makes leases final; calls `unknown` with the uids that have no placement.
    pub fn confirm<'u>(
        &mut self,
        uids: impl Iterator<Item = &'u str>,
        mut unknown: impl FnMut(&str),
    ) {
        for uid in uids {
            let pod = self.engine.find_pod(uid);
            let placed = pod.filter(|pod| self.engine.pod(*pod).state != PodState::Pending);
            match placed {
                Some(pod) => {
                    if self.books.end_lease(pod) {
                        self.engine.confirm(uid);
                        let engine = &self.engine;
                        let revision = self.log.push(|revision| Record::Confirmed {
                            revision,
                            pod: key_of(engine, pod),
                        });
                        self.books.set_since(pod, revision);
                    }
                }
                None => unknown(uid),
            }
        }
    }

    /// Takes pods out of the queue; calls `unknown` with the uids that do not wait.
    pub fn cancel<'u>(
        &mut self,
        uids: impl Iterator<Item = &'u str>,
        mut unknown: impl FnMut(&str),
    ) {
        for uid in uids {
            let pod = self.engine.find_pod(uid);
            match pod.filter(|pod| self.books.waiting(*pod).is_some()) {
                Some(pod) => {
                    let stream = self.books.waiting_mut(pod).and_then(|w| w.stream.take());
                    self.forget(pod, Why::Cancelled);
                    let outcome = v1::pod_result::Outcome::Cancelled(v1::Cancelled {});
                    let told = super::result(self.revision(), uid, outcome);
                    self.tell(stream, told);
                }
                None => unknown(uid),
            }
        }
    }

    /// Registers a template; the same content gives the same number.
    pub fn register_template(&mut self, spec: &v1::PodSpec) -> Result<u32, Violation> {
        // What cannot be read as the pod of any name is refused now, and not with the first pod.
        crate::convert::pod_spec(spec, Names { namespace: "default", name: "-" })?;
        let bytes = spec.encode_to_vec().into_boxed_slice();
        if let Some(number) = self.template_ids.get(&bytes) {
            return Ok(*number);
        }
        if self.templates.len() >= TEMPLATES_MAX {
            let message = format!("there are {TEMPLATES_MAX} templates; drop some");
            return Err(Violation::new("", message));
        }
        self.last_template += 1;
        let number = self.last_template;
        let told = u64::from(number);
        self.log.push(|revision| Record::Template { revision, number: told, bytes: &bytes });
        self.put_template(number, bytes);
        Ok(number)
    }

    pub(super) fn put_template(&mut self, number: u32, bytes: Box<[u8]>) {
        self.last_template = self.last_template.max(number);
        self.template_ids.insert(bytes.clone(), number);
        self.templates.insert(number, bytes);
    }

    /// Drops a template; whether it was there.
    pub fn drop_template(&mut self, number: u32) -> bool {
        let Some(bytes) = self.templates.remove(&number) else { return false };
        self.template_ids.remove(&bytes);
        let told = u64::from(number);
        self.log.push(|revision| Record::TemplateGone { revision, number: told });
        true
    }

    /// Applies updates in order, or none of them if `all_or_nothing` and one is bad. `changes` are as they were read.
    pub fn apply(
        &mut self,
        now: Millis,
        changes: Vec<Result<(v1::Update, Change), Violation>>,
        all_or_nothing: bool,
    ) -> v1::ApplyResponse {
        let mut errors = Vec::new();
        let mut error = |index: usize, code: Code, violation: Violation| {
            errors.push(v1::UpdateError {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                code: code.into(),
                field: violation.field,
                message: violation.message,
            });
        };
        if all_or_nothing {
            let mut probe = Probe::default();
            for (index, change) in changes.iter().enumerate() {
                let bad = match change {
                    Ok((_, change)) => self.objection(change, &mut probe),
                    Err(violation) => Some((Code::Invalid, violation.clone())),
                };
                if let Some((code, violation)) = bad {
                    error(index, code, violation);
                }
            }
            if !errors.is_empty() {
                return v1::ApplyResponse { revision: self.revision(), applied: 0, errors };
            }
        }
        let mut error = |index: usize, code: Code, violation: Violation| {
            errors.push(v1::UpdateError {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                code: code.into(),
                field: violation.field,
                message: violation.message,
            });
        };
        let mut applied = 0;
        for (index, change) in changes.into_iter().enumerate() {
            match change {
                Ok((update, change)) => match self.apply_one(now, &update, change) {
                    Applied::Done | Applied::Same => applied += 1,
                    Applied::Left(code, violation) => error(index, code, violation),
                },
                Err(violation) => error(index, Code::Invalid, violation),
            }
        }
        v1::ApplyResponse { revision: self.revision(), applied, errors }
    }

    /// What speaks against a change, given those before it.
    fn objection(&self, change: &Change, probe: &mut Probe) -> Option<(Code, Violation)> {
        match change {
            Change::Object(key, event) => {
                let new_node =
                    matches!(event, Event::Node(_)) && self.engine.find_node(&key.name).is_none();
                probe.nodes += usize::from(new_node);
                probe.there.insert(object_id(key));
                let many = self.engine.nodes() as usize + probe.nodes > NODES_MAX;
                (new_node && many).then(|| (Code::Limit, too_many_nodes()))
            }
            Change::Pod(pod) => {
                probe.pods.insert(pod.uid.as_ref().to_owned());
                match pod.what {
                    Given::Template(template) if !self.templates.contains_key(&template) => {
                        Some((Code::Invalid, Violation::new("pod.template", "no such template")))
                    }
                    _ => None,
                }
            }
            Change::Gone(Gone::Pod(uid)) => {
                let known = self.engine.find_pod(uid).is_some() || probe.pods.contains(uid);
                (!known).then(|| (Code::NotFound, Violation::new("gone.name", "no such pod")))
            }
            Change::Gone(Gone::Object(key, _)) => {
                let known = self.has_object(key) || probe.there.contains(&object_id(key));
                (!known).then(|| (Code::NotFound, Violation::new("gone.name", "no such object")))
            }
        }
    }

    fn has_object(&self, key: &v1::ObjectKey) -> bool {
        if key.kind == "Node" {
            self.engine.find_node(&key.name).is_some()
        } else {
            self.objects.contains_key(&object_id(key))
        }
    }

    fn apply_one(&mut self, now: Millis, update: &v1::Update, change: Change) -> Applied {
        match change {
            Change::Object(key, event) => self.put_object(now, &key, update, event),
            Change::Pod(pod) => self.put_pod(now, pod),
            Change::Gone(Gone::Pod(uid)) => {
                let mut known = true;
                self.release(std::iter::once(uid.as_str()), |_| known = false);
                if known {
                    Applied::Done
                } else {
                    Applied::left(Code::NotFound, "gone.name", "no such pod")
                }
            }
            Change::Gone(Gone::Object(key, event)) => {
                if !self.has_object(&key) {
                    return Applied::left(Code::NotFound, "gone.name", "no such object");
                }
                self.remove_object(now, &key, event);
                Applied::Done
            }
        }
    }

    fn put_object(
        &mut self,
        now: Millis,
        key: &v1::ObjectKey,
        update: &v1::Update,
        event: Event,
    ) -> Applied {
        if let Event::Node(node) = &event {
            let known = self.engine.find_node(&node.name);
            if known.is_some_and(|slot| self.engine.node(slot) == Some(&**node)) {
                return Applied::Same;
            }
            if known.is_none() && self.engine.nodes() as usize >= NODES_MAX {
                return Applied::Left(Code::Limit, too_many_nodes());
            }
            let bytes = update.encode_to_vec();
            self.log.push(|revision| Record::Object { revision, update: &bytes });
        } else {
            let bytes = update.encode_to_vec().into_boxed_slice();
            let id = object_id(key);
            if self.objects.get(&id) == Some(&bytes) {
                return Applied::Same;
            }
            self.log.push(|revision| Record::Object { revision, update: &bytes });
            self.keep_object(id, bytes);
        }
        self.engine.apply_at(now, event);
        Applied::Done
    }

    pub(super) fn keep_object(&mut self, id: ObjectId, bytes: Box<[u8]>) {
        self.object_bytes += bytes.len();
        if let Some(old) = self.objects.insert(id, bytes) {
            self.object_bytes -= old.len();
        }
    }

    pub(super) fn drop_object(&mut self, id: &ObjectId) {
        if let Some(old) = self.objects.remove(id) {
            self.object_bytes -= old.len();
        }
    }

    fn remove_object(&mut self, now: Millis, key: &v1::ObjectKey, event: Event) {
        let bytes = key.encode_to_vec();
        self.log.push(|revision| Record::ObjectGone { revision, key: &bytes });
        self.drop_object(&object_id(key));
        self.engine.apply_at(now, event);
    }

    /// A pod is bound: whoever placed it, it is there now.
    fn put_pod(&mut self, now: Millis, pod: BoundPod) -> Applied {
        let names = Names { namespace: &pod.namespace, name: &pod.name };
        let spec = match &pod.what {
            Given::Template(template) => self.resolve_template(names, *template),
            Given::Spec(bytes) => self.specs.resolve(names, bytes),
        };
        let spec = match spec {
            Ok(spec) => spec,
            Err(violation) => return Applied::Left(Code::Invalid, violation.under("pod")),
        };
        if self.is_as_told(&pod, spec) {
            return Applied::Same;
        }
        self.specs.retain(spec);
        let read = Arc::clone(self.specs.spec(spec));
        let mut stream = None;
        if let Some(known) = self.engine.find_pod(&pod.uid) {
            let (entry, waiting) = self.books.remove(known);
            self.specs.release(entry.spec);
            if let Some(waiting) = waiting {
                stream = waiting.stream;
                if let Some(nomination) = waiting.nomination {
                    self.review(&nomination.victims);
                }
            }
        }
        let preempted = pod.terminating && self.books.is_victim(&pod.uid);
        self.engine.apply_at(
            now,
            Event::Pod(Box::new(Pod {
                uid: pod.uid.clone(),
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                spec: read,
                node: Some(pod.node.clone()),
                nominated: None,
                started: pod.started,
                terminating: pod.terminating,
                preempted,
            })),
        );
        let Some(ix) = self.engine.find_pod(&pod.uid) else { return Applied::Done };
        let number = self.specs.number(spec, &mut self.log);
        let claims = super::place::claims(self.engine.bindings(ix));
        let since = self.log.placed(Placed {
            revision: 0,
            pod: PodKey { uid: &pod.uid, namespace: &pod.namespace, name: &pod.name },
            node: &pod.node,
            spec: number,
            lease_until: 0,
            bound: true,
            terminating: pod.terminating,
            started: pod.started,
            claims: Claims::List(&claims),
        });
        let terminating = pod.terminating;
        self.books.insert(ix, Entry { since, lease_until: 0, spec, bound: true, terminating });
        self.review(std::slice::from_ref(&pod.uid));
        if stream.is_some() {
            let outcome = v1::pod_result::Outcome::Placed(self.placed(ix, false));
            let told = super::result(since, &pod.uid, outcome);
            self.tell(stream, told);
        }
        Applied::Done
    }

    /// Whether a pod is known just so.
    fn is_as_told(&self, pod: &BoundPod, spec: SpecId) -> bool {
        let Some(known) = self.engine.find_pod(&pod.uid) else { return false };
        let (entry, view) = (self.books.get(known), self.engine.pod(known));
        view.state != PodState::Pending
            && entry.bound
            && entry.terminating == pod.terminating
            && view.started == pod.started
            && view.id.namespace == &*pod.namespace
            && view.id.name == &*pod.name
            && self.engine.node_name_of(known) == Some(&pod.node)
            && (entry.spec == spec || **view.spec == **self.specs.spec(spec))
    }

    /// Replaces all nodes; the names that differ.
    pub fn sync_nodes(
        &mut self,
        now: Millis,
        nodes: Vec<Node>,
    ) -> Result<v1::SyncResponse, Violation> {
        if nodes.len() > NODES_MAX {
            return Err(too_many_nodes());
        }
        let mut differ = Differences::default();
        let mut told: BTreeMap<Str, Node> = BTreeMap::new();
        for node in nodes {
            told.insert(node.name.clone(), node);
        }
        let gone: Vec<Str> = self
            .engine
            .nodes_iter()
            .map(|(_, node)| node.name.clone())
            .filter(|name| !told.contains_key(name))
            .collect();
        for name in gone {
            let key = v1::ObjectKey {
                kind: "Node".into(),
                name: name.as_ref().to_owned(),
                ..v1::ObjectKey::default()
            };
            self.remove_object(now, &key, Event::NodeGone(name.clone()));
            differ.removed.add(&name);
        }
        for (name, node) in told {
            let there = self.engine.find_node(&name).is_some();
            let update = v1::Update { what: Some(v1::update::What::Node(reply::node(&node))) };
            let key = v1::ObjectKey {
                kind: "Node".into(),
                name: name.as_ref().to_owned(),
                ..v1::ObjectKey::default()
            };
            match self.put_object(now, &key, &update, Event::Node(Box::new(node))) {
                Applied::Same => differ.unchanged += 1,
                _ if there => differ.changed.add(&name),
                _ => differ.added.add(&name),
            }
            self.log.may_part();
        }
        Ok(differ.into_response(self.revision()))
    }

    /// Replaces all bound pods, but for those placed after `as_of` (0: none are kept); the uids that differ.
    pub fn sync_pods(
        &mut self,
        now: Millis,
        pods: Vec<BoundPod>,
        as_of: u64,
    ) -> Result<v1::SyncResponse, Violation> {
        for (index, pod) in pods.iter().enumerate() {
            if let Given::Template(template) = pod.what {
                let names = Names { namespace: &pod.namespace, name: &pod.name };
                self.resolve_template(names, template)
                    .map_err(|violation| violation.under(&format!("pods[{index}]")))?;
            }
        }
        let mut differ = Differences::default();
        let told: BTreeSet<Str> = pods.iter().map(|pod| pod.uid.clone()).collect();
        let mut gone: Vec<Str> = Vec::new();
        for pod in self.engine.pods_iter() {
            let view = self.engine.pod(pod);
            if view.state == PodState::Pending || told.contains(view.id.uid) {
                continue;
            }
            if as_of > 0 && self.books.get(pod).since > as_of {
                differ.kept += 1;
            } else {
                gone.push(view.id.uid.into());
            }
        }
        for uid in gone {
            self.release(std::iter::once(&*uid), |_| ());
            differ.removed.add(&uid);
            self.log.may_part();
        }
        for pod in pods {
            let uid = pod.uid.clone();
            let there = self.engine.find_pod(&uid).is_some();
            match self.put_pod(now, pod) {
                Applied::Same => differ.unchanged += 1,
                _ if there => differ.changed.add(&uid),
                // Everything that could be wrong with it was looked at before.
                _ => differ.added.add(&uid),
            }
            self.log.may_part();
        }
        Ok(differ.into_response(self.revision()))
    }
}

fn too_many_nodes() -> Violation {
    Violation::new("", format!("at most {NODES_MAX} nodes are possible"))
}

/// What the updates before one have brought.
#[derive(Debug, Default)]
struct Probe {
    nodes: usize,
    there: BTreeSet<ObjectId>,
    pods: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Differences {
    added: NameList,
    removed: NameList,
    changed: NameList,
    unchanged: u32,
    kept: u32,
}

/// Names, the first ones of them kept.
#[derive(Debug, Default)]
struct NameList {
    count: u32,
    names: Vec<String>,
}

impl NameList {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAMES_MAX {
            self.names.push(name.to_owned());
        }
    }
}

impl Differences {
    fn into_response(self, revision: u64) -> v1::SyncResponse {
        v1::SyncResponse {
            revision,
            added_count: self.added.count,
            removed_count: self.removed.count,
            changed_count: self.changed.count,
            unchanged_count: self.unchanged,
            added: self.added.names,
            removed: self.removed.names,
            changed: self.changed.names,
            kept_count: self.kept,
        }
    }
}
