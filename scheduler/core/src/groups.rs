// SPDX-License-Identifier: Apache-2.0
//! Services and controllers: which pods belong together when a pod says nothing itself (`helper.DefaultSelector`).

use crate::terms::Namespaces;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Operator, Requirement};
use berth_scheduler_model::objects::{Group, GroupKind};
use berth_scheduler_model::pod::{OwnerRef, PodSpec};

/// All Services and controllers.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<(u32, GroupKind, Str), Option<LabelSelector>>,
    /// By namespace: changes whenever one of its groups does.
    epochs: Vec<u32>,
}

impl Groups {
    /// Takes one in. Gives the selector it had.
    pub(crate) fn set(&mut self, group: &Group, namespaces: &mut Namespaces) -> Replaced {
        let namespace = namespaces.ids.intern_str(&group.namespace);
        let key = (namespace, group.kind, group.name.clone());
        let old = self.groups.insert(key, group.selector.clone());
        if old.as_ref() == Some(&group.selector) {
            return Replaced::None;
        }
        self.bump(namespace);
        Replaced::Was(old.flatten())
    }

    /// Forgets one.
    pub(crate) fn remove(
        &mut self,
        kind: GroupKind,
        namespace: &Str,
        name: &Str,
        namespaces: &mut Namespaces,
    ) -> Replaced {
        let namespace = namespaces.ids.intern_str(namespace);
        match self.groups.remove(&(namespace, kind, name.clone())) {
            None => Replaced::None,
            Some(old) => {
                self.bump(namespace);
                Replaced::Was(old)
            }
        }
    }

    fn bump(&mut self, namespace: u32) {
        let at = namespace as usize;
        if self.epochs.len() <= at {
            self.epochs.resize(at + 1, 0);
        }
        self.epochs[at] += 1;
    }

    /// The epoch of a namespace.
    #[inline]
    pub(crate) fn epoch(&self, namespace: u32) -> u32 {
        self.epochs.get(namespace as usize).copied().unwrap_or(0)
    }

    /// Selects the pods that belong together with this one; `None` if nothing says so.
    pub(crate) fn default_selector(&self, namespace: u32, spec: &PodSpec) -> Option<LabelSelector> {
        let mut set: BTreeMap<Str, Str> = BTreeMap::new();
        let first = (namespace, GroupKind::Service, Str::from(""));
        let services = self
            .groups
            .range(first..)
            .take_while(|((ns, kind, _), _)| *ns == namespace && *kind == GroupKind::Service);
        for selector in services.filter_map(|(_, s)| s.as_ref()).filter(|s| s.matches(&spec.labels))
        {
            add_pairs(&mut set, selector);
        }
        let mut more: Vec<Requirement> = Vec::new();
        if let Some((kind, name)) = spec.controller.as_ref().and_then(group_of) {
            let selector =
                self.groups.get(&(namespace, kind, name.clone())).and_then(Option::as_ref);
            match (kind, selector) {
                (GroupKind::ReplicationController, Some(selector)) => add_pairs(&mut set, selector),
                (_, Some(selector)) => more.extend(selector.requirements.iter().cloned()),
                (_, None) => {}
            }
        }
        let mut requirements: Vec<Requirement> = set
            .into_iter()
            .map(|(key, value)| Requirement { key, operator: Operator::In, values: vec![value] })
            .collect();
        requirements.extend(more);
        (!requirements.is_empty()).then_some(LabelSelector { requirements })
    }
}

/// What a change replaced.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// Nothing changed.
    None,
    /// There was this selector before.
    Was(Option<LabelSelector>),
}

/// Adds the pairs of a selector that is a map.
fn add_pairs(set: &mut BTreeMap<Str, Str>, selector: &LabelSelector) {
    for requirement in &selector.requirements {
        if let Some(value) = requirement.values.first() {
            set.insert(requirement.key.clone(), value.clone());
        }
    }
}

/// The kind of controller that is looked up: group, version and kind must be exactly these.
fn group_of(owner: &OwnerRef) -> Option<(GroupKind, &Str)> {
    let kind = match (&*owner.api_version, &*owner.kind) {
        ("v1", "ReplicationController") => GroupKind::ReplicationController,
        ("apps/v1", "ReplicaSet") => GroupKind::ReplicaSet,
        ("apps/v1", "StatefulSet") => GroupKind::StatefulSet,
        _ => return None,
    };
    Some((kind, &owner.name))
}
