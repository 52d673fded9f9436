// SPDX-License-Identifier: Apache-2.0
//! Tokens whose signature was found good, so that it is not computed for each request. Only what a signature proves is kept: times and
//! what a token is bound to are looked at each time.

use berth_cluster_json::Value;
use hashbrown::HashMap;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens of a generation; two are kept.
const GENERATION: usize = 4_096;

type Digest = [u8; SHA256_OUTPUT_LEN];
type Claims = HashMap<Digest, Arc<Value>>;

/// The younger generation and the older one, which is forgotten when the younger is full.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<(Claims, Claims)>);

impl Seen {
    /// What a token says: as it was found, or as it is found now.
    pub(super) fn claims(
        &self,
        token: &str,
        verify: impl FnOnce() -> Option<Value>,
    ) -> Option<Arc<Value>> {
        let mut key = Digest::default();
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let known = {
            let (young, old) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            young.get(&key).cloned().or_else(|| old.remove(&key))
        };
        let claims = match known {
            Some(claims) => claims,
            None => Arc::new(verify()?),
        };
        self.keep(key, &claims);
        Some(claims)
    }

    fn keep(&self, key: Digest, claims: &Arc<Value>) {
        let (young, old) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if young.len() >= GENERATION && !young.contains_key(&key) {
            *old = std::mem::take(young);
        }
        young.entry(key).or_insert_with(|| Arc::clone(claims));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_token_is_verified_once_and_a_bad_one_each_time() {
        let (seen, verified) = (Seen::default(), Cell::new(0));
        let ask = |token: &str, good: bool| {
            let verify = || {
                verified.set(verified.get() + 1);
                good.then(|| Value::from(token))
            };
            seen.claims(token, verify).map(|claims| claims.as_str() == Some(token))
        };
        assert_eq!([ask("a", true), ask("a", true)], [Some(true); 2]);
        assert_eq!(verified.get(), 1);
        assert_eq!([ask("b", false), ask("b", false)], [None; 2]);
        assert_eq!(verified.get(), 3, "what was refused is not kept");
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let seen = Seen::default();
        let size = || {
            let both = seen.0.lock().unwrap();
            both.0.len() + both.1.len()
        };
        seen.claims("used", || Some(Value::Null)).unwrap();
        for number in 0..3 * GENERATION {
            seen.claims(&number.to_string(), || Some(Value::Null)).unwrap();
            assert!(seen.claims("used", || None).is_some(), "after {number}");
            assert!(size() <= 2 * GENERATION);
        }
        assert!(seen.claims("0", || None).is_none(), "long forgotten");
    }
}
