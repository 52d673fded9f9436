// SPDX-License-Identifier: Apache-2.0
//! DaemonSets: a pod on every node.

use super::replicas::{
    at_most_all, empty, invalid_amount, matches, numbers, runs_on, selector_stays, unmatched,
    whole_or_percent, zero,
};
use super::stateful::collisions;
use super::{cells, first_generation, prepare_update};
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{make, or_set, or_set_missing};
use crate::kinds::pod::{default_template, label_selector, validate_template};
use crate::kinds::view::View;
use crate::registry::{Part, Rules};
use berth_cluster_json::{Value, json};

/// Where the number of templates so far is kept; upstream once had a field for it.
const TEMPLATES: &str = "deprecated.daemonset.template.generation";

#[derive(Debug)]
pub(super) struct DaemonSet;

fn count_templates(object: &mut Map, count: i64) {
    if let Some(meta) = make(object, "metadata")
        && let Some(annotations) = make(meta, "annotations")
    {
        annotations.insert(TEMPLATES.to_owned(), count.to_string().into());
    }
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (rolling, at) = (strategy.at("rollingUpdate"), path.child("rollingUpdate"));
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" if rolling.is_null() => errors.required(&at, ""),
        "RollingUpdate" => {
            let [less, more] = ["maxUnavailable", "maxSurge"].map(|name| rolling.at(name));
            let [less_at, more_at] = ["maxUnavailable", "maxSurge"].map(|name| at.child(name));
            whole_or_percent(less, &less_at, errors);
            whole_or_percent(more, &more_at, errors);
            at_most_all(less, &less_at, errors);
            at_most_all(more, &more_at, errors);
            match (zero(less), zero(more)) {
                (false, false) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    invalid_amount(more, &more_at, why, errors);
                }
                (true, true) => errors.required(&less_at, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => errors.not_supported(path, strategy.clone(), &["RollingUpdate", "OnDelete"]),
    }
}

fn whole(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    let (selector, at) = (spec.at("selector"), path.child("selector"));
    let (template, to) = (spec.at("template"), path.child("template"));
    let before = errors.0.len();
    label_selector(selector, &at, errors);
    let labels = template.at("metadata").at("labels");
    if errors.0.len() == before && (selector.is_null() || !matches(selector, labels)) {
        unmatched(labels, &to, errors);
    }
    if !selector.is_null() && empty(selector) {
        errors.invalid(&at, selector.clone(), "empty selector is invalid for daemonset");
    }
    validate_template(template, &to, errors);
    runs_on(template, &to, "DaemonSet", errors);
    numbers(spec, &["minReadySeconds"], &path, errors);
    strategy(spec.at("updateStrategy"), &path.child("updateStrategy"), errors);
    numbers(spec, &["revisionHistoryLimit"], &path, errors);
}

const COUNTS: [&str; 9] = [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

impl Rules for DaemonSet {
    fn default(&self, object: &mut Map) {
        let Some(spec) = make(object, "spec") else { return };
        if let Some(template) = make(spec, "template") {
            default_template(template);
        }
        or_set_missing(spec, "revisionHistoryLimit", 10);
        let Some(strategy) = make(spec, "updateStrategy") else { return };
        or_set(strategy, "type", "RollingUpdate");
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = make(strategy, "rollingUpdate")
        {
            or_set_missing(rolling, "maxUnavailable", 1);
            or_set_missing(rolling, "maxSurge", 0);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        let none = json!({
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        });
        object.insert("status".to_owned(), none);
        first_generation(object);
        count_templates(object, 1);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        prepare_update(new, old, part);
        let before = old.at("metadata").at("annotations").text(TEMPLATES).parse().unwrap_or(0);
        let changed = new.at("spec").at("template") != old.at("spec").at("template");
        count_templates(new, before + i64::from(changed));
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        whole(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => {
                // upstream looks at the whole twice
                whole(new, errors);
                selector_stays(new, old, errors);
            }
            Part::Status => {
                numbers(new.at("status"), &COUNTS, &Path::new("status"), errors);
                collisions(new.at("status"), old.at("status"), errors);
            }
            Part::Other(_) => {}
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::daemon_set(object, now)
    }
}
