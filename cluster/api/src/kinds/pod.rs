// SPDX-License-Identifier: Apache-2.0
//! Pods, and the templates from which workloads make them.

mod binding;
mod cells;
mod checks;
mod defaults;
mod env;
mod ephemeral;
mod network;
mod qos;
mod quantity;
mod scheduling;
mod security;
mod spec;
mod update;
mod volume_defaults;
mod volumes;

pub use binding::{Binding, bind};
pub(crate) use checks::{
    each, label_selector, labels as label_values, no_way_up, not_negative, one_of,
};
pub use defaults::template as default_template;
pub use qos::class as qos_class;
pub(crate) use quantity::{nano, round as round_amounts};
pub(crate) use scheduling::{node_term, tolerations as validate_tolerations};
pub(crate) use spec::{metadata as validate_metadata, resources as validate_resources};
pub use spec::{spec as validate_spec, template as validate_template};
pub(crate) use volume_defaults::source as default_source;
pub(crate) use volumes::{check_of as source_check, driver_name, need};

use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{int, keep, make, map, text};
use crate::kinds::row;
use crate::kinds::view::View;
use crate::registry::{Deletion, Kind, Part, Rules, Subresource};
use berth_cluster_json::{Value, json};
use std::sync::Arc;

/// Seconds that a pod is given at most: a hundred years are as good as for ever, and their end still has a date.
const GRACE_MAX: i64 = 100 * 365 * 86_400;

/// The rules of pods.
#[derive(Debug)]
pub struct PodRules;

impl Rules for PodRules {
    /// Only those are given time that an agent runs.
    fn deletion(&self, object: &Map, asked: Option<i64>) -> Deletion {
        let spec = map(object, "spec");
        let bound = spec.is_some_and(|spec| !text(spec, "nodeName").is_empty());
        let phase = map(object, "status").map_or("", |status| text(status, "phase"));
        if !bound || ["Succeeded", "Failed"].contains(&phase) {
            return Deletion::Graceful(0);
        }
        let own = || spec.and_then(|spec| int(spec, "terminationGracePeriodSeconds"));
        let grace = asked.or_else(own).unwrap_or(30);
        // A negative number is upstream's way to say: as soon as possible, but in an orderly way.
        Deletion::Graceful(if grace < 0 { 1 } else { grace.min(GRACE_MAX) })
    }

    fn default(&self, object: &mut Map) {
        defaults::pod(object);
    }

    fn prepare_create(&self, object: &mut Map) {
        defaults::match_label_keys(object);
        let mut status = json!({ "phase": "Pending", "qosClass": qos::class(object) });
        if !object.at("spec").list("schedulingGates").is_empty() {
            status["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
        object.insert("status".to_owned(), status);
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        update::prepare(new, old, part);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        spec::spec(object.at("spec"), &Path::new("spec"), errors);
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        // They are added to a pod that runs, by a subresource.
        if !object.at("spec").list("ephemeralContainers").is_empty() {
            let path = Path::new("spec").child("ephemeralContainers");
            errors.forbidden(&path, "cannot be set on create");
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        update::validate(new, old, part, errors);
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let (spec, status) = (object.at("spec"), object.at("status"));
        let text = |owner: &Value, name| owner.text(name).to_owned();
        vec![
            ("spec.nodeName", text(spec, "nodeName")),
            ("spec.restartPolicy", text(spec, "restartPolicy")),
            ("spec.schedulerName", text(spec, "schedulerName")),
            ("spec.serviceAccountName", text(spec, "serviceAccountName")),
            ("spec.hostNetwork", spec.flag("hostNetwork").to_string()),
            ("status.phase", text(status, "phase")),
            ("status.podIP", text(status, "podIP")),
            ("status.nominatedNodeName", text(status, "nominatedNodeName")),
        ]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::cells(object, now)
    }
}

/// The rows of the registry.
pub fn kinds() -> Vec<Kind> {
    let name = |text: &str| Arc::<str>::from(text);
    vec![Kind {
        group: name(""),
        version: name("v1"),
        kind: name("Pod"),
        plural: name("pods"),
        singular: name("pod"),
        short_names: vec![name("po")],
        categories: vec![name("all")],
        namespaced: true,
        stored_as: name("pods"),
        schema: row::schema("", "Pod"),
        subresources: vec![
            Subresource::Status,
            Subresource::Binding,
            Subresource::Eviction,
            Subresource::EphemeralContainers,
        ],
        delete_returns_object: true,
        create_on_update: false,
        columns: cells::columns(),
        rules: Arc::new(PodRules),
    }]
}

/// Keeps the status where the main part is written, and all but the status elsewhere.
pub(crate) fn keep_parts(new: &mut Map, old: &Map, part: Part) {
    match part {
        Part::Main => keep(new, old, "status"),
        Part::Status => keep(new, old, "spec"),
        Part::Other(_) => {}
    }
}
