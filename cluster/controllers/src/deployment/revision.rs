// SPDX-License-Identifier: Apache-2.0
//! What annotations say: which template came when, and for which size a ReplicaSet was last made.

use super::limits;
use super::sets::{Set, Sets};
use crate::view::Texts;
use crate::view::workload::DeploymentSpec;

/// The revision of a template; of a Deployment, that of its newest.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// What a Deployment does not pass on.
const KEPT: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// The longest history (upstream's number).
const HISTORY_BYTES_MAX: usize = 2000;

/// The ReplicaSet of the template says the newest revision, and the Deployment's annotations.
pub(super) fn renew(sets: &mut Sets, annotations: &Texts, spec: &DeploymentSpec) {
    let newest = sets.old.iter().map(Set::revision).max().unwrap_or(0).saturating_add(1);
    let Some(new) = &mut sets.new else { return };
    for (name, value) in annotations.iter().filter(|(name, _)| !KEPT.contains(&name.as_str())) {
        new.annotations.insert(name.clone(), value.clone());
    }
    let before = new.annotations.get(REVISION).cloned();
    if new.revision() < newest {
        new.annotations.insert(REVISION.to_owned(), newest.to_string());
        if let Some(before) = before.filter(|before| !before.is_empty()) {
            remember(&mut new.annotations, &before);
        }
    }
    if new.item.is_none() {
        size(new, spec);
    }
    new.min_ready_seconds = spec.min_ready_seconds;
}

/// A revision joins the history; the oldest fall out where it grows too long.
fn remember(annotations: &mut Texts, revision: &str) {
    let history = annotations.get(HISTORY).cloned().unwrap_or_default();
    let mut all: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
    all.push(revision);
    let length = |all: &[&str]| all.iter().map(|one| one.len() + 1).sum::<usize>();
    let mut from = 0;
    while length(&all[from..]) > HISTORY_BYTES_MAX + 1 {
        from += 1;
    }
    let joined = all[from..].join(",");
    annotations.insert(HISTORY.to_owned(), joined);
}

/// A ReplicaSet says for which size of the Deployment its own was made.
pub(super) fn size(set: &mut Set, spec: &DeploymentSpec) {
    let wanted = limits::wanted(spec);
    let most = wanted.saturating_add(limits::surge(spec));
    set.annotations.insert(DESIRED.to_owned(), wanted.to_string());
    set.annotations.insert(MAX.to_owned(), most.to_string());
}

fn number(set: &Set, name: &str) -> Option<i64> {
    set.annotations.get(name)?.parse().ok()
}

/// The size for which a ReplicaSet's was made.
pub(super) fn desired(set: &Set) -> Option<i64> {
    number(set, DESIRED)
}

/// The most pods that there could be then.
pub(super) fn most(set: &Set) -> Option<i64> {
    number(set, MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_has_its_length() {
        let mut annotations = Texts::new();
        for revision in 1..3000 {
            remember(&mut annotations, &revision.to_string());
        }
        let history = &annotations[HISTORY];
        assert!(history.len() <= HISTORY_BYTES_MAX && history.len() > 1990);
        assert!(history.ends_with(",2998,2999"));
        let mut short = Texts::new();
        for revision in ["1", "3"] {
            remember(&mut short, revision);
        }
        assert_eq!(short[HISTORY], "1,3");
    }
}
