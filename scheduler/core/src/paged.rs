// SPDX-License-Identifier: Apache-2.0
//! A table that grows by pages: what is in it never moves, so no push waits for a million others to be copied.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Things to a page. A page of pod records is 56 KiB: it is made within a few microseconds.
const PAGE: usize = 1 << 10;

/// A table that grows by pages.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    pages: Vec<Box<[T; PAGE]>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Paged<T> {
    /// Appends one.
    #[inline]
    pub fn push(&mut self, value: T) {
        if self.len == self.pages.len() * PAGE {
            self.grow(&value);
        }
        let at = self.len;
        self.len += 1;
        self[at] = value;
    }

    #[cold]
    fn grow(&mut self, value: &T) {
        let page = vec![value.clone(); PAGE].into_boxed_slice();
        self.pages.extend(<Box<[T; PAGE]>>::try_from(page).ok());
    }
}

impl<T> Paged<T> {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one at a place.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        if at < self.len { Some(&self.pages[at / PAGE][at % PAGE]) } else { None }
    }

    /// The one at a place.
    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at < self.len { Some(&mut self.pages[at / PAGE][at % PAGE]) } else { None }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.len)
    }

    /// Bytes held.
    pub fn resident(&self) -> usize {
        self.pages.capacity() * size_of::<Box<[T; PAGE]>>()
            + self.pages.len() * PAGE * size_of::<T>()
    }
}

/// Places are those that were pushed; of others on the last page nothing is promised, and beyond it there is a panic.
impl<T> core::ops::Index<usize> for Paged<T> {
    type Output = T;
    #[inline]
    fn index(&self, at: usize) -> &T {
        debug_assert!(at < self.len, "only places that were pushed are read");
        &self.pages[at / PAGE][at % PAGE]
    }
}

impl<T> core::ops::IndexMut<usize> for Paged<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        debug_assert!(at < self.len, "only places that were pushed are written");
        &mut self.pages[at / PAGE][at % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_there_and_stays_where_it_is() {
        let mut table = Paged::default();
        assert!(table.is_empty());
        table.push(0);
        let first: *const usize = &raw const table[0];
        for value in 1..5 * PAGE + 3 {
            table.push(value);
        }
        assert_eq!(table.len(), 5 * PAGE + 3);
        assert!(table.iter().copied().eq(0..5 * PAGE + 3));
        assert_eq!(first, &raw const table[0]);
        table[PAGE] = 7;
        assert_eq!(table.get(PAGE), Some(&7));
        assert_eq!(table.get(5 * PAGE + 3), None);
        assert_eq!(table.get_mut(5 * PAGE + 3), None);
        assert_eq!(table.resident() / size_of::<usize>() / PAGE, 6);
    }
}
