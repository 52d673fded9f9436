// SPDX-License-Identifier: Apache-2.0
//! Objects in groups: those of an owner, of a node, of a namespace. Kept by who reads the changes, so that it is never ahead of what was
//! made of them.

use crate::queue::Key;
use berth_cluster_client::{Change, Item};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which groups an object is in.
type Groups<V> = fn(&Item<V>) -> Vec<String>;

/// Objects by key, and by group.
#[derive(Debug)]
pub(crate) struct Index<V> {
    all: BTreeMap<Key, Arc<Item<V>>>,
    groups: BTreeMap<String, BTreeMap<Key, Arc<Item<V>>>>,
    of: Groups<V>,
}

impl<V> Index<V> {
    pub(crate) fn new(of: Groups<V>) -> Self {
        Self { all: BTreeMap::new(), groups: BTreeMap::new(), of }
    }

    /// Takes a change in.
    pub(crate) fn apply(&mut self, change: &Change<V>) {
        if let Change { before: Some(before), after: Some(after) } = change
            && key(before) == key(after)
        {
            let groups = (self.of)(after);
            if (self.of)(before) == groups {
                return self.put(after, groups);
            }
        }
        if let Some(before) = &change.before {
            let key = key(before);
            for group in (self.of)(before) {
                if let Some(members) = self.groups.get_mut(&group) {
                    members.remove(&key);
                    if members.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
            self.all.remove(&key);
        }
        if let Some(after) = &change.after {
            self.put(after, (self.of)(after));
        }
    }

    fn put(&mut self, item: &Arc<Item<V>>, groups: Vec<String>) {
        let key = key(item);
        for group in groups {
            self.groups.entry(group).or_default().insert(key.clone(), Arc::clone(item));
        }
        self.all.insert(key, Arc::clone(item));
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Item<V>>> {
        self.all.get(key).cloned()
    }

    /// Those of a group, by key.
    pub(crate) fn group(&self, group: &str) -> Vec<Arc<Item<V>>> {
        self.members(group).cloned().collect()
    }

    /// The same, to be looked at.
    pub(crate) fn members<'a>(
        &'a self,
        group: &str,
    ) -> impl Iterator<Item = &'a Arc<Item<V>>> + use<'a, V> {
        self.groups.get(group).into_iter().flat_map(BTreeMap::values)
    }

    /// How many are in a group.
    pub(crate) fn count(&self, group: &str) -> usize {
        self.groups.get(group).map_or(0, BTreeMap::len)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Item<V>>> {
        self.all.values()
    }
}

/// The key of an object.
pub(crate) fn key<V>(item: &Item<V>) -> Key {
    Key::new(&item.id.namespace, &item.id.name)
}

/// The group of what is in a namespace.
pub(crate) fn namespace<V>(item: &Item<V>) -> Vec<String> {
    vec![item.id.namespace.to_string()]
}

/// The group of what a controller has.
pub(crate) fn of(uid: &str) -> String {
    format!("of/{uid}")
}

/// The group of what nobody has.
pub(crate) fn orphans(namespace: &str) -> String {
    format!("in/{namespace}")
}
