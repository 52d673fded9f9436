// SPDX-License-Identifier: Apache-2.0
//! Nodes: what is said of them by their agents and by operators, and how it may change.

mod cells;

use super::access::{add_all, flag, keep, list, make, map, map_mut, or_set_missing, text};
use super::pod::round_amounts;
use super::row::RowExt;
use super::view::View;
use crate::field::{Errors, Path, Problem};
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::schema::quantity;
use crate::{Map, names};
use berth_cluster_json::Value;

/// The row.
pub fn kinds() -> Vec<Kind> {
    let mut row = super::row::row("", "Node", "nodes", &[], Node)
        .short(&["no"])
        .cluster_scoped()
        .below(&[Subresource::Status]);
    row.columns = cells::columns();
    vec![row]
}

#[derive(Debug)]
struct Node;

/// Networks of pods stand twice in a spec: the first by itself, which wins, and all.
fn default_networks(spec: &mut Map) {
    let (one, first) = (text(spec, "podCIDR").to_owned(), list(spec, "podCIDRs").first().cloned());
    match first {
        Some(first) if one.is_empty() => drop(spec.insert("podCIDR".to_owned(), first)),
        first if !one.is_empty() && first.as_ref().and_then(Value::as_str) != Some(&one) => {
            spec.insert("podCIDRs".to_owned(), vec![one].into());
        }
        _ => {}
    }
}

/// Takes away the source of an agent's configuration, which went in 1.24, where it was not there before.
fn drop_config(new: &mut Map, old: Option<&Map>, part: &str, field: &str) {
    let before = old.and_then(|old| map(old, part)).is_some_and(|part| part.has(field));
    if !before && let Some(part) = map_mut(new, part) {
        part.remove(field);
    }
}

fn taints(object: &Map, errors: &mut Errors) {
    // Upstream writes the path so.
    let path = Path::new("metadata").child("taints");
    let all = object.at("spec").list("taints");
    for (index, taint) in all.iter().enumerate() {
        let (path, key, value) = (path.index(index), taint.text("key"), taint.text("value"));
        add_all(errors, &path.child("key"), key, names::qualified(key));
        let problems = names::label_value(value);
        if !problems.is_empty() {
            errors.invalid(&path.child("value"), value, problems.join(";"));
        }
        let (effect, at) = (taint.text("effect"), path.child("effect"));
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if effect.is_empty() {
            errors.required(&at, "");
        } else if !known.contains(&effect) {
            errors.not_supported(&at, effect, &known);
        }
        let same = |one: &Value| one.text("key") == key && one.text("effect") == effect;
        if all.iter().take(index).any(same) {
            let detail = "taints must be unique by key and effect pair";
            errors.add(Problem::Duplicate, &path, taint, detail);
        }
    }
}

/// Whether there are only whole ones of a resource.
fn is_counted(resource: &str) -> bool {
    let extended = resource.contains('/') && !resource.contains("kubernetes.io/");
    let counted = [
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    counted.contains(&resource) || extended && !resource.starts_with("requests.")
}

fn amounts(object: &Map, errors: &mut Errors) {
    for field in ["capacity", "allocatable"] {
        for (name, amount) in object.at("status").entries(field) {
            let path = Path::new("status").child(field).child(name);
            let nano = quantity::nano(amount.as_str().unwrap_or("")).unwrap_or(0);
            if nano < 0 {
                errors.invalid(&path, amount.clone(), "must be greater than or equal to 0");
            }
            if is_counted(name) && nano % quantity::NANO != 0 {
                errors.invalid(&path, amount.clone(), "must be an integer");
            }
        }
    }
}

fn networks(object: &Map, errors: &mut Errors) {
    let (path, all) = (Path::new("spec").child("podCIDRs"), object.at("spec").list("podCIDRs"));
    let texts: Vec<&str> = all.iter().map(|one| one.as_str().unwrap_or("")).collect();
    for (index, text) in texts.iter().enumerate().filter(|(_, text)| !names::is_cidr(text)) {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.invalid(&path.index(index), *text, detail);
    }
    if texts.len() < 2 {
        return;
    }
    let sixes = texts.iter().filter(|text| text.contains(':')).count();
    if texts.len() > 2 || sixes != 1 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.invalid(&path, all.to_vec(), detail);
    }
    for (index, text) in texts.iter().enumerate().filter(|(i, text)| texts[..*i].contains(text)) {
        errors.duplicate(&path.index(index), *text);
    }
}

fn addresses(object: &Map, errors: &mut Errors) {
    let (path, all) = (Path::new("status").child("addresses"), object.at("status"));
    let all = all.list("addresses");
    for (index, one) in all.iter().enumerate().filter(|(index, one)| all[..*index].contains(one)) {
        errors.duplicate(&path.index(index), one.clone());
    }
}

/// What is given to a node stays, once it is given.
fn given(new: &Map, old: &Map, errors: &mut Errors) {
    let (path, new, old) = (Path::new("spec"), new.at("spec"), old.at("spec"));
    let (after, before) = (new.list("podCIDRs"), old.list("podCIDRs"));
    let changed = if after.len() == before.len() {
        before.iter().zip(after).filter(|(before, after)| before != after).count()
    } else {
        usize::from(!before.is_empty())
    };
    for _ in 0..changed {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.forbidden(&path.child("podCIDRs"), detail);
    }
    let (after, before) = (new.text("providerID"), old.text("providerID"));
    if !before.is_empty() && after != before {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&path.child("providerID"), detail);
    }
}

impl Rules for Node {
    fn default(&self, object: &mut Map) {
        if let Some(spec) = map_mut(object, "spec") {
            default_networks(spec);
        }
        let Some(status) = map_mut(object, "status") else { return };
        round_amounts(status, "capacity");
        round_amounts(status, "allocatable");
        if let Some(capacity) = status.get("capacity").cloned().filter(|all| !all.is_null()) {
            or_set_missing(status, "allocatable", capacity);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        // The status may be given: an agent makes its own node.
        drop_config(object, None, "spec", "configSource");
        drop_config(object, None, "status", "config");
        make(object, "spec");
        make(object, "status");
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => {
                keep(new, old, "status");
                drop_config(new, Some(old), "spec", "configSource");
            }
            Part::Status => {
                keep(new, old, "spec");
                drop_config(new, Some(old), "status", "config");
            }
            Part::Other(_) => {}
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        taints(object, errors);
        amounts(object, errors);
        networks(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        amounts(new, errors);
        addresses(new, errors);
        given(new, old, errors);
        taints(new, errors);
        if new.at("spec").text("externalID") != old.at("spec").text("externalID") {
            let path = Path::new("spec").child("externalID");
            errors.forbidden(&path, "may not be updated");
        }
    }

    fn warnings(&self, object: &Map) -> Vec<String> {
        let spec = object.at("spec");
        let mut all = Vec::new();
        if spec.has("configSource") {
            all.push("spec.configSource: the feature is removed".to_owned());
        }
        if !spec.text("externalID").is_empty() {
            let text = "spec.externalID: this field is deprecated, and is unused by Kubernetes";
            all.push(text.to_owned());
        }
        all
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let unschedulable = map(object, "spec").is_some_and(|spec| flag(spec, "unschedulable"));
        vec![("spec.unschedulable", unschedulable.to_string())]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::cells(object, now)
    }
}
