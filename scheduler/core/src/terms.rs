// SPDX-License-Identifier: Apache-2.0
//! Which affinity terms match which pods, with upstream's two ways of reading a namespace selector.

use crate::intern::Interner;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::pod::PodAffinityTerm;

/// Namespaces by id: names, and labels of those that exist.
#[derive(Debug)]
pub(crate) struct Namespaces {
    pub(crate) ids: Interner,
    /// By id; `None`: not known to exist.
    labels: Vec<Option<Labels>>,
    none: Labels,
    /// Changes whenever some namespace's labels or existence do.
    pub(crate) epoch: u32,
}

impl Namespaces {
    pub(crate) fn new(ids: Interner) -> Self {
        Self { ids, labels: Vec::new(), none: Labels::default(), epoch: 1 }
    }

    /// A namespace is there with these labels (`None`: it is gone). Says whether that changed anything.
    pub(crate) fn set(&mut self, name: &Str, labels: Option<Labels>) -> bool {
        let id = self.ids.intern_str(name) as usize;
        self.labels.resize(self.labels.len().max(id + 1), None);
        let changed = self.labels[id] != labels;
        if changed {
            self.labels[id] = labels;
            self.epoch += 1;
        }
        changed
    }

    fn existing(&self, id: u32) -> Option<&Labels> {
        self.labels.get(id as usize)?.as_ref()
    }
}

/// Whether a term of the *incoming* pod matches an existing one. Upstream resolves the selector to the namespaces that exist,
/// but v1.36 keeps it in the term and asks it once more with no labels at all: one that is empty or only excludes
/// (`DoesNotExist`, `NotIn`) takes in every namespace.
pub(crate) fn own_term_matches(
    term: &PodAffinityTerm,
    namespaces: &Namespaces,
    namespace: u32,
    labels: &Labels,
) -> bool {
    let named = term.namespaces.iter().any(|n| *n == *namespaces.ids.name(namespace));
    let selected = || {
        term.namespace_selector.as_ref().is_some_and(|s| {
            s.matches(&namespaces.none)
                || namespaces.existing(namespace).is_some_and(|l| s.matches(l))
        })
    };
    (named || selected()) && term.selector.as_ref().is_some_and(|s| s.matches(labels))
}

/// Whether a term of an *existing* pod matches the incoming one. A namespace that is not known counts as one without labels.
pub(crate) fn existing_term_matches(
    term: &PodAffinityTerm,
    namespaces: &Namespaces,
    namespace: u32,
    labels: &Labels,
) -> bool {
    let named = term.namespaces.iter().any(|n| *n == *namespaces.ids.name(namespace));
    let selected = || {
        term.namespace_selector
            .as_ref()
            .is_some_and(|s| s.matches(namespaces.existing(namespace).unwrap_or(&namespaces.none)))
    };
    (named || selected()) && term.selector.as_ref().is_some_and(|s| s.matches(labels))
}
