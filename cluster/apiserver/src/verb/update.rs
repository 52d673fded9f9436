// SPDX-License-Identifier: Apache-2.0
//! Changing an object: PUT, and what all changes share.

use crate::admission::{Operation, Request};
use crate::answer::{Answer, warn};
use crate::ask::Ask;
use crate::body::{self, Expected};
use crate::epoch;
use crate::fence::commit;
use crate::reserve::{Reserved, give_back, is_reservation, reserve};
use crate::server::Inner;
use crate::shape::parse;
use crate::verb::create::{create, expected};
use crate::verb::get::{newest, shaper};
use crate::write::{
    Failed, Written, gone, invalid, meta_text, metadata, metadata_mut, put, validate,
};
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::kinds::workload::scale as scales;
use berth_cluster_api::registry::{Part, Subresource};
use berth_cluster_api::schema::lookup;
use berth_cluster_api::{Map, Refusal, meta};
use berth_cluster_json::Value;
use berth_cluster_store::{Compare, Entry, Op, Txn};
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// How often a change that has no condition is tried again.
const TRIES: usize = 100;

/// What upstream tells those who were too slow.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// A change: what is to be, from what is.
pub(crate) struct Change {
    /// The whole object, as it shall be.
    pub(crate) object: Map,
    pub(crate) warnings: Vec<String>,
    /// Where others were faster, it can be made anew.
    pub(crate) again: bool,
}

/// PUT of an object or of a part of it.
pub(crate) async fn serve(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "UpdateOptions")?;
    let dry_run = ask.dry_run("UpdateOptions")?;
    if ask.sub == Some(Subresource::Scale) {
        return scale(server, ask, validation, dry_run).await;
    }
    let shaper = shaper(ask)?;
    let incoming = body::read(ask, &expected(&ask.kind), validation)?;
    let object = named(ask, incoming.object)?;
    let absent = newest(&server.store, &ask.key()).await?.is_none();
    let mut written = if absent && ask.kind.create_on_update && ask.sub.is_none() {
        server.authorize_as(ask, "create")?;
        // An object of a uid cannot be made, only changed.
        same_uid(ask, &object, &Map::new())?;
        create(server, ask, &object, dry_run).await?
    } else {
        let change = |old: &Map| {
            same_uid(ask, &object, old)?;
            let again = meta_text(&object, "resourceVersion").is_empty();
            Ok(Change { object: object.clone(), warnings: Vec::new(), again })
        };
        update(server, ask, dry_run, change).await?
    };
    written.warnings.splice(0..0, incoming.warnings);
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = shaper.object(status, &written.bytes)?;
    epoch::tell(server, ask, &written.bytes, &mut answer);
    warn(&mut answer, &written.warnings);
    Ok(answer)
}

/// The name and the namespace are the path's.
fn named(ask: &Ask, mut object: Map) -> Result<Map, Refusal> {
    let (wanted, namespace) = (&ask.target.name, ask.namespace());
    let name = meta_text(&object, "name");
    same_name(name, wanted)?;
    let said = meta_text(&object, "namespace");
    if !said.is_empty() && said != namespace && ask.kind.namespaced {
        return Err(Refusal::bad_request(format!(
            "the namespace of the object ({said}) does not match the namespace on the request ({namespace})"
        )));
    }
    let metadata = metadata_mut(&mut object);
    if ask.kind.namespaced {
        metadata.insert("namespace".to_owned(), namespace.into());
    } else {
        metadata.remove("namespace");
    }
    Ok(object)
}

/// 400, if an object is not of the name of the path.
pub(crate) fn same_name(name: &str, wanted: &str) -> Result<(), Refusal> {
    match name {
        "" => Err(Refusal::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        ))),
        name if name == wanted => Ok(()),
        _ => Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({wanted})"
        ))),
    }
}

/// The kind of a scale.
pub(crate) fn scale_schema() -> Result<berth_cluster_api::schema::Schema, Refusal> {
    lookup("autoscaling", "v1", "Scale").ok_or_else(|| Refusal::internal("no schema of Scale"))
}

/// PUT of a scale.
async fn scale(
    server: &Arc<Inner>,
    ask: &Ask,
    validation: body::Validation,
    dry_run: bool,
) -> Result<Answer, Refusal> {
    let schema = scale_schema()?;
    let of = Expected { group: "autoscaling", version: "v1", kind: "Scale", schema: &schema };
    let incoming = body::read(ask, &of, validation)?;
    let wanted = named(ask, incoming.object)?;
    let change = |old: &Map| {
        same_uid(ask, &wanted, old)?;
        scaled(old, &wanted)
    };
    scale_answer(ask, &update(server, ask, dry_run, change).await?)
}

/// The object with another scale.
pub(crate) fn scaled(old: &Map, wanted: &Map) -> Result<Change, Refusal> {
    let replicas = wanted.get("spec").and_then(|spec| spec["replicas"].as_i64()).unwrap_or(0);
    if replicas < 0 {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("replicas");
        errors.invalid(&path, replicas, "must be greater than or equal to 0");
        let name = meta_text(old, "name");
        return Err(Refusal::invalid("autoscaling", "Scale", name, &errors));
    }
    let mut object = old.clone();
    let again = meta_text(wanted, "resourceVersion").is_empty();
    scales::write(&mut object, wanted);
    Ok(Change { object, warnings: Vec::new(), again })
}

/// The answer with the scale of an object.
pub(crate) fn scale_answer(ask: &Ask, written: &Written) -> Result<Answer, Refusal> {
    let scale = scales::read(&parse(&written.bytes)?);
    Ok(shaper(ask)?.write(StatusCode::OK, &scale))
}

/// Changes an object. `change` makes the new one from the old one; it is asked again where others were faster.
pub(crate) async fn update(
    server: &Arc<Inner>,
    ask: &Ask,
    dry_run: bool,
    mut change: impl FnMut(&Map) -> Result<Change, Refusal>,
) -> Result<Written, Refusal> {
    let key = ask.key();
    for _ in 0..TRIES {
        let entry = newest(&server.store, &key).await?.ok_or_else(|| ask.not_found())?;
        let old = ask.parse(&entry.bytes)?;
        let Change { object, warnings, again } = change(&old)?;
        let (new, reserved) = settle(server, ask, object, &old)?;
        match store(server, ask, &new, reserved, &entry, dry_run).await {
            Ok((bytes, more)) => {
                let warnings = warnings.into_iter().chain(more).collect();
                return Ok(Written { bytes, created: false, warnings });
            }
            Err(Failed::Refused(refusal)) => return Err(refusal),
            Err(Failed::Conflict(key, _)) if again || is_reservation(&key) => {}
            Err(Failed::Conflict(..)) => return Err(ask.conflict(&ask.target.name, MODIFIED)),
        }
    }
    Err(ask.conflict(&ask.target.name, MODIFIED))
}

/// The object as it is to be stored: what may not change is as it was, and everything was judged.
fn settle(
    server: &Arc<Inner>,
    ask: &Ask,
    mut new: Map,
    old: &Map,
) -> Result<(Map, Reserved), Refusal> {
    let (kind, part) = (&ask.kind, ask.part());
    kind.rules.default(&mut new);
    condition(ask, &mut new, old)?;
    server.admit(&Request { ask, operation: Operation::Update, old: Some(old) }, &mut new)?;
    meta::prepare_update(&mut new, old);
    metadata_mut(&mut new).remove("managedFields");
    kind.rules.prepare_update(&mut new, old, part);
    let reserved = reserve(server, ask, Some(old), &mut new)?;
    if matches!(part, Part::Status | Part::Other(Subresource::Finalize)) {
        keep_metadata(&mut new, old, part);
    }
    let mut errors = Errors::new();
    let none = Map::new();
    let (after, before) = (metadata(&new).unwrap_or(&none), metadata(old).unwrap_or(&none));
    let mut of_metadata = Errors::new();
    meta::validate_update(after, before, &Path::new("metadata"), &mut of_metadata);
    // Upstream finds these twice, by the storage and by the kind, and tells both.
    errors.0.extend(of_metadata.0.iter().cloned());
    if part == Part::Main {
        validate(kind, &new, &mut errors);
    }
    errors.0.extend(of_metadata.0);
    kind.rules.validate_update(&new, old, part, &mut errors);
    invalid(kind, &new, &errors)?;
    server.may_grant(ask, &new, Some(old))?;
    Ok((new, reserved))
}

/// 409 for a PUT that means an object of another uid.
fn same_uid(ask: &Ask, new: &Map, old: &Map) -> Result<(), Refusal> {
    let (uid, own) = (meta_text(new, "uid"), meta_text(old, "uid"));
    if uid.is_empty() || uid == own {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}");
    Err(ask.conflict(&ask.target.name, &why))
}

/// A write of a part leaves the object's life to the main part: names of finalizers, owners.
fn keep_metadata(new: &mut Map, old: &Map, part: Part) {
    let fields: &[&str] = match part {
        Part::Status => &["deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences"],
        _ => &["deletionTimestamp", "deletionGracePeriodSeconds"],
    };
    let none = Map::new();
    let before = metadata(old).unwrap_or(&none);
    let after = metadata_mut(new);
    for field in fields {
        match before.get(*field) {
            Some(value) => after.insert((*field).to_owned(), value.clone()),
            None => after.remove(*field),
        };
    }
}

/// The conditions that the object itself carries: its version and its uid.
fn condition(ask: &Ask, new: &mut Map, old: &Map) -> Result<(), Refusal> {
    let name = &ask.target.name;
    let current = meta_text(old, "resourceVersion").to_owned();
    let version = meta_text(new, "resourceVersion").to_owned();
    let empty = ["", "0"].contains(&version.as_str());
    if empty && !ask.kind.rules.unconditional_update() {
        let mut errors = Errors::new();
        let path = Path::new("metadata").child("resourceVersion");
        errors.invalid(&path, "", "must be specified for an update");
        // Upstream shows a number that is not there as Go does, and names the resource, not the kind.
        if let Some(error) = errors.0.last_mut() {
            "0x0".clone_into(&mut error.value);
        }
        return Err(Refusal::invalid(&ask.kind.group, &ask.kind.plural, name, &errors));
    }
    if !empty && version.parse::<u64>().is_err() {
        let mut errors = Errors::new();
        let path = Path::new("metadata").child("resourceVersion");
        errors.invalid(
            &path,
            version.as_str(),
            format!("strconv.ParseUint: parsing {version:?}: invalid syntax"),
        );
        return Err(Refusal::invalid(&ask.kind.group, &ask.kind.kind, name, &errors));
    }
    if !empty && version != current {
        return Err(ask.conflict(name, MODIFIED));
    }
    metadata_mut(new).insert("resourceVersion".to_owned(), current.into());
    Ok(())
}

async fn store(
    server: &Arc<Inner>,
    ask: &Ask,
    new: &Map,
    reserved: Reserved,
    entry: &Arc<Entry>,
    dry_run: bool,
) -> Result<(Bytes, Vec<String>), Failed> {
    let kind = &ask.kind;
    let warnings = kind.rules.warnings(new);
    let own = Compare { key: entry.key.to_string(), revision: entry.revision };
    if gone(&ask.kind, new) {
        // What the change would have taken is not taken; what there was is given back.
        let old = ask.parse(&entry.bytes)?;
        let bytes = finish(server, ask, (new, &old), own, dry_run).await?;
        return Ok((bytes, warnings));
    }
    let Reserved { mut compares, mut ops } = reserved;
    compares.push(own);
    let op = put(ask, entry.key.to_string(), new);
    let Op::Put { body, .. } = &op else { return Ok((entry.bytes.clone(), warnings)) };
    let hole = body.hole as usize;
    let same = entry.parts() == (&body.bytes[..hole], &body.bytes[hole..]);
    if same {
        // A write that changes nothing stores nothing; but what it answers has to be durable.
        server.store.reached(entry.revision, Duration::from_secs(5)).await;
        return Ok((entry.bytes.clone(), warnings));
    }
    if dry_run {
        let bytes = body.finish(entry.revision).unwrap_or_default();
        return Ok((bytes, warnings));
    }
    ops.insert(0, op);
    let committed = commit(server, ask, Txn { compares, ops }).await?;
    let bytes = committed.entries.first().map(|entry| entry.bytes.clone()).unwrap_or_default();
    Ok((bytes, warnings))
}

/// Deletes an object that nothing holds any more; the answer is its last state.
async fn finish(
    server: &Arc<Inner>,
    ask: &Ask,
    (last, old): (&Map, &Map),
    own: Compare,
    dry_run: bool,
) -> Result<Bytes, Failed> {
    let text = Bytes::from(Value::Object(last.clone()).to_string());
    if dry_run {
        return Ok(text);
    }
    let Reserved { mut compares, mut ops } = give_back(server, ask, old);
    compares.push(own);
    ops.push(Op::Delete { key: ask.key() });
    commit(server, ask, Txn { compares, ops }).await?;
    Ok(text)
}
