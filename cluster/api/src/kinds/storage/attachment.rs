// SPDX-License-Identifier: Apache-2.0
//! Attachments: that a volume is to be reached from a node.

use super::{cells, volume};
use crate::Map;
use crate::field::{Errors, Path, Problem};
use crate::kinds::access::{keep, make};
use crate::kinds::pod::{driver_name, each};
use crate::kinds::view::View;
use crate::names;
use crate::registry::{Part, Rules};
use berth_cluster_json::{Value, json};

/// The most bytes of what a driver says of an attachment, and of a failure's message.
const METADATA: usize = 256 * 1024;
const MESSAGE: usize = 1024;

#[derive(Debug)]
pub(super) struct Attachment;

fn source(source: &Value, path: &Path, errors: &mut Errors) {
    let (name, inline) = (source.at("persistentVolumeName"), source.at("inlineVolumeSpec"));
    let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (name.is_null(), inline.is_null()) {
        (true, true) => errors.required(path, why),
        (false, false) => errors.forbidden(path, why),
        (false, true) if name == "" => {
            let why = "must specify non empty persistentVolumeName";
            errors.required(&path.child("persistentVolumeName"), why);
        }
        (false, true) => {}
        (true, false) => volume::inline(inline, &path.child("inlineVolumeSpec"), errors),
    }
}

fn failure(failure: &Value, path: &Path, errors: &mut Errors) {
    if failure.text("message").len() > MESSAGE {
        // Upstream says the other bound.
        let why = format!("may not be more than {METADATA} bytes");
        errors.add(Problem::TooLong, &path.child("message"), &Value::Null, why);
    }
    if let Some(code) = failure.int("errorCode").filter(|code| *code < 0) {
        let why = format!("must be between 0 and {}, inclusive", i32::MAX);
        errors.invalid(&path.child("errorCode"), code, why);
    }
}

/// An attachment by itself.
fn whole(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    if spec.text("attacher").is_empty() {
        errors.required(&path.child("attacher"), "");
    }
    source(spec.at("source"), &path.child("source"), errors);
    let node = spec.text("nodeName");
    each(names::dns_subdomain(node, false), &path.child("nodeName"), node, errors);
    let (status, path) = (object.at("status"), Path::new("status"));
    let size = |(key, value): &(&str, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if status.entries("attachmentMetadata").iter().map(size).sum::<usize>() > METADATA {
        let why = format!("may not be more than {METADATA} bytes");
        errors.add(Problem::TooLong, &path.child("attachmentMetadata"), &Value::Null, why);
    }
    for field in ["attachError", "detachError"] {
        failure(status.at(field), &path.child(field), errors);
    }
}

impl Rules for Attachment {
    fn default(&self, object: &mut Map) {
        if let Some(source) = object
            .get_mut("spec")
            .and_then(|spec| spec.pointer_mut("/source/inlineVolumeSpec"))
            .and_then(Value::as_object_mut)
        {
            crate::kinds::pod::default_source(source);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "attached": false }));
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Status => {
                keep(new, old, "spec");
                let none = Map::new();
                let before = old.map("metadata").unwrap_or(&none);
                if let Some(meta) = make(new, "metadata") {
                    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                        keep(meta, before, field);
                    }
                }
            }
            Part::Other(_) => {}
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        whole(object, errors);
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        let (spec, path) = (object.at("spec"), Path::new("spec"));
        driver_name(spec.text("attacher"), &path.child("attacher"), errors);
        if let Some(name) = spec.at("source").at("persistentVolumeName").as_str() {
            let at = path.child("source").child("persistentVolumeName");
            each(names::dns_subdomain(name, false), &at, name, errors);
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        whole(new, errors);
        if part == Part::Main && new.at("spec") != old.at("spec") {
            let spec = new.at("spec").clone();
            errors.invalid(&Path::new("spec"), spec, "field is immutable");
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::attachment(object, now)
    }
}
