// SPDX-License-Identifier: Apache-2.0
//! May a node's agent: of what pods use, only what those of its own node use (upstream's Node authorizer). Pure; start with
//! [`Authorizer::decide`].
//!
//! It only ever allows. What it does not allow is RBAC's to decide, and its reason is told if that refuses, too.

mod graph;
#[cfg(test)]
mod tests;
mod uses;

pub use graph::{Class, Graph, Object};
pub use uses::of_pod;

use crate::bootstrap::node_rules;
use crate::rbac::{Attributes, Rule};
use crate::user::{NODE_PREFIX, NODES, User};
use berth_cluster_api::select::Fields;

/// The namespace of nodes' leases.
pub const LEASES: &str = "kube-node-lease";

/// What the authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// It is allowed.
    Allowed,
    /// Others are to be asked; why it is not allowed here, or empty.
    None(String),
}

/// The node whose agent this is; the name may be empty. None for one who is no node.
pub fn node_of(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX)?;
    user.is_in(NODES).then_some(name)
}

/// What all nodes may do, and what each of them may read.
#[derive(Debug)]
pub struct Authorizer {
    rules: Vec<Rule>,
    /// Which objects the pods of which node use.
    pub graph: Graph,
}

impl Default for Authorizer {
    fn default() -> Self {
        Self { rules: node_rules(), graph: Graph::default() }
    }
}

impl Authorizer {
    /// Whether the agent of a node may do what is asked.
    pub fn decide(&self, node: &str, asked: &Attributes<'_>) -> Opinion {
        if node.is_empty() {
            return Opinion::None(format!("unknown node for user {:?}", asked.user.name));
        }
        match (asked.group, asked.resource) {
            ("", "secrets") => self.read(node, Class::Secret, asked),
            ("", "configmaps") => self.read(node, Class::ConfigMap, asked),
            ("", "persistentvolumeclaims") if asked.subresource == "status" => {
                self.claim_status(node, asked)
            }
            ("", "persistentvolumeclaims") => self.get(node, Class::Claim, asked),
            ("", "persistentvolumes") => self.get(node, Class::Volume, asked),
            ("storage.k8s.io", "volumeattachments") => self.get(node, Class::Attachment, asked),
            ("", "serviceaccounts") => self.token(node, asked),
            ("coordination.k8s.io", "leases") => lease(node, asked),
            ("storage.k8s.io", "csinodes") => csi_node(node, asked),
            ("", "nodes") => own_node(node, asked),
            ("", "pods") => self.pod(node, asked),
            _ if self.rules.iter().any(|rule| rule.allows(asked)) => Opinion::Allowed,
            _ => Opinion::None(String::new()),
        }
    }

    /// Reading an object of a namespace.
    fn read(&self, node: &str, class: Class, asked: &Attributes<'_>) -> Opinion {
        if !["get", "list", "watch"].contains(&asked.verb) {
            return no("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(node, class, asked)
    }

    /// Reading one object.
    fn get(&self, node: &str, class: Class, asked: &Attributes<'_>) -> Opinion {
        if asked.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(node, class, asked)
    }

    fn claim_status(&self, node: &str, asked: &Attributes<'_>) -> Opinion {
        if !["update", "patch"].contains(&asked.verb) {
            return no("can only get/update/patch this type");
        }
        self.related(node, Class::Claim, asked)
    }

    fn token(&self, node: &str, asked: &Attributes<'_>) -> Opinion {
        if asked.verb != "create" || asked.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if asked.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(node, Class::Account, asked)
    }

    fn pod(&self, node: &str, asked: &Attributes<'_>) -> Opinion {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.get(node, Class::Pod, asked),
            ("", "list" | "watch") if selects_node(node, asked) => Opinion::Allowed,
            ("", "list" | "watch") if !asked.name.is_empty() => {
                self.related(node, Class::Pod, asked)
            }
            ("", "list" | "watch") => {
                no("can only list/watch pods with spec.nodeName field selector")
            }
            // Of which pods is for the admission of NodeRestriction.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Opinion::Allowed
            }
            _ => no(""),
        }
    }

    /// Whether a pod of the node uses the object.
    fn related(&self, node: &str, class: Class, asked: &Attributes<'_>) -> Opinion {
        if asked.name.is_empty() {
            return no("No Object name found");
        }
        let object = Object { class, namespace: asked.namespace, name: asked.name };
        if self.graph.reaches(node, object) {
            return Opinion::Allowed;
        }
        Opinion::None(format!("no relationship found between node '{node}' and this object"))
    }
}

fn no(why: &str) -> Opinion {
    Opinion::None(why.to_owned())
}

/// Whether only pods of this node are asked for.
fn selects_node(node: &str, asked: &Attributes<'_>) -> bool {
    let fields = Fields::parse(asked.fields).unwrap_or_default();
    fields.0.iter().any(|term| term.name == "spec.nodeName" && !term.not && term.value == node)
}

const OWN: [&str; 5] = ["get", "create", "update", "patch", "delete"];

fn lease(node: &str, asked: &Attributes<'_>) -> Opinion {
    if !OWN.contains(&asked.verb) {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != LEASES {
        return Opinion::None(format!("can only access leases in the {LEASES:?} system namespace"));
    }
    // The name of a new one is not known here: admission looks at it.
    if asked.verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    Opinion::Allowed
}

fn csi_node(node: &str, asked: &Attributes<'_>) -> Opinion {
    if !OWN.contains(&asked.verb) {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    Opinion::Allowed
}

fn own_node(node: &str, asked: &Attributes<'_>) -> Opinion {
    match (asked.subresource, asked.verb) {
        // Which one is written is for the admission of NodeRestriction.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Opinion::Allowed,
        // By name, not by what is there: an agent looks for its node before it makes it.
        ("", "get" | "list" | "watch") if asked.name == node => Opinion::Allowed,
        ("", "get" | "list" | "watch") if asked.name.is_empty() => {
            Opinion::None(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => Opinion::None(format!(
            "node '{node}' cannot read '{}', only its own Node object",
            asked.name
        )),
        _ => no(""),
    }
}
