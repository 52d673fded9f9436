// SPDX-License-Identifier: Apache-2.0
//! Creating an object.

use crate::admission::{Operation, Request};
use crate::answer::{Answer, warn};
use crate::ask::Ask;
use crate::body::{self, Expected};
use crate::environment::{suffix, uid};
use crate::epoch;
use crate::fence::commit;
use crate::reserve::{Reserved, reserve};
use crate::server::Inner;
use crate::verb::get::{newest, shaper};
use crate::write::{
    Failed, Written, in_namespace, invalid, meta_text, metadata_mut, put, validate,
};
use berth_cluster_api::field::Errors;
use berth_cluster_api::refusal::Cause;
use berth_cluster_api::registry::Kind;
use berth_cluster_api::{Map, Refusal, meta, time};
use berth_cluster_json::Value;
use berth_cluster_store::{Compare, Txn};
use http::StatusCode;
use std::sync::Arc;

/// How often another name is tried where the generated one is taken; upstream's number (KEP-4420).
const NAMES: usize = 8;
/// How often a write is tried again that others were faster than.
const TRIES: usize = 100;
/// The longest part of a `generateName` that is used.
const PREFIX: usize = 58;

/// What the body of a write is.
pub(crate) fn expected(kind: &Kind) -> Expected<'_> {
    Expected { group: &kind.group, version: &kind.version, kind: &kind.kind, schema: &kind.schema }
}

/// POST to a collection.
pub(crate) async fn serve(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "CreateOptions")?;
    let dry_run = ask.dry_run("CreateOptions")?;
    let shaper = shaper(ask)?;
    let incoming = body::read(ask, &expected(&ask.kind), validation)?;
    let mut written = create(server, ask, &incoming.object, dry_run).await?;
    written.warnings.splice(0..0, incoming.warnings);
    let mut answer = shaper.object(StatusCode::CREATED, &written.bytes)?;
    epoch::tell(server, ask, &written.bytes, &mut answer);
    warn(&mut answer, &written.warnings);
    Ok(answer)
}

/// Creates an object that has its kind's form.
pub(crate) async fn create(
    server: &Arc<Inner>,
    ask: &Ask,
    incoming: &Map,
    dry_run: bool,
) -> Result<Written, Refusal> {
    // A namespace that another server has made may not have come here yet.
    if !ask.namespace().is_empty() {
        newest(&server.store, &format!("namespaces/{}", ask.namespace())).await?;
    }
    server.await_needed(&Request { ask, operation: Operation::Create, old: None }, incoming).await;
    let generated = meta_text(incoming, "name").is_empty();
    let (mut names, mut tries) = (0, 0);
    loop {
        let (object, reserved) = prepare(server, ask, incoming)?;
        let name = meta_text(&object, "name").to_owned();
        match store(server, ask, &object, reserved, dry_run).await {
            Ok(written) => return Ok(written),
            Err(Failed::Refused(refusal)) => return Err(refusal),
            Err(Failed::Conflict(key, current)) => {
                let own = key == crate::object::key(&ask.kind, ask.namespace(), &name);
                if own && generated && names < NAMES {
                    names += 1;
                } else if own {
                    return Err(exists(
                        ask,
                        &name,
                        current.is_some_and(|one| one.meta.deletion.is_some()),
                    ));
                } else if tries < TRIES {
                    // The namespace changed, or an address was taken: it is to be looked at again.
                    tries += 1;
                } else {
                    return Err(ask.conflict(&name, "others are always faster"));
                }
            }
        }
    }
}

fn exists(ask: &Ask, name: &str, deleting: bool) -> Refusal {
    let mut refusal = Refusal::already_exists(&ask.kind.group, &ask.kind.plural, name);
    if deleting {
        refusal.message = format!("object is being deleted: {}", refusal.message);
    }
    refusal
}

/// The object as it is to be stored, and the conditions for it.
fn prepare(server: &Arc<Inner>, ask: &Ask, incoming: &Map) -> Result<(Map, Reserved), Refusal> {
    let (kind, mut object) = (&ask.kind, incoming.clone());
    kind.rules.default(&mut object);
    let compares: Vec<Compare> = in_namespace(server, ask).into_iter().collect();
    meta::prepare_create(&mut object, ask.namespace())?;
    let version = meta_text(&object, "resourceVersion");
    if !["", "0"].contains(&version) {
        return Err(Refusal::new(
            500,
            "",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    server.admit(&Request { ask, operation: Operation::Create, old: None }, &mut object)?;
    identify(server, ask, &mut object);
    kind.rules.prepare_create(&mut object);
    let mut reserved = reserve(server, ask, None, &mut object)?;
    reserved.compares.extend(compares);
    let mut errors = Errors::new();
    validate(kind, &object, &mut errors);
    kind.rules.validate_create(&object, &mut errors);
    invalid(kind, &object, &errors)?;
    server.may_grant(ask, &object, None)?;
    Ok((object, reserved))
}

/// Sets the name, the uid and the time.
fn identify(server: &Inner, ask: &Ask, object: &mut Map) {
    let environment = &*server.environment;
    let namespaced = ask.kind.namespaced;
    let metadata = metadata_mut(object);
    for field in ["resourceVersion", "managedFields"] {
        metadata.remove(field);
    }
    if !namespaced {
        metadata.remove("namespace");
    }
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default();
    let prefix = text("generateName");
    if text("name").is_empty() && !prefix.is_empty() {
        let cut: String = prefix.chars().take(PREFIX).collect();
        let name = format!("{cut}{}", suffix(environment));
        metadata.insert("name".to_owned(), name.into());
    }
    metadata.insert("uid".to_owned(), uid(environment).into());
    let now = time::seconds(ask.now.seconds).unwrap_or_default();
    metadata.insert("creationTimestamp".to_owned(), now.into());
}

async fn store(
    server: &Arc<Inner>,
    ask: &Ask,
    object: &Map,
    reserved: Reserved,
    dry_run: bool,
) -> Result<Written, Failed> {
    let kind = &ask.kind;
    let key = crate::object::key(kind, ask.namespace(), meta_text(object, "name"));
    let warnings = kind.rules.warnings(object);
    if dry_run {
        if let Some(entry) = server.store.latest(&key) {
            return Err(Failed::Conflict(key, Some(entry)));
        }
        let bytes = Value::Object(object.clone()).to_string().into();
        return Ok(Written { bytes, created: true, warnings });
    }
    let op = put(ask, key.clone(), object);
    let Reserved { mut compares, mut ops } = reserved;
    compares.push(Compare { key, revision: 0 });
    ops.insert(0, op);
    let committed = commit(server, ask, Txn { compares, ops }).await?;
    let bytes = committed.entries.first().map(|entry| entry.bytes.clone()).unwrap_or_default();
    Ok(Written { bytes, created: true, warnings })
}

/// 403 for a new object in a namespace that is going away.
pub(crate) fn terminating(ask: &Ask, name: &str) -> Refusal {
    let namespace = ask.namespace();
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut refusal = Refusal::forbidden(&ask.kind.group, &ask.kind.plural, name, &why);
    refusal.details.causes = vec![Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    }];
    refusal
}
