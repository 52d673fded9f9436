// SPDX-License-Identifier: Apache-2.0
//! Storage for many short texts that come and go: uids and names of a million pods, without an allocation for each.
//!
//! Texts lie in pages of 1 MiB, in places of a multiple of 16 bytes; a freed place waits in the list of its size.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const UNIT: usize = 16;
const PAGE_UNITS: usize = 1 << 16;

/// Where a text lies: a number of units from the start of the first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextAt(u32);

/// The store. A text's length is kept by its owner.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pages: Vec<Box<[u8]>>,
    /// First unit of the last page that was never used.
    next: usize,
    /// Free places by size in units.
    free: Vec<Vec<u32>>,
}

impl Texts {
    /// Stores the concatenation of `parts`.
    pub(crate) fn insert(&mut self, parts: &[&str]) -> TextAt {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let units = units(len);
        let at = match self.free.get_mut(units).and_then(Vec::pop) {
            Some(at) => at,
            None => self.fresh(units),
        };
        let (page, start) = place(at);
        let mut to = start;
        for part in parts {
            self.pages[page][to..to + part.len()].copy_from_slice(part.as_bytes());
            to += part.len();
        }
        TextAt(at)
    }

    /// The text of `len` bytes at `at`, from its byte `from`.
    pub(crate) fn get(&self, at: TextAt, from: usize, len: usize) -> &str {
        let (page, start) = place(at.0);
        core::str::from_utf8(&self.pages[page][start + from..start + from + len])
            .expect("texts are stored from str and cut where they were joined")
    }

    /// The same as bytes.
    pub(crate) fn bytes(&self, at: TextAt, from: usize, len: usize) -> &[u8] {
        let (page, start) = place(at.0);
        &self.pages[page][start + from..start + from + len]
    }

    /// Gives the place of a text of `len` bytes back.
    pub(crate) fn remove(&mut self, at: TextAt, len: usize) {
        let units = units(len);
        if self.free.len() <= units {
            self.free.resize_with(units + 1, Vec::new);
        }
        self.free[units].push(at.0);
    }

    /// Bytes held.
    pub(crate) fn resident(&self) -> usize {
        self.pages.len() * PAGE_UNITS * UNIT
    }

    fn fresh(&mut self, units: usize) -> u32 {
        assert!(units <= PAGE_UNITS, "a text is at most a page");
        let used = self.next % PAGE_UNITS;
        if self.pages.is_empty() || used == 0 || used + units > PAGE_UNITS {
            self.next = self.pages.len() * PAGE_UNITS;
            self.pages.push(vec![0; PAGE_UNITS * UNIT].into_boxed_slice());
        }
        let at = self.next;
        self.next += units;
        if self.next.is_multiple_of(PAGE_UNITS) {
            // A full page: the next text opens a new one.
            self.next = self.pages.len() * PAGE_UNITS;
        }
        u32::try_from(at).expect("64 GiB of names are beyond the limit of pods")
    }
}

fn units(len: usize) -> usize {
    len.div_ceil(UNIT).max(1)
}

fn place(at: u32) -> (usize, usize) {
    let at = at as usize;
    (at / PAGE_UNITS, at % PAGE_UNITS * UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn texts_come_back_and_places_are_reused() {
        let mut texts = Texts::default();
        let words: Vec<String> =
            (0..200_000).map(|i| format!("pod-{i}-{}", "x".repeat(i % 50))).collect();
        let places: Vec<TextAt> = words.iter().map(|w| texts.insert(&[w, "!"])).collect();
        for (word, at) in words.iter().zip(&places) {
            assert_eq!(texts.get(*at, 0, word.len()), word);
            assert_eq!(texts.get(*at, word.len(), 1), "!");
        }
        let before = texts.resident();
        for (word, at) in words.iter().zip(&places) {
            texts.remove(*at, word.len() + 1);
        }
        for word in &words {
            texts.insert(&["?", word]);
        }
        assert_eq!(texts.resident(), before);
    }
}
