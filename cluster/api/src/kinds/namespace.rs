// SPDX-License-Identifier: Apache-2.0
//! Namespaces: the place of all that is namespaced, which outlives its deletion until it is empty.

use super::access::{keep, list, make, map, text};
use super::row::{RowExt, column, row};
use crate::field::{Errors, Path};
use crate::registry::{Deletion, Kind, Part, Rules, Subresource};
use crate::{Map, cells, meta, names};
use berth_cluster_json::{Value, json};

/// The label by which a namespace can be selected by its name (KEP-2161).
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer of whoever empties namespaces.
const FINALIZER: &str = "kubernetes";

/// The row.
pub fn kinds() -> Vec<Kind> {
    let columns = [column("Status", "string", "The status of the namespace")];
    vec![
        row("", "Namespace", "namespaces", &columns, Namespace)
            .cluster_scoped()
            .short(&["ns"])
            .below(&[Subresource::Finalize, Subresource::Status])
            .returns_object(),
    ]
}

#[derive(Debug)]
struct Namespace;

fn name(object: &Map) -> &str {
    map(object, "metadata").map_or("", |meta| text(meta, "name"))
}

fn finalizers(object: &Map) -> &[Value] {
    map(object, "spec").map_or(&[], |spec| list(spec, "finalizers"))
}

impl Rules for Namespace {
    fn deletion(&self, _object: &Map, _asked: Option<i64>) -> Deletion {
        Deletion::Emptied
    }

    fn begin_deletion(&self, object: &mut Map) {
        if let Some(status) = object.get_mut("status") {
            status["phase"] = json!("Terminating");
        }
    }

    fn holds(&self, object: &Map) -> bool {
        !finalizers(object).is_empty()
    }

    fn deleted_together(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Map) {
        let own = name(object).to_owned();
        if own.is_empty() {
            return;
        }
        if let Some(labels) = make(object, "metadata").and_then(|meta| make(meta, "labels")) {
            labels.insert(NAME_LABEL.to_owned(), own.into());
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "phase": "Active" }));
        let mut all = finalizers(object).to_vec();
        if !all.iter().any(|one| one == FINALIZER) {
            all.push(FINALIZER.into());
        }
        if let Some(spec) = make(object, "spec") {
            spec.insert("finalizers".to_owned(), all.into());
        }
        // A name that was generated is known only now.
        self.default(object);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => {
                keep(new, old, "spec");
                keep(new, old, "status");
            }
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => keep(new, old, "status"),
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let path = Path::new("spec").child("finalizers");
        for (index, one) in finalizers(object).iter().enumerate() {
            let (one, path) = (one.as_str().unwrap_or(""), path.index(index));
            meta::validate_label_key(one, &path, errors);
            meta::standard_finalizer(one, &path, errors);
        }
    }

    fn validate_update(&self, new: &Map, _old: &Map, part: Part, errors: &mut Errors) {
        if matches!(part, Part::Other(_)) {
            self.validate(new, errors);
        }
        if part == Part::Status {
            let phase = map(new, "status").map_or("", |status| text(status, "phase"));
            let deleting =
                map(new, "metadata").is_some_and(|meta| meta.contains_key("deletionTimestamp"));
            let path = Path::new("status").child("Phase");
            if deleting && phase != "Terminating" {
                errors.invalid(
                    &path,
                    phase,
                    "may only be 'Terminating' if `deletionTimestamp` is not empty",
                );
            } else if !deleting && phase != "Active" {
                errors.invalid(
                    &path,
                    phase,
                    "may only be 'Active' if `deletionTimestamp` is empty",
                );
            }
        }
    }

    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns_label(name, prefix)
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let phase = map(object, "status").map_or("", |status| text(status, "phase"));
        vec![("status.phase", phase.to_owned()), ("name", name(object).to_owned())]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let phase = map(object, "status").map_or("", |status| text(status, "phase"));
        vec![cells::name(object), phase.into(), cells::age(object, now)]
    }
}
