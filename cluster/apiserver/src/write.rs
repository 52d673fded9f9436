// SPDX-License-Identifier: Apache-2.0
//! What all writes share: the last check, the transaction, and what its failure means to a client.

use crate::ask::Ask;
use crate::object;
use crate::server::Inner;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::registry::Kind;
use berth_cluster_api::{Map, Refusal, meta};
use berth_cluster_json::Value;
use berth_cluster_store::{CommitError, Committed, Compare, Entry, Op, Txn};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// What a write has made.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The object, in JSON.
    pub(crate) bytes: Bytes,
    /// It was not there before.
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

/// The metadata of an object.
pub(crate) fn metadata(object: &Map) -> Option<&Map> {
    object.get("metadata").and_then(Value::as_object)
}

/// A text of the metadata; empty if it is not there.
pub(crate) fn meta_text<'a>(object: &'a Map, field: &str) -> &'a str {
    metadata(object).and_then(|meta| meta.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// The metadata, to be changed; made if they are not there.
pub(crate) fn metadata_mut(object: &mut Map) -> &mut Map {
    let slot = object.entry("metadata").or_insert_with(|| Map::new().into());
    if !slot.is_object() {
        *slot = Map::new().into();
    }
    match slot {
        Value::Object(meta) => meta,
        _ => unreachable!("it was made an object"),
    }
}

/// Whether a value is a list with something in it.
pub(crate) fn has_items(value: &Value) -> bool {
    value.as_array().is_some_and(|all| !all.is_empty())
}

/// Whether nothing holds an object any more that is to be deleted: no finalizer, no time that it was given.
pub(crate) fn gone(kind: &Kind, object: &Map) -> bool {
    let Some(metadata) = metadata(object) else { return false };
    let grace = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null())
        && !metadata.get("finalizers").is_some_and(has_items)
        && grace == 0
        && !kind.rules.holds(object)
}

/// Everything that is wrong with the object by itself.
pub(crate) fn validate(kind: &Kind, object: &Map, errors: &mut Errors) {
    let none = Map::new();
    let metadata = metadata(object).unwrap_or(&none);
    meta::validate(metadata, kind.namespaced, &*kind.rules, &Path::new("metadata"), errors);
    kind.rules.validate(object, errors);
}

/// 422, if there is anything.
pub(crate) fn invalid(kind: &Kind, object: &Map, errors: &Errors) -> Result<(), Refusal> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(&kind.group, &kind.kind, meta_text(object, "name"), errors))
}

/// The operation that writes an object.
pub(crate) fn put(ask: &Ask, key: String, object: &Map) -> Op {
    let (kind, rules) = (&ask.kind, &ask.kind.rules);
    let stored =
        if rules.converts() { Cow::Owned(rules.as_stored(object)) } else { Cow::Borrowed(object) };
    let body = object::encode(kind, &stored);
    let mut meta = object::meta(kind, object);
    meta.expires = rules.lifetime().map(|seconds| ask.now.seconds.saturating_add(seconds));
    Op::Put { key, body, meta }
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Somebody else was faster, at this key.
    Conflict(String, Option<Arc<Entry>>),
    /// The client is told.
    Refused(Refusal),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Commits, and says what its failure means to a client.
pub(crate) async fn commit(server: &Inner, txn: Txn) -> Result<Committed, Failed> {
    server.store.commit(txn).await.map_err(not_written)
}

/// Waits until what a write was refused for is durable: a power loss would take it back, and readers do not see it before.
pub(crate) async fn settled(server: &Inner, refusal: Refusal) -> Refusal {
    if ![403, 404, 409].contains(&refusal.code) {
        return refusal;
    }
    match server.store.settled().await.map_err(not_written) {
        Err(Failed::Refused(failed)) => failed,
        _ => refusal,
    }
}

fn not_written(error: CommitError) -> Failed {
    match error {
        CommitError::Conflict { key, current } => Failed::Conflict(key, current),
        CommitError::Full(why) => Failed::Refused(Refusal::internal(format!(
            "the store has no space ({why}); nothing was written, reads go on: make room on its disk"
        ))),
        CommitError::Failed(why) => {
            let text = format!("the store cannot write: {why}; nothing was written");
            let mut refusal = Refusal::new(503, "ServiceUnavailable", text);
            refusal.details.retry_after = Some(1);
            Failed::Refused(refusal)
        }
        CommitError::Unknown(why) => Failed::Refused(Refusal::new(
            504,
            "Timeout",
            format!(
                "the store does not say whether it has written: {why}; read the object before you try again"
            ),
        )),
    }
}

/// The condition under which an object may be made in a namespace: that it is as it was looked at.
pub(crate) fn in_namespace(server: &Inner, ask: &Ask) -> Option<Compare> {
    let namespace = ask.namespace();
    if namespace.is_empty() {
        return None;
    }
    let key = format!("namespaces/{namespace}");
    let revision = server.store.latest(&key).map_or(0, |entry| entry.revision);
    Some(Compare { key, revision })
}
