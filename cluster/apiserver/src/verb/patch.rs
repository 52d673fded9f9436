// SPDX-License-Identifier: Apache-2.0
//! Changing an object by a patch. One that names no version is applied again to what others have made meanwhile.

use crate::answer::{Answer, warn};
use crate::ask::Ask;
use crate::body::{self, Expected, Incoming, Validation};
use crate::epoch;
use crate::server::Inner;
use crate::verb::create::expected;
use crate::verb::get::shaper;
use crate::verb::update::{Change, same_name, scale_answer, scale_schema, scaled, update};
use crate::write::{Written, meta_text, metadata_mut};
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::kinds::workload::scale as scales;
use berth_cluster_api::read::{self, ReadError};
use berth_cluster_api::registry::Subresource;
use berth_cluster_api::schema::Schema;
use berth_cluster_api::{Map, Refusal, patch};
use berth_cluster_json::Value;
use http::StatusCode;
use std::sync::Arc;

/// Operations of a JSON patch at most; upstream's number.
const OPERATIONS: usize = 10_000;

/// How a patch is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Json,
    Merge,
    Strategic,
}

/// PATCH of an object or of a part of it.
pub(crate) async fn serve(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let way = way(ask)?;
    let validation = body::validation(ask, "PatchOptions")?;
    let dry_run = ask.dry_run("PatchOptions")?;
    if !ask.query.text("force").is_empty() {
        let mut errors = Errors::new();
        errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
        return Err(Refusal::invalid("meta.k8s.io", "PatchOptions", "", &errors));
    }
    let sent = sent(ask, way)?;
    if ask.sub == Some(Subresource::Scale) {
        let written = scale(server, ask, (way, &sent, validation), dry_run).await?;
        return scale_answer(ask, &written);
    }
    let shaper = shaper(ask)?;
    let of = expected(&ask.kind);
    let change = |old: &Map| {
        let Incoming { object, warnings } = patched(ask, old, way, &sent, &of, validation)?;
        // Without a version of its own the patch holds for whatever is there.
        let again = meta_text(&object, "resourceVersion") == meta_text(old, "resourceVersion");
        Ok(Change { object: named(ask, object, old)?, warnings, again })
    };
    let written = update(server, ask, dry_run, change).await?;
    let mut answer = shaper.object(StatusCode::OK, &written.bytes)?;
    epoch::tell(server, ask, &written.bytes, &mut answer);
    warn(&mut answer, &written.warnings);
    Ok(answer)
}

fn way(ask: &Ask) -> Result<Way, Refusal> {
    let strategic = ask.kind.schema.is_built_in();
    match ask.media.as_str() {
        "application/json-patch+json" => Ok(Way::Json),
        "application/merge-patch+json" => Ok(Way::Merge),
        "application/strategic-merge-patch+json" if strategic => Ok(Way::Strategic),
        "application/strategic-merge-patch+json" | "application/apply-patch+yaml" => {
            let mut known = "application/json-patch+json, application/merge-patch+json".to_owned();
            if strategic {
                known.push_str(", application/strategic-merge-patch+json");
            }
            let text = format!(
                "the body of the request was in an unknown format - accepted media types include: {known}"
            );
            Err(Refusal::new(415, "UnsupportedMediaType", text))
        }
        _ => Err(Refusal::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")),
    }
}

fn sent(ask: &Ask, way: Way) -> Result<Value, Refusal> {
    let sent = read::json(&ask.body).map_err(|error| match error {
        // The body ended too early: upstream's readers say it so.
        ReadError::Syntax(why) if why.starts_with("EOF") => Refusal::bad_request("unexpected EOF"),
        ReadError::Syntax(why) => Refusal::bad_request(format!("error decoding patch: {why}")),
        other => other.refusal(),
    })?;
    if way == Way::Json && sent.value.as_array().is_some_and(|all| all.len() > OPERATIONS) {
        return Err(Refusal::new(
            413,
            "RequestEntityTooLarge",
            format!("The allowed maximum operations in a JSON patch is {OPERATIONS}"),
        ));
    }
    Ok(sent.value)
}

/// The object that a patch makes, held against its kind.
fn patched(
    ask: &Ask,
    old: &Map,
    way: Way,
    sent: &Value,
    of: &Expected<'_>,
    validation: Validation,
) -> Result<Incoming, Refusal> {
    let value = apply(old, way, sent, of.schema)?;
    let Value::Object(mut object) = value else { return Err(unusable(ask, "it makes no object")) };
    let same = if ask.kind.rules.converts() { Map::new() } else { take_same(&mut object, old) };
    let judged = body::judge(ask, object, &[], of, validation);
    let judged = judged.map(|mut incoming| {
        incoming.object.extend(same);
        incoming
    });
    judged.map_err(|refusal| {
        // What is wrong is the patch.
        let why = refusal.message.split_once(&format!("handled as a {}: ", of.kind));
        match why {
            Some((_, why)) if refusal.code == 400 => unusable(ask, why),
            _ => refusal,
        }
    })
}

/// Takes out what the patch left as it is: that was judged when it was written.
fn take_same(object: &mut Map, old: &Map) -> Map {
    let mut same = Map::new();
    object.retain(|name, value| {
        let change = old.get(name) != Some(value) || ["kind", "apiVersion"].contains(&&**name);
        if !change {
            same.insert(name.clone(), value.take());
        }
        change
    });
    same
}

fn apply(old: &Map, way: Way, sent: &Value, schema: &Schema) -> Result<Value, Refusal> {
    let object = Value::Object(old.clone());
    match way {
        Way::Json => patch::json(object, sent),
        Way::Merge => patch::merge(object, sent),
        Way::Strategic => patch::strategic(object, sent, schema),
    }
}

/// 422, with the patch.
fn unusable(ask: &Ask, why: &str) -> Refusal {
    let mut errors = Errors::new();
    let sent = String::from_utf8_lossy(&ask.body);
    errors.invalid(&Path::new("patch"), sent.as_ref(), why);
    Refusal::invalid("", "", "", &errors)
}

/// A patch may not change of which object it is.
fn named(ask: &Ask, mut object: Map, old: &Map) -> Result<Map, Refusal> {
    same_name(meta_text(&object, "name"), &ask.target.name)?;
    let namespace = meta_text(old, "namespace").to_owned();
    if ask.kind.namespaced && meta_text(&object, "namespace") != namespace {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !ask.kind.namespaced {
        metadata_mut(&mut object).remove("namespace");
    }
    Ok(object)
}

async fn scale(
    server: &Arc<Inner>,
    ask: &Ask,
    (way, sent, validation): (Way, &Value, Validation),
    dry_run: bool,
) -> Result<Written, Refusal> {
    let schema = scale_schema()?;
    let of = Expected { group: "autoscaling", version: "v1", kind: "Scale", schema: &schema };
    update(server, ask, dry_run, |old| {
        let Value::Object(scale) = scales::read(old) else {
            return Err(Refusal::internal("a scale is an object"));
        };
        let incoming = patched(ask, &scale, way, sent, &of, validation)?;
        let mut wanted = incoming.object;
        let again = meta_text(&wanted, "resourceVersion") == meta_text(old, "resourceVersion");
        if again {
            metadata_mut(&mut wanted).remove("resourceVersion");
        }
        scaled(old, &wanted)
    })
    .await
}
