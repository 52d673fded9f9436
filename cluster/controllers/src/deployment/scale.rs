// SPDX-License-Identifier: Apache-2.0
//! Sizes of ReplicaSets: while one template takes the place of another, and when the Deployment's own size changes.

use super::limits::{self, wanted};
use super::revision;
use super::sets::{Set, Sets};
use crate::view::workload::DeploymentSpec;
use std::cmp::Reverse;

/// A ReplicaSet gets another size.
fn resize(set: &mut Set, replicas: i64, spec: &DeploymentSpec) -> bool {
    if set.replicas == replicas {
        return false;
    }
    let way = if replicas > set.replicas { "up" } else { "down" };
    set.told =
        Some(format!("Scaled {way} replica set {} from {} to {replicas}", set.name, set.replicas));
    set.replicas = replicas;
    revision::size(set, spec);
    true
}

/// The size that the newest may have now.
pub(super) fn newest(sets: &Sets, spec: &DeploymentSpec) -> i64 {
    let own = sets.new.as_ref().map_or(0, |set| set.replicas);
    if !limits::rolls(spec) {
        return wanted(spec);
    }
    // Who was just made smaller may still be making pods.
    if sets.old.iter().any(Set::is_stale) {
        return own;
    }
    let room = wanted(spec).saturating_add(limits::surge(spec)).saturating_sub(sets.pods());
    if room <= 0 { own } else { own.saturating_add(room.min(wanted(spec).saturating_sub(own))) }
}

/// The newest grows or shrinks. True if it did.
pub(super) fn grow(sets: &mut Sets, spec: &DeploymentSpec) -> bool {
    let (size, wanted) = (newest(sets, spec), wanted(spec));
    let Some(new) = &mut sets.new else { return false };
    let to = if new.replicas > wanted { wanted } else { size };
    resize(new, to, spec)
}

/// The old ones shrink: first by what is of no use, then by what can be done without. True if any did.
pub(super) fn shrink(sets: &mut Sets, spec: &DeploymentSpec) -> bool {
    if sets.old.iter().all(|set| set.replicas == 0) {
        return false;
    }
    let least = wanted(spec).saturating_sub(limits::unavailable(spec));
    let coming = sets.new.as_ref().map_or(0, |new| new.replicas - new.available());
    let most = sets.replicas() - least - coming;
    if most <= 0 {
        return false;
    }
    let mut shrunk = false;
    let mut left = most;
    for set in &mut sets.old {
        let useless = set.useless().min(left);
        if useless > 0 {
            left -= useless;
            shrunk |= resize(set, set.replicas - useless, spec);
        }
    }
    let mut left = sets.all().map(Set::available).sum::<i64>() - least;
    for set in &mut sets.old {
        let less = set.replicas.min(left);
        if less > 0 {
            left -= less;
            shrunk |= resize(set, set.replicas - less, spec);
        }
    }
    shrunk
}

/// All old ones end. True if any had not.
pub(super) fn empty(sets: &mut Sets, spec: &DeploymentSpec) -> bool {
    let mut any = false;
    for set in &mut sets.old {
        any |= resize(set, 0, spec);
    }
    any
}

/// Whether the Deployment's size is other than that for which its ReplicaSets' were made.
pub(super) fn is_event(sets: &Sets, spec: &DeploymentSpec) -> bool {
    let active = sets.all().filter(|set| set.replicas > 0);
    active.filter_map(revision::desired).any(|desired| desired != wanted(spec))
}

/// Sizes follow the Deployment's: where several ReplicaSets have pods, each by its share.
pub(super) fn follow(sets: &mut Sets, spec: &DeploymentSpec, pods: i64) {
    let wanted = wanted(spec);
    if let Some(only) = only(sets) {
        if !resize(only, wanted, spec) && wanted > 0 {
            revision::size(only, spec);
        }
        return;
    }
    let saturated = sets.new.as_ref().is_some_and(|new| {
        new.replicas == wanted
            && revision::desired(new) == Some(wanted)
            && new.status.available_replicas == wanted
    });
    if saturated {
        empty(sets, spec);
    } else if limits::rolls(spec) {
        share(sets, spec, pods);
    }
}

/// The one ReplicaSet that has pods; if none has, the newest.
fn only(sets: &mut Sets) -> Option<&mut Set> {
    let active = sets.all().filter(|set| set.replicas > 0).count();
    match active {
        0 if sets.new.is_some() => sets.new.as_mut(),
        0 => sets.old.last_mut(),
        1 => sets.all_mut().find(|set| set.replicas > 0),
        _ => None,
    }
}

fn share(sets: &mut Sets, spec: &DeploymentSpec, pods: i64) {
    let wanted = wanted(spec);
    let allowed = if wanted > 0 { wanted.saturating_add(limits::surge(spec)) } else { 0 };
    let more = allowed - sets.replicas();
    let mut active: Vec<&mut Set> = sets.all_mut().filter(|set| set.replicas > 0).collect();
    // The largest first; of equals the newest where there will be more, the oldest where fewer.
    if more > 0 {
        active.sort_by(|a, b| {
            (Reverse(a.replicas), Reverse(a.age())).cmp(&(Reverse(b.replicas), Reverse(b.age())))
        });
    } else {
        active.sort_by(|a, b| (Reverse(a.replicas), a.age()).cmp(&(Reverse(b.replicas), b.age())));
    }
    let mut added = 0;
    let mut sizes = Vec::new();
    for set in &active {
        let part = fraction(set, spec, pods);
        let left = more - added;
        let part = match more {
            0 => 0,
            1.. => part.min(left),
            _ => part.max(left),
        };
        added += part;
        sizes.push(set.replicas + part);
    }
    // What rounding leaves over goes to the first.
    if let Some(first) = sizes.first_mut() {
        *first = (*first + more - added).max(0);
    }
    for (set, size) in active.into_iter().zip(sizes) {
        resize(set, size, spec);
        revision::size(set, spec);
    }
}

/// How a ReplicaSet's size changes by its share of the Deployment.
fn fraction(set: &Set, spec: &DeploymentSpec, pods: i64) -> i64 {
    let wanted = wanted(spec);
    if wanted == 0 {
        return -set.replicas;
    }
    let most = wanted.saturating_add(limits::surge(spec));
    let before = revision::most(set).filter(|most| *most > 0).unwrap_or(pods);
    if before <= 0 {
        return 0;
    }
    // Rounded to the nearest, halves up: all are positive.
    let size =
        set.replicas.saturating_mul(most).saturating_mul(2).saturating_add(before) / (2 * before);
    size - set.replicas
}
