// SPDX-License-Identifier: Apache-2.0
//! Placing: the pods of one message, one after the other, into the answer.

use super::books::{Entry, Waiting};
use super::record::{Claims, Placed, PodKey, Queued, Record};
use super::specs::SpecId;
use super::{Millis, Sequencer, result, signed};
use crate::convert::{Names, Violation, check_length, check_name};
use berth_proto::raw::request::{Parts, PodSpans, What};
use berth_proto::raw::result::{Placement as Answer, ResponseWriter};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome as Answered;
use berth_proto::v1::schedule_options::Mode;
use berth_scheduler_core::{AHEAD, Binding, Outcome, Placement, PodId, PodIx, PodState, Refusal};
use berth_scheduler_model::pod::{Pod, PodSpec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest time that anything waits or is held: a hundred years, so that sums do not overflow.
const FOREVER_MS: u64 = 100 * 365 * 86_400_000;
/// Decisions that one message may set off about pods that waited before.
pub(super) const DECISIONS_AT_ONCE: usize = 4_096;

/// The options of a message, read.
#[derive(Debug, Clone, Copy)]
struct How {
    /// Wait until then.
    queue_until: Option<Millis>,
    lease_ms: u64,
    hold_ms: u64,
    all_or_nothing: bool,
}

/// One message's pods.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    message: &'a [u8],
    pods: &'a [PodSpans],
}

/// What names a pod of a message, and where its spec is.
#[derive(Debug, Clone, Copy)]
struct Named<'a> {
    id: PodId<'a>,
    spec: SpecId,
}

/// Where answers about the pods of one message go.
struct Answers<'a> {
    to: To<'a>,
    /// Each answer names its pod.
    with_uid: bool,
}

enum To<'a> {
    /// Into the message.
    Message(&'a mut ResponseWriter),
    /// One answer, aside.
    Aside(&'a mut v1::PodResult),
}

impl<'a> Answers<'a> {
    /// One answer, with the uid.
    fn aside(result: &'a mut v1::PodResult) -> Self {
        Self { to: To::Aside(result), with_uid: true }
    }

    fn uid<'u>(&self, uid: &'u str) -> &'u str {
        if self.with_uid { uid } else { "" }
    }

    fn put(&mut self, revision: u64, uid: &str, outcome: Answered) {
        self.copy(result(revision, uid, outcome));
    }

    /// Takes an answer that was made aside.
    fn copy(&mut self, mut result: v1::PodResult) {
        if !self.with_uid {
            result.uid.clear();
        }
        match &mut self.to {
            To::Message(writer) => writer.result(&result),
            To::Aside(aside) => **aside = result,
        }
    }
}

impl<R: Clone> Sequencer<R> {
    /// Schedules the pods of a message. Answers name their pods in a unary call (`with_uid`), not on a stream.
    pub fn schedule(
        &mut self,
        now: Millis,
        message: &[u8],
        parts: &Parts,
        stream: Option<&R>,
        with_uid: bool,
        writer: &mut ResponseWriter,
    ) {
        let asked = Asked { message, pods: &parts.pods };
        let mut answers = Answers { to: To::Message(writer), with_uid };
        match self.how(now, parts.options.as_ref()) {
            Err(violation) => {
                for pod in asked.pods {
                    let outcome = Answered::Invalid(violation.clone().into_invalid());
                    answers.put(self.revision(), pod.uid.text(message), outcome);
                }
            }
            Ok(how) if how.all_or_nothing => self.place_all(now, asked, how, &mut answers),
            Ok(how) => match how.queue_until {
                None => {
                    let prepares = asked.pods.len() > 1 && self.engine.prepares();
                    for index in 0..asked.pods.len() {
                        if prepares && index % AHEAD == 0 {
                            self.look_ahead(asked, index);
                        }
                        self.place_one(now, asked, index, how, stream, &mut answers);
                    }
                }
                Some(until) => self.queue_pods(now, asked, how, until, stream, &mut answers),
            },
        }
    }

    /// Has the engine prepare for the next pods of a message. What is wrong with them is said in their turn.
    fn look_ahead(&mut self, asked: Asked<'_>, from: usize) {
        let until = asked.pods.len().min(from + AHEAD);
        let mut next: Vec<(&str, Arc<PodSpec>)> = Vec::with_capacity(AHEAD);
        for index in from..until {
            if let Ok(named) = self.named(asked, index) {
                // Held here: the next one to be read may push it out.
                next.push((named.id.namespace, Arc::clone(self.specs.spec(named.spec))));
            }
        }
        self.engine.prepare(next.iter().map(|(namespace, spec)| (*namespace, spec)));
    }

    fn how(&self, now: Millis, options: Option<&v1::ScheduleOptions>) -> Result<How, Violation> {
        let default = v1::ScheduleOptions::default();
        let options = options.unwrap_or(&default);
        let time = |field: &str, millis: i64| {
            let millis = u64::try_from(millis)
                .map_err(|_| Violation::new(format!("options.{field}"), "must not be negative"))?;
            Ok(millis.min(FOREVER_MS))
        };
        let queue_until = match options.mode {
            None | Some(Mode::AnswerNow(_)) => None,
            Some(Mode::QueueUntilUnixMs(until)) => Some(time("queueUntilUnixMs", until)?),
            Some(Mode::QueueForMs(millis)) => Some(now + time("queueForMs", millis)?),
        };
        if options.all_or_nothing && queue_until.is_some() {
            return Err(Violation::new("options.allOrNothing", "goes with answerNow only"));
        }
        let hold_ms = match time("nominationHoldMs", options.nomination_hold_ms)? {
            0 => self.options.nomination_hold_ms,
            hold => hold,
        };
        let lease_ms = time("leaseMs", options.lease_ms)?;
        Ok(How { queue_until, lease_ms, hold_ms, all_or_nothing: options.all_or_nothing })
    }

    /// Reads what names a pod, and finds its spec.
    fn named<'a>(&mut self, asked: Asked<'a>, index: usize) -> Result<Named<'a>, Violation> {
        let pod = &asked.pods[index];
        let message = asked.message;
        let (uid, name) = (pod.uid.text(message), pod.name.text(message));
        let namespace = match pod.namespace.text(message) {
            "" => "default",
            namespace => namespace,
        };
        check_name("uid", uid)?;
        check_length("namespace", namespace)?;
        check_name("name", name)?;
        let names = Names { namespace, name };
        let spec = match pod.what {
            What::Nothing => return Err(Violation::new("spec", "missing (or a template)")),
            What::Spec(spec) => self.specs.resolve(names, spec.of(message))?,
            What::Template(template) => self.resolve_template(names, template)?,
        };
        Ok(Named { id: PodId { uid, namespace, name }, spec })
    }

    pub(super) fn resolve_template(
        &mut self,
        names: Names<'_>,
        template: u32,
    ) -> Result<SpecId, Violation> {
        let bytes = self.templates.get(&template);
        let bytes = bytes.ok_or_else(|| Violation::new("template", "no such template"))?;
        self.specs.resolve(names, bytes)
    }

    /// Reads a pod of a message; its answer is written already if that is all there is to say.
    fn begin<'a>(
        &mut self,
        asked: Asked<'a>,
        index: usize,
        answers: &mut Answers<'_>,
    ) -> Option<Named<'a>> {
        let revision = self.revision();
        let uid = asked.pods[index].uid.text(asked.message);
        let named = match self.named(asked, index) {
            Ok(named) => named,
            Err(violation) => {
                let violation = violation.under(&format!("pods[{index}]"));
                answers.put(revision, uid, Answered::Invalid(violation.into_invalid()));
                return None;
            }
        };
        // What was decided before may be answered also when nothing new is taken.
        let (why, known) = match &self.accepting {
            super::Accepting::Yes => return Some(named),
            super::Accepting::No(why) => (why.clone(), self.engine.find_pod(uid)),
            super::Accepting::Never(why) => (why.clone(), None),
        };
        match known {
            Some(known) => self.repeat(known, named, answers),
            None => answers.put(revision, uid, Answered::NotAccepted(why)),
        }
        None
    }

    fn place_one(
        &mut self,
        now: Millis,
        asked: Asked<'_>,
        index: usize,
        how: How,
        stream: Option<&R>,
        answers: &mut Answers<'_>,
    ) {
        let Some(named) = self.begin(asked, index, answers) else { return };
        let spec = self.specs.spec(named.spec);
        let (outcome, eviction) = self.engine.place_or_preempt(now, named.id, spec);
        match outcome {
            Outcome::Placed(placement) => {
                let lease = if how.lease_ms == 0 { 0 } else { now + how.lease_ms };
                self.settle(named, placement, lease);
                self.answer_placed(placement.pod, named.id, false, answers);
            }
            Outcome::Known(known) => self.repeat_or_ungate(now, known, named, answers),
            Outcome::Refused(refusal) => match eviction {
                Some((pod, eviction)) => {
                    // The pod waits for the room to be made, and no longer.
                    let waiting = self.waiting(now, how, now + how.hold_ms, stream);
                    self.start_waiting(pod, named, waiting, Some(refusal));
                    let revision = self.nominate(now, pod, &eviction);
                    let outcome = self.preempting(pod);
                    answers.put(revision, named.id.uid, outcome);
                }
                None => {
                    let refused = self.refused(now, named.spec, named.id, &refusal);
                    answers.put(self.revision(), named.id.uid, Answered::Refused(refused));
                }
            },
        }
    }

    fn waiting(
        &mut self,
        now: Millis,
        how: How,
        deadline: Millis,
        stream: Option<&R>,
    ) -> Waiting<R> {
        Waiting {
            since: now,
            order: self.books.next_order(),
            deadline,
            lease_ms: how.lease_ms,
            hold_ms: how.hold_ms,
            stream: stream.cloned(),
            nomination: None,
            refusal: None,
            attempts: 0,
        }
    }

    /// Writes down that a pod is placed.
    fn settle(&mut self, named: Named<'_>, placement: Placement, lease_until: Millis) {
        self.specs.retain(named.spec);
        self.record_placed(placement, named.spec, lease_until, 1);
    }

    /// Records a placement of a pod whose spec is retained.
    pub(super) fn record_placed(
        &mut self,
        placement: Placement,
        spec: SpecId,
        lease_until: Millis,
        attempts: u32,
    ) -> u64 {
        let number = self.specs.number(spec, &mut self.log);
        let claims = claims(self.engine.bindings(placement.pod));
        let id = self.engine.pod_id(placement.pod);
        let since = self.log.placed(Placed {
            revision: 0,
            pod: PodKey { uid: id.uid, namespace: id.namespace, name: id.name },
            node: self.engine.node_name(placement.node),
            spec: number,
            lease_until,
            bound: false,
            terminating: false,
            started: None,
            claims: Claims::List(&claims),
        });
        self.books.insert(placement.pod, Entry { since, lease_until, spec, ..Entry::NONE });
        self.counts.placed(self.specs.spec(spec), attempts);
        since
    }

    /// Answers that a pod is placed.
    fn answer_placed(&self, pod: PodIx, id: PodId<'_>, repeated: bool, answers: &mut Answers<'_>) {
        let entry = self.books.get(pod);
        let plain = self.engine.bindings(pod).is_empty();
        let uid = answers.uid(id.uid);
        match &mut answers.to {
            To::Message(writer) if plain => writer.placed(&Answer {
                revision: entry.since,
                uid,
                node: self.engine.node_name_of(pod).map_or("", |name| name),
                repeated,
                lease_until_unix_ms: signed(entry.lease_until),
            }),
            _ => answers.put(entry.since, id.uid, Answered::Placed(self.placed(pod, repeated))),
        }
    }

    /// That a pod is placed, as a message.
    pub(super) fn placed(&self, pod: PodIx, repeated: bool) -> v1::Placed {
        let volumes = claims(self.engine.bindings(pod));
        v1::Placed {
            node: super::text(self.engine.node_name_of(pod)),
            repeated,
            lease_until_unix_ms: signed(self.books.get(pod).lease_until),
            volumes: volumes
                .into_iter()
                .map(|(claim, volume)| v1::VolumeChoice { claim, volume })
                .collect(),
        }
    }

    pub(super) fn refused(
        &mut self,
        now: Millis,
        spec: SpecId,
        id: PodId<'_>,
        refusal: &Refusal,
    ) -> v1::Refused {
        let read = self.specs.spec(spec);
        self.counts.refused(read, refusal);
        let pod = || Pod {
            uid: id.uid.into(),
            namespace: id.namespace.into(),
            name: id.name.into(),
            spec: Arc::clone(read),
            node: None,
            nominated: None,
            started: None,
            terminating: false,
            preempted: false,
        };
        let mut refused = self.refusals.refused(now, &mut self.engine, spec, pod, refusal);
        refused.gates = read.gates.iter().map(|gate| gate.as_ref().to_owned()).collect();
        refused
    }

    /// Answers with the first decision about a known pod; a waiting one may lose scheduling gates by being sent again.
    fn repeat_or_ungate(
        &mut self,
        now: Millis,
        known: PodIx,
        named: Named<'_>,
        answers: &mut Answers<'_>,
    ) {
        if self.loses_gates(known, named) {
            self.ungate(now, known, named);
        }
        let known = self.engine.find_pod(named.id.uid).unwrap_or(known);
        self.repeat(known, named, answers);
    }

    fn repeat(&mut self, known: PodIx, named: Named<'_>, answers: &mut Answers<'_>) {
        if let Some(conflict) = self.conflict(known, named) {
            answers.put(self.revision(), named.id.uid, Answered::Conflict(conflict));
        } else if self.engine.pod(known).state == PodState::Pending {
            let since = self.books.get(known).since;
            let outcome = match self.books.waiting(known) {
                Some(waiting) if waiting.nomination.is_some() => self.preempting(known),
                _ => Answered::Queued(self.queued(known)),
            };
            answers.put(since, named.id.uid, outcome);
        } else {
            self.answer_placed(known, named.id, true, answers);
        }
    }

    /// What differs between a known pod and a request of its uid.
    fn conflict(&mut self, known: PodIx, named: Named<'_>) -> Option<v1::Conflict> {
        let conflict = |field: &str, have: &str, want: &str| {
            let message = format!("the pod of this uid has {field} {have}, not {want}");
            Some(v1::Conflict { field: field.to_owned(), message })
        };
        let id = self.engine.pod_id(known);
        if id.namespace != named.id.namespace {
            return conflict("namespace", id.namespace, named.id.namespace);
        }
        if id.name != named.id.name {
            return conflict("name", id.name, named.id.name);
        }
        if self.books.get(known).spec == named.spec {
            return None;
        }
        // The bytes may differ where the content does not.
        if **self.engine.pod(known).spec == **self.specs.spec(named.spec) {
            return None;
        }
        let message = "the pod of this uid has another spec".to_owned();
        Some(v1::Conflict { field: "spec".into(), message })
    }

    /// Whether a request names a waiting pod with fewer scheduling gates and no other difference.
    fn loses_gates(&self, known: PodIx, named: Named<'_>) -> bool {
        let (have, want) = (self.engine.pod(known).spec, self.specs.spec(named.spec));
        if self.books.waiting(known).is_none() || have.gates.len() <= want.gates.len() {
            return false;
        }
        let mut without = (**have).clone();
        without.gates.clone_from(&want.gates);
        want.gates.iter().all(|gate| have.gates.contains(gate)) && without == **want
    }

    fn ungate(&mut self, now: Millis, known: PodIx, named: Named<'_>) {
        let (entry, waiting) = self.books.remove(known);
        self.specs.release(entry.spec);
        self.engine.cancel(named.id.uid);
        let Some(waiting) = waiting else { return };
        let spec = self.specs.spec(named.spec);
        if let Ok(pod) = self.engine.enqueue(now, named.id, spec) {
            self.start_waiting(pod, named, waiting, None);
        }
    }

    /// Writes down that a pod waits.
    fn start_waiting(
        &mut self,
        pod: PodIx,
        named: Named<'_>,
        mut waiting: Waiting<R>,
        refusal: Option<Refusal>,
    ) {
        self.specs.retain(named.spec);
        let number = self.specs.number(named.spec, &mut self.log);
        let id = named.id;
        let since = self.log.push(|revision| {
            Record::Queued(Queued {
                revision,
                pod: PodKey { uid: id.uid, namespace: id.namespace, name: id.name },
                spec: number,
                since: waiting.since,
                order: waiting.order,
                deadline: waiting.deadline,
                lease_ms: waiting.lease_ms,
                hold_ms: waiting.hold_ms,
            })
        });
        waiting.attempts += u32::from(refusal.is_some());
        waiting.refusal = refusal;
        self.counts.queued += 1;
        self.books.insert(pod, Entry { since, spec: named.spec, ..Entry::NONE });
        self.books.wait(pod, waiting);
    }

    /// Queues the pods of a message, decides what can be decided, and answers.
    fn queue_pods(
        &mut self,
        now: Millis,
        asked: Asked<'_>,
        how: How,
        until: Millis,
        stream: Option<&R>,
        answers: &mut Answers<'_>,
    ) {
        /// What is to be answered about a pod, in the order of the message.
        enum Step<'a> {
            /// Something that was written apart.
            Written(Box<v1::PodResult>),
            Waits(Named<'a>, PodIx),
        }
        let mut steps = Vec::with_capacity(asked.pods.len());
        for index in 0..asked.pods.len() {
            let mut aside = v1::PodResult::default();
            let Some(named) = self.begin(asked, index, &mut Answers::aside(&mut aside)) else {
                steps.push(Step::Written(Box::new(aside)));
                continue;
            };
            let spec = self.specs.spec(named.spec);
            match self.engine.enqueue(now, named.id, spec) {
                Ok(pod) => {
                    let waiting = self.waiting(now, how, until, stream);
                    self.start_waiting(pod, named, waiting, None);
                    steps.push(Step::Waits(named, pod));
                }
                Err(known) => {
                    self.repeat_or_ungate(now, known, named, &mut Answers::aside(&mut aside));
                    steps.push(Step::Written(Box::new(aside)));
                }
            }
        }
        // Decisions about pods of this message are its answers; they are not told a second time.
        let fresh: BTreeMap<PodIx, Option<R>> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Waits(_, pod) => {
                    let stream = self.books.waiting_mut(*pod)?.stream.take();
                    Some((*pod, stream))
                }
                Step::Written(_) => None,
            })
            .collect();
        self.pump(now, DECISIONS_AT_ONCE);
        for (pod, stream) in fresh {
            if let Some(waiting) = self.books.waiting_mut(pod) {
                waiting.stream = stream;
            }
        }
        for step in steps {
            match step {
                Step::Written(written) => answers.copy(*written),
                Step::Waits(named, pod) => self.answer_queued(now, named, pod, answers),
            }
        }
    }

    /// Answers about a pod that was just queued: it may be placed by now.
    fn answer_queued(
        &mut self,
        now: Millis,
        named: Named<'_>,
        pod: PodIx,
        answers: &mut Answers<'_>,
    ) {
        let Some(waiting) = self.books.waiting(pod) else {
            self.answer_placed(pod, named.id, false, answers);
            return;
        };
        if waiting.nomination.is_some() {
            let outcome = self.preempting(pod);
            answers.put(self.books.get(pod).since, named.id.uid, outcome);
            return;
        }
        let refusal = waiting.refusal;
        let mut queued = self.queued(pod);
        if let Some(refusal) = refusal {
            queued.why = Some(self.refused(now, named.spec, named.id, &refusal));
        }
        answers.put(self.books.get(pod).since, named.id.uid, Answered::Queued(queued));
    }

    /// Places every pod of a message, or none.
    fn place_all(&mut self, now: Millis, asked: Asked<'_>, how: How, answers: &mut Answers<'_>) {
        /// How a pod of the batch stands.
        enum Step<'a> {
            New(Named<'a>, Placement),
            Known(Named<'a>, PodIx),
        }
        let mut steps: Vec<Step<'_>> = Vec::with_capacity(asked.pods.len());
        let mut failure = None;
        for index in 0..asked.pods.len() {
            let mut aside = v1::PodResult::default();
            let Some(named) = self.begin(asked, index, &mut Answers::aside(&mut aside)) else {
                failure = Some((index, aside));
                break;
            };
            // The specs of the batch must outlast the reading of those that follow.
            self.specs.retain(named.spec);
            match self.engine.place(named.id, self.specs.spec(named.spec)) {
                Outcome::Placed(placement) => steps.push(Step::New(named, placement)),
                Outcome::Known(known) => {
                    steps.push(Step::Known(named, known));
                    let waits = self.engine.pod(known).state == PodState::Pending;
                    if waits || self.conflict(known, named).is_some() {
                        self.repeat(known, named, &mut Answers::aside(&mut aside));
                        failure = Some((index, aside));
                        break;
                    }
                }
                Outcome::Refused(refusal) => {
                    let refused = self.refused(now, named.spec, named.id, &refusal);
                    let outcome = Answered::Refused(refused);
                    failure = Some((index, result(self.revision(), named.id.uid, outcome)));
                    self.specs.release(named.spec);
                    break;
                }
            }
        }
        if let Some((failed, written)) = failure {
            for step in steps.iter().rev() {
                match step {
                    Step::New(named, _) => {
                        self.engine.release(named.id.uid);
                        self.specs.release(named.spec);
                    }
                    Step::Known(named, _) => self.specs.release(named.spec),
                }
            }
            self.answer_withdrawn(asked, failed, written, answers);
            return;
        }
        let lease_until = if how.lease_ms == 0 { 0 } else { now + how.lease_ms };
        for step in steps {
            match step {
                Step::New(named, placement) => {
                    self.record_placed(placement, named.spec, lease_until, 1);
                    self.answer_placed(placement.pod, named.id, false, answers);
                }
                Step::Known(named, known) => {
                    self.specs.release(named.spec);
                    self.answer_placed(known, named.id, true, answers);
                }
            }
        }
    }

    fn answer_withdrawn(
        &self,
        asked: Asked<'_>,
        failed: usize,
        written: v1::PodResult,
        answers: &mut Answers<'_>,
    ) {
        let failed_index = u32::try_from(failed).unwrap_or(u32::MAX);
        for (index, pod) in asked.pods.iter().enumerate() {
            if index == failed {
                answers.copy(written.clone());
            } else {
                let outcome = Answered::Withdrawn(v1::Withdrawn { failed_index });
                answers.put(self.revision(), pod.uid.text(asked.message), outcome);
            }
        }
    }
}

/// Decisions about claims, as they are written down.
pub(super) fn claims(bindings: &[Binding]) -> Vec<(String, String)> {
    let pair = |binding: &Binding| match binding {
        Binding::Bind { claim, volume } => (claim.as_ref().to_owned(), volume.as_ref().to_owned()),
        Binding::Provision { claim } => (claim.as_ref().to_owned(), String::new()),
    };
    bindings.iter().map(pair).collect()
}
