// SPDX-License-Identifier: Apache-2.0
//! Namespaces, Services and controllers (as far as they say which pods belong together), and disruption budgets.

use crate::error::{ObjectError, Path};
use crate::field::{Lax, List, Text, TextMap, labels, name, view};
use crate::selector::{self, LabelSelectorView};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::LabelSelector;
use berth_scheduler_model::objects::{DisruptionBudget, Group, GroupKind, Namespace};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// `metav1.ObjectMeta`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: Text,
    pub(crate) namespace: Text,
    pub(crate) uid: Text,
    pub(crate) labels: TextMap,
    pub(crate) annotations: TextMap,
    pub(crate) deletion_timestamp: Option<String>,
    pub(crate) owner_references: List<OwnerView>,
}

/// `metav1.OwnerReference`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnerView {
    pub(crate) api_version: Text,
    pub(crate) kind: Text,
    pub(crate) name: Text,
    pub(crate) uid: Text,
    pub(crate) controller: Lax<bool>,
}

impl Meta {
    /// Its name.
    pub(crate) fn name(&self) -> Result<Str, ObjectError> {
        name(&self.name, &Path::ROOT.field("metadata.name"))
    }

    /// Its namespace.
    pub(crate) fn namespace(&self) -> Result<Str, ObjectError> {
        name(&self.namespace, &Path::ROOT.field("metadata.namespace"))
    }

    /// Its uid.
    pub(crate) fn uid(&self) -> Result<Str, ObjectError> {
        name(&self.uid, &Path::ROOT.field("metadata.uid"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamespaceView {
    metadata: Lax<Meta>,
}

/// Reads a `v1.Namespace`.
pub fn namespace<'de, D: Deserializer<'de>>(source: D) -> Result<Namespace, ObjectError> {
    let object: NamespaceView = view(source)?;
    Ok(Namespace {
        name: object.metadata.name()?,
        labels: labels(&object.metadata.labels, &Path::ROOT.field("metadata.labels"))?,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ByMapView {
    metadata: Lax<Meta>,
    spec: Lax<ByMapSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ByMapSpec {
    selector: Option<BTreeMap<String, Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BySelectorView {
    metadata: Lax<Meta>,
    spec: Lax<BySelectorSpec>,
    status: Lax<BudgetStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BySelectorSpec {
    selector: Option<LabelSelectorView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BudgetStatus {
    disruptions_allowed: Lax<i32>,
    disrupted_pods: Lax<BTreeMap<String, Option<String>>>,
}

/// Reads a `v1.Service`.
pub fn service<'de, D: Deserializer<'de>>(source: D) -> Result<Group, ObjectError> {
    by_map(GroupKind::Service, source)
}

/// Reads a `v1.ReplicationController`.
pub fn replication_controller<'de, D: Deserializer<'de>>(source: D) -> Result<Group, ObjectError> {
    by_map(GroupKind::ReplicationController, source)
}

/// Reads an `apps/v1 ReplicaSet`.
pub fn replica_set<'de, D: Deserializer<'de>>(source: D) -> Result<Group, ObjectError> {
    by_selector(GroupKind::ReplicaSet, source)
}

/// Reads an `apps/v1 StatefulSet`.
pub fn stateful_set<'de, D: Deserializer<'de>>(source: D) -> Result<Group, ObjectError> {
    by_selector(GroupKind::StatefulSet, source)
}

fn by_map<'de, D: Deserializer<'de>>(kind: GroupKind, source: D) -> Result<Group, ObjectError> {
    let object: ByMapView = view(source)?;
    let path = Path::ROOT.field("spec.selector");
    let selector = object.spec.0.selector.map(|map| selector::of_map(&Lax(map), &path));
    group(kind, &object.metadata, selector.transpose()?)
}

fn by_selector<'de, D: Deserializer<'de>>(
    kind: GroupKind,
    source: D,
) -> Result<Group, ObjectError> {
    let object: BySelectorView = view(source)?;
    let selector =
        selector::optional(object.spec.selector.as_ref(), &Path::ROOT.field("spec.selector"))?;
    group(kind, &object.metadata, selector)
}

fn group(
    kind: GroupKind,
    meta: &Meta,
    selector: Option<LabelSelector>,
) -> Result<Group, ObjectError> {
    Ok(Group { kind, namespace: meta.namespace()?, name: meta.name()?, selector })
}

/// Reads a `policy/v1 PodDisruptionBudget`.
pub fn budget<'de, D: Deserializer<'de>>(source: D) -> Result<DisruptionBudget, ObjectError> {
    let object: BySelectorView = view(source)?;
    let path = Path::ROOT.field("spec.selector");
    Ok(DisruptionBudget {
        namespace: object.metadata.namespace()?,
        name: object.metadata.name()?,
        selector: selector::optional(object.spec.selector.as_ref(), &path)?,
        allowed: object.status.disruptions_allowed.0,
        disrupted: object.status.disrupted_pods.keys().map(|name| Str::from(&**name)).collect(),
    })
}
