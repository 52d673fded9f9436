// SPDX-License-Identifier: Apache-2.0
//! What a controller did and its informer does not show yet: until it does, what the informer shows is not acted upon, or the same would
//! be done twice.

use crate::queue::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After this long something went wrong, and what is observed counts again (client-go's number).
pub(crate) const TIMEOUT: Duration = Duration::from_mins(5);

#[derive(Debug, Default)]
struct Expected {
    creations: u32,
    /// By uid: the mark of a deletion and its end are seen, but count once.
    deletions: BTreeSet<String>,
    since: Duration,
}

impl Expected {
    fn met(&self) -> bool {
        self.creations == 0 && self.deletions.is_empty()
    }
}

/// What is expected, by owner.
#[derive(Debug, Default)]
pub struct Expectations(BTreeMap<Key, Expected>);

impl Expectations {
    /// An owner is about to get so many, and to lose those of these uids.
    pub fn expect(
        &mut self,
        owner: &Key,
        creations: u32,
        deletions: BTreeSet<String>,
        now: Duration,
    ) {
        self.0.insert(owner.clone(), Expected { creations, deletions, since: now });
    }

    /// One was created, or could not be. Returns whether it was the last that was waited for.
    pub fn created(&mut self, owner: &Key) -> bool {
        let Some(expected) = self.0.get_mut(owner) else { return false };
        let waited = expected.creations > 0;
        expected.creations = expected.creations.saturating_sub(1);
        waited && expected.met()
    }

    /// One is on its way out, or could not be deleted. Returns whether it was the last that was waited for.
    pub fn deleted(&mut self, owner: &Key, uid: &str) -> bool {
        let Some(expected) = self.0.get_mut(owner) else { return false };
        expected.deletions.remove(uid) && expected.met()
    }

    /// Those that an owner is to lose and that are not seen to go yet.
    pub fn going(&self, owner: &Key) -> BTreeSet<String> {
        self.0.get(owner).map(|expected| expected.deletions.clone()).unwrap_or_default()
    }

    /// The owner is gone.
    pub fn forget(&mut self, owner: &Key) {
        self.0.remove(owner);
    }

    /// Whether what is observed of an owner's objects shows all that was done.
    pub fn satisfied(&self, owner: &Key, now: Duration) -> bool {
        self.0
            .get(owner)
            .is_none_or(|expected| expected.met() || now.saturating_sub(expected.since) > TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_waited_for() {
        let (mut expectations, key) = (Expectations::default(), Key::new("n", "a"));
        let start = Duration::from_secs(9);
        assert!(
            expectations.satisfied(&key, start),
            "nothing is expected of who never did anything"
        );
        expectations.expect(&key, 2, BTreeSet::new(), start);
        assert!(!expectations.created(&key));
        assert!(!expectations.satisfied(&key, start));
        assert!(expectations.created(&key), "the last one");
        assert!(expectations.satisfied(&key, start));
        assert!(!expectations.created(&key), "nobody waits for it");
        expectations.expect(&key, 0, ["u".to_owned()].into(), start);
        assert!(!expectations.deleted(&key, "v"));
        assert!(!expectations.satisfied(&key, start));
        assert!(!expectations.satisfied(&Key::new("n", "a"), start + TIMEOUT));
        assert!(expectations.satisfied(&key, start + TIMEOUT + Duration::from_nanos(1)));
        assert!(expectations.deleted(&key, "u"));
        assert!(!expectations.deleted(&key, "u"));
        assert!(expectations.satisfied(&key, start));
    }
}
