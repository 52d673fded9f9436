// SPDX-License-Identifier: Apache-2.0
//! The queue: decisions made later, room made by preemption, and the ends of leases and waits.
//!
//! | a waiting pod | then |
//! |---|---|
//! | gets a node | placed; its stream is told |
//! | is refused, others can make room | nominated; its stream is told whom to end |
//! | is nominated, and the hold passes | victims are spared; it waits on until its deadline |
//! | reaches its deadline | gone; its stream is told |

use super::books::{Nomination, Timer};
use super::record::{Nominated, PodKey, Record, Why};
use super::{Accepting, Millis, Sequencer, key_of, result, signed};
use berth_proto::v1;
use berth_proto::v1::pod_result::Outcome as Answered;
use berth_proto::v1::queued::Queue;
use berth_scheduler_core::{Decided, Eviction, Placement, PodIx, QueuePart};
use berth_scheduler_model::Str;

impl<R: Clone> Sequencer<R> {
    /// Does what time brings: ends leases and waits, and decides on waiting pods. At most `budget` things; whether there may be
    /// more.
    pub fn tick(&mut self, now: Millis, budget: usize) -> bool {
        if !matches!(self.accepting, Accepting::Yes) {
            // What cannot be written down does not happen. It will.
            return false;
        }
        for _ in 0..budget {
            let Some((pod, timer)) = self.books.due(now) else { return self.pump(now, budget) };
            match timer {
                Timer::Lease => self.forget(pod, Why::LeaseEnded),
                Timer::Hold => self.hold_passed(pod),
                Timer::Deadline => self.deadline_passed(now, pod),
            }
        }
        true
    }

    /// Decides on waiting pods while there are some to try; whether there may be more.
    pub(super) fn pump(&mut self, now: Millis, budget: usize) -> bool {
        if self.books.nobody_waits() || !matches!(self.accepting, Accepting::Yes) {
            return false;
        }
        for _ in 0..budget {
            match self.engine.next(now) {
                None => return false,
                Some(Decided::Placed(placement)) => self.settle_waiting(now, placement),
                Some(Decided::Waits { pod, refusal, eviction }) => {
                    let Some(waiting) = self.books.waiting_mut(pod) else { continue };
                    waiting.refusal = Some(refusal);
                    waiting.attempts += 1;
                    self.counts.requeued += 1;
                    let stream = waiting.stream.clone();
                    if let Some(eviction) = eviction {
                        let revision = self.nominate(now, pod, &eviction);
                        let outcome = self.preempting(pod);
                        let told = result(revision, self.engine.pod_id(pod).uid, outcome);
                        self.tell(stream, told);
                    }
                }
            }
        }
        true
    }

    /// A waiting pod got a node.
    fn settle_waiting(&mut self, now: Millis, placement: Placement) {
        let pod = placement.pod;
        let Some(waiting) = self.books.stop_waiting(pod) else { return };
        let lease_until = if waiting.lease_ms == 0 { 0 } else { now + waiting.lease_ms };
        let spec = self.books.get(pod).spec;
        let revision = self.record_placed(placement, spec, lease_until, waiting.attempts + 1);
        let outcome = Answered::Placed(self.placed(pod, false));
        let told = result(revision, self.engine.pod_id(pod).uid, outcome);
        self.tell(waiting.stream, told);
        if let Some(nomination) = waiting.nomination {
            // It may have found a place although some of them are still there.
            self.review(&nomination.victims);
        }
        // Pods of lower priority that had this room in view have lost it.
        for other in self.books.nominated_to(self.engine.node_name(placement.node)) {
            if self.engine.pod(other).nominated.is_none() {
                self.end_nomination(other);
            }
        }
    }

    fn end_nomination(&mut self, pod: PodIx) {
        let Some(nomination) = self.books.nominate(pod, None) else { return };
        self.review(&nomination.victims);
        let engine = &self.engine;
        let revision = self
            .log
            .push(|revision| Record::NominationEnded { revision, pod: key_of(engine, pod) });
        self.books.set_since(pod, revision);
    }

    /// A waiting pod gets a nomination: its victims count as terminating from now on.
    pub(super) fn nominate(&mut self, now: Millis, pod: PodIx, eviction: &Eviction) -> u64 {
        let hold_ms = self.books.waiting(pod).map_or(0, |waiting| waiting.hold_ms);
        let victims: Vec<Str> = eviction
            .victims
            .iter()
            .map(|victim| Str::from(self.engine.pod_id(*victim).uid))
            .collect();
        let nomination = Nomination {
            node: self.engine.node_name(eviction.node).clone(),
            hold_until: now + hold_ms,
            violations: eviction.violations,
            victims,
        };
        let engine = &self.engine;
        let revision = self.log.push(|revision| {
            Record::Nominated(Nominated {
                revision,
                pod: key_of(engine, pod),
                node: &nomination.node,
                hold_until: nomination.hold_until,
                violations: u64::from(nomination.violations),
                victims: eviction.victims.iter().map(|victim| key_of(engine, *victim)).collect(),
            })
        });
        let victims = nomination.victims.clone();
        self.books.set_since(pod, revision);
        let before = self.books.nominate(pod, Some(nomination));
        self.review(&victims);
        if let Some(before) = before {
            self.review(&before.victims);
        }
        self.counts.preempted(eviction.victims.len());
        revision
    }

    /// Brings the engine's marks of pods that have to go, or had to, up to date.
    pub(super) fn review(&mut self, uids: &[Str]) {
        for uid in uids {
            let Some(pod) = self.engine.find_pod(uid) else { continue };
            let marked = self.books.is_victim(uid);
            // What its owner is ending anyway needs no mark of ours.
            if !self.books.get(pod).terminating && self.engine.pod(pod).terminating != marked {
                self.engine.mark_preempted(pod, marked);
            }
        }
    }

    fn hold_passed(&mut self, pod: PodIx) {
        self.end_nomination(pod);
        self.engine.clear_nomination(pod);
    }

    fn deadline_passed(&mut self, now: Millis, pod: PodIx) {
        let Some(waiting) = self.books.waiting(pod) else { return };
        let (stream, refusal) = (waiting.stream.clone(), waiting.refusal);
        let spec = self.books.get(pod).spec;
        let id = self.engine.pod_id(pod);
        let (uid, namespace, name) =
            (Str::from(id.uid), Str::from(id.namespace), Str::from(id.name));
        let id = berth_scheduler_core::PodId { uid: &uid, namespace: &namespace, name: &name };
        let mut refused = match refusal {
            Some(refusal) => self.refused(now, spec, id, &refusal),
            None => v1::Refused {
                message: "it was not tried before its deadline".into(),
                nodes: self.engine.nodes(),
                gates: self
                    .specs
                    .spec(spec)
                    .gates
                    .iter()
                    .map(|gate| gate.as_ref().to_owned())
                    .collect(),
                ..v1::Refused::default()
            },
        };
        refused.deadline_passed = true;
        self.forget(pod, Why::DeadlinePassed);
        let told = result(self.revision(), &uid, Answered::Refused(refused));
        self.tell(stream, told);
    }

    /// A pod is gone.
    pub(super) fn forget(&mut self, pod: PodIx, why: Why) {
        let engine = &self.engine;
        self.log.push(|revision| Record::Gone { revision, pod: key_of(engine, pod), why });
        let (entry, waiting) = self.books.remove(pod);
        self.specs.release(entry.spec);
        let uid = Str::from(self.engine.pod_id(pod).uid);
        self.engine.release(&uid);
        if let Some(nomination) = waiting.and_then(|waiting| waiting.nomination) {
            self.review(&nomination.victims);
        }
    }

    /// That room is being made for a waiting pod, as an answer.
    pub(super) fn preempting(&self, pod: PodIx) -> Answered {
        let nomination = self.books.waiting(pod).and_then(|waiting| waiting.nomination.as_ref());
        let Some(nomination) = nomination else { return Answered::Queued(self.queued(pod)) };
        let victim = |uid: &Str| {
            let victim = self.engine.find_pod(uid)?;
            let PodKey { uid, namespace, name } = key_of(&self.engine, victim);
            Some(v1::Victim {
                uid: uid.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        };
        Answered::Preempting(v1::Preempting {
            node: nomination.node.as_ref().to_owned(),
            victims: nomination.victims.iter().filter_map(victim).collect(),
            budget_violations: nomination.violations,
            hold_until_unix_ms: signed(nomination.hold_until),
        })
    }

    /// Where a pod waits, as a message.
    pub(super) fn queued(&self, pod: PodIx) -> v1::Queued {
        let queue = match self.engine.queue_part(pod) {
            Some(QueuePart::Active) => Queue::Active,
            Some(QueuePart::BackingOff) => Queue::Backoff,
            // A pod that no profile serves is in no part of the engine's queue.
            Some(QueuePart::Unschedulable) | None => Queue::Unschedulable,
            Some(QueuePart::Gated) => Queue::Gated,
        };
        let deadline = self.books.waiting(pod).map_or(0, |waiting| waiting.deadline);
        v1::Queued { queue: queue.into(), deadline_unix_ms: signed(deadline), why: None }
    }
}
