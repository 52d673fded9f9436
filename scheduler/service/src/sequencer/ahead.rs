// SPDX-License-Identifier: Apache-2.0
//! The first half of a recovery: batches are read into steps that can be taken without looking at bytes again. It knows no state,
//! so that it can go ahead of the second half, [`Restore`](super::Restore), on another thread.
//!
//! What most records are, a pod that is placed or gone, is worked out here as far as it goes: uids are hashed, nodes are numbers
//! by their name. Objects are decoded. All else is passed on as it is.

use super::record::{Placed, PodKey, Reader, Record};
use crate::convert::{self, Change, Gone};
use berth_proto::v1;
use berth_scheduler_core::{UidHash, UidHasher};
use berth_scheduler_model::limits::TEXT_MAX;
use berth_scheduler_model::objects::Event;
use hashbrown::HashTable;
use prost::Message;
use std::hash::BuildHasher;
use std::ops::Range;

/// A text in the texts of some steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextSpan {
    at: u32,
    len: u32,
}

/// A pod that is final, and of which nothing is known but where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    pub(super) hash: UidHash,
    pub(super) uid: TextSpan,
    pub(super) name: TextSpan,
    /// The node, by its number.
    pub(super) node: u32,
    pub(super) bound: bool,
    pub(super) spec: u64,
    pub(super) revision: u64,
    pub(super) lease_until: u64,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Step {
    /// A pod is on a node.
    Place(Plain),
    /// A pod is gone.
    Forget { hash: UidHash, uid: TextSpan },
    /// An object is there, or gone. Of a node the number; of what is kept as it came, the bytes.
    Object { node: Option<u32>, change: Box<Change>, bytes: Range<usize> },
    /// A record, as it is.
    Record { base: u64, bytes: Range<usize> },
}

/// Steps of one or more batches, in their order.
#[derive(Debug, Default)]
pub struct Steps {
    pub(super) steps: Vec<Step>,
    texts: String,
    bytes: Vec<u8>,
    /// Names of nodes that got their number here; the first of them has the number `first_node`.
    pub(super) nodes: Vec<Box<str>>,
    pub(super) first_node: u32,
    /// The highest revision.
    pub(super) revision: u64,
}

impl Steps {
    pub(super) fn text(&self, span: TextSpan) -> &str {
        let at = span.at as usize;
        &self.texts[at..at + span.len as usize]
    }

    pub(super) fn bytes(&self, span: &Range<usize>) -> &[u8] {
        &self.bytes[span.clone()]
    }

    /// How much it is, in bytes of the records.
    pub fn size(&self) -> usize {
        self.texts.len() + self.bytes.len() + 16 * self.steps.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.nodes.is_empty()
    }

    /// Empties it; its room stays.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.texts.clear();
        self.bytes.clear();
        self.nodes.clear();
    }

    fn push_text(&mut self, text: &str) -> Result<TextSpan, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("a name of {} bytes", text.len()));
        }
        let long = |_| "too many texts at once".to_owned();
        let at = u32::try_from(self.texts.len()).map_err(long)?;
        self.texts.push_str(text);
        Ok(TextSpan { at, len: u32::try_from(text.len()).map_err(long)? })
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }
}

/// Reads batches.
#[derive(Debug)]
pub struct Ahead {
    uids: UidHasher,
    nodes: NodeNumbers,
    revision: u64,
}

impl Ahead {
    /// Of a journal whose engine hashes uids so.
    pub fn new(uids: UidHasher) -> Self {
        Self { uids, nodes: NodeNumbers::default(), revision: 0 }
    }

    /// The highest revision seen.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Reads a batch of the journal, or a slice of a snapshot. Steps are taken in the order in which they were read.
    pub fn read(&mut self, batch: &[u8], into: &mut Steps) -> Result<(), String> {
        if into.is_empty() {
            into.first_node = self.nodes.len();
        }
        let malformed = |error: super::record::Malformed| error.to_string();
        let mut reader = Reader::new(batch).map_err(malformed)?;
        loop {
            let before = reader.rest();
            let Some(record) = reader.record().map_err(malformed)? else { break };
            let bytes = &before[..before.len() - reader.rest().len()];
            self.record(&record, reader.base(), bytes, into)?;
        }
        into.revision = into.revision.max(self.revision);
        Ok(())
    }

    fn record(
        &mut self,
        record: &Record<'_>,
        base: u64,
        bytes: &[u8],
        into: &mut Steps,
    ) -> Result<(), String> {
        self.revision = self.revision.max(record.revision());
        let step = match record {
            Record::Placed(placed) if is_plain(placed) => {
                let PodKey { uid, name, .. } = placed.pod;
                Step::Place(Plain {
                    hash: self.uids.hash(uid),
                    uid: into.push_text(uid)?,
                    name: into.push_text(name)?,
                    node: self.nodes.number(placed.node, &mut into.nodes),
                    bound: placed.bound,
                    spec: placed.spec,
                    revision: placed.revision,
                    lease_until: placed.lease_until,
                })
            }
            Record::Gone { pod, .. } => {
                Step::Forget { hash: self.uids.hash(pod.uid), uid: into.push_text(pod.uid)? }
            }
            Record::Object { update, .. } => {
                let update = v1::Update::decode(*update).map_err(|error| error.to_string())?;
                self.object(update, record, into)?
            }
            Record::ObjectGone { key, .. } => {
                let key = v1::ObjectKey::decode(*key).map_err(|error| error.to_string())?;
                let update = v1::Update { what: Some(v1::update::What::Gone(key)) };
                self.object(update, record, into)?
            }
            _ => Step::Record { base, bytes: into.push_bytes(bytes) },
        };
        into.steps.push(step);
        Ok(())
    }

    fn object(
        &mut self,
        update: v1::Update,
        record: &Record<'_>,
        into: &mut Steps,
    ) -> Result<Step, String> {
        let change = convert::update(update).map_err(|v| format!("{}: {}", v.field, v.message))?;
        let (node, kept) = match &change {
            Change::Object(_, Event::Node(node)) => (Some(&node.name), false),
            Change::Gone(Gone::Object(_, Event::NodeGone(name))) => (Some(name), false),
            Change::Object(..) => (None, true),
            _ => (None, false),
        };
        let node = node.map(|name| self.nodes.number(name, &mut into.nodes));
        let bytes = match record {
            Record::Object { update, .. } if kept => into.push_bytes(update),
            _ => 0..0,
        };
        Ok(Step::Object { node, change: Box::new(change), bytes })
    }
}

fn is_plain(placed: &Placed<'_>) -> bool {
    placed.started.is_none() && !placed.terminating && placed.claims.is_empty()
}

/// Names of nodes as numbers, in the order in which they were first seen.
#[derive(Debug, Default)]
struct NodeNumbers {
    texts: String,
    /// Where each ends in `texts`.
    ends: Vec<usize>,
    ids: HashTable<(u64, u32)>,
    hasher: foldhash::fast::FixedState,
}

impl NodeNumbers {
    fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The number of a name; a new one is told.
    fn number(&mut self, name: &str, new: &mut Vec<Box<str>>) -> u32 {
        let hash = self.hasher.hash_one(name);
        let (texts, ends) = (&self.texts, &self.ends);
        let text = |id: u32| {
            let id = id as usize;
            let from = if id == 0 { 0 } else { ends[id - 1] };
            &texts[from..ends[id]]
        };
        if let Some((_, id)) = self.ids.find(hash, |(h, id)| *h == hash && text(*id) == name) {
            return *id;
        }
        let id = self.len();
        self.texts.push_str(name);
        self.ends.push(self.texts.len());
        self.ids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        new.push(name.into());
        id
    }
}
