// SPDX-License-Identifier: Apache-2.0
//! Names and words of the rules: the plugins of kube-scheduler v1.36 in their filter order, their reasons, and status codes.

use crate::Str;
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A plugin that filters or scores. The order is the order in which filters run; `as usize` indexes tables of [`Plugin::COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Plugin {
    /// Refuses nodes marked unschedulable.
    NodeUnschedulable,
    /// Only the named node will do.
    NodeName,
    /// Taints that are not tolerated.
    TaintToleration,
    /// Node selector and node affinity.
    NodeAffinity,
    /// Host ports.
    NodePorts,
    /// CPU, memory, ephemeral storage, extended resources, number of pods.
    NodeResourcesFit,
    /// Disks and claims that cannot be shared.
    VolumeRestrictions,
    /// Attach limits of CSI drivers.
    NodeVolumeLimits,
    /// Claims find or get a volume reachable from the node.
    VolumeBinding,
    /// Zone and region labels of volumes.
    VolumeZone,
    /// Topology spread constraints.
    PodTopologySpread,
    /// Pod affinity and anti-affinity.
    InterPodAffinity,
    /// Resource claims; Berth has none, a pod with claims stays pending.
    DynamicResources,
    /// Features that a pod needs of its node.
    NodeDeclaredFeatures,
    /// Scores even use of resources.
    NodeResourcesBalancedAllocation,
    /// Scores images that are there already.
    ImageLocality,
}

impl Plugin {
    /// All of them, in order.
    pub const ALL: [Self; 16] = [
        Self::NodeUnschedulable,
        Self::NodeName,
        Self::TaintToleration,
        Self::NodeAffinity,
        Self::NodePorts,
        Self::NodeResourcesFit,
        Self::VolumeRestrictions,
        Self::NodeVolumeLimits,
        Self::VolumeBinding,
        Self::VolumeZone,
        Self::PodTopologySpread,
        Self::InterPodAffinity,
        Self::DynamicResources,
        Self::NodeDeclaredFeatures,
        Self::NodeResourcesBalancedAllocation,
        Self::ImageLocality,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// How many of them filter: the first ones.
    pub const FILTERS: usize = 14;

    /// Kubernetes' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeUnschedulable => "NodeUnschedulable",
            Self::NodeName => "NodeName",
            Self::TaintToleration => "TaintToleration",
            Self::NodeAffinity => "NodeAffinity",
            Self::NodePorts => "NodePorts",
            Self::NodeResourcesFit => "NodeResourcesFit",
            Self::VolumeRestrictions => "VolumeRestrictions",
            Self::NodeVolumeLimits => "NodeVolumeLimits",
            Self::VolumeBinding => "VolumeBinding",
            Self::VolumeZone => "VolumeZone",
            Self::PodTopologySpread => "PodTopologySpread",
            Self::InterPodAffinity => "InterPodAffinity",
            Self::DynamicResources => "DynamicResources",
            Self::NodeDeclaredFeatures => "NodeDeclaredFeatures",
            Self::NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            Self::ImageLocality => "ImageLocality",
        }
    }

    /// The plugin of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// The plugin at that place of [`Plugin::ALL`].
    pub fn at(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether preemption may change a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    /// It may.
    Unschedulable,
    /// It cannot.
    UnschedulableAndUnresolvable,
}

impl Code {
    /// Kubernetes' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unschedulable => "Unschedulable",
            Self::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
        }
    }
}

/// Why a rule refuses a node, or the whole pod. [`Reason::text`] gives Kubernetes' words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// The node is marked unschedulable.
    NodeUnschedulable,
    /// Another node is named.
    NodeName,
    /// A taint is not tolerated.
    Taint,
    /// Node selector or affinity does not match.
    NodeAffinity,
    /// The profile's added affinity does not match.
    EnforcedNodeAffinity,
    /// The node is outside what the pod's `metadata.name` match fields allow (PreFilter).
    PreFilterNodeAffinity,
    /// No node can match the `metadata.name` match fields (PreFilter).
    ConflictingNodeNames,
    /// A host port is taken.
    Ports,
    /// Too few pods' places.
    TooManyPods,
    /// Too little of a resource, by its name.
    Insufficient(Str),
    /// A disk is in use.
    DiskConflict,
    /// A `ReadWriteOncePod` claim is in use.
    ReadWriteOncePod,
    /// Attach limit.
    VolumeCount,
    /// A claim does not exist (PreFilter).
    ClaimNotFound(Str),
    /// A claim is being deleted (PreFilter).
    ClaimTerminating(Str),
    /// A claim lost its volume (PreFilter).
    ClaimLost(Str),
    /// The claim of an ephemeral volume is not made yet (PreFilter).
    EphemeralClaimPending(Str),
    /// An ephemeral claim is not owned by the pod (PreFilter): the claim's name.
    ClaimNotOwned(Str),
    /// A claim that should be bound at once is not (PreFilter).
    UnboundImmediateClaims,
    /// A bound volume is not reachable from the node.
    VolumeNodeConflict,
    /// No volume to bind.
    NoVolumeToBind,
    /// A bound claim's volume does not exist.
    VolumeNotFound,
    /// A claim's volume does not exist, as VolumeZone says it of the whole pod (PreFilter): the volume's name.
    VolumeZoneUnknown(Str),
    /// Not enough storage left for new volumes.
    NotEnoughSpace,
    /// The volume is in another zone.
    VolumeZone,
    /// Topology spread.
    Spread,
    /// Topology spread: the node lacks the label.
    SpreadMissingLabel,
    /// Pod affinity.
    Affinity,
    /// The pod's own anti-affinity.
    AntiAffinity,
    /// Other pods' anti-affinity.
    ExistingAntiAffinity,
    /// Features that the node does not declare: the names joined by ", ".
    MissingFeatures(Str),
    /// The room is kept for pods that are nominated to the node.
    Nominated,
    /// Something Berth does not have.
    Unsupported(Str),
}

impl Reason {
    /// Kubernetes' words for it.
    pub fn text(&self) -> String {
        match self {
            Self::NodeUnschedulable => "node(s) were unschedulable".into(),
            Self::NodeName => "node(s) didn't match the requested node name".into(),
            Self::Taint => "node(s) had untolerated taint(s)".into(),
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector".into(),
            Self::EnforcedNodeAffinity => "node(s) didn't match scheduler-enforced node affinity".into(),
            Self::PreFilterNodeAffinity => "node(s) didn't satisfy plugin(s) [NodeAffinity]".into(),
            Self::ConflictingNodeNames => "pod affinity terms conflict".into(),
            Self::Ports => "node(s) didn't have free ports for the requested pod ports".into(),
            Self::TooManyPods => "Too many pods".into(),
            Self::Insufficient(resource) => format!("Insufficient {resource}"),
            Self::DiskConflict => "node(s) had no available disk".into(),
            Self::ReadWriteOncePod => {
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod".into()
            }
            Self::VolumeCount => "node(s) exceed max volume count".into(),
            Self::ClaimNotFound(name) => format!("persistentvolumeclaim \"{name}\" not found"),
            Self::ClaimTerminating(name) => {
                format!("persistentvolumeclaim \"{name}\" is being deleted")
            }
            Self::ClaimLost(name) => {
                format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume")
            }
            Self::EphemeralClaimPending(name) => format!(
                "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
            ),
            Self::ClaimNotOwned(name) => {
                format!("PVC {name} was not created for the pod (pod is not owner)")
            }
            Self::UnboundImmediateClaims => "pod has unbound immediate PersistentVolumeClaims".into(),
            Self::VolumeNodeConflict => "node(s) didn't match PersistentVolume's node affinity".into(),
            Self::NoVolumeToBind => "node(s) didn't find available persistent volumes to bind".into(),
            Self::VolumeNotFound => {
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".into()
            }
            Self::VolumeZoneUnknown(name) => format!("persistentvolume \"{name}\" not found"),
            Self::NotEnoughSpace => "node(s) did not have enough free storage".into(),
            Self::VolumeZone => "node(s) had no available volume zone".into(),
            Self::Spread => "node(s) didn't match pod topology spread constraints".into(),
            Self::SpreadMissingLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)".into()
            }
            Self::Affinity => "node(s) didn't match pod affinity rules".into(),
            Self::AntiAffinity => "node(s) didn't match pod anti-affinity rules".into(),
            Self::ExistingAntiAffinity => {
                "node(s) didn't satisfy existing pods anti-affinity rules".into()
            }
            Self::MissingFeatures(names) => {
                format!("node declared features check failed - unsatisfied requirements: {names}")
            }
            Self::Nominated => "node(s) had no room beside pods nominated to them".into(),
            Self::Unsupported(what) => format!("pod needs what this scheduler does not have: {what}"),
        }
    }
}
