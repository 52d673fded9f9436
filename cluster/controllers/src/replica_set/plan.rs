// SPDX-License-Identifier: Apache-2.0
//! From what is observed of a ReplicaSet and of pods to what is to be done.

use crate::batch::BURST;
use crate::replica_set::rank;
use crate::view::{Micros, Pod, ReplicaSet, selects};
use berth_cluster_client::Item;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pod that is known.
pub type KnownPod = Arc<Item<Pod>>;

/// What is observed.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The ReplicaSet.
    pub set: Arc<Item<ReplicaSet>>,
    /// Pods whose controller it is.
    pub pods: Vec<KnownPod>,
    /// Pods of its namespace that have no controller.
    pub orphans: Vec<KnownPod>,
    /// Its pods, and those of ReplicaSets that have the same controller; looked at only where there are too many.
    pub related: Vec<KnownPod>,
    /// Uids of pods that were told to go, and are not seen to: they are not counted on any more.
    pub going: BTreeSet<String>,
    /// All that was done before is in what is observed.
    pub settled: bool,
    /// The time.
    pub now: Micros,
}

/// Which pods change hands.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Pods that become its own.
    pub adopt: Vec<KnownPod>,
    /// Pods that are no longer.
    pub release: Vec<KnownPod>,
    /// Pods that stay.
    pub keep: Vec<KnownPod>,
}

/// How the number of pods changes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Nothing changes.
    None,
    /// So many are created.
    Create(usize),
    /// These are deleted.
    Delete(Vec<KnownPod>),
}

/// Whose pods are whose. One that is on its way out, or a ReplicaSet that is, takes and gives nothing.
pub fn claims(observed: &Observed) -> Claims {
    let set = &observed.set.view;
    let fits = |pod: &KnownPod| selects(&set.selector, &pod.view.metadata.labels);
    let mut claims = Claims::default();
    for pod in &observed.pods {
        if fits(pod) {
            claims.keep.push(Arc::clone(pod));
        } else if !set.metadata.deleted() && !pod.view.metadata.deleted() {
            claims.release.push(Arc::clone(pod));
        }
    }
    if !set.metadata.deleted() {
        let orphans = observed.orphans.iter().filter(|pod| pod.view.active() && fits(pod));
        claims.adopt.extend(orphans.cloned());
    }
    claims
}

/// How many pods come or go, once `owned` are the ReplicaSet's own.
pub fn change(observed: &Observed, owned: &[KnownPod]) -> Change {
    let set = &observed.set.view;
    if !observed.settled || set.metadata.deleted() {
        return Change::None;
    }
    let active: Vec<KnownPod> = owned.iter().filter(|pod| pod.view.active()).cloned().collect();
    let wanted = usize::try_from(set.replicas).unwrap_or(0);
    match wanted.checked_sub(active.len()) {
        Some(0) => Change::None,
        Some(missing) => Change::Create(missing.min(BURST)),
        None => {
            let surplus = (active.len() - wanted).min(BURST);
            Change::Delete(first_to_go(active, &observed.related, surplus, observed.now))
        }
    }
}

/// Of pods those that go first.
fn first_to_go(
    pods: Vec<KnownPod>,
    related: &[KnownPod],
    count: usize,
    now: Micros,
) -> Vec<KnownPod> {
    if count >= pods.len() {
        return pods;
    }
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related.iter().filter(|pod| pod.view.active()) {
        *on_node.entry(&pod.view.spec.node_name).or_default() += 1;
    }
    let beside = |pod: &Pod| on_node.get(pod.spec.node_name.as_str()).copied().unwrap_or(0);
    let mut ranked: Vec<_> =
        pods.into_iter().map(|pod| (rank::rank(&pod, beside(&pod.view), now), pod)).collect();
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.into_iter().take(count).map(|(_, pod)| pod).collect()
}
