// SPDX-License-Identifier: Apache-2.0
//! Deleting an object: at once, or by marking it until nothing holds it any more.

use crate::admission::{Operation, Request};
use crate::answer::{Answer, Body, json};
use crate::ask::Ask;
use crate::fence::commit;
use crate::reserve::{give_back, is_reservation};
use crate::server::Inner;
use crate::verb::get::{newest, shaper};
use crate::verb::options::{DeleteOptions, Propagation};
use crate::verb::update::MODIFIED;
use crate::write::{self, Failed, meta_text, metadata, metadata_mut, put};
use berth_cluster_api::registry::Deletion;
use berth_cluster_api::{Map, Refusal, time};
use berth_cluster_json::Value;
use berth_cluster_store::{Compare, Entry, Op, Txn};
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;

const TRIES: usize = 100;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What became of an object.
pub(crate) struct Deleted {
    /// Its last state, or its state now.
    pub(crate) object: Map,
    /// It is gone.
    pub(crate) gone: bool,
}

/// DELETE of an object.
pub(crate) async fn serve(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let options = DeleteOptions::new(ask)?;
    let shaper = shaper(ask)?;
    let Deleted { object, gone } = delete(server, ask, &ask.target.name, &options).await?;
    if gone && !ask.kind.delete_returns_object {
        return Ok(success(ask, &object));
    }
    // Only of those who use the old word upstream tells that it takes time.
    let later = !gone && options.orphans == Some(false);
    let status = if later { StatusCode::ACCEPTED } else { StatusCode::OK };
    shaper.object(status, &Bytes::from(Value::Object(object).to_string()))
}

/// The `Status` of a success, with what it is about; in upstream's order of fields.
fn success(ask: &Ask, object: &Map) -> Answer {
    let text = |value: &str| Value::from(value).to_string();
    let group = if ask.kind.group.is_empty() {
        String::new()
    } else {
        format!("\"group\":{},", text(&ask.kind.group))
    };
    let body = format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Success\",\"details\":{{\"name\":{},{group}\
         \"kind\":{},\"uid\":{}}}}}\n",
        text(meta_text(object, "name")),
        text(&ask.kind.plural),
        text(meta_text(object, "uid")),
    );
    json(StatusCode::OK, Body::Whole(body.into()))
}

/// Deletes the object of a name.
pub(crate) async fn delete(
    server: &Arc<Inner>,
    ask: &Ask,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Refusal> {
    let key = crate::object::key(&ask.kind, ask.namespace(), name);
    // As this request marked it. From then on others may end it too, and whoever does, it was this request that was granted.
    let mut ours: Option<Map> = None;
    for _ in 0..TRIES {
        let missing = || Refusal::not_found(&ask.kind.group, &ask.kind.plural, name);
        let Some(entry) = newest(&server.store, &key).await? else {
            return ours.map(|object| Deleted { object, gone: true }).ok_or_else(missing);
        };
        let old = ask.parse(&entry.bytes)?;
        match &ours {
            Some(object) if meta_text(object, "uid") != meta_text(&old, "uid") => {
                return Ok(Deleted { object: object.clone(), gone: true });
            }
            Some(_) => {}
            None => preconditions(ask, name, &old, options)?,
        }
        let mut last = old.clone();
        server.admit(&Request { ask, operation: Operation::Delete, old: Some(&old) }, &mut last)?;
        let deletion = ask.kind.rules.deletion(&old, options.grace);
        let marked = mark(server, ask, &old, deletion, options);
        let graceful = matches!(deletion, Deletion::Graceful(_));
        match store(server, ask, &entry, (marked, graceful), (&old, &mut ours), options).await {
            Ok(deleted) => return Ok(deleted),
            Err(Failed::Refused(refusal)) => return Err(refusal),
            Err(Failed::Conflict(key, _))
                if options.version.is_none() || ours.is_some() || is_reservation(&key) => {}
            Err(Failed::Conflict(..)) => return Err(ask.conflict(name, MODIFIED)),
        }
    }
    Err(ask.conflict(name, MODIFIED))
}

fn preconditions(ask: &Ask, name: &str, old: &Map, options: &DeleteOptions) -> Result<(), Refusal> {
    let refuse = |what: &str, wanted: &str, own: &str, tail: &str| {
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({own}). The object might have been {tail}"
        );
        Err(Refusal::conflict(&ask.kind.group, &ask.kind.kind, name, &why))
    };
    let (uid, version) = (meta_text(old, "uid"), meta_text(old, "resourceVersion"));
    if let Some(wanted) = options.uid.as_ref().filter(|wanted| *wanted != uid) {
        return refuse("UID", wanted, uid, "deleted and then recreated");
    }
    if let Some(wanted) = options.version.as_ref().filter(|wanted| *wanted != version) {
        return refuse("ResourceVersion", wanted, version, "modified");
    }
    Ok(())
}

/// The object as it waits for its end; none if nothing holds it.
fn mark(
    server: &Inner,
    ask: &Ask,
    old: &Map,
    deletion: Deletion,
    options: &DeleteOptions,
) -> Option<Map> {
    let rules = &ask.kind.rules;
    let mut new = old.clone();
    let finalizers = finalizers(old, options);
    let set = metadata(old)
        .is_some_and(|meta| meta.get("deletionTimestamp").is_some_and(Value::is_string));
    let grace = match deletion {
        Deletion::AtOnce if finalizers.is_empty() => return None,
        // What is to be emptied goes once it was marked and nothing is in it.
        Deletion::Emptied if finalizers.is_empty() && set && !rules.holds(old) => return None,
        Deletion::AtOnce => Some(0),
        Deletion::Graceful(seconds) => Some(seconds),
        Deletion::Emptied => None,
    };
    let metadata = metadata_mut(&mut new);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
    let now = server.environment.now().seconds;
    let before = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
    let seconds = grace.unwrap_or(0);
    // An end can come earlier than was said, never later.
    if !set || before.is_some_and(|before| seconds < before) {
        let from = if set { began(metadata, before) } else { now };
        let at = time::seconds(from.saturating_add(seconds)).unwrap_or_default();
        metadata.insert("deletionTimestamp".to_owned(), at.into());
        if let Some(grace) = grace {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
        }
        if !set {
            count(metadata);
        }
    }
    rules.begin_deletion(&mut new);
    Some(new)
}

/// When a deletion that is under way was asked for.
fn began(metadata: &Map, grace: Option<i64>) -> i64 {
    let end = metadata.get("deletionTimestamp").and_then(Value::as_str).and_then(time::parse);
    end.map_or(0, |(at, _)| at).saturating_sub(grace.unwrap_or(0))
}

/// Where generations are counted, the mark is one.
fn count(metadata: &mut Map) {
    if let Some(generation) =
        metadata.get("generation").and_then(Value::as_i64).filter(|one| *one > 0)
    {
        metadata.insert("generation".to_owned(), generation.saturating_add(1).into());
    }
}

/// Finalizers after the policy of this deletion.
fn finalizers(old: &Map, options: &DeleteOptions) -> Vec<Value> {
    let all = metadata(old).and_then(|meta| meta.get("finalizers")).and_then(Value::as_array);
    let mut all: Vec<Value> = all.cloned().unwrap_or_default();
    let wanted = match (options.propagation, options.orphans) {
        (Some(Propagation::Orphan), _) | (None, Some(true)) => Some(ORPHAN),
        (Some(Propagation::Foreground), _) => Some(FOREGROUND),
        (Some(Propagation::Background), _) | (None, Some(false)) => None,
        // Nothing is said: what an earlier deletion said holds.
        (None, None) => return all,
    };
    all.retain(|one| one != ORPHAN && one != FOREGROUND);
    if let Some(wanted) = wanted {
        all.push(wanted.into());
    }
    all
}

async fn store(
    server: &Arc<Inner>,
    ask: &Ask,
    entry: &Arc<Entry>,
    (marked, graceful): (Option<Map>, bool),
    (old, ours): (&Map, &mut Option<Map>),
    options: &DeleteOptions,
) -> Result<Deleted, Failed> {
    let key = entry.key.to_string();
    let compares = vec![Compare { key: key.clone(), revision: entry.revision }];
    let Some(new) = marked else {
        if options.dry_run {
            return Ok(Deleted { object: old.clone(), gone: true });
        }
        let held = give_back(server, ask, old);
        let mut ops = held.ops;
        ops.push(Op::Delete { key });
        let txn = Txn { compares: [compares, held.compares].concat(), ops };
        let revision = commit(server, ask, txn).await?.revision;
        return Ok(Deleted { object: at(old.clone(), revision), gone: true });
    };
    let gone = graceful && write::gone(&ask.kind, &new);
    if options.dry_run || (new == *old && !gone) {
        return Ok(Deleted { object: new, gone });
    }
    let mut revision = entry.revision;
    if new != *old {
        let op = put(ask, key.clone(), &new);
        revision = commit(server, ask, Txn { compares, ops: vec![op] }).await?.revision;
        if gone {
            *ours = Some(at(new.clone(), revision));
        }
    }
    if gone {
        let compares = vec![Compare { key: key.clone(), revision }];
        let txn = Txn { compares, ops: vec![Op::Delete { key }] };
        // The mark was the decision, and nobody else would come back to end it: it is ended though the fence falls meanwhile.
        if new == *old {
            commit(server, ask, txn).await?;
        } else {
            write::commit(server, txn).await?;
        }
    }
    Ok(Deleted { object: at(new, revision), gone })
}

fn at(mut object: Map, revision: u64) -> Map {
    metadata_mut(&mut object).insert("resourceVersion".to_owned(), revision.to_string().into());
    object
}
