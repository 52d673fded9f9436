// SPDX-License-Identifier: Apache-2.0
//! May they: roles, bindings, and the decision. Pure; start with [`Index`].

mod escalation;
mod index;
mod rule;
#[cfg(test)]
mod tests;

pub use escalation::{aggregate, not_held, uncovered};
pub use index::{Decision, Index, RoleRef};
pub use rule::Rule;

use crate::user::User;
use berth_cluster_api::refusal::Refusal;

/// What is asked for. A request for no resource has `path` set, and `resource` empty.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// The verb: `get`, `list`, ... or a path's method in lower case.
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The API version; RBAC does not look at it.
    pub version: &'a str,
    /// The resource (plural).
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty for the whole cluster.
    pub namespace: &'a str,
    /// The object's name, or empty.
    pub name: &'a str,
    /// The path, if no resource is asked for.
    pub path: &'a str,
    /// The selector of fields of a request for many objects, or empty; RBAC does not look at it.
    pub fields: &'a str,
}

impl<'a> Attributes<'a> {
    /// A request for a resource, with the rest to be filled in by struct update.
    pub fn resource(user: &'a User, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            user,
            verb,
            group,
            version: "",
            resource,
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            fields: "",
        }
    }

    /// A request for a path that is no resource's.
    pub fn path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Self { path, ..Self::resource(user, verb, "", "") }
    }

    /// `pods/log`, or `pods`.
    pub(crate) fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The refusal in upstream's words; `reason` is the decision's, or empty.
pub fn forbidden(asked: &Attributes<'_>, reason: &str) -> Refusal {
    let who = &asked.user.name;
    let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if asked.resource.is_empty() {
        let why = format!("User {who:?} cannot {} path {:?}{tail}", asked.verb, asked.path);
        let mut refusal = Refusal::forbidden("", "", "", &why);
        refusal.message = format!("forbidden: {why}");
        return refusal;
    }
    let (full, group, verb) = (asked.full_resource(), asked.group, asked.verb);
    let place = if asked.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", asked.namespace)
    };
    let why = format!(
        "User {who:?} cannot {verb} resource {full:?} in API group {group:?} {place}{tail}"
    );
    Refusal::forbidden(group, asked.resource, asked.name, &why)
}
