// SPDX-License-Identifier: Apache-2.0
//! One rule of a role.

use super::Attributes;
use berth_cluster_json::{Map, Value};

/// One rule of a role: `PolicyRule` of rbac.authorization.k8s.io/v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub api_groups: Vec<String>,
    /// Resources: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// Names; empty means all.
    pub resource_names: Vec<String>,
    /// Paths of no resource: `/healthz`, `/healthz/*`.
    pub non_resource_urls: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Rule {
    /// Reads one; what has the wrong shape grants nothing.
    pub fn read(value: &Value) -> Self {
        Self {
            verbs: strings(&value["verbs"]),
            api_groups: strings(&value["apiGroups"]),
            resources: strings(&value["resources"]),
            resource_names: strings(&value["resourceNames"]),
            non_resource_urls: strings(&value["nonResourceURLs"]),
        }
    }

    /// Reads the rules of a Role or ClusterRole.
    pub fn read_all(role: &Value) -> Vec<Self> {
        role["rules"]
            .as_array()
            .map(|list| list.iter().map(Self::read).collect())
            .unwrap_or_default()
    }

    /// The rule as JSON.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("verbs", self.verbs.clone().into());
        for (name, list) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !list.is_empty() {
                map.insert(name, list.clone().into());
            }
        }
        map.into()
    }

    /// Whether this rule allows what is asked.
    pub fn allows(&self, asked: &Attributes<'_>) -> bool {
        if !has(&self.verbs, asked.verb) {
            return false;
        }
        if asked.resource.is_empty() {
            return self.non_resource_urls.iter().any(|url| covers_path(url, asked.path));
        }
        has(&self.api_groups, asked.group)
            && self
                .resources
                .iter()
                .any(|one| covers_resource(one, asked.resource, asked.subresource))
            && (self.resource_names.is_empty()
                || self.resource_names.iter().any(|one| one == asked.name))
    }

    /// Whether this rule covers all of `wanted`, which is of one verb and one resource (or path).
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        let all = |have: &[String], want: &[String]| {
            have.iter().any(|one| one == "*") || want.iter().all(|one| have.contains(one))
        };
        let names = self.resource_names.is_empty()
            || (!wanted.resource_names.is_empty()
                && wanted.resource_names.iter().all(|one| self.resource_names.contains(one)));
        let resources = wanted.resources.iter().all(|want| {
            let (resource, sub) = want.split_once('/').unwrap_or((want, ""));
            self.resources.iter().any(|one| covers_resource(one, resource, sub))
        });
        let paths = wanted
            .non_resource_urls
            .iter()
            .all(|want| self.non_resource_urls.iter().any(|one| covers_path(one, want)));
        all(&self.verbs, &wanted.verbs)
            && all(&self.api_groups, &wanted.api_groups)
            && resources
            && names
            && paths
    }
}

/// `*`, the same, or `*/sub` for any resource's subresource. `pods` does not cover `pods/log`.
fn covers_resource(one: &str, resource: &str, subresource: &str) -> bool {
    if one == "*" {
        return true;
    }
    match one.split_once('/') {
        None => subresource.is_empty() && one == resource,
        Some((parent, sub)) => {
            !subresource.is_empty() && sub == subresource && (parent == "*" || parent == resource)
        }
    }
}

/// `*`, the same, or a prefix that ends in `*`.
fn covers_path(one: &str, path: &str) -> bool {
    one == "*"
        || one == path
        || one
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}
