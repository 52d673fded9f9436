// SPDX-License-Identifier: Apache-2.0
//! The members of an object, in order of their names.

use crate::{Text, Value};
use std::collections::{BTreeMap, btree_map};

/// So many members lie in one vector. More, and who sends them in the worst order could make the server move them all, again and again.
const FEW: usize = 32;

/// The members of an object: names that are there once, in order, with their values.
#[derive(Clone)]
pub struct Map(Members);

#[derive(Clone)]
enum Members {
    Few(Vec<(Text, Value)>),
    Many(BTreeMap<Text, Value>),
}

impl Default for Map {
    fn default() -> Self {
        Self::new()
    }
}

impl Map {
    /// None.
    pub const fn new() -> Self {
        Self(Members::Few(Vec::new()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Members::Few(all) => all.len(),
            Members::Many(all) => all.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a name.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&Value> {
        let name = name.as_ref();
        match &self.0 {
            Members::Few(all) => {
                all.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            Members::Many(all) => all.get(name),
        }
    }

    /// The value of a name, to be changed.
    pub fn get_mut(&mut self, name: impl AsRef<str>) -> Option<&mut Value> {
        let name = name.as_ref();
        match &mut self.0 {
            Members::Few(all) => {
                all.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            Members::Many(all) => all.get_mut(name),
        }
    }

    /// Whether a name is there.
    pub fn contains_key(&self, name: impl AsRef<str>) -> bool {
        self.get(name).is_some()
    }

    /// Sets a name, and gives what it had.
    pub fn insert(&mut self, name: impl Into<Text>, value: Value) -> Option<Value> {
        let name = name.into();
        match &mut self.0 {
            // As what is stored comes: in order.
            Members::Few(all)
                if all.len() < FEW && all.last().is_none_or(|(last, _)| *last < name) =>
            {
                all.push((name, value));
                None
            }
            Members::Few(all) => match all.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => Some(std::mem::replace(&mut all[at].1, value)),
                Err(at) if all.len() < FEW => {
                    all.insert(at, (name, value));
                    None
                }
                Err(_) => self.many().insert(name, value),
            },
            Members::Many(all) => all.insert(name, value),
        }
    }

    /// As one of many.
    fn many(&mut self) -> &mut BTreeMap<Text, Value> {
        if let Members::Few(all) = &mut self.0 {
            self.0 = Members::Many(std::mem::take(all).into_iter().collect());
        }
        match &mut self.0 {
            Members::Many(all) => all,
            Members::Few(_) => unreachable!("it was made one of many"),
        }
    }

    /// Takes a name out, and gives what it had.
    pub fn remove(&mut self, name: impl AsRef<str>) -> Option<Value> {
        let name = name.as_ref();
        match &mut self.0 {
            Members::Few(all) => {
                let at = all.iter().position(|(known, _)| known == name)?;
                Some(all.remove(at).1)
            }
            Members::Many(all) => all.remove(name),
        }
    }

    /// The place of a name, whether it is there or not.
    pub fn entry(&mut self, name: impl Into<Text>) -> Entry<'_> {
        Entry { map: self, name: name.into() }
    }

    /// Keeps those for which it is said so.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Value) -> bool) {
        match &mut self.0 {
            Members::Few(all) => all.retain_mut(|(name, value)| keep(name, value)),
            Members::Many(all) => all.retain(|name, value| keep(name, value)),
        }
    }

    /// Names and values, in order of names.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Members::Few(all) => Iter(Either::Few(all.iter())),
            Members::Many(all) => Iter(Either::Many(all.iter())),
        }
    }

    /// Names and values, to be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_> {
        match &mut self.0 {
            Members::Few(all) => IterMut(Either::Few(all.iter_mut())),
            Members::Many(all) => IterMut(Either::Many(all.iter_mut())),
        }
    }

    /// The names, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Text> + Clone {
        self.iter().map(|(name, _)| name)
    }

    /// The values, in order of names.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.iter_mut().map(|(_, value)| value)
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

/// The value of a name.
///
/// # Panics
///
/// If it is not there.
impl std::ops::Index<&str> for Map {
    type Output = Value;

    #[expect(clippy::panic, reason = "an index that is not there is a defect, as with slices")]
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or_else(|| panic!("no {name:?} in an object"))
    }
}

/// The value of a name, to be changed.
///
/// # Panics
///
/// If it is not there.
impl std::ops::IndexMut<&str> for Map {
    #[expect(clippy::panic, reason = "an index that is not there is a defect, as with slices")]
    fn index_mut(&mut self, name: &str) -> &mut Value {
        self.get_mut(name).unwrap_or_else(|| panic!("no {name:?} in an object"))
    }
}

impl<K: Into<Text>, V: Into<Value>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, all: I) {
        for (name, value) in all {
            self.insert(name, value.into());
        }
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        let mut map = Self::new();
        map.extend(all);
        map
    }
}

/// The place of a name in a [`Map`].
#[derive(Debug)]
pub struct Entry<'a> {
    map: &'a mut Map,
    name: Text,
}

impl<'a> Entry<'a> {
    /// The value; this one, if there is none.
    pub fn or_insert(self, value: Value) -> &'a mut Value {
        self.or_insert_with(|| value)
    }

    /// The value; if there is none, the one that is made.
    pub fn or_insert_with(self, value: impl FnOnce() -> Value) -> &'a mut Value {
        let Self { map, name } = self;
        if map.len() >= FEW && !map.contains_key(&name) {
            map.many();
        }
        match &mut map.0 {
            Members::Few(all) => {
                let at = match all.binary_search_by(|(known, _)| known.cmp(&name)) {
                    Ok(at) => at,
                    Err(at) => {
                        all.insert(at, (name, value()));
                        at
                    }
                };
                &mut all[at].1
            }
            Members::Many(all) => all.entry(name).or_insert_with(value),
        }
    }
}

#[derive(Debug, Clone)]
enum Either<F, M> {
    Few(F),
    Many(M),
}

/// Names and values of a [`Map`].
#[derive(Debug, Clone)]
pub struct Iter<'a>(Either<std::slice::Iter<'a, (Text, Value)>, btree_map::Iter<'a, Text, Value>>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Text, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Either::Few(all) => all.next().map(|(name, value)| (name, value)),
            Either::Many(all) => all.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Either::Few(all) => all.size_hint(),
            Either::Many(all) => all.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Either::Few(all) => all.next_back().map(|(name, value)| (name, value)),
            Either::Many(all) => all.next_back(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Names and values of a [`Map`], to be changed.
#[derive(Debug)]
pub struct IterMut<'a>(
    Either<std::slice::IterMut<'a, (Text, Value)>, btree_map::IterMut<'a, Text, Value>>,
);

impl<'a> Iterator for IterMut<'a> {
    type Item = (&'a Text, &'a mut Value);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Either::Few(all) => all.next().map(|(name, value)| (&*name, value)),
            Either::Many(all) => all.next(),
        }
    }
}

/// Names and values that were a [`Map`]'s.
#[derive(Debug)]
pub struct IntoIter(Either<std::vec::IntoIter<(Text, Value)>, btree_map::IntoIter<Text, Value>>);

impl Iterator for IntoIter {
    type Item = (Text, Value);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Either::Few(all) => all.next(),
            Either::Many(all) => all.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Either::Few(all) => all.size_hint(),
            Either::Many(all) => all.size_hint(),
        }
    }
}

impl IntoIterator for Map {
    type Item = (Text, Value);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        match self.0 {
            Members::Few(all) => IntoIter(Either::Few(all.into_iter())),
            Members::Many(all) => IntoIter(Either::Many(all.into_iter())),
        }
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Text, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Map {
    type Item = (&'a Text, &'a mut Value);
    type IntoIter = IterMut<'a>;

    fn into_iter(self) -> IterMut<'a> {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *state >> 33
    }

    #[test]
    fn it_is_as_a_tree_of_names_whatever_is_done_with_it() {
        let mut state = 1;
        for spread in [3, 20, 100] {
            let (mut map, mut tree) = (Map::new(), BTreeMap::<Text, Value>::new());
            for step in 0..3_000_u64 {
                let name = Text::from(format!("name-{}", random(&mut state) % spread));
                match random(&mut state) % 5 {
                    0 => assert_eq!(map.remove(&name), tree.remove(&name)),
                    1 => {
                        let found = map.entry(name.clone()).or_insert(step.into()).clone();
                        assert_eq!(found, *tree.entry(name).or_insert(step.into()));
                    }
                    2 => assert_eq!(map.get(&name), tree.get(&name)),
                    3 if random(&mut state).is_multiple_of(50) => {
                        map.retain(|_, value| value.as_u64().is_some_and(|at| at % 3 > 0));
                        tree.retain(|_, value| value.as_u64().is_some_and(|at| at % 3 > 0));
                    }
                    _ => assert_eq!(
                        map.insert(name.clone(), step.into()),
                        tree.insert(name, step.into())
                    ),
                }
                assert_eq!(map.len(), tree.len());
            }
            assert!(map.iter().eq(tree.iter()) && map.keys().rev().eq(tree.keys().rev()));
            assert_eq!(map, tree.clone().into_iter().collect::<Map>());
            assert!(map.into_iter().eq(tree));
        }
    }

    #[test]
    fn few_and_many_with_the_same_members_are_equal() {
        let few: Map = (0..5).map(|at| (format!("{at}"), at)).collect();
        let mut many: Map = (0..90).map(|at| (format!("{at}"), at)).collect();
        many.retain(|name, _| few.contains_key(name));
        assert_eq!(few, many);
        many.insert("0", Value::Null);
        assert_ne!(few, many);
    }
}
