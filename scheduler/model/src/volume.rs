// SPDX-License-Identifier: Apache-2.0
//! Volumes, claims and storage: what VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone read.

use crate::Str;
use crate::labels::{LabelSelector, Labels, NodeSelector};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A volume of a pod that matters for placement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodVolume {
    /// A claim in the pod's namespace.
    Claim {
        /// Its name; for a generic ephemeral volume pod name, dash, volume name.
        name: Str,
        /// A generic ephemeral volume: the claim must be owned by the pod.
        ephemeral: bool,
    },
    /// A disk of a cloud or network protocol, named in the pod itself.
    Disk(Disk),
    /// An inline CSI volume.
    Csi {
        /// The driver's name.
        driver: Str,
    },
}

/// A disk that not every two pods of a node can share (VolumeRestrictions).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Disk {
    /// GCE persistent disk: shared only if both read only.
    Gce {
        /// `pdName`.
        name: Str,
        /// Read only.
        read_only: bool,
    },
    /// AWS EBS volume: never shared.
    Ebs {
        /// `volumeID`.
        id: Str,
    },
    /// iSCSI: the same IQN is shared only if both read only.
    Iscsi {
        /// Qualified name.
        iqn: Str,
        /// Read only.
        read_only: bool,
    },
    /// Ceph RBD: the same image (overlapping monitors, pool, image) is shared only if both read only.
    Rbd {
        /// Monitors.
        monitors: Vec<Str>,
        /// Pool.
        pool: Str,
        /// Image.
        image: Str,
        /// Read only.
        read_only: bool,
    },
}

impl Disk {
    /// Whether both cannot be used on one node (plugins/volumerestrictions `isVolumeConflict`).
    #[expect(clippy::match_same_arms, reason = "one line for each kind of disk")]
    pub fn conflicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gce { name: a, read_only: ro_a }, Self::Gce { name: b, read_only: ro_b }) => {
                a == b && !(*ro_a && *ro_b)
            }
            (Self::Ebs { id: a }, Self::Ebs { id: b }) => a == b,
            (Self::Iscsi { iqn: a, read_only: ro_a }, Self::Iscsi { iqn: b, read_only: ro_b }) => {
                a == b && !(*ro_a && *ro_b)
            }
            (
                Self::Rbd { monitors: m_a, pool: p_a, image: i_a, read_only: ro_a },
                Self::Rbd { monitors: m_b, pool: p_b, image: i_b, read_only: ro_b },
            ) => {
                m_a.iter().any(|m| m_b.contains(m)) && p_a == p_b && i_a == i_b && !(*ro_a && *ro_b)
            }
            _ => false,
        }
    }
}

/// How often and where a volume may be mounted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct AccessModes {
    /// `ReadWriteOnce`.
    pub read_write_once: bool,
    /// `ReadOnlyMany`.
    pub read_only_many: bool,
    /// `ReadWriteMany`.
    pub read_write_many: bool,
    /// `ReadWriteOncePod`: by one pod in the whole cluster.
    pub read_write_once_pod: bool,
}

impl AccessModes {
    /// Whether a volume with these modes offers all that `wanted` names.
    pub fn contain(&self, wanted: &Self) -> bool {
        (self.read_write_once || !wanted.read_write_once)
            && (self.read_only_many || !wanted.read_only_many)
            && (self.read_write_many || !wanted.read_write_many)
            && (self.read_write_once_pod || !wanted.read_write_once_pod)
    }
}

/// `v1.PersistentVolume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentVolume {
    /// Name.
    pub name: Str,
    /// Labels; those of zone and region are read by VolumeZone.
    pub labels: Labels,
    /// Bytes.
    pub capacity: i64,
    /// Access modes.
    pub access: AccessModes,
    /// Storage class; empty for none.
    pub class: Str,
    /// The claim it is bound to or reserved for.
    pub claim: Option<ClaimRef>,
    /// Nodes from which it can be reached.
    pub node_affinity: Option<NodeSelector>,
    /// CSI driver and volume handle.
    pub csi: Option<(Str, Str)>,
    /// `volumeMode: Block`.
    pub block: bool,
    /// `status.phase` is Available (a volume that is not can only serve the claim it is bound to).
    pub available: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

/// What a volume says of its claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRef {
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// Uid; empty for a volume reserved ahead for a claim of that name.
    pub uid: Str,
}

/// `v1.PersistentVolumeClaim`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentVolumeClaim {
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// Uid.
    pub uid: Str,
    /// Uid of the pod that owns it (generic ephemeral volumes).
    pub owner: Option<Str>,
    /// Storage class; empty for "none"; `None` where the field is absent.
    pub class: Option<Str>,
    /// The volume it names or is bound to.
    pub volume: Option<Str>,
    /// Annotation `pv.kubernetes.io/bind-completed` is there.
    pub bind_completed: bool,
    /// Annotation `volume.kubernetes.io/selected-node`.
    pub selected_node: Option<Str>,
    /// `status.phase` is Lost.
    pub lost: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Bytes requested.
    pub request: i64,
    /// Access modes wanted.
    pub access: AccessModes,
    /// Which volumes by label.
    pub selector: Option<LabelSelector>,
    /// `volumeMode: Block`.
    pub block: bool,
}

/// `storage.k8s.io/v1 StorageClass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageClass {
    /// Name.
    pub name: Str,
    /// Who makes volumes; `kubernetes.io/no-provisioner` for nobody.
    pub provisioner: Str,
    /// `volumeBindingMode: WaitForFirstConsumer`.
    pub wait_for_consumer: bool,
    /// Where volumes can be made: one of the terms must hold; empty means everywhere.
    pub allowed_topologies: NodeSelector,
}

/// `storage.k8s.io/v1 CSINode`: how many volumes of each driver a node takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsiNode {
    /// The node's name.
    pub name: Str,
    /// Driver, and number of volumes (`None`: no limit).
    pub drivers: Vec<(Str, Option<i32>)>,
    /// Annotation `storage.alpha.kubernetes.io/migrated-plugins`: in-tree plugins whose volumes are counted at their CSI driver.
    pub migrated: Vec<Str>,
}

/// `storage.k8s.io/v1 CSIDriver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsiDriver {
    /// Name.
    pub name: Str,
    /// Whether its `CsiCapacity` objects bound where volumes are made.
    pub storage_capacity: bool,
}

/// `storage.k8s.io/v1 CSIStorageCapacity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsiCapacity {
    /// Namespace and name: its identity.
    pub key: (Str, Str),
    /// For which storage class.
    pub class: Str,
    /// For which nodes; `None` for none.
    pub topology: Option<LabelSelector>,
    /// Bytes that are left; `None` counts as nothing left.
    pub capacity: Option<i64>,
    /// Largest single volume in bytes.
    pub largest: Option<i64>,
}

/// `storage.k8s.io/v1 VolumeAttachment`: a volume that is attached though no pod of the node uses it may still take a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeAttachment {
    /// Name.
    pub name: Str,
    /// The CSI driver that attaches.
    pub attacher: Str,
    /// On which node.
    pub node: Str,
    /// Name of the volume.
    pub volume: Option<Str>,
}
