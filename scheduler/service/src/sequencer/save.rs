// SPDX-License-Identifier: Apache-2.0
//! The state in slices, for a snapshot that is written while the state goes on changing.
//!
//! A slice is a batch of records, as the journal's; each thing stands in it as it is at that moment. What changes after its
//! slice was taken is in the journal's batches after the beginning of the snapshot, which are applied on top.

use super::Sequencer;
use super::place::claims;
use super::record::{Claims, Nominated, Placed, PodKey, Queued, Record, Writer};
use crate::convert::reply;
use berth_proto::v1;
use berth_scheduler_core::{PodIx, PodState, Slot};
use prost::Message;

/// How far a snapshot has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    stage: Stage,
    nodes: Slot,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Numbers,
    Nodes(Slot),
    Objects(Option<super::ObjectId>),
    Templates(u32),
    Pods(u32),
    Done,
}

impl<R: Clone> Sequencer<R> {
    /// A snapshot begins here: everything recorded so far will be in it.
    pub fn begin_snapshot(&mut self) -> Cursor {
        self.specs.begin_snapshot();
        let nodes = self.engine.nodes_iter().last().map_or(0, |(slot, _)| slot + 1);
        Cursor { stage: Stage::Numbers, nodes }
    }

    /// Writes the next slice of about so many things; whether the snapshot is complete.
    pub fn slice(&mut self, cursor: &mut Cursor, out: &mut Vec<u8>, things: u32) -> bool {
        let mut writer = Writer::begin(out, 0);
        cursor.stage = match cursor.stage.clone() {
            Stage::Numbers => {
                writer.push(&Record::Numbers {
                    revision: self.revision(),
                    spec: self.specs.last_number(),
                    template: u64::from(self.last_template),
                });
                Stage::Nodes(0)
            }
            Stage::Nodes(from) => {
                let to = cursor.nodes.min(from.saturating_add(things));
                for slot in from..to {
                    if let Some(node) = self.engine.node(slot) {
                        let what = Some(v1::update::What::Node(reply::node(node)));
                        let update = v1::Update { what }.encode_to_vec();
                        writer.push(&Record::Object { revision: 0, update: &update });
                    }
                }
                if to < cursor.nodes { Stage::Nodes(to) } else { Stage::Objects(None) }
            }
            Stage::Objects(after) => {
                let range = match &after {
                    None => self.objects.range(..),
                    Some(last) => self.objects.range((
                        std::ops::Bound::Excluded(last.clone()),
                        std::ops::Bound::Unbounded,
                    )),
                };
                let mut last = None;
                for (id, update) in range.take(things as usize) {
                    writer.push(&Record::Object { revision: 0, update });
                    last = Some(id.clone());
                }
                if last.is_some() { Stage::Objects(last) } else { Stage::Templates(0) }
            }
            Stage::Templates(from) => {
                let mut last = None;
                for (number, bytes) in self.templates.range(from..).take(things as usize) {
                    let told = u64::from(*number);
                    writer.push(&Record::Template { revision: 0, number: told, bytes });
                    last = Some(*number);
                }
                last.map_or(Stage::Pods(0), |last| Stage::Templates(last + 1))
            }
            Stage::Pods(from) => {
                // Pods that come to lie behind the present end are told in the journal.
                let records = self.engine.pod_records();
                let to = records.min(from.saturating_add(things));
                for index in from..to {
                    if let Some(pod) = self.engine.pod_at(index) {
                        self.save_pod(pod, &mut writer);
                    }
                }
                if to < records { Stage::Pods(to) } else { Stage::Done }
            }
            Stage::Done => Stage::Done,
        };
        cursor.stage == Stage::Done
    }

    fn save_pod(&mut self, pod: PodIx, writer: &mut Writer<'_>) {
        let entry = self.books.get(pod);
        let number = self.specs.number_in_snapshot(entry.spec, |record| writer.push(record));
        let view = self.engine.pod(pod);
        let key = PodKey { uid: view.id.uid, namespace: view.id.namespace, name: view.id.name };
        if view.state != PodState::Pending {
            let Some(node) = self.engine.node_name_of(pod) else { return };
            let claims = claims(self.engine.bindings(pod));
            writer.placed(&Placed {
                revision: entry.since,
                pod: key,
                node,
                spec: number,
                lease_until: entry.lease_until,
                bound: entry.bound,
                terminating: entry.terminating,
                started: view.started,
                claims: Claims::List(&claims),
            });
            return;
        }
        let Some(waiting) = self.books.waiting(pod) else { return };
        writer.push(&Record::Queued(Queued {
            revision: entry.since,
            pod: key,
            spec: number,
            since: waiting.since,
            order: waiting.order,
            deadline: waiting.deadline,
            lease_ms: waiting.lease_ms,
            hold_ms: waiting.hold_ms,
        }));
        if let Some(nomination) = &waiting.nomination {
            let victim = |uid: &berth_scheduler_model::Str| {
                let victim = self.engine.find_pod(uid)?;
                Some(super::key_of(&self.engine, victim))
            };
            writer.push(&Record::Nominated(Nominated {
                revision: entry.since,
                pod: key,
                node: &nomination.node,
                hold_until: nomination.hold_until,
                violations: u64::from(nomination.violations),
                victims: nomination.victims.iter().filter_map(victim).collect(),
            }));
        }
    }
}
