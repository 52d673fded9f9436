// SPDX-License-Identifier: Apache-2.0
//! VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone.

use crate::filters::{Refusal, refuse, resolvable};
use crate::snapshot::{NodeInfo, Snapshot};
use crate::state::State;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::NodeSelector;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::rules::{Code, Reason};
use berth_scheduler_model::volume::{
    CsiNode, Disk, PersistentVolume, PersistentVolumeClaim, PodVolume, StorageClass,
};
use std::collections::{BTreeMap, BTreeSet};

const ZONE_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// The claims that a pod names, with whether they are ephemeral.
fn claims(pod: &Pod) -> impl Iterator<Item = (&Str, bool)> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim { name, ephemeral } => Some((name, *ephemeral)),
        _ => None,
    })
}

fn claim<'a>(state: &'a State, pod: &Pod, name: &Str) -> Option<&'a PersistentVolumeClaim> {
    state.claims.get(&(pod.namespace.clone(), name.clone()))
}

fn disks(pod: &Pod) -> impl Iterator<Item = &Disk> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Disk(disk) => Some(disk),
        _ => None,
    })
}

/// VolumeRestrictions, before nodes are looked at.
pub(crate) fn restrictions_pre_filter(state: &State, pod: &Pod) -> Option<Reason> {
    let mut unknown =
        claims(pod).filter(|(name, ephemeral)| !ephemeral && claim(state, pod, name).is_none());
    unknown.next().map(|(name, _)| Reason::ClaimNotFound(name.clone()))
}

/// How many of the pod's `ReadWriteOncePod` claims are used by a pod on any node.
pub(crate) fn once_conflicts(pod: &Pod, snapshot: &Snapshot<'_>) -> usize {
    let once = claims(pod).filter(|(name, ephemeral)| {
        let once = |claim: &PersistentVolumeClaim| claim.access.read_write_once_pod;
        !ephemeral && claim(snapshot.state, pod, name).is_some_and(once)
    });
    once.filter(|(name, _)| {
        let uses = |other: &Pod| {
            other.namespace == pod.namespace
                && claims(other).any(|(used, ephemeral)| !ephemeral && used == *name)
        };
        snapshot.pods().any(|(_, other)| uses(other))
    })
    .count()
}

/// Whether VolumeRestrictions has nothing to say in this cycle.
pub(crate) fn restrictions_skip(pod: &Pod, conflicts: usize) -> bool {
    disks(pod).next().is_none() && conflicts == 0
}

/// VolumeRestrictions.
pub(crate) fn restrictions(conflicts: usize, pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let mut used = info.pods.iter().flat_map(|other| disks(other));
    if used.any(|disk| disks(pod).any(|wanted| wanted.conflicts(disk))) {
        return Some(resolvable(Reason::DiskConflict));
    }
    (conflicts > 0).then(|| resolvable(Reason::ReadWriteOncePod))
}

/// The CSI volumes of a pod as (driver, handle); an error for a claim that is not there.
fn attached(
    state: &State,
    csi_node: Option<&CsiNode>,
    pod: &Pod,
) -> (BTreeSet<(Str, Str)>, Option<Reason>) {
    let mut found = BTreeSet::new();
    let mut missing = None;
    for volume in &pod.spec.volumes {
        match volume {
            PodVolume::Claim { name, .. } => match claim(state, pod, name) {
                Some(claim) => found.extend(driver_and_handle(state, claim)),
                None => missing = Some(Reason::ClaimNotFound(name.clone())),
            },
            PodVolume::Disk(disk) => found.extend(migrated(csi_node, disk)),
            PodVolume::Csi { .. } => {}
        }
    }
    (found, missing)
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

/// Driver and handle of a claim's volume, or, where it has none yet, what its class will make.
fn driver_and_handle(state: &State, claim: &PersistentVolumeClaim) -> Option<(Str, Str)> {
    if let Some(volume) = claim.volume.as_ref().and_then(|name| state.volumes.get(name)) {
        return volume.csi.clone().filter(|(_, handle)| !handle.is_empty());
    }
    let class = state.classes.get(claim.class.as_ref().filter(|name| !name.is_empty())?)?;
    let handle = format!("\0{}/{}", claim.namespace, claim.name);
    Some((class.provisioner.clone(), Str::from(handle)))
}

/// NodeVolumeLimits.
pub(crate) fn limits(pod: &Pod, snapshot: &Snapshot<'_>, info: &NodeInfo<'_>) -> Option<Refusal> {
    let state = snapshot.state;
    let csi_node = state.csi_nodes.get(&info.node.name);
    let (mut new, missing) = attached(state, csi_node, pod);
    if let Some(missing) = missing {
        return Some(refuse(missing));
    }
    let limit = |driver: &Str| {
        let drivers = &csi_node?.drivers;
        drivers.iter().find(|(name, _)| name == driver).and_then(|(_, limit)| *limit)
    };
    let mut there: BTreeSet<(Str, Str)> =
        info.pods.iter().flat_map(|other| attached(state, csi_node, other).0).collect();
    let here = state.attachments.values().filter(|attachment| attachment.node == info.node.name);
    there.extend(here.filter_map(|a| state.volumes.get(a.volume.as_ref()?)?.csi.clone()));
    new.retain(|volume| !there.contains(volume));
    let mut count: BTreeMap<&Str, usize> = BTreeMap::new();
    for (driver, _) in &new {
        *count.entry(driver).or_default() += 1;
    }
    let exceeded = count.into_iter().any(|(driver, count)| {
        let used = there.iter().filter(|(other, _)| other == driver).count();
        limit(driver).is_some_and(|limit| used + count > usize::try_from(limit).unwrap_or(0))
    });
    exceeded.then(|| resolvable(Reason::VolumeCount))
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.volume.is_some() && claim.bind_completed
}

fn class_of<'a>(state: &'a State, claim: &PersistentVolumeClaim) -> Option<&'a StorageClass> {
    claim.class.as_ref().and_then(|name| state.classes.get(name))
}

/// Whether the claim waits for a pod before it is bound.
fn waits(state: &State, claim: &PersistentVolumeClaim) -> bool {
    class_of(state, claim).is_some_and(|class| class.wait_for_consumer) && claim.volume.is_none()
}

/// VolumeBinding, before nodes are looked at.
pub(crate) fn binding_pre_filter(state: &State, pod: &Pod) -> Option<Reason> {
    for (name, ephemeral) in claims(pod) {
        let name = name.clone();
        let Some(claim) = claim(state, pod, &name) else {
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
        if ephemeral && claim.owner.as_ref() != Some(&pod.uid) {
            return Some(Reason::ClaimNotOwned(name));
        }
    }
    let immediate = claims(pod)
        .filter_map(|(name, _)| claim(state, pod, name))
        .any(|claim| !is_bound(claim) && !waits(state, claim));
    immediate.then_some(Reason::UnboundImmediateClaims)
}

fn reachable(volume: &PersistentVolume, info: &NodeInfo<'_>) -> bool {
    // Upstream gives the selector a node without a name.
    volume.node_affinity.as_ref().is_none_or(|affinity| affinity.matches("", &info.node.labels))
}

/// VolumeBinding.
pub(crate) fn binding(state: &State, pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let claims: Vec<&PersistentVolumeClaim> =
        claims(pod).filter_map(|(name, _)| claim(state, pod, name)).collect();
    let (bound, unbound): (Vec<_>, Vec<_>) = claims.into_iter().partition(|c| is_bound(c));
    let mut reasons = Vec::new();
    // The first claim that is not well decides.
    for claim in bound {
        match claim.volume.as_ref().and_then(|name| state.volumes.get(name)) {
            None => reasons.push(Reason::VolumeNotFound),
            Some(volume) if !reachable(volume, info) => reasons.push(Reason::VolumeNodeConflict),
            Some(_) => continue,
        }
        break;
    }
    let unbound = unbound.into_iter().filter(|claim| waits(state, claim)).collect();
    reasons.extend(bind(state, unbound, info));
    (!reasons.is_empty()).then_some((reasons, Code::UnschedulableAndUnresolvable))
}

/// Finds or makes a volume for each claim.
fn bind(state: &State, claims: Vec<&PersistentVolumeClaim>, info: &NodeInfo<'_>) -> Option<Reason> {
    let elsewhere = |node: &Str| *node != info.node.name;
    if claims.iter().any(|claim| claim.selected_node.as_ref().is_some_and(elsewhere)) {
        return Some(Reason::NoVolumeToBind);
    }
    let (mut to_make, mut to_find): (Vec<_>, Vec<_>) =
        claims.into_iter().partition(|claim| claim.selected_node.is_some());
    to_find.sort_by_key(|claim| claim.request);
    let mut chosen = BTreeSet::new();
    for claim in to_find {
        match find(state, claim, info, &chosen) {
            Some(volume) => drop(chosen.insert(volume.name.clone())),
            None => to_make.push(claim),
        }
    }
    to_make.into_iter().find_map(|claim| make(state, claim, info).err())
}

/// The volume bound to the claim ahead, or the smallest that will do.
fn find<'a>(
    state: &'a State,
    claim: &PersistentVolumeClaim,
    info: &NodeInfo<'_>,
    chosen: &BTreeSet<Str>,
) -> Option<&'a PersistentVolume> {
    let class = claim.class.clone().unwrap_or_else(|| Str::from(""));
    let mut best: Option<&PersistentVolume> = None;
    for volume in state.volumes.values().filter(|volume| volume.class == class) {
        let reserved = volume.claim.as_ref().map(|reference| {
            reference.namespace == claim.namespace
                && reference.name == claim.name
                && (reference.uid.is_empty() || reference.uid == claim.uid)
        });
        let unfit = chosen.contains(&volume.name)
            || reserved == Some(false)
            || volume.capacity < claim.request
            || volume.block != claim.block
            || volume.terminating;
        if unfit {
            continue;
        }
        if reserved == Some(true) {
            return reachable(volume, info).then_some(volume);
        }
        let fits = volume.available
            && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.labels))
            && reachable(volume, info)
            && volume.access.contain(&claim.access);
        if fits && best.is_none_or(|best| best.capacity > volume.capacity) {
            best = Some(volume);
        }
    }
    best
}

/// Whether a volume can be made for the claim.
fn make(state: &State, claim: &PersistentVolumeClaim, info: &NodeInfo<'_>) -> Result<(), Reason> {
    let class = class_of(state, claim).ok_or(Reason::NoVolumeToBind)?;
    let nobody = &*class.provisioner == "kubernetes.io/no-provisioner";
    if nobody || !in_topology(&class.allowed_topologies, info) {
        return Err(Reason::NoVolumeToBind);
    }
    let bounded = state.csi_drivers.get(&class.provisioner).is_some_and(|d| d.storage_capacity);
    let mut capacities = state.capacities.values().filter(|capacity| {
        let left = capacity.largest.or(capacity.capacity);
        let topology = capacity.topology.as_ref();
        capacity.class == class.name
            && left.is_some_and(|left| left >= claim.request)
            && topology.is_some_and(|topology| topology.matches(&info.node.labels))
    });
    if bounded && capacities.next().is_none() {
        return Err(Reason::NotEnoughSpace);
    }
    Ok(())
}

fn in_topology(topologies: &NodeSelector, info: &NodeInfo<'_>) -> bool {
    topologies.terms.is_empty() || topologies.matches("", &info.node.labels)
}

/// Two names of a label, and the values that a node may have there.
pub(crate) type Zone = (&'static str, &'static str, BTreeSet<Str>);

/// VolumeZone, before nodes are looked at: what zones and regions the claims' volumes are in.
pub(crate) fn zones(state: &State, pod: &Pod) -> Result<Vec<Zone>, Reason> {
    let mut zones = Vec::new();
    for (name, ephemeral) in claims(pod) {
        let volume = claim(state, pod, name).and_then(|claim| claim.volume.as_ref());
        let Some(volume) = volume.filter(|_| !ephemeral) else { continue };
        let volume =
            state.volumes.get(volume).ok_or_else(|| Reason::VolumeZoneUnknown(volume.clone()))?;
        for (label, current) in ZONE_LABELS {
            let Some(value) = volume.labels.get(label) else { continue };
            let values: Vec<&str> = value.split("__").map(str::trim).collect();
            // A list with an empty part is not understood, and passed over.
            if values.iter().all(|value| !value.is_empty()) {
                zones.push((label, current, values.into_iter().map(Str::from).collect()));
            }
        }
    }
    Ok(zones)
}

/// VolumeZone.
pub(crate) fn zone(zones: &[Zone], info: &NodeInfo<'_>) -> Option<Refusal> {
    if ZONE_LABELS.iter().all(|(label, _)| info.label(label).is_none()) {
        return None;
    }
    let elsewhere = zones.iter().any(|(label, current, values)| {
        let here = info.label(label).or_else(|| info.label(current));
        here.is_none_or(|here| !values.contains(here))
    });
    elsewhere.then(|| refuse(Reason::VolumeZone))
}
