// SPDX-License-Identifier: Apache-2.0
//! What is known of a kind, and how it changes. No IO and no clock.

use compact_str::CompactString as Text;
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::Deserialize;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Who an object is (`metadata`, as far as everybody needs it).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Id {
    /// Its namespace; empty for a kind without.
    #[serde(default)]
    pub namespace: Text,
    /// Its name.
    #[serde(default)]
    pub name: Text,
    /// Its uid: one of the same name with another uid is another object.
    #[serde(default)]
    pub uid: String,
    /// Its version.
    #[serde(default)]
    pub resource_version: Text,
}

/// An object that is known.
#[derive(Debug, Clone)]
pub struct Item<V> {
    /// Who it is.
    pub id: Id,
    /// What is kept of it.
    pub view: V,
}

/// What became of one object.
#[derive(Debug)]
pub struct Change<V> {
    /// As it was; none if it is new.
    pub before: Option<Arc<Item<V>>>,
    /// As it is; none if it is gone.
    pub after: Option<Arc<Item<V>>>,
}

impl<V> Clone for Change<V> {
    fn clone(&self) -> Self {
        Self { before: self.before.clone(), after: self.after.clone() }
    }
}

/// Objects by namespace and name, which they have themselves.
#[derive(Debug)]
pub(crate) struct Known<V> {
    objects: HashTable<Arc<Item<V>>>,
    hasher: DefaultHashBuilder,
}

impl<V> Default for Known<V> {
    fn default() -> Self {
        Self { objects: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

fn hash(hasher: &DefaultHashBuilder, namespace: &str, name: &str) -> u64 {
    hasher.hash_one((namespace, name))
}

fn is<V>(item: &Item<V>, namespace: &str, name: &str) -> bool {
    item.id.name == name && item.id.namespace == namespace
}

impl<V> Known<V> {
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Item<V>>> {
        let hash = hash(&self.hasher, namespace, name);
        self.objects.find(hash, |item| is(item, namespace, name)).cloned()
    }

    /// Puts an object in the place of the one that has its name.
    fn put(&mut self, item: Arc<Item<V>>) -> Option<Arc<Item<V>>> {
        let Self { objects, hasher } = self;
        let of = |item: &Arc<Item<V>>| hash(hasher, &item.id.namespace, &item.id.name);
        let id = &item.id;
        match objects.entry(of(&item), |known| is(known, &id.namespace, &id.name), of) {
            Entry::Occupied(mut place) => Some(std::mem::replace(place.get_mut(), item)),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&item));
                None
            }
        }
    }

    fn take(&mut self, id: &Id) -> Option<Arc<Item<V>>> {
        let hash = hash(&self.hasher, &id.namespace, &id.name);
        let place = self.objects.find_entry(hash, |item| is(item, &id.namespace, &id.name));
        place.ok().map(|place| place.remove().0)
    }

    /// All objects, by namespace and name.
    pub(crate) fn all(&self) -> Vec<Arc<Item<V>>> {
        let mut all: Vec<_> = self.objects.iter().cloned().collect();
        all.sort_unstable_by(|a, b| by_name(&a.id, &b.id));
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// An object is so. One that takes the name of another is told as the end of that and a beginning.
    pub(crate) fn set(&mut self, item: Arc<Item<V>>) -> Vec<Change<V>> {
        match self.put(Arc::clone(&item)) {
            Some(before) if before.id.uid != item.id.uid => vec![
                Change { before: Some(before), after: None },
                Change { before: None, after: Some(item) },
            ],
            // Told again, after a watch was begun anew.
            Some(before) if before.id.resource_version == item.id.resource_version => Vec::new(),
            before => vec![Change { before, after: Some(item) }],
        }
    }

    /// An object is gone; unless it is another one that has its name.
    pub(crate) fn remove(&mut self, id: &Id) -> Vec<Change<V>> {
        if self.get(&id.namespace, &id.name).is_none_or(|known| known.id.uid != id.uid) {
            return Vec::new();
        }
        vec![Change { before: self.take(id), after: None }]
    }

    /// These are all there are: what differs is told, ends first, by namespace and name.
    pub(crate) fn replace(&mut self, items: Vec<Arc<Item<V>>>) -> Vec<Change<V>> {
        let mut old = std::mem::take(self);
        let mut changes = Vec::new();
        let mut ends = Vec::new();
        for item in items {
            match old.take(&item.id) {
                Some(before) if before.id.uid != item.id.uid => {
                    ends.push(before);
                    changes.push(Change { before: None, after: Some(Arc::clone(&item)) });
                }
                Some(before) if before.id.resource_version == item.id.resource_version => {
                    self.put(before);
                    continue;
                }
                before => changes.push(Change { before, after: Some(Arc::clone(&item)) }),
            }
            self.put(item);
        }
        ends.extend(old.objects);
        ends.sort_unstable_by(|a, b| by_name(&a.id, &b.id));
        let ends = ends.into_iter().map(|before| Change { before: Some(before), after: None });
        ends.chain(changes).collect()
    }
}

fn by_name(a: &Id, b: &Id) -> std::cmp::Ordering {
    (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, uid: &str, version: &str) -> Arc<Item<()>> {
        let id = Id {
            namespace: "n".into(),
            name: name.into(),
            uid: uid.into(),
            resource_version: version.into(),
        };
        Arc::new(Item { id, view: () })
    }

    /// `+a1` new, `a1>a2` changed, `-a1` gone.
    fn told(changes: &[Change<()>]) -> Vec<String> {
        let name = |item: &Arc<Item<()>>| format!("{}{}", item.id.uid, item.id.resource_version);
        let one = |change: &Change<()>| match (&change.before, &change.after) {
            (None, Some(after)) => format!("+{}", name(after)),
            (Some(before), Some(after)) => format!("{}>{}", name(before), name(after)),
            (Some(before), None) => format!("-{}", name(before)),
            (None, None) => "nothing".to_owned(),
        };
        changes.iter().map(one).collect()
    }

    #[test]
    fn events_become_changes() {
        let mut known = Known::default();
        assert_eq!(told(&known.set(item("a", "u", "1"))), ["+u1"]);
        assert_eq!(told(&known.set(item("a", "u", "1"))), [""; 0], "told again");
        assert_eq!(told(&known.set(item("a", "u", "2"))), ["u1>u2"]);
        assert_eq!(told(&known.set(item("a", "v", "3"))), ["-u2", "+v3"], "another of its name");
        assert_eq!(told(&known.remove(&item("a", "u", "4").id)), [""; 0], "it is gone already");
        assert_eq!(told(&known.remove(&item("a", "v", "5").id)), ["-v3"]);
        assert_eq!((known.len(), told(&known.remove(&item("a", "v", "5").id)).len()), (0, 0));
    }

    #[test]
    fn a_list_tells_only_what_differs_and_ends_first() {
        let mut known = Known::default();
        for one in
            [item("a", "u", "1"), item("b", "v", "2"), item("c", "w", "3"), item("d", "x", "4")]
        {
            known.set(one);
        }
        let list = vec![
            item("b", "v", "2"),
            item("c", "w", "7"),
            item("d", "y", "8"),
            item("e", "z", "9"),
        ];
        assert_eq!(told(&known.replace(list)), ["-u1", "-x4", "w3>w7", "+y8", "+z9"]);
        let names: Vec<_> = known.all().iter().map(|item| item.id.name.clone()).collect();
        assert_eq!(names, ["b", "c", "d", "e"]);
        assert_eq!(known.get("n", "d").unwrap().id.uid, "y");
        assert!(known.get("n", "a").is_none());
    }
}
