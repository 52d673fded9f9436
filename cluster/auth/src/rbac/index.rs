// SPDX-License-Identifier: Apache-2.0
//! All roles and bindings, compiled; bindings are found by their subject, so that a decision looks at few of them.

use super::{Attributes, Rule, aggregate};
use crate::user::{MASTERS, SERVICE_ACCOUNT_PREFIX, User};
use berth_cluster_json::Value;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, as upstream's audit says it; empty for a plain no.
    pub reason: String,
}

/// The role that a binding gives. An empty namespace means a ClusterRole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleRef {
    /// The role's namespace; empty for a ClusterRole.
    pub namespace: String,
    /// The role's name.
    pub name: String,
}

/// A binding: where it holds, what it is called, what it gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    name: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

/// All roles and bindings of the cluster.
#[derive(Debug, Default)]
pub struct Index {
    roles: HashMap<RoleRef, Vec<Rule>>,
    bindings: BTreeMap<(String, String), Arc<Binding>>,
    pub(super) users: HashMap<String, Vec<Arc<Binding>>>,
    groups: HashMap<String, Vec<Arc<Binding>>>,
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Namespace and name of an object.
fn key(object: &Value) -> (String, String) {
    let meta = &object["metadata"];
    (text(meta, "namespace").to_owned(), text(meta, "name").to_owned())
}

impl Index {
    /// Takes in a Role, ClusterRole, RoleBinding or ClusterRoleBinding, in place of the one of that name.
    /// What is of another kind is left alone.
    ///
    /// `kind` is an argument, since the items of a list do not carry theirs.
    pub fn put(&mut self, kind: &str, object: &Value) {
        let (namespace, name) = key(object);
        match kind {
            "Role" | "ClusterRole" => {
                self.roles.insert(RoleRef { namespace, name }, Rule::read_all(object));
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                self.forget_binding(&namespace, &name);
                self.add_binding(Binding::read(namespace, name, object));
            }
            _ => {}
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        match kind {
            "Role" | "ClusterRole" => {
                self.roles.remove(&RoleRef { namespace: namespace.into(), name: name.into() });
            }
            "RoleBinding" | "ClusterRoleBinding" => self.forget_binding(namespace, name),
            _ => {}
        }
    }

    fn add_binding(&mut self, binding: Binding) {
        let binding = Arc::new(binding);
        for subject in &binding.subjects {
            let list = match subject {
                Subject::User(name) => self.users.entry(name.clone()).or_default(),
                Subject::Group(name) => self.groups.entry(name.clone()).or_default(),
            };
            list.push(Arc::clone(&binding));
        }
        self.bindings.insert((binding.namespace.clone(), binding.name.clone()), binding);
    }

    fn forget_binding(&mut self, namespace: &str, name: &str) {
        let Some(old) = self.bindings.remove(&(namespace.to_owned(), name.to_owned())) else {
            return;
        };
        for subject in &old.subjects {
            let (table, name) = match subject {
                Subject::User(name) => (&mut self.users, name),
                Subject::Group(name) => (&mut self.groups, name),
            };
            if let Some(list) = table.get_mut(name) {
                list.retain(|one| !Arc::ptr_eq(one, &old));
                if list.is_empty() {
                    table.remove(name);
                }
            }
        }
    }

    /// The rules of a role, if there is one.
    pub fn rules_of(&self, role: &RoleRef) -> Option<&[Rule]> {
        self.roles.get(role).map(Vec::as_slice)
    }

    /// The bindings that hold for a user in a namespace, those of the cluster among them.
    fn bindings_of<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Binding> {
        let own = self.users.get(&user.name).into_iter();
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        own.chain(groups)
            .flatten()
            .map(AsRef::as_ref)
            .filter(move |one| one.namespace.is_empty() || one.namespace == namespace)
    }

    /// Whether it is allowed. Nothing that is not granted is.
    pub fn allowed(&self, asked: &Attributes<'_>) -> Decision {
        if asked.user.is_in(MASTERS) {
            return Decision { allowed: true, reason: String::new() };
        }
        for binding in self.bindings_of(asked.user, asked.namespace) {
            // a path belongs to the cluster, so that no namespace's binding can grant it
            if asked.resource.is_empty() && !binding.namespace.is_empty() {
                continue;
            }
            let rules = self.roles.get(&binding.role).map(Vec::as_slice).unwrap_or_default();
            if rules.iter().any(|rule| rule.allows(asked)) {
                return Decision { allowed: true, reason: binding.reason(asked.user) };
            }
        }
        Decision { allowed: false, reason: String::new() }
    }

    /// All rules that hold for a user in a namespace, for SelfSubjectRulesReview and for escalation checks.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        if user.is_in(MASTERS) {
            let all = || vec!["*".to_owned()];
            rules.push(Rule {
                verbs: all(),
                api_groups: all(),
                resources: all(),
                ..Rule::default()
            });
            rules.push(Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() });
        }
        for binding in self.bindings_of(user, namespace) {
            for rule in self.roles.get(&binding.role).into_iter().flatten() {
                let mut rule = rule.clone();
                if !binding.namespace.is_empty() {
                    rule.non_resource_urls.clear();
                    if rule.resources.is_empty() {
                        continue;
                    }
                }
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        rules
    }

    /// Compiles an aggregated ClusterRole anew from all ClusterRoles.
    pub fn put_aggregated<'a>(&mut self, role: &Value, all: impl IntoIterator<Item = &'a Value>) {
        let (namespace, name) = key(role);
        self.roles.insert(RoleRef { namespace, name }, aggregate(role, all));
    }
}

impl Binding {
    fn read(namespace: String, name: String, object: &Value) -> Self {
        let role = &object["roleRef"];
        let of = if text(role, "kind") == "Role" { namespace.clone() } else { String::new() };
        let known = match text(role, "kind") {
            "ClusterRole" => true,
            // a ClusterRoleBinding to a Role would else be read as one to the ClusterRole of that name
            "Role" => !namespace.is_empty(),
            _ => false,
        };
        let list = object["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut subjects: Vec<Subject> = Vec::new();
        for subject in list.iter().filter_map(|one| Subject::read(one, &namespace)) {
            if known && !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        Self {
            namespace,
            name,
            role: RoleRef { namespace: of, name: text(role, "name").into() },
            subjects,
        }
    }

    fn reason(&self, user: &User) -> String {
        let own = self.subjects.iter().find_map(|one| match one {
            Subject::User(name) if *name == user.name => Some(format!("User {name:?}")),
            Subject::Group(name) if user.is_in(name) => Some(format!("Group {name:?}")),
            _ => None,
        });
        let (kind, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", self.name.clone())
        } else {
            ("RoleBinding", format!("{}/{}", self.name, self.namespace))
        };
        let role = if self.role.namespace.is_empty() { "ClusterRole" } else { "Role" };
        let who = own.unwrap_or_default();
        format!("RBAC: allowed by {kind} {name:?} of {role} {:?} to {who}", self.role.name)
    }
}

impl Subject {
    fn read(value: &Value, namespace: &str) -> Option<Self> {
        let name = text(value, "name");
        if name.is_empty() {
            return None;
        }
        match text(value, "kind") {
            "User" => Some(Self::User(name.into())),
            "Group" => Some(Self::Group(name.into())),
            "ServiceAccount" => {
                let own = text(value, "namespace");
                let of = if own.is_empty() { namespace } else { own };
                (!of.is_empty()).then(|| Self::User(format!("{SERVICE_ACCOUNT_PREFIX}{of}:{name}")))
            }
            _ => None,
        }
    }
}
