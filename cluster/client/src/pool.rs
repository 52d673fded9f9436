// SPDX-License-Identifier: Apache-2.0
//! Parts that many objects have in common, kept once: pods of one template differ in little.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::any::Any;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Weak};

/// So many are kept before it is looked for the first time which of them nobody has any more.
const FIRST: usize = 1_024;

type Part = Weak<dyn Any + Send + Sync>;

/// Parts that somebody still has. What nobody has any more is forgotten by the time as many again have come.
#[derive(Debug)]
pub struct Pool {
    hasher: DefaultHashBuilder,
    parts: HashTable<(u64, Part)>,
    texts: HashTable<(u64, Weak<str>)>,
    full: [usize; 2],
}

impl Default for Pool {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { hasher, parts: HashTable::new(), texts: HashTable::new(), full: [FIRST; 2] }
    }
}

impl Pool {
    /// This part, or one that is equal and was here before.
    pub fn part<T: Eq + Hash + Send + Sync + 'static>(&mut self, part: Arc<T>) -> Arc<T> {
        let hash = self.hasher.hash_one(&*part);
        let known = |other: &(u64, Part)| {
            let other = other.1.upgrade()?.downcast::<T>().ok()?;
            (*other == *part).then_some(other)
        };
        let mut found = None;
        self.parts.find(hash, |other| {
            found = (other.0 == hash).then(|| known(other)).flatten();
            found.is_some()
        });
        if let Some(found) = found {
            return found;
        }
        let whole: Arc<dyn Any + Send + Sync> = part.clone();
        keep(&mut self.parts, &mut self.full[0], (hash, Arc::downgrade(&whole)));
        part
    }

    /// This text, or one that is equal and was here before.
    pub fn text(&mut self, text: Arc<str>) -> Arc<str> {
        let hash = self.hasher.hash_one(&*text);
        let mut found = None;
        self.texts.find(hash, |other| {
            found = other.1.upgrade().filter(|other| *other == text);
            found.is_some()
        });
        if let Some(found) = found {
            return found;
        }
        keep(&mut self.texts, &mut self.full[1], (hash, Arc::downgrade(&text)));
        text
    }
}

fn keep<T: ?Sized>(table: &mut HashTable<(u64, Weak<T>)>, full: &mut usize, one: (u64, Weak<T>)) {
    if table.len() >= *full {
        table.retain(|(_, part)| part.strong_count() > 0);
        table.shrink_to(FIRST, |(hash, _)| *hash);
        *full = (table.len() * 2).max(FIRST);
    }
    table.insert_unique(one.0, one, |(hash, _)| *hash);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_become_one_and_others_stay_apart() {
        let mut pool = Pool::default();
        let first = pool.part(Arc::new((1, "a".to_owned())));
        let again = pool.part(Arc::new((1, "a".to_owned())));
        let other = pool.part(Arc::new((2, "a".to_owned())));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        assert_eq!(*other, (2, "a".to_owned()));
        let number = pool.part(Arc::new(7_u32));
        let same = pool.part(Arc::new(7_u64));
        assert_eq!((*number, *same), (7, 7), "equal hashes of other types");
        let text = pool.text("n".into());
        assert!(Arc::ptr_eq(&text, &pool.text("n".into())));
        assert!(!Arc::ptr_eq(&text, &pool.text("m".into())));
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let mut pool = Pool::default();
        let kept: Vec<_> = (0..100).map(|number| pool.part(Arc::new(number))).collect();
        for number in 0..1_000_000_u64 {
            drop(pool.part(Arc::new(number + 1_000)));
            drop(pool.text(number.to_string().into()));
        }
        assert!(pool.parts.len() <= FIRST && pool.texts.len() <= FIRST);
        for (number, kept) in kept.iter().enumerate() {
            assert_eq!(**kept, i32::try_from(number).unwrap());
            assert!(Arc::ptr_eq(kept, &pool.part(Arc::clone(kept))), "{number} is known still");
            assert!(Arc::ptr_eq(kept, &pool.part(Arc::new(**kept))), "{number} is known still");
        }
    }
}
