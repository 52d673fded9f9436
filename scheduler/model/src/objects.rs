// SPDX-License-Identifier: Apache-2.0
//! Everything else the scheduler watches, and [`Event`]: one change of the cluster's state.

use crate::Str;
use crate::labels::{LabelSelector, Labels};
use crate::node::Node;
use crate::pod::Pod;
use crate::volume::{
    CsiCapacity, CsiDriver, CsiNode, PersistentVolume, PersistentVolumeClaim, StorageClass,
    VolumeAttachment,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A namespace with its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Name.
    pub name: Str,
    /// Labels, for namespace selectors.
    pub labels: Labels,
}

/// A Service or a controller, as far as it says which pods belong together (the default topology spread).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Which kind.
    pub kind: GroupKind,
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// Its selector; `None` where it has none.
    pub selector: Option<LabelSelector>,
}

/// Kinds of [`Group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupKind {
    /// `v1 Service`; the selector is a map, so all requirements are `In` with one value.
    Service,
    /// `v1 ReplicationController`; a map as well.
    ReplicationController,
    /// `apps/v1 ReplicaSet`.
    ReplicaSet,
    /// `apps/v1 StatefulSet`.
    StatefulSet,
}

/// `policy/v1 PodDisruptionBudget`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisruptionBudget {
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// Which pods; `None` and an empty selector match none here.
    pub selector: Option<LabelSelector>,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// `status.disruptedPods`: names whose eviction is already counted.
    pub disrupted: Vec<Str>,
}

/// One change of the cluster's state. Upserts carry the whole object, which replaces the one of the same identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A node is there, or changed.
    Node(Box<Node>),
    /// A node is gone. Pods bound to it stay known, but count nowhere until a node of that name is back.
    NodeGone(Str),
    /// A pod is there, or changed.
    Pod(Box<Pod>),
    /// A pod is gone, succeeded or failed.
    PodGone {
        /// Its uid.
        uid: Str,
    },
    /// A namespace is there, or changed.
    Namespace(Namespace),
    /// A namespace is gone.
    NamespaceGone(Str),
    /// A Service or controller is there, or changed.
    Group(Group),
    /// A Service or controller is gone.
    GroupGone {
        /// Which kind.
        kind: GroupKind,
        /// Namespace.
        namespace: Str,
        /// Name.
        name: Str,
    },
    /// A budget is there, or changed.
    Budget(DisruptionBudget),
    /// A budget is gone.
    BudgetGone {
        /// Namespace.
        namespace: Str,
        /// Name.
        name: Str,
    },
    /// A volume is there, or changed.
    Volume(Box<PersistentVolume>),
    /// A volume is gone.
    VolumeGone(Str),
    /// A claim is there, or changed.
    Claim(Box<PersistentVolumeClaim>),
    /// A claim is gone.
    ClaimGone {
        /// Namespace.
        namespace: Str,
        /// Name.
        name: Str,
    },
    /// A storage class is there, or changed.
    Class(StorageClass),
    /// A storage class is gone.
    ClassGone(Str),
    /// A node's CSI drivers are known, or changed.
    CsiNode(CsiNode),
    /// A node's CSI drivers are gone.
    CsiNodeGone(Str),
    /// A CSI driver is there, or changed.
    CsiDriver(CsiDriver),
    /// A CSI driver is gone.
    CsiDriverGone(Str),
    /// A capacity is there, or changed.
    Capacity(CsiCapacity),
    /// A capacity is gone.
    CapacityGone {
        /// Namespace and name.
        key: (Str, Str),
    },
    /// A volume is attached, or its attachment changed.
    Attachment(VolumeAttachment),
    /// An attachment is gone.
    AttachmentGone(Str),
}
