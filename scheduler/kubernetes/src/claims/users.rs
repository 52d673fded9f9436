// SPDX-License-Identifier: Apache-2.0
//! Who waits for a claim: several pods may wait for one, and only the last of them takes back what was written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Namespace and name.
type Key = (String, String);

/// How many wait for a claim.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users(Arc<Mutex<BTreeMap<Key, u32>>>);

/// One that waits for some claims, until it is dropped.
#[derive(Debug)]
pub(crate) struct Using {
    users: Users,
    namespace: String,
    claims: Vec<String>,
}

impl Users {
    /// One more waits for these claims, each named once.
    pub(crate) fn begin<'a, N: AsRef<str> + ?Sized + 'a>(
        &self,
        namespace: &str,
        claims: impl Iterator<Item = &'a N>,
    ) -> Using {
        let claims: Vec<String> = claims.map(|claim| claim.as_ref().to_owned()).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for claim in &claims {
            *all.entry((namespace.to_owned(), claim.clone())).or_default() += 1;
        }
        drop(all);
        Using { users: self.clone(), namespace: namespace.to_owned(), claims }
    }

    fn leave(&self, key: Key) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.get_mut(&key).map_or(0, |users| {
            *users -= 1;
            *users
        });
        if left == 0 {
            all.remove(&key);
        }
        left == 0
    }
}

impl Using {
    /// It waits for a claim no longer; whether nobody else does.
    pub(crate) fn end(&mut self, claim: &str) -> bool {
        let before = self.claims.len();
        self.claims.retain(|other| other != claim);
        before != self.claims.len() && self.users.leave((self.namespace.clone(), claim.to_owned()))
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        for claim in std::mem::take(&mut self.claims) {
            self.users.leave((self.namespace.clone(), claim));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_told_so() {
        let users = Users::default();
        let mut first = users.begin("n", ["a", "b"].iter());
        let mut second = users.begin("n", ["a"].iter());
        let other = users.begin("m", ["a"].iter());
        assert!(!first.end("a"), "the second one waits");
        assert!(second.end("a"), "the other is in another namespace");
        assert!(!second.end("a"), "it has said so");
        let mut third = users.begin("n", ["b"].iter());
        drop(first);
        assert!(third.end("b"), "who is dropped waits no longer");
        drop((second, other, third));
        assert!(users.0.lock().unwrap().is_empty(), "nothing is left");
    }
}
