// SPDX-License-Identifier: Apache-2.0
//! Roles and bindings that every cluster has: what upstream's API server 1.33 makes when it starts, without what is for kinds and
//! controllers that are not here. The tables are in the files below.
//!
//! Who starts the server compares each of [`objects`] with what is stored, and does what [`reconcile`] says.

mod cluster;
mod controllers;
mod namespaced;
#[cfg(test)]
mod tests;

use crate::rbac::{Rule, uncovered};
use berth_cluster_api::Map;
use berth_cluster_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Where the label says that an object is one of these.
const LABEL: &str = "kubernetes.io/bootstrapping";

/// Where an annotation says whether an object is kept as it is here; `false` leaves it to its owner.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

const READ: &str = "get list watch";
const WRITE: &str = "create update patch delete deletecollection";
const READ_WRITE: &str = "get list watch create update patch delete deletecollection";
const READ_UPDATE: &str = "get list watch update patch";
const WRITE_EVENTS: Grant = on("create update patch", "core events.k8s.io", "events");

/// A rule. Each text is a list of words; the core group, which has no name, is `core`.
struct Grant {
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    urls: &'static str,
}

/// These verbs on these resources.
const fn on(verbs: &'static str, groups: &'static str, resources: &'static str) -> Grant {
    Grant { verbs, groups, resources, names: "", urls: "" }
}

/// These verbs on objects of these names.
const fn on_named(
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
) -> Grant {
    Grant { names, ..on(verbs, groups, resources) }
}

/// These verbs on these paths.
const fn at(verbs: &'static str, urls: &'static str) -> Grant {
    Grant { urls, ..on(verbs, "", "") }
}

/// A role.
struct Role {
    /// Empty for a ClusterRole.
    namespace: &'static str,
    name: &'static str,
    grants: &'static [Grant],
}

/// Who has a role.
enum Subject {
    User(&'static str),
    Group(&'static str),
    /// A ServiceAccount of `kube-system`.
    Account(&'static str),
}

/// A binding, which has its role's namespace.
struct Binding {
    namespace: &'static str,
    name: &'static str,
    role: &'static str,
    subjects: &'static [Subject],
}

/// All of them, each with its kind: a role comes before what binds it.
pub fn objects() -> Vec<(&'static str, Map)> {
    let mut all = cluster::aggregated();
    all.extend(cluster::ROLES.iter().map(role));
    all.extend(controllers::ROLES.iter().map(role));
    all.extend(namespaced::ROLES.iter().map(role));
    all.extend(cluster::BINDINGS.iter().map(binding));
    all.extend(controllers::ROLES.iter().map(controllers::binding));
    all.extend(namespaced::BINDINGS.iter().map(binding));
    all
}

/// What every node may do where it does not matter which node it is; the rules of `system:node`.
pub fn node_rules() -> Vec<Rule> {
    cluster::NODE.iter().map(rule).collect()
}

/// What is to be done so that an object is as it has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is to be made.
    Create(Map),
    /// It is to be written in the place of what is there.
    Update(Map),
    /// What is there is to be deleted, and this to be made: a binding's role may not change.
    Replace(Map),
}

/// Compares a role or a binding with what is stored. Rules and subjects that are missing are added; more of them stay. `None`: there
/// is nothing to do, or its owner wants it left alone.
pub fn reconcile(existing: Option<&Map>, wanted: &Map) -> Option<Change> {
    let Some(existing) = existing else { return Some(Change::Create(wanted.clone())) };
    let text = |object: &Map, list: &str, key: &str| {
        let meta = object.get("metadata");
        meta.and_then(|meta| meta[list][key].as_str().map(str::to_owned))
    };
    if text(existing, "annotations", AUTOUPDATE).as_deref() == Some("false") {
        return None;
    }
    if existing.get("roleRef") != wanted.get("roleRef") {
        return Some(Change::Replace(wanted.clone()));
    }
    let mut merged = existing.clone();
    for list in ["annotations", "labels"] {
        add_missing_texts(&mut merged, wanted, list);
    }
    add_missing_rules(&mut merged, wanted);
    add_missing_items(&mut merged, "subjects", list(wanted.get("subjects")));
    let selectors = wanted.get("aggregationRule").map(|rule| &rule["clusterRoleSelectors"]);
    if let Some(Value::Array(selectors)) = selectors {
        let rule = merged.entry("aggregationRule").or_insert_with(|| json!({}));
        if let Some(rule) = rule.as_object_mut() {
            add_missing_items(rule, "clusterRoleSelectors", selectors);
        }
    }
    (merged != *existing).then_some(Change::Update(merged))
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Labels or annotations; what is there stays as it is.
fn add_missing_texts(object: &mut Map, wanted: &Map, list: &str) {
    let Some(wanted) = wanted.get("metadata").and_then(|meta| meta[list].as_object()) else {
        return;
    };
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    if meta[list].is_null() {
        meta[list] = json!({});
    }
    if let Some(texts) = meta[list].as_object_mut() {
        for (key, text) in wanted {
            texts.entry(key.clone()).or_insert_with(|| text.clone());
        }
    }
}

/// Whole rules of which something is not granted yet.
fn add_missing_rules(object: &mut Map, wanted: &Map) {
    let have: Vec<Rule> = list(object.get("rules")).iter().map(Rule::read).collect();
    let missing: Vec<Value> = list(wanted.get("rules"))
        .iter()
        .filter(|rule| !uncovered(&have, &[Rule::read(rule)]).is_empty())
        .cloned()
        .collect();
    add_missing_items(object, "rules", &missing);
}

fn add_missing_items(object: &mut Map, field: &str, wanted: &[Value]) {
    let have = list(object.get(field));
    let missing: Vec<Value> = wanted.iter().filter(|one| !have.contains(one)).cloned().collect();
    if missing.is_empty() {
        return;
    }
    let mut all = have.to_vec();
    all.extend(missing);
    object.insert(field.to_owned(), all.into());
}

/// An object of a kind, with metadata that all of them have.
fn object(kind: &'static str, namespace: &str, name: &str) -> Map {
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), format!("{GROUP}/v1").into());
    object.insert("kind".to_owned(), kind.into());
    let mut meta = json!({
        "name": name,
        "labels": { LABEL: "rbac-defaults" },
        "annotations": { AUTOUPDATE: "true" },
    });
    if !namespace.is_empty() {
        meta["namespace"] = namespace.into();
    }
    object.insert("metadata".to_owned(), meta);
    object
}

/// The words of a text, in order, as upstream writes them.
fn words(text: &str) -> Vec<String> {
    let name = |word: &str| if word == "core" { String::new() } else { word.to_owned() };
    let mut all: Vec<String> = text.split_whitespace().map(name).collect();
    all.sort();
    all
}

fn rule(grant: &Grant) -> Rule {
    Rule {
        verbs: words(grant.verbs),
        api_groups: words(grant.groups),
        resources: words(grant.resources),
        resource_names: words(grant.names),
        non_resource_urls: words(grant.urls),
    }
}

fn role(role: &Role) -> (&'static str, Map) {
    let kind = if role.namespace.is_empty() { "ClusterRole" } else { "Role" };
    let rules = role.grants.iter().map(|grant| rule(grant).to_value());
    let mut made = object(kind, role.namespace, role.name);
    made.insert("rules".to_owned(), rules.collect());
    if let Some(target) = role.name.strip_prefix("system:aggregate-to-") {
        made["metadata"]["labels"][aggregate_label(target)] = "true".into();
    }
    (kind, made)
}

/// The label of ClusterRoles that are part of another.
fn aggregate_label(target: &str) -> String {
    format!("{GROUP}/aggregate-to-{target}")
}

fn binding(binding: &Binding) -> (&'static str, Map) {
    bound(binding.namespace, binding.name, binding.role, binding.subjects)
}

fn bound(namespace: &str, name: &str, role: &str, subjects: &[Subject]) -> (&'static str, Map) {
    let cluster = namespace.is_empty();
    let kind = if cluster { "ClusterRoleBinding" } else { "RoleBinding" };
    let of = if cluster { "ClusterRole" } else { "Role" };
    let mut made = object(kind, namespace, name);
    made.insert("roleRef".to_owned(), json!({ "apiGroup": GROUP, "kind": of, "name": role }));
    let subjects = subjects.iter().map(|subject| match subject {
        Subject::User(name) => json!({ "kind": "User", "apiGroup": GROUP, "name": name }),
        Subject::Group(name) => json!({ "kind": "Group", "apiGroup": GROUP, "name": name }),
        Subject::Account(name) => {
            json!({ "kind": "ServiceAccount", "name": name, "namespace": "kube-system" })
        }
    });
    let subjects: Vec<Value> = subjects.collect();
    if !subjects.is_empty() {
        made.insert("subjects".to_owned(), subjects.into());
    }
    (kind, made)
}
