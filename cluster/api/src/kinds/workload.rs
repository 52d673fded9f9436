// SPDX-License-Identifier: Apache-2.0
//! What keeps pods running: ReplicaSets, Deployments, ReplicationControllers, StatefulSets, DaemonSets, and templates of pods.

mod cells;
mod controller;
mod daemon;
mod replicas;
mod revision;
pub mod scale;
mod selector;
mod stateful;
mod template;

pub(crate) use replicas::{at_most_all, whole_or_percent};
pub(crate) use selector::text as selector_text;

use crate::Map;
use crate::field::Errors;
use crate::kinds::access::{make, or_set, or_set_missing};
use crate::kinds::pod::{default_template, keep_parts};
use crate::kinds::view::View;
use crate::registry::{Kind, Part, Rules, Subresource};
use berth_cluster_json::{Value, json};
use std::sync::Arc;

/// The rules of ReplicaSets.
#[derive(Debug)]
pub struct ReplicaSetRules;

/// The rules of Deployments.
#[derive(Debug)]
pub struct DeploymentRules;

impl Rules for ReplicaSetRules {
    fn default(&self, object: &mut Map) {
        common_defaults(object);
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "replicas": 0 }));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        prepare_update(new, old, part);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        replicas::replica_set(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => {
                // upstream looks at the whole twice
                replicas::replica_set(new, errors);
                replicas::selector_stays(new, old, errors);
            }
            Part::Status => replicas::replica_set_status(new.at("status"), errors),
            Part::Other(_) => {}
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::replica_set(object, now)
    }
}

impl Rules for DeploymentRules {
    fn default(&self, object: &mut Map) {
        common_defaults(object);
        let Some(spec) = make(object, "spec") else { return };
        or_set_missing(spec, "revisionHistoryLimit", 10);
        or_set_missing(spec, "progressDeadlineSeconds", 600);
        let Some(strategy) = make(spec, "strategy") else { return };
        or_set(strategy, "type", "RollingUpdate");
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = make(strategy, "rollingUpdate")
        {
            or_set_missing(rolling, "maxUnavailable", "25%");
            or_set_missing(rolling, "maxSurge", "25%");
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({}));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        prepare_update(new, old, part);
        // Of deployments annotations count, too: they are passed on to replica sets.
        let annotations = |of: &Map| of.at("metadata").at("annotations").clone();
        let same = new.at("spec") == old.at("spec");
        if part == Part::Main && same && annotations(new) != annotations(old) {
            let generation = old.at("metadata").int("generation").unwrap_or(0) + 1;
            if let Some(meta) = make(new, "metadata") {
                meta.insert("generation".to_owned(), generation.into());
            }
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        replicas::deployment(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => replicas::selector_stays(new, old, errors),
            Part::Status => replicas::deployment_status(new.at("status"), errors),
            Part::Other(_) => {}
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::deployment(object, now)
    }
}

fn common_defaults(object: &mut Map) {
    if let Some(spec) = make(object, "spec") {
        or_set_missing(spec, "replicas", 1);
        if let Some(template) = make(spec, "template") {
            default_template(template);
        }
    }
}

fn first_generation(object: &mut Map) {
    if let Some(meta) = make(object, "metadata") {
        meta.insert("generation".to_owned(), 1.into());
    }
}

/// A generation is counted up where what is wanted changes.
fn prepare_update(new: &mut Map, old: &Map, part: Part) {
    keep_parts(new, old, part);
    let changed = new.at("spec") != old.at("spec");
    let generation = old.at("metadata").int("generation").unwrap_or(0) + i64::from(changed);
    if let Some(meta) = make(new, "metadata") {
        meta.insert("generation".to_owned(), generation.into());
    }
}

/// The rows of the registry.
pub fn kinds() -> Vec<Kind> {
    vec![
        revision::kind(),
        template::kind(),
        Kind {
            columns: cells::of_replica_sets(),
            group: "".into(),
            stored_as: "replicationcontrollers".into(),
            schema: super::row::schema("", "ReplicationController"),
            ..row(
                "ReplicationController",
                "replicationcontrollers",
                "rc",
                Arc::new(controller::Controller),
            )
        },
        Kind {
            columns: cells::of_stateful_sets(),
            ..row("StatefulSet", "statefulsets", "sts", Arc::new(stateful::StatefulSet))
        },
        Kind {
            columns: cells::of_daemon_sets(),
            subresources: vec![Subresource::Status],
            ..row("DaemonSet", "daemonsets", "ds", Arc::new(daemon::DaemonSet))
        },
        Kind {
            columns: cells::of_replica_sets(),
            ..row("ReplicaSet", "replicasets", "rs", Arc::new(ReplicaSetRules))
        },
        Kind {
            columns: cells::of_deployments(),
            ..row("Deployment", "deployments", "deploy", Arc::new(DeploymentRules))
        },
    ]
}

fn row(kind: &str, plural: &str, short: &str, rules: Arc<dyn Rules>) -> Kind {
    Kind {
        group: "apps".into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        short_names: vec![short.into()],
        categories: vec!["all".into()],
        namespaced: true,
        stored_as: format!("apps/{plural}").into(),
        schema: super::row::schema("apps", kind),
        subresources: vec![Subresource::Status, Subresource::Scale],
        delete_returns_object: false,
        create_on_update: false,
        columns: Vec::new(),
        rules,
    }
}
