// SPDX-License-Identifier: Apache-2.0
//! How much each address has of something, so that one cannot have all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by address. There are as many as things that are given away, whose number has a bound of its own.
#[derive(Debug)]
pub(crate) struct Shares {
    most: u32,
    counts: Mutex<BTreeMap<IpAddr, u32>>,
}

/// One of them. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    who: IpAddr,
}

impl Shares {
    /// At most so many for each.
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for this address, if it does not have as many as it may.
    pub(crate) fn take(self: &Arc<Self>, who: IpAddr) -> Option<Share> {
        let mut counts = self.counts();
        let count = counts.entry(who).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { of: Arc::clone(self), who })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_none_is_remembered_that_has_nothing() {
        let shares = Shares::new(2);
        let [a, b]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let held = [shares.take(a).unwrap(), shares.take(a).unwrap()];
        assert!(shares.take(a).is_none() && shares.take(b).is_some());
        assert_eq!(shares.counts().len(), 1);
        drop(held);
        assert!(shares.counts().is_empty() && shares.take(a).is_some());
    }

    #[test]
    fn nobody_gets_anything_where_there_is_nothing() {
        let shares = Shares::new(0);
        assert!(shares.take("::1".parse().unwrap()).is_none());
    }
}
