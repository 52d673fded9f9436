// SPDX-License-Identifier: Apache-2.0
//! Which node has which part of the cluster's addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Parts of a range of addresses, and whose they are.
#[derive(Debug)]
pub struct Book {
    first: u32,
    bits: u8,
    count: u32,
    /// The node of a part.
    taken: BTreeMap<u32, String>,
    /// The part of a node.
    of: BTreeMap<String, u32>,
    /// No part below this is free.
    free: u32,
}

impl Book {
    /// Of a range, as its address and the length of its prefix, in parts of a longer prefix.
    pub fn new((address, range): (Ipv4Addr, u8), bits: u8) -> Self {
        let (range, bits) = (range.min(32), bits.min(32));
        let mask = u32::MAX.checked_shl(32 - u32::from(range)).unwrap_or(0);
        // A range that is smaller than a part has none.
        let count = if bits < range {
            0
        } else {
            1_u32.checked_shl(u32::from(bits - range)).unwrap_or(u32::MAX)
        };
        Self {
            first: u32::from(address) & mask,
            bits,
            count,
            taken: BTreeMap::new(),
            of: BTreeMap::new(),
            free: 0,
        }
    }

    fn text(&self, part: u32) -> String {
        let offset = u64::from(part) << (32 - u32::from(self.bits));
        let address = u64::from(self.first).saturating_add(offset);
        let address = Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX));
        format!("{address}/{}", self.bits)
    }

    /// A node has a range: the parts that it covers are nobody else's. One from outside is none of ours.
    pub fn occupy(&mut self, node: &str, range: &str) {
        let Some((address, bits)) = range.split_once('/') else { return };
        let (Ok(address), Ok(bits)) = (address.parse::<Ipv4Addr>(), bits.parse::<u8>()) else {
            return;
        };
        let Some(offset) = u32::from(address).checked_sub(self.first) else { return };
        if bits != self.bits {
            return;
        }
        let part = offset.checked_shr(32 - u32::from(self.bits)).unwrap_or(0);
        if part >= self.count {
            return;
        }
        if self.of.get(node).is_some_and(|own| *own != part) {
            self.release(node);
        }
        self.of.insert(node.to_owned(), part);
        self.taken.insert(part, node.to_owned());
    }

    /// The range of a node, which from now on has it; none if there is nothing left.
    pub fn assign(&mut self, node: &str) -> Option<String> {
        if let Some(part) = self.of.get(node) {
            return Some(self.text(*part));
        }
        let part = (self.free..self.count).find(|part| !self.taken.contains_key(part));
        self.free = part.unwrap_or(self.count);
        let part = part?;
        self.taken.insert(part, node.to_owned());
        self.of.insert(node.to_owned(), part);
        Some(self.text(part))
    }

    /// A node is gone.
    pub fn release(&mut self, node: &str) {
        let Some(part) = self.of.remove(node) else { return };
        if self.taken.get(&part).is_some_and(|owner| owner == node) {
            self.taken.remove(&part);
            self.free = self.free.min(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_given_out_once_and_again_when_they_are_free() {
        let mut book = Book::new((Ipv4Addr::new(10, 244, 0, 0), 16), 24);
        book.occupy("old", "10.244.0.0/24");
        book.occupy("strange", "192.168.0.0/24");
        assert_eq!(book.assign("a").unwrap(), "10.244.1.0/24");
        assert_eq!(book.assign("a").unwrap(), "10.244.1.0/24", "it has one");
        let rest = (0..254).filter_map(|number| book.assign(&format!("n{number}"))).count();
        assert_eq!((rest, book.assign("late")), (254, None));
        book.release("old");
        book.release("nobody");
        assert_eq!(book.assign("late").unwrap(), "10.244.0.0/24");
        assert_eq!(book.assign("later"), None);
        book.occupy("n7", "10.244.1.0/24");
        assert_eq!(book.assign("later").unwrap(), "10.244.9.0/24", "what n7 had");
    }
}
