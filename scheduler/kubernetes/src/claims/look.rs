// SPDX-License-Identifier: Apache-2.0
//! Whether what was written for a claim has come to be, by what the informers show.

use super::{ClaimError, Decided, Written};
use crate::feed::Followed;
use crate::view::{Kind, Seen};
use berth_cluster_client::{Informer, Item};
use berth_scheduler_core::Binding;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::volume::{PersistentVolume, PersistentVolumeClaim};
use std::sync::Arc;

/// How it stands with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Bound,
    Waits,
}

/// An object as it was shown last, and its version.
struct Shown<K: Kind>(Arc<Item<Seen<K>>>);

impl<K: Kind<Kept = Event>> Shown<K> {
    fn find(informer: &Informer<Seen<K>>, namespace: &str, name: &str) -> Option<Self> {
        informer.get(namespace, name).map(Self)
    }

    fn version(&self) -> u64 {
        self.0.id.resource_version.parse().unwrap_or(0)
    }

    fn claim(&self) -> Option<&PersistentVolumeClaim> {
        match &self.0.view.0 {
            Event::Claim(claim) => Some(claim),
            _ => None,
        }
    }

    fn volume(&self) -> Option<&PersistentVolume> {
        match &self.0.view.0 {
            Event::Volume(volume) => Some(volume),
            _ => None,
        }
    }

    fn node(&self) -> Option<&Node> {
        match &self.0.view.0 {
            Event::Node(node) => Some(node),
            _ => None,
        }
    }
}

/// Looks at a claim, and at whether anything is left to wait for.
pub(super) fn at(
    followed: &Followed,
    decided: &Decided,
    one: &Written<'_>,
) -> Result<Look, ClaimError> {
    let id = &decided.pod.id;
    let pod = followed.pods.get(&id.namespace, &id.name);
    let waits = |pod: &Arc<Item<_>>| pod.id.uid == id.uid && !is_leaving(pod);
    if !pod.as_ref().is_some_and(waits) {
        return Err(ClaimError::Nobody);
    }
    let node = Shown::find(&followed.nodes, "", &decided.node);
    let no_node = || ClaimError::NoNode(decided.node.clone());
    let node = node.as_ref().and_then(Shown::node).ok_or_else(no_node)?;
    let name = one.binding.claim();
    let item = Shown::find(&followed.claims, &id.namespace, name);
    let claim = item.as_ref().and_then(Shown::claim);
    let claim = claim.filter(|claim| !claim.terminating && *claim.uid == *one.uid);
    let claim = claim.ok_or_else(|| ClaimError::Gone(name.to_string()))?;
    match one.binding {
        Binding::Bind { volume, .. } => reserved(followed, one, claim, volume),
        Binding::Provision { .. } => {
            let is_old = item.as_ref().is_some_and(|item| item.version() < one.version);
            if is_old { Ok(Look::Waits) } else { provisioned(followed, claim, node) }
        }
    }
}

fn is_leaving(pod: &Item<crate::view::PodView>) -> bool {
    pod.view.0.pod.terminating || pod.view.0.finished
}

/// Who has a volume, when it is completed; none while it is not.
fn completed(claim: &PersistentVolumeClaim) -> Option<&Str> {
    claim.volume.as_ref().filter(|_| claim.bind_completed)
}

fn reserved(
    followed: &Followed,
    one: &Written<'_>,
    claim: &PersistentVolumeClaim,
    volume: &Str,
) -> Result<Look, ClaimError> {
    let taken = || ClaimError::Taken(volume.to_string());
    let item = Shown::find(&followed.volumes, "", volume);
    let shown = item.as_ref().ok_or_else(taken)?;
    if shown.version() < one.version {
        return Ok(Look::Waits);
    }
    let holder = shown.volume().and_then(|volume| volume.claim.as_ref());
    if holder.is_none_or(|holder| *holder.uid != *one.uid) {
        return Err(taken());
    }
    match completed(claim) {
        Some(has) if has == volume => Ok(Look::Bound),
        Some(_) => Err(ClaimError::Elsewhere(claim.name.to_string())),
        None => Ok(Look::Waits),
    }
}

fn provisioned(
    followed: &Followed,
    claim: &PersistentVolumeClaim,
    node: &Node,
) -> Result<Look, ClaimError> {
    let Some(name) = completed(claim) else {
        let given = claim.volume.is_some();
        let here = claim.selected_node.as_deref() == Some(&*node.name);
        let given_up = || ClaimError::GivenUp(claim.name.to_string());
        return if given || here { Ok(Look::Waits) } else { Err(given_up()) };
    };
    // The volume may be shown after its claim.
    let item = Shown::find(&followed.volumes, "", name);
    let Some(volume) = item.as_ref().and_then(Shown::volume) else { return Ok(Look::Waits) };
    let reachable =
        volume.node_affinity.as_ref().is_none_or(|nodes| nodes.matches("", &node.labels));
    if reachable { Ok(Look::Bound) } else { Err(ClaimError::Unreachable(name.to_string())) }
}
