// SPDX-License-Identifier: Apache-2.0
//! Classes of ingresses: who takes care of them.

use super::backend::reference;
use crate::field::{Errors, Path, Problem};
use crate::kinds::access::{count_generation, make, map_mut, or_set_missing};
use crate::kinds::pod::each;
use crate::kinds::view::View;
use crate::registry::{Part, Rules};
use crate::{Map, cells, names};
use berth_cluster_json::Value;

/// The longest name of a controller.
const CONTROLLER: usize = 250;

#[derive(Debug)]
pub(super) struct Class;

/// A domain and a path: `acme.io/foo`.
fn domain_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        errors.required(path, "");
        return;
    }
    let parts = text.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty());
    let Some((host, rest)) = parts else {
        errors.invalid(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    each(names::dns_subdomain(host, false), path, host, errors);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !rest.bytes().all(fits) {
        let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.invalid(path, rest, why);
    }
}

fn parameters(to: &Value, path: &Path, errors: &mut Errors) {
    if to.is_null() {
        return;
    }
    reference(to, path, errors);
    let (scope, at) = (to.text("scope"), path.child("scope"));
    let (namespace, place) = (to.at("namespace"), path.child("namespace"));
    match (scope, namespace.as_str()) {
        _ if !to.has("scope") => errors.required(&at, ""),
        ("Namespace", None) => {
            errors.required(&place, "`parameters.scope` is set to 'Namespace'");
        }
        ("Namespace", Some(name)) => each(names::dns_label(name, false), &place, name, errors),
        ("Cluster", None) => {}
        ("Cluster", Some(_)) => {
            errors.forbidden(&place, "`parameters.scope` is set to 'Cluster'");
        }
        (other, _) => errors.not_supported(&at, other, &["Cluster", "Namespace"]),
    }
}

impl Rules for Class {
    fn default(&self, object: &mut Map) {
        if let Some(to) = map_mut(object, "spec").and_then(|spec| map_mut(spec, "parameters")) {
            or_set_missing(to, "scope", "Cluster");
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        count_generation(new, old, &["spec"]);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let (spec, path) = (object.at("spec"), Path::new("spec"));
        let (controller, at) = (spec.text("controller"), path.child("controller"));
        if controller.len() > CONTROLLER {
            let why = format!("may not be more than {CONTROLLER} bytes");
            errors.add(Problem::TooLong, &at, &Value::Null, why);
        }
        domain_path(controller, &at, errors);
        parameters(spec.at("parameters"), &path.child("parameters"), errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        let controller = new.at("spec").text("controller");
        if controller != old.at("spec").text("controller") {
            let path = Path::new("spec").child("controller");
            errors.invalid(&path, controller, "field is immutable");
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let spec = object.at("spec");
        let to = spec.at("parameters");
        let parameters = match (to.is_null(), to.at("apiGroup").as_str()) {
            (true, _) => "<none>".to_owned(),
            (_, Some(group)) => format!("{}.{group}/{}", to.text("kind"), to.text("name")),
            (_, None) => format!("{}/{}", to.text("kind"), to.text("name")),
        };
        vec![
            cells::name(object),
            spec.text("controller").into(),
            parameters.into(),
            cells::age(object, now),
        ]
    }
}
