// SPDX-License-Identifier: Apache-2.0
//! What a Deployment says of itself.

use super::limits::{self, wanted};
use super::sets::{Set, Sets};
use crate::view::workload::{DeploymentSpec, DeploymentStatus};
use crate::view::{Condition, Deployment, Micros};
use std::time::Duration;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";
const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// Seconds within which there has to be progress; none if nobody watches.
pub(super) fn deadline(spec: &DeploymentSpec) -> Option<i64> {
    spec.progress_deadline_seconds.filter(|seconds| *seconds != i64::from(i32::MAX))
}

/// A condition of a status.
pub(super) fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|one| one.kind == kind)
}

/// A condition is so. Where status and reason stay, nothing changes.
fn set(
    status: &mut DeploymentStatus,
    kind: &str,
    value: (&str, &str),
    message: String,
    now: Micros,
) {
    let at = Some(Micros(now.0 / 1_000_000 * 1_000_000));
    let (value, reason) = value;
    let old = find(status, kind);
    if old.is_some_and(|old| old.status == value && old.reason == reason) {
        return;
    }
    let since = old.filter(|old| old.status == value).map_or(at, |old| old.last_transition_time);
    remove(status, kind);
    status.conditions.push(Condition {
        kind: kind.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        last_update_time: at,
        last_heartbeat_time: None,
    });
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    status.conditions.retain(|one| one.kind != kind);
}

/// Says that it is paused, or no longer.
pub(super) fn pause(spec: &DeploymentSpec, status: &mut DeploymentStatus, now: Micros) {
    let reason = find(status, PROGRESSING).map(|one| one.reason.clone());
    let reason = reason.as_deref();
    if deadline(spec).is_none() || reason == Some(TIMED_OUT) {
        return;
    }
    let paused = reason == Some("DeploymentPaused");
    if spec.paused && !paused {
        let text = "Deployment is paused".to_owned();
        set(status, PROGRESSING, ("Unknown", "DeploymentPaused"), text, now);
    } else if !spec.paused && paused {
        let text = "Deployment is resumed".to_owned();
        set(status, PROGRESSING, ("Unknown", "DeploymentResumed"), text, now);
    }
}

/// Says that there is a ReplicaSet of the template: it was there, or is made now.
pub(super) fn found(spec: &DeploymentSpec, status: &mut DeploymentStatus, new: &Set, now: Micros) {
    if deadline(spec).is_none() {
        return;
    }
    if new.item.is_none() {
        let text = format!("Created new replica set \"{}\"", new.name);
        set(status, PROGRESSING, ("True", "NewReplicaSetCreated"), text, now);
    } else if find(status, PROGRESSING).is_none() {
        let text = format!("Found new replica set \"{}\"", new.name);
        set(status, PROGRESSING, ("True", "FoundNewReplicaSet"), text, now);
    }
}

/// Says that there can be none.
pub(super) fn not_made(
    spec: &DeploymentSpec,
    status: &mut DeploymentStatus,
    message: &str,
    now: Micros,
) {
    if deadline(spec).is_some() {
        let text = message.to_owned();
        set(status, PROGRESSING, ("False", "ReplicaSetCreateError"), text, now);
    }
}

/// The counts, and whether enough pods are available.
pub(super) fn count(
    deployment: &Deployment,
    sets: &Sets,
    status: &mut DeploymentStatus,
    now: Micros,
) {
    let sum = |of: fn(&Set) -> i64| sets.all().map(of).sum::<i64>();
    let available = sum(|set| set.status.available_replicas);
    status.observed_generation = deployment.metadata.generation;
    status.replicas = sum(|set| set.status.replicas);
    status.updated_replicas = sets.new.as_ref().map_or(0, |set| set.status.replicas);
    status.ready_replicas = sum(|set| set.status.ready_replicas);
    status.available_replicas = available;
    status.unavailable_replicas = (sets.replicas() - available).max(0);
    status.terminating_replicas = sets.all().map(|set| set.status.terminating_replicas).sum();
    let spec = &deployment.spec;
    if available >= wanted(spec) - limits::unavailable(spec) {
        let text = "Deployment has minimum availability.".to_owned();
        set(status, AVAILABLE, ("True", "MinimumReplicasAvailable"), text, now);
    } else {
        let text = "Deployment does not have minimum availability.".to_owned();
        set(status, AVAILABLE, ("False", "MinimumReplicasUnavailable"), text, now);
    }
}

/// Whether all that was wanted is there.
pub(super) fn complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = wanted(&deployment.spec);
    [status.updated_replicas, status.replicas, status.available_replicas] == [wanted; 3]
        && status.observed_generation >= deployment.metadata.generation
}

fn progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let others = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    new.updated_replicas > old.updated_replicas
        || others(new) < others(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

/// The time that is left for progress; none if nobody waits for it.
pub(super) fn left(
    deployment: &Deployment,
    status: &DeploymentStatus,
    now: Micros,
) -> Option<Duration> {
    let seconds = deadline(&deployment.spec)?;
    let condition = find(status, PROGRESSING)?;
    if complete(deployment, status) || condition.reason == TIMED_OUT || condition.reason == DONE {
        return None;
    }
    let since = condition.last_update_time.or(condition.last_transition_time).unwrap_or_default();
    let end = since.0.saturating_add(seconds.saturating_mul(1_000_000));
    Some(Duration::from_micros(u64::try_from(end.saturating_sub(now.0)).unwrap_or(0)))
}

/// How the rollout goes, after `status` was counted.
pub(super) fn progress(
    deployment: &Deployment,
    sets: &Sets,
    status: &mut DeploymentStatus,
    now: Micros,
) {
    if deadline(&deployment.spec).is_none() {
        remove(status, PROGRESSING);
        return;
    }
    let current = find(status, PROGRESSING).cloned();
    let done = current.as_ref().is_some_and(|one| one.reason == DONE);
    if done && status.replicas == status.updated_replicas {
        return;
    }
    let what = match &sets.new {
        Some(new) => format!("ReplicaSet \"{}\"", new.name),
        None => "Deployment".to_owned(),
    };
    if complete(deployment, status) {
        let text = format!("{what} has successfully progressed.");
        set(status, PROGRESSING, ("True", DONE), text, now);
    } else if progressing(&deployment.status, status) {
        // It is said anew each time: the deadline counts from the last progress.
        let since = current.filter(|one| one.status == "True").map(|one| one.last_transition_time);
        remove(status, PROGRESSING);
        let text = format!("{what} is progressing.");
        set(status, PROGRESSING, ("True", "ReplicaSetUpdated"), text, now);
        if let (Some(since), Some(last)) = (since, status.conditions.last_mut()) {
            last.last_transition_time = since;
        }
    } else if left(deployment, status, now).is_some_and(|left| left.is_zero()) {
        let text = format!("{what} has timed out progressing.");
        set(status, PROGRESSING, ("False", TIMED_OUT), text, now);
    }
}

/// What a ReplicaSet cannot do its Deployment says, the newest's first.
pub(super) fn failures(sets: &Sets, status: &mut DeploymentStatus, now: Micros) {
    let of = |set: &Set| set.status.conditions.iter().find(|one| one.kind == FAILURE).cloned();
    let failure = sets.new.as_ref().and_then(of).or_else(|| sets.old.iter().find_map(of));
    match failure {
        None => remove(status, FAILURE),
        Some(one) => set(status, FAILURE, (&one.status, &one.reason), one.message, now),
    }
}
