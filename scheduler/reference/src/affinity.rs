// SPDX-License-Identifier: Apache-2.0
//! NodeAffinity.

use crate::filters::{Refusal, refuse};
use crate::snapshot::NodeInfo;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Operator;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::Reason;
use std::collections::BTreeSet;

/// Which nodes the pod's terms name by `metadata.name In`; `None` where one term does not, and so all may do.
pub(crate) fn named_nodes(pod: &Pod) -> Option<BTreeSet<Str>> {
    let terms = &pod.spec.node_required.as_ref()?.terms;
    if terms.is_empty() {
        return None;
    }
    let mut names = BTreeSet::new();
    for term in terms {
        let mut lists = term.fields.iter().filter(|field| field.operator == Operator::In);
        let first: BTreeSet<Str> = lists.next()?.values.iter().cloned().collect();
        names.extend(lists.fold(first, |names, list| {
            names.into_iter().filter(|name| list.values.contains(name)).collect()
        }));
    }
    Some(names)
}

/// Whether the pod's own node selector and required affinity allow the node.
pub(crate) fn allows(pod: &Pod, info: &NodeInfo<'_>) -> bool {
    pod.spec.node_selector.iter().all(|(key, value)| info.label(key) == Some(value))
        && pod
            .spec
            .node_required
            .as_ref()
            .is_none_or(|required| required.matches(&info.node.name, &info.node.labels))
}

/// The filter.
pub(crate) fn filter(profile: &Profile, pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let added = profile.added_required.as_ref();
    if added.is_some_and(|added| !added.matches(&info.node.name, &info.node.labels)) {
        return Some(refuse(Reason::EnforcedNodeAffinity));
    }
    (!allows(pod, info)).then(|| refuse(Reason::NodeAffinity))
}

/// The sum of the weights of what is preferred and holds; `None` where nothing is preferred.
pub(crate) fn preference(profile: &Profile, pod: &Pod, info: &NodeInfo<'_>) -> Option<i64> {
    let preferred = || profile.added_preferred.iter().chain(&pod.spec.node_preferred);
    preferred().next()?;
    let holds = preferred().filter(|(_, term)| term.matches(&info.node.name, &info.node.labels));
    Some(holds.map(|(weight, _)| i64::from(*weight)).sum())
}
