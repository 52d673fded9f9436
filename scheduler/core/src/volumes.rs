// SPDX-License-Identifier: Apache-2.0
//! Volumes, claims and storage classes, and the four rules about them: VolumeRestrictions, NodeVolumeLimits, VolumeBinding and
//! VolumeZone of kube-scheduler v1.36.
//!
//! What the engine itself has assumed (a volume for a claim, a node for a claim whose volume is to be made) lies over what the
//! cluster says, so that two pods in a row never get one volume. An assumption ends when the cluster says the same, or when the
//! pod is forgotten.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::rules::{Code, Plugin, Reason};
use berth_scheduler_model::volume::{
    ClaimRef, CsiCapacity, CsiDriver, CsiNode, Disk, PersistentVolume, PersistentVolumeClaim,
    PodVolume, StorageClass, VolumeAttachment,
};

const ZONE_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

type ClaimKey = (Str, Str);

/// What a placement decides about one claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// The claim gets this volume.
    Bind {
        /// Name of the claim, in the pod's namespace.
        claim: Str,
        /// Name of the volume.
        volume: Str,
    },
    /// A volume is to be made for the claim where the pod goes.
    Provision {
        /// Name of the claim, in the pod's namespace.
        claim: Str,
    },
}

impl Binding {
    /// Name of the claim, in the pod's namespace.
    pub fn claim(&self) -> &Str {
        let (Self::Bind { claim, .. } | Self::Provision { claim }) = self;
        claim
    }
}

/// Everything about storage.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) claims: BTreeMap<ClaimKey, PersistentVolumeClaim>,
    pub(crate) volumes: BTreeMap<Str, PersistentVolume>,
    pub(crate) classes: BTreeMap<Str, StorageClass>,
    pub(crate) csi_nodes: BTreeMap<Str, CsiNode>,
    pub(crate) csi_drivers: BTreeMap<Str, CsiDriver>,
    pub(crate) capacities: BTreeMap<ClaimKey, CsiCapacity>,
    pub(crate) attachments: BTreeMap<Str, VolumeAttachment>,
    /// Volumes given to claims that the cluster does not show yet.
    assumed_volumes: BTreeMap<Str, ClaimKey>,
    /// The same by claim; without a volume: one is being made for this node.
    assumed_claims: BTreeMap<ClaimKey, Assumption>,
    /// Pods on nodes that use a claim.
    users: BTreeMap<ClaimKey, u32>,
    /// Changes with anything here.
    epoch: u64,
}

/// What is assumed of a claim, and the uids of the pods for which it is.
#[derive(Debug)]
struct Assumption {
    what: Assumed,
    pods: Vec<Str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Assumed {
    Volume(Str),
    Node(Str),
}

/// A pod's volumes as the rules read them.
#[derive(Clone, Copy)]
pub(crate) struct Wants<'a> {
    pub(crate) namespace: &'a Str,
    pub(crate) spec: &'a PodSpec,
    /// The pod's uid: a generic ephemeral volume's claim must be owned by it.
    pub(crate) uid: &'a str,
}

/// A node as the rules read it.
pub(crate) struct There<'a, I: Iterator<Item = (&'a Str, &'a PodSpec)> + Clone> {
    pub(crate) node: &'a Node,
    /// Pods on it: namespace and spec.
    pub(crate) pods: I,
    /// Of the pod's `ReadWriteOncePod` claims so many are in use by pods that the rule is to count.
    pub(crate) once_conflicts: i64,
}

/// A refusal by one plugin.
pub(crate) type Refusal = (Plugin, Vec<Reason>, Code);

/// The claims that a spec names, with whether they are ephemeral.
fn claims(spec: &PodSpec) -> impl Iterator<Item = (&Str, bool)> {
    spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim { name, ephemeral } => Some((name, *ephemeral)),
        PodVolume::Disk(_) | PodVolume::Csi { .. } => None,
    })
}

fn disks(spec: &PodSpec) -> impl Iterator<Item = &Disk> {
    spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Disk(disk) => Some(disk),
        PodVolume::Claim { .. } | PodVolume::Csi { .. } => None,
    })
}

impl Storage {
    pub(crate) fn new() -> Self {
        Self {
            claims: BTreeMap::new(),
            volumes: BTreeMap::new(),
            classes: BTreeMap::new(),
            csi_nodes: BTreeMap::new(),
            csi_drivers: BTreeMap::new(),
            capacities: BTreeMap::new(),
            attachments: BTreeMap::new(),
            assumed_volumes: BTreeMap::new(),
            assumed_claims: BTreeMap::new(),
            users: BTreeMap::new(),
            epoch: 1,
        }
    }

    /// See the field.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Something changed.
    pub(crate) fn touch(&mut self) {
        self.epoch += 1;
    }

    /// Takes in a change of anything about storage.
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Volume(volume) => {
                self.volumes.insert(volume.name.clone(), *volume);
            }
            Event::VolumeGone(name) => {
                self.volumes.remove(&name);
            }
            Event::Claim(claim) => self.set_claim(*claim),
            Event::ClaimGone { namespace, name } => {
                self.claims.remove(&(namespace, name));
            }
            Event::Class(class) => {
                self.classes.insert(class.name.clone(), class);
            }
            Event::ClassGone(name) => {
                self.classes.remove(&name);
            }
            Event::CsiNode(node) => {
                self.csi_nodes.insert(node.name.clone(), node);
            }
            Event::CsiNodeGone(name) => {
                self.csi_nodes.remove(&name);
            }
            Event::CsiDriver(driver) => {
                self.csi_drivers.insert(driver.name.clone(), driver);
            }
            Event::CsiDriverGone(name) => {
                self.csi_drivers.remove(&name);
            }
            Event::Capacity(capacity) => {
                self.capacities.insert(capacity.key.clone(), capacity);
            }
            Event::CapacityGone { key } => {
                self.capacities.remove(&key);
            }
            Event::Attachment(attachment) => {
                self.attachments.insert(attachment.name.clone(), attachment);
            }
            Event::AttachmentGone(name) => {
                self.attachments.remove(&name);
            }
            other => debug_assert!(false, "not about storage: {other:?}"),
        }
        self.touch();
    }

    /// A claim is there, or changed: what was assumed of it and is now so is no longer assumed.
    pub(crate) fn set_claim(&mut self, claim: PersistentVolumeClaim) {
        let key = (claim.namespace.clone(), claim.name.clone());
        let settled = match self.assumed_of(&claim) {
            Some(Assumed::Volume(_)) => is_bound(&claim),
            Some(Assumed::Node(_)) => claim.volume.is_some(),
            None => false,
        };
        if settled {
            self.end(&key);
        }
        self.claims.insert(key, claim);
        self.touch();
    }

    /// A pod of this spec came onto (`true`) or went off its node.
    pub(crate) fn count_users(&mut self, namespace: &Str, spec: &PodSpec, came: bool) {
        if spec.volumes.is_empty() {
            return;
        }
        for (at, (name, ephemeral)) in claims(spec).enumerate() {
            // A pod is one user, also of a claim that it names twice.
            if ephemeral || claims(spec).take(at).any(|(other, e)| !e && other == name) {
                continue;
            }
            let key = (namespace.clone(), name.clone());
            let users = self.users.entry(key.clone()).or_insert(0);
            if came {
                *users += 1;
            } else {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(&key);
                }
            }
        }
        self.touch();
    }

    fn claim(&self, namespace: &Str, name: &Str) -> Option<&PersistentVolumeClaim> {
        self.claims.get(&(namespace.clone(), name.clone()))
    }

    /// The volume of a claim, as the cluster has it or as assumed.
    fn volume_name<'a>(&'a self, claim: &'a PersistentVolumeClaim) -> Option<&'a Str> {
        claim.volume.as_ref().or_else(|| match self.assumed_of(claim) {
            Some(Assumed::Volume(name)) => Some(name),
            _ => None,
        })
    }

    fn assumed_of(&self, claim: &PersistentVolumeClaim) -> Option<&Assumed> {
        if self.assumed_claims.is_empty() {
            return None;
        }
        let key = (claim.namespace.clone(), claim.name.clone());
        self.assumed_claims.get(&key).map(|assumption| &assumption.what)
    }

    fn volume_of(&self, claim: &PersistentVolumeClaim) -> Option<&PersistentVolume> {
        self.volumes.get(self.volume_name(claim)?)
    }

    fn class_of(&self, claim: &PersistentVolumeClaim) -> Option<&StorageClass> {
        claim.class.as_ref().and_then(|name| self.classes.get(name))
    }

    /// Whether the claim is bound, for good or as assumed.
    fn bound(&self, claim: &PersistentVolumeClaim) -> bool {
        is_bound(claim) || matches!(self.assumed_of(claim), Some(Assumed::Volume(_)))
    }

    /// Whether the claim waits for a pod before it is bound.
    fn waits(&self, claim: &PersistentVolumeClaim) -> bool {
        self.class_of(claim).is_some_and(|class| class.wait_for_consumer)
            && self.volume_name(claim).is_none()
    }

    /// What refuses the pod as a whole (PreFilter).
    pub(crate) fn pre_filter(
        &self,
        wants: Wants<'_>,
        runs: impl Fn(Plugin) -> bool,
    ) -> Option<(Plugin, Reason)> {
        let restrictions = || {
            let mut unknown = claims(wants.spec).filter(|(name, ephemeral)| {
                !ephemeral && self.claim(wants.namespace, name).is_none()
            });
            unknown.next().map(|(name, _)| Reason::ClaimNotFound(name.clone()))
        };
        if runs(Plugin::VolumeRestrictions)
            && let Some(reason) = restrictions()
        {
            return Some((Plugin::VolumeRestrictions, reason));
        }
        if runs(Plugin::VolumeBinding)
            && let Some(reason) = self.binding_pre_filter(wants)
        {
            return Some((Plugin::VolumeBinding, reason));
        }
        if runs(Plugin::VolumeZone)
            && let Err(reason) = self.zones(wants)
        {
            return Some((Plugin::VolumeZone, reason));
        }
        None
    }

    fn binding_pre_filter(&self, wants: Wants<'_>) -> Option<Reason> {
        for (name, ephemeral) in claims(wants.spec) {
            let name = name.clone();
            let Some(claim) = self.claim(wants.namespace, &name) else {
                return Some(if ephemeral {
                    Reason::EphemeralClaimPending(name)
                } else {
                    Reason::ClaimNotFound(name)
                });
            };
            if claim.lost {
                return Some(Reason::ClaimLost(name));
            }
            if claim.terminating {
                return Some(Reason::ClaimTerminating(name));
            }
            if ephemeral && claim.owner.as_deref() != Some(wants.uid) {
                return Some(Reason::ClaimNotOwned(name));
            }
        }
        let immediate = claims(wants.spec)
            .filter_map(|(name, _)| self.claim(wants.namespace, name))
            .any(|claim| !self.bound(claim) && !self.waits(claim));
        immediate.then_some(Reason::UnboundImmediateClaims)
    }

    /// How many of the pod's `ReadWriteOncePod` claims pods on nodes use.
    pub(crate) fn once_conflicts(&self, wants: Wants<'_>) -> i64 {
        let nobody = core::iter::empty();
        self.once_conflicts_after(wants, nobody.clone(), nobody)
    }

    /// The same once `leaving` left, who are on nodes, and `coming` came.
    pub(crate) fn once_conflicts_after<'a>(
        &self,
        wants: Wants<'_>,
        leaving: impl Iterator<Item = (&'a Str, &'a PodSpec)> + Clone,
        coming: impl Iterator<Item = (&'a Str, &'a PodSpec)> + Clone,
    ) -> i64 {
        let used = self.once_claims(wants).filter(|name| {
            let uses = |(namespace, spec): &(&Str, &PodSpec)| {
                *namespace == wants.namespace && claims(spec).any(|(n, e)| !e && n == *name)
            };
            let users = self.users.get(&(wants.namespace.clone(), (*name).clone()));
            let users = users.map_or(0, |users| *users as usize);
            users > leaving.clone().filter(uses).count() || coming.clone().any(|pod| uses(&pod))
        });
        i64::try_from(used.count()).expect("few claims")
    }

    fn once_claims<'a>(&'a self, wants: Wants<'a>) -> impl Iterator<Item = &'a Str> {
        claims(wants.spec).filter(|(_, ephemeral)| !ephemeral).map(|(name, _)| name).filter(
            move |name| {
                self.claim(wants.namespace, name).is_some_and(|c| c.access.read_write_once_pod)
            },
        )
    }

    /// Whether VolumeRestrictions is left out for the whole cycle.
    pub(crate) fn skips_restrictions(&self, wants: Wants<'_>) -> bool {
        disks(wants.spec).next().is_none() && self.once_conflicts(wants) == 0
    }

    /// Refusals of a node, in filter order.
    pub(crate) fn refusals<'a, I>(
        &self,
        wants: Wants<'_>,
        there: &There<'a, I>,
        runs: impl Fn(Plugin) -> bool,
        mut report: impl FnMut(Refusal) -> bool,
    ) where
        I: Iterator<Item = (&'a Str, &'a PodSpec)> + Clone,
    {
        let resolvable = |plugin, reason| (plugin, alloc::vec![reason], Code::Unschedulable);
        if runs(Plugin::VolumeRestrictions) && !self.skips_restrictions(wants) {
            let mut used = there.pods.clone().flat_map(|(_, spec)| disks(spec));
            let reason = if used.any(|disk| disks(wants.spec).any(|w| w.conflicts(disk))) {
                Some(Reason::DiskConflict)
            } else {
                (there.once_conflicts > 0).then_some(Reason::ReadWriteOncePod)
            };
            if let Some(reason) = reason
                && !report(resolvable(Plugin::VolumeRestrictions, reason))
            {
                return;
            }
        }
        if runs(Plugin::NodeVolumeLimits)
            && let Some((reasons, code)) = self.limits(wants, there)
            && !report((Plugin::NodeVolumeLimits, reasons, code))
        {
            return;
        }
        if runs(Plugin::VolumeBinding) {
            let reasons = self.binding(wants, there.node);
            let code = Code::UnschedulableAndUnresolvable;
            if !reasons.is_empty() && !report((Plugin::VolumeBinding, reasons, code)) {
                return;
            }
        }
        if runs(Plugin::VolumeZone)
            && let Some(reason) = self.zone(wants, there.node)
        {
            let code = Code::UnschedulableAndUnresolvable;
            report((Plugin::VolumeZone, alloc::vec![reason], code));
        }
    }

    /// The CSI volumes of a pod as (driver, handle); besides, the name of a claim that is not there.
    fn attached(
        &self,
        csi_node: Option<&CsiNode>,
        namespace: &Str,
        spec: &PodSpec,
        found: &mut BTreeSet<(Str, Str)>,
    ) -> Option<Str> {
        let mut missing = None;
        for volume in &spec.volumes {
            match volume {
                PodVolume::Claim { name, .. } => match self.claim(namespace, name) {
                    Some(claim) => found.extend(self.driver_and_handle(claim)),
                    None => missing = Some(name.clone()),
                },
                PodVolume::Disk(disk) => found.extend(migrated(csi_node, disk)),
                PodVolume::Csi { .. } => {}
            }
        }
        missing
    }

    /// Driver and handle of a claim's volume, or, where it has none yet, what its class will make.
    fn driver_and_handle(&self, claim: &PersistentVolumeClaim) -> Option<(Str, Str)> {
        match self.volume_of(claim) {
            Some(volume) => volume.csi.clone().filter(|(_, handle)| !handle.is_empty()),
            None => {
                let class =
                    self.classes.get(claim.class.as_ref().filter(|name| !name.is_empty())?)?;
                // Not a handle that a driver gives.
                let handle = format!("\0{}/{}", claim.namespace, claim.name);
                Some((class.provisioner.clone(), Str::from(handle)))
            }
        }
    }

    /// NodeVolumeLimits.
    fn limits<'a, I>(&self, wants: Wants<'_>, there: &There<'a, I>) -> Option<(Vec<Reason>, Code)>
    where
        I: Iterator<Item = (&'a Str, &'a PodSpec)> + Clone,
    {
        let csi_node = self.csi_nodes.get(&there.node.name);
        let mut new = BTreeSet::new();
        if let Some(name) = self.attached(csi_node, wants.namespace, wants.spec, &mut new) {
            let reason = Reason::ClaimNotFound(name);
            return Some((alloc::vec![reason], Code::UnschedulableAndUnresolvable));
        }
        let limit = |driver: &Str| {
            let drivers = &csi_node?.drivers;
            drivers.iter().find(|(name, _)| name == driver).and_then(|(_, limit)| *limit)
        };
        if new.iter().all(|(driver, _)| limit(driver).is_none()) {
            return None;
        }
        let mut held: BTreeSet<(Str, Str)> = BTreeSet::new();
        for (namespace, spec) in there.pods.clone().filter(|(_, spec)| !spec.volumes.is_empty()) {
            self.attached(csi_node, namespace, spec, &mut held);
        }
        let here = self.attachments.values().filter(|a| a.node == there.node.name);
        held.extend(here.filter_map(|a| self.volumes.get(a.volume.as_ref()?)?.csi.clone()));
        new.retain(|volume| !held.contains(volume));
        let exceeded = new.iter().any(|(driver, _)| {
            let of = |set: &BTreeSet<(Str, Str)>| set.iter().filter(|(d, _)| d == driver).count();
            limit(driver)
                .is_some_and(|limit| of(&held) + of(&new) > usize::try_from(limit).unwrap_or(0))
        });
        exceeded.then(|| (alloc::vec![Reason::VolumeCount], Code::Unschedulable))
    }

    /// VolumeBinding.
    fn binding(&self, wants: Wants<'_>, node: &Node) -> Vec<Reason> {
        let (bound, unbound): (Vec<_>, Vec<_>) = claims(wants.spec)
            .filter_map(|(name, _)| self.claim(wants.namespace, name))
            .partition(|claim| self.bound(claim));
        let mut reasons = Vec::new();
        // The first claim that is not well decides.
        for claim in bound {
            match self.volume_of(claim) {
                None => reasons.push(Reason::VolumeNotFound),
                Some(volume) if !reachable(volume, node) => {
                    reasons.push(Reason::VolumeNodeConflict);
                }
                Some(_) => continue,
            }
            break;
        }
        let unbound = unbound.into_iter().filter(|claim| self.waits(claim)).collect();
        reasons.extend(self.bind(unbound, node).err());
        reasons
    }

    /// What to do about each claim that waits: a volume that is there, or one to be made.
    fn bind(
        &self,
        claims: Vec<&PersistentVolumeClaim>,
        node: &Node,
    ) -> Result<Vec<Binding>, Reason> {
        let selected = |claim: &PersistentVolumeClaim| match self.assumed_of(claim) {
            Some(Assumed::Node(node)) => Some(node.clone()),
            _ => claim.selected_node.clone(),
        };
        if claims.iter().any(|claim| selected(claim).is_some_and(|name| name != node.name)) {
            return Err(Reason::NoVolumeToBind);
        }
        let (mut to_make, mut to_find): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| selected(claim).is_some());
        to_find.sort_by_key(|claim| claim.request);
        let mut chosen: BTreeSet<Str> = BTreeSet::new();
        let mut bindings = Vec::new();
        for claim in to_find {
            match self.find(claim, node, &chosen) {
                Some(volume) => {
                    chosen.insert(volume.name.clone());
                    let (claim, volume) = (claim.name.clone(), volume.name.clone());
                    bindings.push(Binding::Bind { claim, volume });
                }
                None => to_make.push(claim),
            }
        }
        for claim in to_make {
            self.make(claim, node)?;
            bindings.push(Binding::Provision { claim: claim.name.clone() });
        }
        Ok(bindings)
    }

    /// The volume bound to the claim ahead, or the smallest that will do.
    fn find(
        &self,
        claim: &PersistentVolumeClaim,
        node: &Node,
        chosen: &BTreeSet<Str>,
    ) -> Option<&PersistentVolume> {
        let class = claim.class.as_deref().unwrap_or("");
        let mut best: Option<&PersistentVolume> = None;
        for volume in self.volumes.values().filter(|volume| *volume.class == *class) {
            let reserved = self.reserved_for(volume, claim);
            let unfit = chosen.contains(&volume.name)
                || reserved == Some(false)
                || volume.capacity < claim.request
                || volume.block != claim.block
                || volume.terminating;
            if unfit {
                continue;
            }
            if reserved == Some(true) {
                return reachable(volume, node).then_some(volume);
            }
            let fits = volume.available
                && claim.selector.as_ref().is_none_or(|s| s.matches(&volume.labels))
                && reachable(volume, node)
                && volume.access.contain(&claim.access);
            if fits && best.is_none_or(|best| best.capacity > volume.capacity) {
                best = Some(volume);
            }
        }
        best
    }

    /// Whether a volume is kept for this claim (`Some(true)`), for another, or for none.
    fn reserved_for(
        &self,
        volume: &PersistentVolume,
        claim: &PersistentVolumeClaim,
    ) -> Option<bool> {
        if let Some((namespace, name)) = self.assumed_volumes.get(&volume.name) {
            return Some(*namespace == claim.namespace && *name == claim.name);
        }
        volume.claim.as_ref().map(|ClaimRef { namespace, name, uid }| {
            *namespace == claim.namespace
                && *name == claim.name
                && (uid.is_empty() || *uid == claim.uid)
        })
    }

    /// Whether a volume can be made for the claim on this node.
    fn make(&self, claim: &PersistentVolumeClaim, node: &Node) -> Result<(), Reason> {
        let class = self.class_of(claim).ok_or(Reason::NoVolumeToBind)?;
        let nobody = &*class.provisioner == "kubernetes.io/no-provisioner";
        let topologies = &class.allowed_topologies;
        if nobody || !(topologies.terms.is_empty() || topologies.matches("", &node.labels)) {
            return Err(Reason::NoVolumeToBind);
        }
        if !self.csi_drivers.get(&class.provisioner).is_some_and(|d| d.storage_capacity) {
            return Ok(());
        }
        let mut capacities = self.capacities.values().filter(|capacity| {
            let left = capacity.largest.or(capacity.capacity);
            let topology = capacity.topology.as_ref();
            capacity.class == class.name
                && left.is_some_and(|left| left >= claim.request)
                && topology.is_some_and(|topology| topology.matches(&node.labels))
        });
        if capacities.next().is_none() { Err(Reason::NotEnoughSpace) } else { Ok(()) }
    }

    /// Zones and regions that the claims' volumes are in.
    fn zones(&self, wants: Wants<'_>) -> Result<Vec<ZoneRule>, Reason> {
        let mut zones = Vec::new();
        for (name, ephemeral) in claims(wants.spec) {
            let claim = self.claim(wants.namespace, name);
            let volume = claim.and_then(|claim| self.volume_name(claim));
            let Some(name) = volume.filter(|_| !ephemeral) else { continue };
            let volume =
                self.volumes.get(name).ok_or_else(|| Reason::VolumeZoneUnknown(name.clone()))?;
            for (label, current) in ZONE_LABELS {
                let Some(value) = volume.labels.get(label) else { continue };
                let values: BTreeSet<Str> =
                    value.split("__").map(|v| Str::from(v.trim())).collect();
                // A list with an empty part is not understood, and passed over.
                if values.iter().all(|value| !value.is_empty()) {
                    zones.push((label, current, values));
                }
            }
        }
        Ok(zones)
    }

    /// VolumeZone.
    fn zone(&self, wants: Wants<'_>, node: &Node) -> Option<Reason> {
        if ZONE_LABELS.iter().all(|(label, _)| node.labels.get(label).is_none()) {
            return None;
        }
        let zones = self.zones(wants).unwrap_or_default();
        let elsewhere = zones.iter().any(|(label, current, values)| {
            let here = node.labels.get(label).or_else(|| node.labels.get(current));
            here.is_none_or(|here| !values.contains(here))
        });
        elsewhere.then_some(Reason::VolumeZone)
    }

    /// Assumes what a placement on this node needs, and says what that is.
    pub(crate) fn assume(&mut self, wants: Wants<'_>, node: &Node) -> Vec<Binding> {
        let waiting: Vec<&PersistentVolumeClaim> = claims(wants.spec)
            .filter_map(|(name, _)| self.claim(wants.namespace, name))
            .filter(|claim| !self.bound(claim) && self.waits(claim))
            .collect();
        let mut bindings = self.bind(waiting, node).unwrap_or_default();
        // A claim that the pod names twice was looked at twice, as upstream does; it gets one volume.
        let mut seen = BTreeSet::new();
        bindings.retain(|binding| seen.insert(binding.claim().clone()));
        // What was assumed for another pod holds for this one as well, and outlives the other.
        let shared = claims(wants.spec).filter_map(|(name, _)| {
            match &self.assumed_claims.get(&(wants.namespace.clone(), name.clone()))?.what {
                Assumed::Volume(volume) => {
                    Some(Binding::Bind { claim: name.clone(), volume: volume.clone() })
                }
                Assumed::Node(_) => None,
            }
        });
        bindings.extend(shared.filter(|binding| seen.insert(binding.claim().clone())));
        self.assume_again(wants.namespace, &node.name, &bindings, wants.uid);
        bindings
    }

    /// Assumes what was decided about claims of this namespace, for a pod on the node of this name.
    pub(crate) fn assume_again(
        &mut self,
        namespace: &Str,
        node: &Str,
        bindings: &[Binding],
        uid: &str,
    ) {
        for binding in bindings {
            let key = (namespace.clone(), binding.claim().clone());
            let what = match binding {
                Binding::Bind { volume, .. } => Assumed::Volume(volume.clone()),
                Binding::Provision { .. } => Assumed::Node(node.clone()),
            };
            if self.assumed_claims.get(&key).is_none_or(|assumption| assumption.what != what) {
                self.end(&key);
                if let Assumed::Volume(volume) = &what {
                    self.assumed_volumes.insert(volume.clone(), key.clone());
                }
                self.assumed_claims.insert(key.clone(), Assumption { what, pods: Vec::new() });
            }
            if let Some(assumption) = self.assumed_claims.get_mut(&key) {
                assumption.pods.push(Str::from(uid));
            }
        }
        if !bindings.is_empty() {
            self.touch();
        }
    }

    /// A pod with these decisions about its claims is gone: what was assumed of a claim ends with the last of its pods.
    pub(crate) fn let_go(&mut self, namespace: &Str, bindings: &[Binding], uid: &str) {
        for binding in bindings {
            let key = (namespace.clone(), binding.claim().clone());
            let Some(assumption) = self.assumed_claims.get_mut(&key) else { continue };
            assumption.pods.retain(|pod| **pod != *uid);
            if assumption.pods.is_empty() {
                self.end(&key);
                self.touch();
            }
        }
    }

    fn end(&mut self, key: &ClaimKey) {
        if let Some(Assumption { what: Assumed::Volume(volume), .. }) =
            self.assumed_claims.remove(key)
        {
            self.assumed_volumes.remove(&volume);
        }
    }
}

type ZoneRule = (&'static str, &'static str, BTreeSet<Str>);

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.volume.is_some() && claim.bind_completed
}

fn reachable(volume: &PersistentVolume, node: &Node) -> bool {
    // Upstream gives the selector a node without a name.
    volume.node_affinity.as_ref().is_none_or(|affinity| affinity.matches("", &node.labels))
}

/// A disk in the pod itself, where the node counts it at the CSI driver that its plugin moved to.
fn migrated(csi_node: Option<&CsiNode>, disk: &Disk) -> Option<(Str, Str)> {
    let (plugin, driver, handle) = match disk {
        Disk::Gce { name, .. } => ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io", name),
        Disk::Ebs { id } => ("kubernetes.io/aws-ebs", "ebs.csi.aws.com", id),
        Disk::Iscsi { .. } | Disk::Rbd { .. } => return None,
    };
    let on = csi_node?.migrated.iter().any(|migrated| **migrated == *plugin);
    on.then(|| (Str::from(driver), handle.clone()))
}
