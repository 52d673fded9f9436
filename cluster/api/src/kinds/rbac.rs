// SPDX-License-Identifier: Apache-2.0
//! Role, ClusterRole, RoleBinding and ClusterRoleBinding.

use super::access::{list, list_mut, map, map_mut, or_set, same, text};
use super::row::{RowExt, column, row, wide};
use crate::field::{Errors, Path};
use crate::registry::{Column, Kind, Part, Rules};
use crate::{Map, cells, meta, names};
use berth_cluster_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let roles = |kind, plural| {
        let mut row = row(GROUP, kind, plural, &[], Role { cluster: kind == "ClusterRole" });
        row.columns.pop();
        row.columns.push(Column { name: "Created At", kind: "date", ..super::row::AGE });
        row.by_put()
    };
    let binding = |kind, plural, what: &str| {
        let columns = [
            column(
                "Role",
                "string",
                "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace.",
            ),
            wide("Users", "string", "Users in the binding"),
            wide("Groups", "string", "Groups in the binding"),
            wide("ServiceAccounts", "string", "ServiceAccounts in the binding"),
        ];
        let mut row = row(GROUP, kind, plural, &columns, Binding { cluster: what == "cluster" });
        // The age stands before the columns of wide output.
        if let Some(age) = row.columns.pop() {
            row.columns.insert(2, age);
        }
        row.by_put()
    };
    vec![
        roles("Role", "roles"),
        roles("ClusterRole", "clusterroles").cluster_scoped(),
        binding("RoleBinding", "rolebindings", ""),
        binding("ClusterRoleBinding", "clusterrolebindings", "cluster").cluster_scoped(),
    ]
}

#[derive(Debug)]
struct Role {
    cluster: bool,
}

/// Words in a list as Go prints them.
fn go_strings(errors: &mut Errors, path: &Path, words: &[Value], detail: &str) {
    errors.invalid(path, words.to_vec(), detail);
    if let Some(last) = errors.0.last_mut() {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        last.value = format!("[]string{{{}}}", words.join(", "));
    }
}

impl Role {
    fn rule(&self, rule: &Map, path: &Path, errors: &mut Errors) {
        let has = |field: &str| !list(rule, field).is_empty();
        if !has("verbs") {
            errors.required(&path.child("verbs"), "verbs must contain at least one value");
        }
        if has("nonResourceURLs") {
            let urls = path.child("nonResourceURLs");
            let all = list(rule, "nonResourceURLs");
            if !self.cluster {
                go_strings(
                    errors,
                    &urls,
                    all,
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            if has("apiGroups") || has("resources") || has("resourceNames") {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                go_strings(errors, &urls, all, detail);
            }
            return;
        }
        if !has("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            errors.required(&path.child("apiGroups"), detail);
        }
        if !has("resources") {
            let detail = "resource rules must supply at least one resource";
            errors.required(&path.child("resources"), detail);
        }
    }
}

impl Rules for Role {
    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        for (index, rule) in list(object, "rules").iter().enumerate() {
            if let Some(rule) = rule.as_object() {
                self.rule(rule, &Path::new("rules").index(index), errors);
            }
        }
        let Some(aggregation) = map(object, "aggregationRule").filter(|_| self.cluster) else {
            return;
        };
        let path = Path::new("aggregationRule").child("clusterRoleSelectors");
        let selectors = list(aggregation, "clusterRoleSelectors");
        if selectors.is_empty() {
            errors.required(
                &path,
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            );
        }
        for (index, selector) in selectors.iter().enumerate() {
            if let Some(selector) = selector.as_object() {
                meta::validate_selector(selector, false, &path.index(index), errors);
            }
        }
    }

    fn cells(&self, object: &Map, _now: i64) -> Vec<Value> {
        let created = map(object, "metadata").and_then(|meta| meta.get("creationTimestamp"));
        vec![cells::name(object), created.cloned().unwrap_or(Value::Null)]
    }
}

#[derive(Debug)]
struct Binding {
    cluster: bool,
}

impl Binding {
    fn role(&self, object: &Map, errors: &mut Errors) {
        let (path, empty) = (Path::new("roleRef"), Map::new());
        let role = map(object, "roleRef").unwrap_or(&empty);
        if text(role, "apiGroup") != GROUP {
            errors.not_supported(&path.child("apiGroup"), text(role, "apiGroup"), &[GROUP]);
        }
        let kinds: &[&str] = if self.cluster { &["ClusterRole"] } else { &["ClusterRole", "Role"] };
        if !kinds.contains(&text(role, "kind")) {
            errors.not_supported(&path.child("kind"), text(role, "kind"), kinds);
        }
        let name = text(role, "name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            let problems = names::path_segment(name, false);
            super::access::add_all(errors, &path.child("name"), name, problems);
        }
    }

    fn subject(&self, subject: &Map, path: &Path, errors: &mut Errors) {
        let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    let problems = names::dns_subdomain(name, false);
                    super::access::add_all(errors, &path.child("name"), name, problems);
                }
                if !group.is_empty() {
                    errors.not_supported(&path.child("apiGroup"), group, &[""]);
                }
                if self.cluster && text(subject, "namespace").is_empty() {
                    errors.required(&path.child("namespace"), "");
                }
            }
            "User" | "Group" if group != GROUP => {
                errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
            }
            "User" | "Group" => {}
            other => {
                let known = ["ServiceAccount", "User", "Group"];
                errors.not_supported(&path.child("kind"), other, &known);
            }
        }
    }

    /// Names of the subjects of a kind.
    fn subjects(object: &Map, kind: &str) -> String {
        let name = |subject: &Map| match text(subject, "namespace") {
            "" => text(subject, "name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "name")),
        };
        let all = list(object, "subjects").iter().filter_map(Value::as_object);
        let all: Vec<String> = all.filter(|one| text(one, "kind") == kind).map(name).collect();
        all.join(", ")
    }
}

impl Rules for Binding {
    fn default(&self, object: &mut Map) {
        if let Some(role) = map_mut(object, "roleRef") {
            or_set(role, "apiGroup", GROUP);
        }
        for subject in list_mut(object, "subjects").iter_mut().filter_map(Value::as_object_mut) {
            if matches!(text(subject, "kind"), "User" | "Group") {
                or_set(subject, "apiGroup", GROUP);
            }
        }
    }

    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        self.role(object, errors);
        for (index, subject) in list(object, "subjects").iter().enumerate() {
            if let Some(subject) = subject.as_object() {
                self.subject(subject, &Path::new("subjects").index(index), errors);
            }
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        if !same(new, old, "roleRef") {
            let value = new.get("roleRef").cloned().unwrap_or(Value::Null);
            errors.invalid(&Path::new("roleRef"), value, "cannot change roleRef");
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let role = map(object, "roleRef");
        let part = |field| role.map_or("", |role| text(role, field));
        vec![
            cells::name(object),
            format!("{}/{}", part("kind"), part("name")).into(),
            cells::age(object, now),
            Self::subjects(object, "User").into(),
            Self::subjects(object, "Group").into(),
            Self::subjects(object, "ServiceAccount").into(),
        ]
    }
}
