// SPDX-License-Identifier: Apache-2.0
//! Services.

pub mod allocate;
mod cells;
mod check;
mod defaults;
mod families;
mod spec;
mod update;

use super::access::{keep, make};
use super::row::{RowExt, row};
use super::view::View;
use crate::field::Errors;
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::{Map, names};
use berth_cluster_json::{Value, json};

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let mut row = row("", "Service", "services", &cells::columns(), ServiceRules)
        .short(&["svc"])
        .below(&[Subresource::Status])
        .returns_object()
        .by_put();
    row.columns.push(cells::SELECTOR);
    row.categories = vec!["all".into()];
    vec![row]
}

/// The rules of services. What a service gets of the cluster is [planned](allocate::plan) between
/// [`prepare_create`](Rules::prepare_create) or [`prepare_update`](Rules::prepare_update) and [`validate`](Rules::validate).
#[derive(Debug)]
pub struct ServiceRules;

impl Rules for ServiceRules {
    fn default(&self, object: &mut Map) {
        defaults::service(object);
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "loadBalancer": {} }));
        if let Some(spec) = make(object, "spec") {
            update::sync_cluster_ips(spec, None);
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => {
                keep(new, old, "status");
                if let Some(spec) = make(new, "spec") {
                    update::keep_allocated(spec, old.at("spec"));
                    update::sync_cluster_ips(spec, Some(old.at("spec")));
                }
                update::drop_by_type(new, old);
            }
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => {}
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        check::service(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => check::update(new.at("spec"), old.at("spec"), errors),
            Part::Status => check::status(new, errors),
            Part::Other(_) => {}
        }
    }

    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns_1035_label(name, prefix)
    }

    fn warnings(&self, object: &Map) -> Vec<String> {
        check::warnings(object)
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let spec = object.at("spec");
        vec![
            ("spec.clusterIP", spec.text("clusterIP").to_owned()),
            ("spec.type", spec.text("type").to_owned()),
        ]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::service(object, now)
    }
}
