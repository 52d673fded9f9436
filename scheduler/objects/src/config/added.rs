// SPDX-License-Identifier: Apache-2.0
//! Parts of arguments that have the shape of a pod's fields: added node affinity and default spread constraints.

use super::fields::Problems;
use crate::error::{ObjectError, Path, Problem};
use crate::field::Lax;
use crate::pod::{NodeAffinityView, SpreadView};
use berth_scheduler_model::pod::SpreadConstraint;
use berth_scheduler_model::profile::Profile;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn view<T: DeserializeOwned + Default>(value: &Value, path: &Path<'_>) -> Result<T, ObjectError> {
    crate::field::view::<Lax<T>, _>(value)
        .map(|view| view.0)
        .map_err(|error| path.field(&error.path).error(error.problem))
}

/// `NodeAffinityArgs.addedAffinity`.
pub(super) fn affinity(value: &Value, path: &Path<'_>, profile: &mut Profile, problems: &Problems) {
    let read = view(value, path).and_then(|view: NodeAffinityView| view.read(path));
    if let Some((required, preferred)) = problems.keep(read) {
        profile.added_required = required;
        profile.added_preferred = preferred;
    }
}

/// `PodTopologySpreadArgs.defaultConstraints`.
pub(super) fn constraints(
    list: &[Value],
    path: &Path<'_>,
    problems: &Problems,
) -> Vec<SpreadConstraint> {
    let mut constraints: Vec<SpreadConstraint> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let at = path.index(index);
        let read = view(value, &at).and_then(|view: SpreadView| view.read(&at));
        let Some(constraint) = problems.keep(read) else { continue };
        if constraint.selector.is_some() {
            problems.note(
                &at.field("labelSelector"),
                Problem::Rule("the selector is taken from what owns the pod; it cannot be given"),
            );
        }
        let twin = |other: &SpreadConstraint| {
            other.topology_key == constraint.topology_key && other.hard == constraint.hard
        };
        if constraints.iter().any(twin) {
            problems.note(&at, Problem::Rule("listed twice"));
        }
        constraints.push(constraint);
    }
    constraints
}
