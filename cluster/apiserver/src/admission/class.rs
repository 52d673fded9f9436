// SPDX-License-Identifier: Apache-2.0
//! A claim that names no class of storage gets the one that is marked for it (upstream's DefaultStorageClass).

use super::{Admission, Operation, Request};
use crate::server::Inner;
use crate::write::meta_text;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_json::Value;
use std::cmp::Reverse;

const CLASSES: &str = "storage.k8s.io/storageclasses/";

/// Annotations of the class that is marked, of now and of once.
const MARKS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// The annotation by which a claim names its class in the old way.
const OLD_NAME: &str = "volume.beta.kubernetes.io/storage-class";

#[derive(Debug)]
pub(crate) struct DefaultStorageClass;

impl Admission for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn admit(
        &self,
        server: &Inner,
        request: &Request<'_>,
        object: &mut Map,
    ) -> Result<(), Refusal> {
        let created = request.operation == Operation::Create && request.ask.sub.is_none();
        if !created || &*request.ask.kind.stored_as != "persistentvolumeclaims" {
            return Ok(());
        }
        if annotation(object, OLD_NAME).is_some() {
            return Ok(());
        }
        // A claim that names an empty class wants none: only what says nothing is filled in.
        let Some(Value::Object(spec)) = object.get_mut("spec") else { return Ok(()) };
        if spec.get("storageClassName").is_none_or(Value::is_null)
            && let Some(name) = default_class(server)
        {
            spec.insert("storageClassName".to_owned(), name.into());
        }
        Ok(())
    }
}

fn annotation<'a>(object: &'a Map, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// The name of the class that is marked: of several the newest, of those of one second the first by name.
fn default_class(server: &Inner) -> Option<String> {
    let listing = server.store.list(CLASSES, None, None, 0, &|_| true).ok()?;
    let classes = listing.entries.iter().filter_map(|entry| {
        let object = crate::shape::parse(&entry.bytes).ok()?;
        let marked = MARKS.iter().any(|mark| annotation(&object, mark) == Some("true"));
        let text = |field: &str| meta_text(&object, field).to_owned();
        marked.then(|| (text("creationTimestamp"), Reverse(text("name"))))
    });
    classes.max().map(|(_, Reverse(name))| name)
}
