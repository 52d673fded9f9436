// SPDX-License-Identifier: Apache-2.0
//! Nobody gives away what they do not hold; and ClusterRoles that are made of others.

use super::Rule;
use crate::user::User;
use berth_cluster_api::refusal::Refusal;
use berth_cluster_json::Value;
use std::fmt::Write as _;

/// A rule taken apart: one verb, one group and resource and name, or one path, each.
fn parts(rule: &Rule) -> Vec<Rule> {
    let mut parts = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for verb in &rule.verbs {
        for url in &rule.non_resource_urls {
            parts.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let part = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                for name in &rule.resource_names {
                    parts.push(Rule { resource_names: one(name), ..part.clone() });
                }
                if rule.resource_names.is_empty() {
                    parts.push(part);
                }
            }
        }
    }
    parts
}

/// The parts of `wanted` that `have` does not cover, each of one verb and one resource, without doubles.
pub fn uncovered(have: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing: Vec<Rule> = wanted
        .iter()
        .flat_map(parts)
        .filter(|part| !have.iter().any(|rule| rule.covers(part)))
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

/// The refusal of one who grants what they do not hold, in upstream's words.
///
/// `resource` and `name` are of the role or binding that is written. Whether the user has the verb `escalate`
/// (roles) or `bind` (bindings) is to be asked of the index first.
pub fn not_held(user: &User, resource: &str, name: &str, missing: &[Rule]) -> Refusal {
    let groups = user.groups.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(" ");
    let mut why = format!(
        "user {:?} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:",
        user.name
    );
    for rule in missing {
        let _ = write!(why, "\n{}", compact(rule));
    }
    Refusal::forbidden("rbac.authorization.k8s.io", resource, name, &why)
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`
fn compact(rule: &Rule) -> String {
    let mut texts = Vec::new();
    for (name, list) in [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.resource_names),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("Verbs", &rule.verbs),
    ] {
        if !list.is_empty() {
            let quoted = list.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>();
            texts.push(format!("{name}:[{}]", quoted.join(" ")));
        }
    }
    format!("{{{}}}", texts.join(", "))
}

/// The rules of an aggregated ClusterRole: those of all that one of its selectors selects, in the order given.
pub fn aggregate<'a>(role: &Value, all: impl IntoIterator<Item = &'a Value>) -> Vec<Rule> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    let selectors = selectors.map(Vec::as_slice).unwrap_or_default();
    let mut rules: Vec<Rule> = Vec::new();
    for other in all {
        let itself = other["metadata"]["name"] == role["metadata"]["name"];
        if itself || !selectors.iter().any(|one| selects(one, &other["metadata"]["labels"])) {
            continue;
        }
        for rule in Rule::read_all(other) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}

/// A label selector of meta/v1; an operator that is unknown selects nothing.
fn selects(selector: &Value, labels: &Value) -> bool {
    let exact = selector["matchLabels"]
        .as_object()
        .is_none_or(|map| map.iter().all(|(name, value)| labels[name] == *value));
    let expressions =
        selector["matchExpressions"].as_array().map(Vec::as_slice).unwrap_or_default();
    exact
        && expressions.iter().all(|one| {
            let value = &labels[one["key"].as_str().unwrap_or_default()];
            let within = one["values"].as_array().is_some_and(|list| list.contains(value));
            match one["operator"].as_str() {
                Some("In") => !value.is_null() && within,
                Some("NotIn") => value.is_null() || !within,
                Some("Exists") => !value.is_null(),
                Some("DoesNotExist") => value.is_null(),
                _ => false,
            }
        })
}
