// SPDX-License-Identifier: Apache-2.0
//! Keys, values and transactions as etcd has them.
//!
//! ```text
//! /berth/objects/KEY     an object: format:u8 checksum:u32 object (module `record`); the checksum is of KEY and the object
//! /berth/head            empty; every transaction writes it
//! /berth/restoring       there while a restore is under way; no transaction succeeds meanwhile
//! /berth/compaction      who may compact next (module `compact`)
//! ```
//! Revisions are etcd's: an object's is its `mod_revision`, which is written into the hole of its JSON when it is read.

use crate::ReadMeta;
use crate::entry::{Body, Entry, Meta};
use crate::record::{self, Reader};
use crate::txn::{CommitError, Op, Txn};
use berth_proto::etcd::compare::{CompareResult, CompareTarget, TargetUnion};
use berth_proto::etcd::request_op::Request;
use berth_proto::etcd::response_op::Response;
use berth_proto::etcd::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseOp,
    TxnRequest,
};
use std::fmt;
use std::sync::Arc;

pub(crate) const PREFIX: &str = "/berth/";
/// What follows the last key under the prefix.
pub(crate) const PREFIX_END: &str = "/berth0";
pub(crate) const OBJECTS: &str = "/berth/objects/";
pub(crate) const HEAD: &str = "/berth/head";
pub(crate) const RESTORING: &str = "/berth/restoring";
pub(crate) const COMPACTION: &str = "/berth/compaction";

/// The form of a value.
const FORMAT: u8 = 1;

/// Reads and writes values.
#[derive(Clone)]
pub(crate) struct Codec {
    pub(crate) read: ReadMeta,
    pub(crate) version: u32,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Codec {
    /// The value of an object.
    pub(crate) fn encode(
        &self,
        key: &str,
        meta: &Meta,
        hole: u32,
        parts: (&[u8], &[u8]),
    ) -> Vec<u8> {
        let mut value = vec![FORMAT, 0, 0, 0, 0];
        record::object(&mut value, meta, hole, parts, self.version);
        let sum = checksum(key, &value[5..]);
        value[1..5].copy_from_slice(&sum.to_le_bytes());
        value
    }

    fn body(&self, key: &str, meta: &Meta, body: &Body) -> Result<Vec<u8>, CommitError> {
        let hole = body.hole as usize;
        match (body.bytes.get(..hole), body.bytes.get(hole..)) {
            (Some(head), Some(tail)) => Ok(self.encode(key, meta, body.hole, (head, tail))),
            _ => Err(CommitError::Failed(format!("the body of {key} has no such hole"))),
        }
    }

    /// The object under a key, which comes without the prefix.
    pub(crate) fn decode(&self, key: Arc<str>, kv: &KeyValue) -> Result<Entry, String> {
        let what = |why: &str| format!("the value of {OBJECTS}{key} {why}");
        let Some((&FORMAT, rest)) = kv.value.split_first() else {
            return Err(what("was not written by this version of Berth"));
        };
        let Some((sum, object)) = rest.split_first_chunk() else { return Err(what("is cut")) };
        if u32::from_le_bytes(*sum) != checksum(&key, object) {
            return Err(what("is damaged: its checksum does not fit"));
        }
        let (created, revision) = (number(kv.create_revision), number(kv.mod_revision));
        let mut reader = Reader::new(object, &self.read, self.version);
        let entry = reader.object(Arc::clone(&key), created, revision);
        entry.ok_or_else(|| what("is cut"))
    }
}

fn checksum(key: &str, object: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), object)
}

/// A revision of etcd's, which are positive.
pub(crate) fn number(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// The same, for a request.
pub(crate) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The store's key, if it is an object's.
pub(crate) fn object_key(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()?.strip_prefix(OBJECTS)
}

pub(crate) fn get(key: String) -> RangeRequest {
    RangeRequest { key: key.into(), ..RangeRequest::default() }
}

pub(crate) fn request(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub(crate) fn put(key: &str, value: impl Into<bytes::Bytes>) -> RequestOp {
    let key = key.to_owned().into();
    request(Request::RequestPut(PutRequest { key, value: value.into() }))
}

pub(crate) fn delete(key: String) -> RequestOp {
    let key = key.into();
    let delete = DeleteRangeRequest { key, prev_kv: true, ..DeleteRangeRequest::default() };
    request(Request::RequestDeleteRange(delete))
}

/// The key has this revision; 0: it does not exist.
pub(crate) fn is_at(key: &str, revision: u64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.to_owned().into(),
        target_union: Some(TargetUnion::ModRevision(signed(revision))),
    }
}

fn exists(key: &str) -> Compare {
    Compare { result: CompareResult::Greater.into(), ..is_at(key, 0) }
}

/// What a transaction demands of a key.
#[derive(Debug, Clone)]
struct Check {
    key: String,
    /// `None`: that it exists.
    revision: Option<u64>,
}

impl Check {
    fn holds(&self, found: Option<&KeyValue>) -> bool {
        let there = found.map_or(0, |kv| number(kv.mod_revision));
        self.revision.map_or(there != 0, |wanted| wanted == there)
    }
}

/// A transaction on its way, and how to read the answer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) request: TxnRequest,
    checks: Vec<Check>,
}

impl Outgoing {
    /// The order of operations is that of the transaction; what the store adds to them comes after.
    pub(crate) fn new(txn: &Txn, codec: &Codec) -> Result<Self, CommitError> {
        let compared = txn.compares.iter();
        let mut checks: Vec<_> = compared
            .map(|compare| Check { key: compare.key.clone(), revision: Some(compare.revision) })
            .collect();
        let mut success = Vec::with_capacity(txn.ops.len() + 1);
        for op in &txn.ops {
            let at = format!("{OBJECTS}{}", op.key());
            success.push(match op {
                Op::Put { key, body, meta } => put(&at, codec.body(key, meta, body)?),
                Op::Delete { key } => {
                    checks.push(Check { key: key.clone(), revision: None });
                    delete(at)
                }
            });
        }
        let head = || request(Request::RequestRange(get(HEAD.into())));
        success.push(if txn.ops.is_empty() { head() } else { put(HEAD, Vec::new()) });
        let mut compare = vec![is_at(RESTORING, 0)];
        let mut failure = vec![request(Request::RequestRange(get(RESTORING.into()))), head()];
        for check in &checks {
            let at = format!("{OBJECTS}{}", check.key);
            compare.push(match check.revision {
                Some(revision) => is_at(&at, revision),
                None => exists(&at),
            });
            failure.push(request(Request::RequestRange(get(at))));
        }
        Ok(Self { request: TxnRequest { compare, success, failure }, checks })
    }

    /// Why the conditions did not hold, and the head at that time.
    pub(crate) fn refusal(&self, responses: &[ResponseOp], codec: &Codec) -> (u64, CommitError) {
        let mut found = responses.iter().map(first);
        if found.next().flatten().is_some() {
            let why = "a restore into this etcd is under way, or did not come to its end";
            return (0, CommitError::Failed(why.into()));
        }
        let head = found.next().flatten().map_or(0, |kv| number(kv.mod_revision));
        for (check, found) in self.checks.iter().zip(found) {
            if check.holds(found) {
                continue;
            }
            let current = found.map(|kv| codec.decode(check.key.as_str().into(), kv));
            return match current.transpose() {
                Ok(current) => {
                    let (key, current) = (check.key.clone(), current.map(Arc::new));
                    (head, CommitError::Conflict { key, current })
                }
                Err(damage) => (head, CommitError::Failed(damage)),
            };
        }
        (head, CommitError::Failed("etcd refused a transaction without a reason".into()))
    }
}

/// The key that was read.
pub(crate) fn first(response: &ResponseOp) -> Option<&KeyValue> {
    match response.response.as_ref()? {
        Response::ResponseRange(range) => range.kvs.first(),
        Response::ResponseDeleteRange(delete) => delete.prev_kvs.first(),
        Response::ResponsePut(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_damaged_or_elsewhere_is_not_served() {
        let codec = Codec { read: Arc::new(|_, _| Meta::default()), version: 1 };
        let meta = Meta { uid: "u".into(), expires: Some(7), ..Meta::default() };
        let value = codec.encode("pods/a", &meta, 4, (b"head", b"tail"));
        let kv = |value: &[u8]| KeyValue {
            create_revision: 5,
            mod_revision: 12,
            value: value.to_vec().into(),
            ..KeyValue::default()
        };
        let entry = codec.decode("pods/a".into(), &kv(&value)).unwrap();
        assert_eq!((entry.created, entry.revision, &entry.bytes[..]), (5, 12, &b"head12tail"[..]));
        assert_eq!(*entry.meta, meta);
        assert!(codec.decode("pods/b".into(), &kv(&value)).is_err());
        for at in 0..value.len() {
            assert!(codec.decode("pods/a".into(), &kv(&value[..at])).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bad = value.clone();
                bad[at] ^= 1 << bit;
                assert!(codec.decode("pods/a".into(), &kv(&bad)).is_err(), "{at}, bit {bit}");
            }
        }
    }
}
