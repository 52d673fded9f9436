// SPDX-License-Identifier: Apache-2.0
//! A persistent array: a tree of 32 children a node, whose clones share all that did not change.
//!
//! Setting one element copies the nodes on its way, at most `LEVELS` of 32 pointers, unless nobody else holds them. That is why
//! a change of one endpoint costs the same among 10 services and among 10,000.

use alloc::sync::Arc;
use core::array;

const BITS: u32 = 5;
const FAN: usize = 1 << BITS;

/// An array of up to 32 to the power of `LEVELS` elements, empty at first.
#[derive(Debug)]
pub(crate) struct Trie<T, const LEVELS: u32> {
    root: Option<Arc<Node<T>>>,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "elements are pointers: both are as large")]
enum Node<T> {
    Branch([Option<Arc<Self>>; FAN]),
    Leaf([Option<T>; FAN]),
}

impl<T, const LEVELS: u32> Clone for Trie<T, LEVELS> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone() }
    }
}

impl<T, const LEVELS: u32> Default for Trie<T, LEVELS> {
    fn default() -> Self {
        Self { root: None }
    }
}

/// Which child of a node `level` levels above the leaves.
#[inline]
fn child(index: u32, level: u32) -> usize {
    (index >> (level * BITS)) as usize % FAN
}

impl<T: Clone, const LEVELS: u32> Trie<T, LEVELS> {
    /// The element, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        let mut level = LEVELS;
        loop {
            level -= 1;
            match node {
                Node::Branch(children) => node = children[child(index, level)].as_deref()?,
                Node::Leaf(elements) => return elements[child(index, 0)].as_ref(),
            }
        }
    }

    /// Puts an element in, or takes it out.
    pub(crate) fn set(&mut self, index: u32, element: Option<T>) {
        debug_assert!(u64::from(index) < 1 << (BITS * LEVELS), "{index} is outside the array");
        let mut place = &mut self.root;
        let mut level = LEVELS;
        loop {
            level -= 1;
            let node = place.get_or_insert_with(|| Arc::new(Node::empty(level)));
            match Arc::make_mut(node) {
                Node::Branch(children) => place = &mut children[child(index, level)],
                Node::Leaf(elements) => {
                    elements[child(index, 0)] = element;
                    return;
                }
            }
        }
    }

    /// Calls `visit` for all elements, in order.
    pub(crate) fn each<'a>(&'a self, mut visit: impl FnMut(u32, &'a T)) {
        if let Some(root) = &self.root {
            root.each(0, &mut visit);
        }
    }

    /// Calls `visit` for the elements that are not the same here and in `other`, in order. Costs what was changed, as long as one
    /// array came from the other by changes.
    pub(crate) fn differences<'a>(
        &'a self,
        other: &'a Self,
        mut visit: impl FnMut(u32, Option<&'a T>, Option<&'a T>),
    ) {
        differences(self.root.as_ref(), other.root.as_ref(), 0, &mut visit);
    }
}

impl<T> Node<T> {
    fn empty(level: u32) -> Self {
        if level == 0 {
            Self::Leaf(array::from_fn(|_| None))
        } else {
            Self::Branch(array::from_fn(|_| None))
        }
    }

    fn each<'a>(&'a self, base: u32, visit: &mut impl FnMut(u32, &'a T)) {
        match self {
            Self::Branch(children) => {
                for (at, node) in (0..).zip(children) {
                    if let Some(node) = node {
                        node.each((base + at) << BITS, visit);
                    }
                }
            }
            Self::Leaf(elements) => {
                for (at, element) in (0..).zip(elements) {
                    if let Some(element) = element {
                        visit(base + at, element);
                    }
                }
            }
        }
    }

    fn branch(&self, at: usize) -> Option<&Arc<Self>> {
        match self {
            Self::Branch(children) => children[at].as_ref(),
            Self::Leaf(_) => None,
        }
    }

    fn element(&self, at: usize) -> Option<&T> {
        match self {
            Self::Leaf(elements) => elements[at].as_ref(),
            Self::Branch(_) => None,
        }
    }

    fn is_leaf(&self) -> bool {
        matches!(self, Self::Leaf(_))
    }
}

fn differences<'a, T>(
    one: Option<&'a Arc<Node<T>>>,
    other: Option<&'a Arc<Node<T>>>,
    base: u32,
    visit: &mut impl FnMut(u32, Option<&'a T>, Option<&'a T>),
) {
    let same = match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    if same {
        return;
    }
    let leaf = one.or(other).is_some_and(|node| node.is_leaf());
    for (number, at) in (0..).zip(0..FAN) {
        let index = base + number;
        if leaf {
            let (a, b) = (one.and_then(|n| n.element(at)), other.and_then(|n| n.element(at)));
            if a.is_some() || b.is_some() {
                visit(index, a, b);
            }
        } else {
            let (a, b) = (one.and_then(|n| n.branch(at)), other.and_then(|n| n.branch(at)));
            differences(a, b, index << BITS, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use alloc::vec::Vec;
    use std::collections::BTreeMap;

    fn all(trie: &Trie<u64, 3>) -> Vec<(u32, u64)> {
        let mut all = Vec::new();
        trie.each(|index, element| all.push((index, *element)));
        all
    }

    #[test]
    fn an_array_is_a_map_and_its_clones_do_not_change() {
        let mut random = Random::new(1);
        let mut trie: Trie<u64, 3> = Trie::default();
        let mut map = BTreeMap::new();
        let mut kept = Vec::new();
        for step in 0..4_000_u64 {
            let index = random.below(if step % 2 == 0 { 100 } else { 32_768 });
            if random.below(3) == 0 {
                trie.set(index, None);
                map.remove(&index);
            } else {
                trie.set(index, Some(step));
                map.insert(index, step);
            }
            assert_eq!(trie.get(index), map.get(&index));
            if step % 500 == 0 {
                kept.push((trie.clone(), map.clone()));
            }
        }
        for (trie, map) in &kept {
            assert_eq!(all(trie), map.clone().into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn differences_are_what_was_set() {
        let mut random = Random::new(2);
        let mut trie: Trie<u64, 3> = Trie::default();
        for index in 0..2_000 {
            trie.set(index, Some(0));
        }
        for _ in 0..50 {
            let before = trie.clone();
            let mut changed = BTreeMap::new();
            for step in 1..=random.below(6) {
                let index = random.below(3_000);
                let element =
                    (random.below(4) > 0).then(|| u64::from(step) + random.next_u64() / 2);
                trie.set(index, element);
                changed.insert(index, element);
            }
            let (mut found, mut visited) = (BTreeMap::new(), 0);
            before.differences(&trie, |index, old, new| {
                visited += 1;
                assert_eq!(old, before.get(index));
                if old != new {
                    found.insert(index, new.copied());
                }
            });
            changed.retain(|index, element| before.get(*index) != element.as_ref());
            assert_eq!(found, changed);
            assert!(visited <= 32 * 6, "{visited} elements looked at");
        }
    }
}
