// SPDX-License-Identifier: Apache-2.0
//! The objects of the cluster, in plain maps.

use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{DisruptionBudget, Event, GroupKind};
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::volume::{
    CsiCapacity, CsiDriver, CsiNode, PersistentVolume, PersistentVolumeClaim, StorageClass,
    VolumeAttachment,
};
use std::collections::BTreeMap;

/// Everything that is there.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) nodes: BTreeMap<Str, Node>,
    /// By uid; also those on nodes that are gone, and those without a node.
    pub(crate) pods: BTreeMap<Str, Pod>,
    pub(crate) namespaces: BTreeMap<Str, Labels>,
    pub(crate) groups: BTreeMap<(GroupKind, Str, Str), Option<LabelSelector>>,
    pub(crate) budgets: BTreeMap<(Str, Str), DisruptionBudget>,
    pub(crate) volumes: BTreeMap<Str, PersistentVolume>,
    pub(crate) claims: BTreeMap<(Str, Str), PersistentVolumeClaim>,
    pub(crate) classes: BTreeMap<Str, StorageClass>,
    pub(crate) csi_nodes: BTreeMap<Str, CsiNode>,
    pub(crate) csi_drivers: BTreeMap<Str, CsiDriver>,
    pub(crate) capacities: BTreeMap<(Str, Str), CsiCapacity>,
    pub(crate) attachments: BTreeMap<Str, VolumeAttachment>,
}

impl State {
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Node(node) => drop(self.nodes.insert(node.name.clone(), *node)),
            Event::NodeGone(name) => drop(self.nodes.remove(&name)),
            Event::Pod(pod) => drop(self.pods.insert(pod.uid.clone(), *pod)),
            Event::PodGone { uid } => drop(self.pods.remove(&uid)),
            Event::Namespace(namespace) => {
                self.namespaces.insert(namespace.name, namespace.labels);
            }
            Event::NamespaceGone(name) => drop(self.namespaces.remove(&name)),
            Event::Group(group) => {
                self.groups.insert((group.kind, group.namespace, group.name), group.selector);
            }
            Event::GroupGone { kind, namespace, name } => {
                self.groups.remove(&(kind, namespace, name));
            }
            Event::Budget(budget) => {
                self.budgets.insert((budget.namespace.clone(), budget.name.clone()), budget);
            }
            Event::BudgetGone { namespace, name } => drop(self.budgets.remove(&(namespace, name))),
            Event::Volume(volume) => drop(self.volumes.insert(volume.name.clone(), *volume)),
            Event::VolumeGone(name) => drop(self.volumes.remove(&name)),
            Event::Claim(claim) => {
                self.claims.insert((claim.namespace.clone(), claim.name.clone()), *claim);
            }
            Event::ClaimGone { namespace, name } => drop(self.claims.remove(&(namespace, name))),
            Event::Class(class) => drop(self.classes.insert(class.name.clone(), class)),
            Event::ClassGone(name) => drop(self.classes.remove(&name)),
            Event::CsiNode(node) => drop(self.csi_nodes.insert(node.name.clone(), node)),
            Event::CsiNodeGone(name) => drop(self.csi_nodes.remove(&name)),
            Event::CsiDriver(driver) => drop(self.csi_drivers.insert(driver.name.clone(), driver)),
            Event::CsiDriverGone(name) => drop(self.csi_drivers.remove(&name)),
            Event::Capacity(capacity) => {
                self.capacities.insert(capacity.key.clone(), capacity);
            }
            Event::CapacityGone { key } => drop(self.capacities.remove(&key)),
            Event::Attachment(attachment) => {
                self.attachments.insert(attachment.name.clone(), attachment);
            }
            Event::AttachmentGone(name) => drop(self.attachments.remove(&name)),
        }
    }
}
