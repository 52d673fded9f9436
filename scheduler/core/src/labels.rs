// SPDX-License-Identifier: Apache-2.0
//! Which label keys live rules read: labels that none reads make no difference between pods.

use crate::hash::{Hasher, Table};
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels};
use berth_scheduler_model::pod::PodSpec;

#[derive(Debug)]
struct Key {
    key: Str,
    /// Rules that read it.
    readers: u32,
    /// Specs that have it.
    holders: u32,
}

/// Readers and holders of each label key.
#[derive(Debug)]
pub(crate) struct LabelKeys {
    keys: Table<Key>,
    hasher: Hasher,
}

/// The label keys that a selector reads.
fn selector_keys(selector: Option<&LabelSelector>) -> impl Iterator<Item = &Str> {
    selector.into_iter().flat_map(|s| s.requirements.iter().map(|r| &r.key))
}

/// The label keys of pods that a spec's rules read.
fn read_by(spec: &PodSpec) -> impl Iterator<Item = &Str> {
    let spread = spec
        .spread
        .iter()
        .flat_map(|c| selector_keys(c.selector.as_ref()).chain(c.match_label_keys.iter()));
    let required = spec.affinity_required.iter().chain(&spec.anti_affinity_required);
    let preferred = spec.affinity_preferred.iter().chain(&spec.anti_affinity_preferred);
    let terms = required.chain(preferred.map(|(_, term)| term));
    spread.chain(terms.flat_map(|t| selector_keys(t.selector.as_ref())))
}

impl LabelKeys {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { keys: Table::new(), hasher }
    }

    /// A spec is there: it holds its labels and reads those its rules name. Says which keys are now read that were not, and that
    /// some spec holds.
    pub(crate) fn add_spec(&mut self, spec: &PodSpec) -> Vec<Str> {
        let mut newly = Vec::new();
        for key in read_by(spec) {
            let key = self.key(key);
            key.readers += 1;
            if key.readers == 1 && key.holders > 0 {
                newly.push(key.key.clone());
            }
        }
        for (key, _) in spec.labels.iter() {
            self.key(key).holders += 1;
        }
        newly
    }

    /// A spec is gone.
    pub(crate) fn remove_spec(&mut self, spec: &PodSpec) {
        for key in read_by(spec) {
            self.key(key).readers -= 1;
            self.tidy(key);
        }
        for (key, _) in spec.labels.iter() {
            self.key(key).holders -= 1;
            self.tidy(key);
        }
    }

    /// A Service or controller selects by these labels; as `add_spec`.
    pub(crate) fn add_selector(&mut self, selector: Option<&LabelSelector>) -> Vec<Str> {
        let mut newly = Vec::new();
        for key in selector_keys(selector) {
            let key = self.key(key);
            key.readers += 1;
            if key.readers == 1 && key.holders > 0 {
                newly.push(key.key.clone());
            }
        }
        newly
    }

    /// It no longer does.
    pub(crate) fn remove_selector(&mut self, selector: Option<&LabelSelector>) {
        for key in selector_keys(selector) {
            self.key(key).readers -= 1;
            self.tidy(key);
        }
    }

    /// The labels that some rule reads.
    pub(crate) fn read(&self, labels: &Labels) -> Labels {
        labels.iter().filter(|(key, _)| self.is_read(key)).cloned().collect()
    }

    fn is_read(&self, key: &Str) -> bool {
        self.keys.find(self.hasher.hash(&**key), |k| k.key == *key).is_some_and(|k| k.readers > 0)
    }

    fn key(&mut self, key: &Str) -> &mut Key {
        let hash = self.hasher.hash(&**key);
        let hasher = &self.hasher;
        self.keys
            .entry(hash, |k| k.key == *key, |k| hasher.hash(&*k.key))
            .or_insert_with(|| Key { key: key.clone(), readers: 0, holders: 0 })
            .into_mut()
    }

    fn tidy(&mut self, key: &Str) {
        let hash = self.hasher.hash(&**key);
        if let Ok(found) = self.keys.find_entry(hash, |k| k.key == *key)
            && found.get().readers == 0
            && found.get().holders == 0
        {
            found.remove();
        }
    }
}
