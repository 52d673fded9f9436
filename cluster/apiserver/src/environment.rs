// SPDX-License-Identifier: Apache-2.0
//! Time and chance, so that a test can choose them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Billionths of a second.
    pub nanos: u32,
}

/// Where a server takes time and chance from.
pub trait Environment: fmt::Debug + Send + Sync {
    /// The time.
    fn now(&self) -> Moment;
    /// A number that nobody can guess.
    fn random(&self) -> u64;
}

/// Bytes of chance that a thread draws at a time.
const DRAW: usize = 256;

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Environment for Machine {
    fn now(&self) -> Moment {
        // A clock before 1970 is no clock; the beginning is as good as any.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Moment { seconds, nanos: since.subsec_nanos() }
    }

    fn random(&self) -> u64 {
        // Asking the system costs more than what most requests do: it is asked for many at a time.
        thread_local!(static DRAWN: RefCell<([u8; DRAW], usize)> = const { RefCell::new(([0; DRAW], DRAW)) });
        DRAWN.with_borrow_mut(|(drawn, used)| {
            if *used >= DRAW {
                // The system's generator does not fail once it is up.
                if getrandom::fill(drawn).is_err() {
                    return u64::from(self.now().nanos);
                }
                *used = 0;
            }
            let mut number = [0; 8];
            let next = &mut drawn[*used..*used + 8];
            number.copy_from_slice(next);
            // What was given out is nobody's to find.
            next.fill(0);
            *used += 8;
            u64::from_ne_bytes(number)
        })
    }
}

/// A clock that stands still until it is set, and numbers that follow from a seed (splitmix64, Steele et al. 2014).
#[derive(Debug)]
pub struct Fixed(Mutex<(Moment, u64)>);

impl Fixed {
    /// At a time, in seconds since 1970.
    pub fn new(seconds: i64, seed: u64) -> Self {
        Self(Mutex::new((Moment { seconds, nanos: 0 }, seed)))
    }

    /// Sets the clock forward.
    pub fn advance(&self, seconds: i64) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.0.seconds += seconds;
    }
}

impl Environment for Fixed {
    fn now(&self) -> Moment {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn random(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.1 = state.1.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.1;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A new uid (RFC 9562, version 4).
pub(crate) fn uid(environment: &dyn Environment) -> String {
    let (high, low) = (environment.random(), environment.random());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Five letters behind a `generateName`, out of upstream's alphabet, which has no vowels: no word can come of it.
pub(crate) fn suffix(environment: &dyn Environment) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut chance = environment.random();
    let mut letter = || {
        let count = LETTERS.len() as u64;
        let at = usize::try_from(chance % count).unwrap_or(0);
        chance /= count;
        char::from(LETTERS.get(at).copied().unwrap_or(b'b'))
    };
    (0..5).map(|_| letter()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_and_suffixes_differ_and_have_their_form() {
        let fixed = Fixed::new(0, 7);
        let (a, b) = (uid(&fixed), uid(&fixed));
        assert!(a != b && a.len() == 36 && a.as_bytes()[14] == b'4', "{a}");
        let suffix = suffix(&fixed);
        assert!(suffix.len() == 5 && !suffix.contains(['a', 'e', '1']), "{suffix}");
        fixed.advance(9);
        assert_eq!(fixed.now().seconds, 9);
        assert!(Machine.now().seconds > 1_700_000_000 && Machine.random() != Machine.random());
    }
}
