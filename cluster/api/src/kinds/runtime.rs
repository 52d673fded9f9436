// SPDX-License-Identifier: Apache-2.0
//! RuntimeClasses: by what containers are run.

use super::access::immutable;
use super::pod::{each, label_values, validate_resources, validate_tolerations};
use super::row::{RowExt, column, row};
use super::view::View;
use crate::field::{Errors, Path};
use crate::registry::{Kind, Part, Rules};
use crate::{Map, cells, names};
use berth_cluster_json::{Value, json};

/// The row.
pub fn kinds() -> Vec<Kind> {
    let handler = column("Handler", "string", "By what name nodes know the runtime.");
    vec![row("node.k8s.io", "RuntimeClass", "runtimeclasses", &[handler], Class).cluster_scoped()]
}

#[derive(Debug)]
struct Class;

impl Rules for Class {
    fn validate(&self, object: &Map, errors: &mut Errors) {
        let handler = object.text("handler");
        each(names::dns_label(handler, false), &Path::new("handler"), handler, errors);
        let overhead = object.at("overhead");
        if !overhead.is_null() {
            let limits = json!({ "limits": overhead.at("podFixed") });
            validate_resources(&limits, &Path::new("overhead"), errors);
        }
        let (scheduling, path) = (object.at("scheduling"), Path::new("scheduling"));
        label_values(scheduling, "nodeSelector", &path.child("nodeSelector"), errors);
        let path = path.child("tolerations");
        validate_tolerations(scheduling, &path, errors);
        let all = scheduling.list("tolerations");
        let fields = ["key", "operator", "value", "effect"];
        for (index, one) in all.iter().enumerate() {
            let same = |it: &Value| fields.iter().all(|field| it.text(field) == one.text(field));
            if all.iter().take(index).any(same) {
                errors.duplicate(&path.index(index), one.clone());
            }
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        immutable(new, old, "handler", &Path::default(), errors);
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        vec![cells::name(object), object.text("handler").into(), cells::age(object, now)]
    }
}
