// SPDX-License-Identifier: Apache-2.0
//! Which pod has which address: pure books, and (`file`) their file.
//!
//! An address is free, taken by a pod, or at rest: given back a moment ago. What still talks to the pod that had it must not get another
//! one, so it is not given away for a minute. Addresses are given away in their order, each round from where the last one ended: the same
//! calls lead to the same addresses.

mod file;
mod text;

pub use file::{AddressBook, BookError, Opened};
pub(crate) use text::digest;

use crate::range::Range;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// How long an address is given to nobody after it was given back, in microseconds: connections of others that are still open to it are
/// over by then, as are entries of DNS and of balancers.
pub const REST_MICROS: i64 = 60_000_000;
/// The smallest range: its own name, the bridge, broadcasts, and one pod.
const PREFIX_MAX: u8 = 30;
/// The largest range: 65,533 pods. Each of its addresses may have to be looked at.
const PREFIX_MIN: u8 = 16;
/// Signs of a pod's uid; an apiserver's have 36, digests of static pods 32.
const UID_MAX: usize = 128;

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// All are taken or at rest. With some at rest it may do better in a minute.
    #[error(
        "no address is left in {range}: {taken} are taken, and {resting} were given back less than a minute ago"
    )]
    Exhausted {
        /// Of which range.
        range: Range,
        /// Pods that have one.
        taken: usize,
        /// Addresses at rest.
        resting: usize,
    },
    /// The uid is none of a pod.
    #[error("{uid:?} is no uid of a pod")]
    Uid {
        /// The text.
        uid: String,
    },
}

/// Why an address that a pod has on the engine is not put down as its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// It is not one that can be given away.
    #[error("{address} is not an address for pods in {range}")]
    Outside {
        /// The address.
        address: Ipv4Addr,
        /// The node's range.
        range: Range,
    },
    /// Another pod has it.
    #[error("{address} belongs to pod {by}")]
    Taken {
        /// The address.
        address: Ipv4Addr,
        /// The uid of that pod.
        by: String,
    },
    /// The uid is none of a pod.
    #[error("{uid:?} is no uid of a pod")]
    Uid {
        /// The text.
        uid: String,
    },
}

/// A range that is too small or too large for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not do as the range of a node: prefixes from /{PREFIX_MIN} to /{PREFIX_MAX} do")]
pub struct SizeError(pub Range);

/// The books. Moments are microseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    range: Range,
    of: BTreeMap<String, Ipv4Addr>,
    taken: BTreeMap<Ipv4Addr, String>,
    /// When each was given back.
    resting: BTreeMap<Ipv4Addr, i64>,
    /// What was given away last.
    last: Ipv4Addr,
}

impl Book {
    /// Empty books.
    pub fn new(range: Range) -> Result<Self, SizeError> {
        if !(PREFIX_MIN..=PREFIX_MAX).contains(&range.prefix()) {
            return Err(SizeError(range));
        }
        let (of, taken, resting) = Default::default();
        Ok(Self { range, of, taken, resting, last: gateway(range) })
    }

    /// The range.
    #[must_use]
    pub fn range(&self) -> Range {
        self.range
    }

    /// The bridge's address, which no pod gets: the first one behind the range's own name.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        gateway(self.range)
    }

    /// The address of a pod.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Ipv4Addr> {
        self.of.get(uid).copied()
    }

    /// Pods and their addresses, by uid.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        self.of.iter().map(|(uid, address)| (uid.as_str(), *address))
    }

    /// The address of a pod, which it is given if it has none.
    pub fn take(&mut self, uid: &str, now: i64) -> Result<Ipv4Addr, TakeError> {
        if !is_uid(uid) {
            return Err(TakeError::Uid { uid: uid.chars().take(UID_MAX).collect() });
        }
        if let Some(address) = self.get(uid) {
            return Ok(address);
        }
        self.wake(now);
        let (first, last) = (self.first(), self.range.last().to_bits() - 1);
        let begin = self.last.to_bits().saturating_add(1).clamp(first, last);
        let mut order = (begin..=last).chain(first..begin).map(Ipv4Addr::from_bits);
        let is_free = |address: &Ipv4Addr| {
            !self.taken.contains_key(address) && !self.resting.contains_key(address)
        };
        let exhausted = TakeError::Exhausted {
            range: self.range,
            taken: self.taken.len(),
            resting: self.resting.len(),
        };
        let address = order.find(is_free).ok_or(exhausted)?;
        self.last = address;
        self.put(uid, address);
        Ok(address)
    }

    /// Puts down what a pod has on the engine, whatever the books said of that pod.
    pub fn adopt(&mut self, uid: &str, address: Ipv4Addr, now: i64) -> Result<(), AdoptError> {
        if !is_uid(uid) {
            return Err(AdoptError::Uid { uid: uid.chars().take(UID_MAX).collect() });
        }
        if !self.is_for_pods(address) {
            return Err(AdoptError::Outside { address, range: self.range });
        }
        match self.taken.get(&address) {
            Some(by) if by == uid => return Ok(()),
            Some(by) => return Err(AdoptError::Taken { address, by: by.clone() }),
            None => {}
        }
        self.give_back(uid, now);
        self.resting.remove(&address);
        self.put(uid, address);
        Ok(())
    }

    /// Takes a pod's address back, which rests from then on. None if it had none.
    pub fn give_back(&mut self, uid: &str, now: i64) -> Option<Ipv4Addr> {
        let address = self.of.remove(uid)?;
        self.taken.remove(&address);
        self.wake(now);
        self.resting.insert(address, now);
        Some(address)
    }

    /// Ends the rest of those that have had enough. A clock that was set back does not prolong it beyond one more minute.
    fn wake(&mut self, now: i64) {
        self.resting.retain(|_, since| {
            *since = (*since).min(now);
            now.saturating_sub(*since) < REST_MICROS
        });
    }

    fn put(&mut self, uid: &str, address: Ipv4Addr) {
        self.of.insert(uid.to_owned(), address);
        self.taken.insert(address, uid.to_owned());
    }

    fn first(&self) -> u32 {
        self.gateway().to_bits() + 1
    }

    fn is_for_pods(&self, address: Ipv4Addr) -> bool {
        (self.first()..self.range.last().to_bits()).contains(&address.to_bits())
    }
}

fn gateway(range: Range) -> Ipv4Addr {
    Ipv4Addr::from_bits(range.first().to_bits() + 1)
}

/// As the engine's labels take them.
fn is_uid(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !text.is_empty() && text.len() <= UID_MAX && text.bytes().all(fits)
}

#[cfg(test)]
mod tests;
