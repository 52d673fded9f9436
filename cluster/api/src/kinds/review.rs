// SPDX-License-Identifier: Apache-2.0
//! Reviews: questions about who somebody is and what they may. They are answered, and kept nowhere.

use super::row::{RowExt, row};
use super::view::View;
use crate::Map;
use crate::field::{Errors, Path};
use crate::registry::{Kind, Rules};
use berth_cluster_json::Value;

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let question = |group: &str, kind: &str, about: About| {
        let mut row = row(group, kind, &format!("{}s", kind.to_lowercase()), &[], Question(about));
        row.columns.clear();
        row.cluster_scoped()
    };
    let mut local = question(AUTHORIZATION, "LocalSubjectAccessReview", About::Local);
    local.namespaced = true;
    vec![
        question(AUTHORIZATION, "SelfSubjectAccessReview", About::Access),
        question(AUTHORIZATION, "SubjectAccessReview", About::Subject),
        local,
        question(AUTHORIZATION, "SelfSubjectRulesReview", About::Other),
        question(AUTHENTICATION, "TokenReview", About::Other),
        question(AUTHENTICATION, "SelfSubjectReview", About::Other),
    ]
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// What the asker may.
    Access,
    /// What somebody may.
    Subject,
    /// What somebody may in a namespace.
    Local,
    /// Anything else.
    Other,
}

#[derive(Debug)]
struct Question(About);

/// Exactly one of a resource and a path is asked for.
fn attributes(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (resource, other) = (spec.at("resourceAttributes"), spec.at("nonResourceAttributes"));
    if !resource.is_null() && !other.is_null() {
        let why = "cannot be specified in combination with resourceAttributes";
        errors.invalid(&path.child("nonResourceAttributes"), other.clone(), why);
    }
    if resource.is_null() && other.is_null() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.invalid(&path.child("resourceAttributes"), Value::Null, why);
    }
    for field in ["fieldSelector", "labelSelector"] {
        let path = path.child("resourceAttributes").child(field);
        let selector = resource.at(field);
        if selector.is_null() {
            continue;
        }
        let raw = selector.text("rawSelector");
        match (raw.is_empty(), selector.list("requirements").is_empty()) {
            (false, false) => {
                let why = "may not specified at the same time as requirements";
                errors.invalid(&path.child("rawSelector"), raw, why);
            }
            (true, true) => {
                let at = path.child("requirements");
                let why =
                    format!("when {path} is specified, requirements or rawSelector is required");
                errors.required(&at, &why);
            }
            _ => {}
        }
    }
}

/// A question has no name, and whatever else objects have.
fn nameless(object: &Map, namespaced: bool, errors: &mut Errors) {
    let Some(meta) = object.map("metadata") else { return };
    let is_set = |(name, value): (&berth_cluster_json::Text, &Value)| {
        let may = name == "managedFields" || (namespaced && name == "namespace");
        let empty = value.is_null() || value == "" || value.as_object().is_some_and(Map::is_empty);
        !may && !empty
    };
    if meta.iter().any(is_set) {
        let but = if namespaced { "must be empty except for namespace" } else { "must be empty" };
        errors.invalid(&Path::new("metadata"), Value::Object(meta.clone()), but);
    }
}

impl Rules for Question {
    fn is_question(&self) -> bool {
        true
    }

    fn deleted_together(&self) -> bool {
        false
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let spec = object.at("spec");
        if self.0 == About::Other {
            return;
        }
        attributes(spec, errors);
        let subject = spec.text("user").is_empty() && spec.list("groups").is_empty();
        if self.0 != About::Access && subject {
            let why = "at least one of user or group must be specified";
            errors.invalid(&Path::new("spec").child("user"), "", why);
        }
        nameless(object, self.0 == About::Local, errors);
        if self.0 == About::Local {
            let own = object.at("metadata").text("namespace");
            let resource = spec.at("resourceAttributes");
            if !resource.is_null() && resource.text("namespace") != own {
                let path = Path::new("spec").child("resourceAttributes").child("namespace");
                let why = "must match metadata.namespace";
                errors.invalid(&path, resource.text("namespace"), why);
            }
            let other = spec.at("nonResourceAttributes");
            if !other.is_null() {
                let path = Path::new("spec").child("nonResourceAttributes");
                errors.invalid(&path, other.clone(), "disallowed on this kind of request");
            }
        }
    }
}
