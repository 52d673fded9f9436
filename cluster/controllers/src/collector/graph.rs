// SPDX-License-Identifier: Apache-2.0
//! Who owns whom, by uid.

use crate::view::Owner;
use compact_str::CompactString as Text;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// Group and version.
    pub api_version: Text,
    /// Its kind.
    pub kind: Text,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its owners.
    pub owners: Arc<Vec<Owner>>,
    /// It is on its way out.
    pub deleted: bool,
    /// It waits until what it owns is gone.
    pub foreground: bool,
    /// It waits until what it owns is let go.
    pub orphans: bool,
}

/// What is to be looked at after a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Whether this goes.
    Delete(String),
    /// What this owns is let go.
    Orphan(String),
    /// Whether this goes, a little later: its owner may only not be known yet.
    Look(String),
}

/// All objects.
#[derive(Debug, Default)]
pub struct Graph {
    objects: BTreeMap<String, Object>,
    /// Of an owner, known or not, those that say that it is theirs.
    dependents: BTreeMap<String, BTreeSet<String>>,
}

/// What of an object's group has to fit to how an owner is referred to.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl Graph {
    /// An object is so.
    pub fn set(&mut self, uid: &str, object: Object) -> Vec<Task> {
        let mut tasks = Vec::new();
        let before = self.objects.get(uid).cloned();
        let old = before.as_ref().map(|one| one.owners.clone()).unwrap_or_default();
        for owner in old.iter().filter(|owner| !object.owners.contains(owner)) {
            if !object.owners.iter().any(|new| new.uid == owner.uid) {
                self.unlink(&owner.uid, uid);
            }
            // It may have waited for this one.
            if self.objects.get(&owner.uid).is_some_and(|owner| owner.foreground) {
                tasks.push(Task::Delete(owner.uid.clone()));
            }
        }
        for owner in object.owners.iter() {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.to_owned());
        }
        let new_owners = before.is_none() || old != object.owners;
        let was = |state: fn(&Object) -> bool| before.as_ref().is_some_and(state);
        if object.orphans && !was(|one| one.orphans) {
            tasks.push(Task::Orphan(uid.to_owned()));
        }
        let waits = object.foreground && !was(|one| one.foreground);
        self.objects.insert(uid.to_owned(), object.clone());
        if waits {
            let dependents = self.dependents.get(uid).into_iter().flatten();
            tasks.extend(dependents.cloned().map(Task::Delete));
            tasks.push(Task::Delete(uid.to_owned()));
        }
        if new_owners && object.owners.iter().any(|owner| self.owner(&object, owner).is_none()) {
            tasks.push(Task::Look(uid.to_owned()));
        } else if new_owners
            && object
                .owners
                .iter()
                .any(|owner| self.owner(&object, owner).is_some_and(|owner| owner.foreground))
        {
            tasks.push(Task::Delete(uid.to_owned()));
        }
        tasks
    }

    /// An object is gone.
    pub fn remove(&mut self, uid: &str) -> Vec<Task> {
        let Some(object) = self.objects.remove(uid) else { return Vec::new() };
        let mut tasks = Vec::new();
        for owner in object.owners.iter() {
            self.unlink(&owner.uid, uid);
            if self.objects.get(&owner.uid).is_some_and(|owner| owner.foreground) {
                tasks.push(Task::Delete(owner.uid.clone()));
            }
        }
        tasks.extend(self.dependents.get(uid).into_iter().flatten().cloned().map(Task::Delete));
        tasks
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(all) = self.dependents.get_mut(owner) {
            all.remove(dependent);
            if all.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    /// An object.
    pub fn get(&self, uid: &str) -> Option<&Object> {
        self.objects.get(uid)
    }

    /// An owner, if it is known as it is referred to: in the object's namespace or in none.
    pub fn owner(&self, object: &Object, owner: &Owner) -> Option<&Object> {
        self.objects.get(&owner.uid).filter(|known| {
            known.kind == owner.kind
                && known.name == owner.name
                && group(&known.api_version) == group(&owner.api_version)
                && (known.namespace.is_empty() || known.namespace == object.namespace)
        })
    }

    /// Whether an owner is known, but in another namespace.
    pub fn elsewhere(&self, object: &Object, owner: &Owner) -> bool {
        self.objects
            .get(&owner.uid)
            .is_some_and(|known| !known.namespace.is_empty() && known.namespace != object.namespace)
    }

    /// Those that an object owns.
    pub fn dependents(&self, uid: &str) -> Vec<(String, Object)> {
        let all = self.dependents.get(uid).into_iter().flatten();
        all.filter_map(|uid| Some((uid.clone(), self.objects.get(uid)?.clone()))).collect()
    }

    /// Those of them without whose end the owner does not end.
    pub fn blocking(&self, uid: &str) -> Vec<(String, Object)> {
        let all = self.blocks(uid).filter_map(|one| Some((one.clone(), self.get(one)?.clone())));
        all.collect()
    }

    fn blocks<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a String> {
        let blocks = move |object: &Object| {
            object.owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion)
        };
        let all = self.dependents.get(uid).into_iter().flatten();
        all.filter(move |one| self.get(one).is_some_and(blocks))
    }

    /// Whether an object waits, over others that wait, for itself. Upstream breaks circles only as it tells who is not on its way out to go;
    /// where all were told by somebody else, they wait for ever.
    pub fn waits_for_itself(&self, uid: &str) -> bool {
        let waits = |one: &&String| self.get(one).is_some_and(|object| object.foreground);
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = self.blocks(uid).filter(waits).collect();
        while let Some(one) = next.pop() {
            if one == uid {
                return true;
            }
            if seen.insert(one) {
                next.extend(self.blocks(one).filter(waits));
            }
        }
        false
    }
}
