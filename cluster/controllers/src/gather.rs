// SPDX-License-Identifier: Apache-2.0
//! How often an owner is looked at whose objects change all the time: looking costs what all of them cost, so whoever has more is looked at
//! less often. The first change after a quiet time is not kept waiting.

use crate::queue::Key;
use std::collections::BTreeMap;
use std::time::Duration;

/// Nobody waits longer between two looks.
const MOST: Duration = Duration::from_secs(1);

/// When owners were looked at last.
#[derive(Debug)]
pub(crate) struct Gather {
    each: Duration,
    looked: BTreeMap<Key, Duration>,
}

impl Gather {
    /// Between two looks at an owner `each` passes for each object of all that wait, taken to have as many as it has. Ten times what a look
    /// costs for one object keeps looking again and again to a tenth of a core.
    pub(crate) fn new(each: Duration) -> Self {
        Self { each, looked: BTreeMap::new() }
    }

    /// How long a change of one of so many objects waits for others, when so many owners wait.
    pub(crate) fn pause(
        &self,
        key: &Key,
        objects: usize,
        waiting: usize,
        now: Duration,
    ) -> Duration {
        let Some(looked) = self.looked.get(key) else { return Duration::ZERO };
        let all = objects.max(1).saturating_mul(waiting.max(1));
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let pause = self.each.saturating_mul(all).min(MOST);
        looked.saturating_add(pause).saturating_sub(now)
    }

    /// An owner is looked at.
    pub(crate) fn looked(&mut self, key: &Key, now: Duration) {
        self.looked.insert(key.clone(), now);
    }

    /// An owner is gone.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.looked.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_waits_longer_up_to_a_bound_and_nobody_after_a_quiet_time() {
        let key = Key::new("n", "s");
        let ms = Duration::from_millis;
        let mut gather = Gather::new(Duration::from_micros(20));
        assert_eq!(gather.pause(&key, 10_000, 50, ms(5)), ms(0), "it was never looked at");
        gather.looked(&key, ms(5_000));
        assert_eq!(gather.pause(&key, 0, 0, ms(5_001)), ms(0));
        assert_eq!(gather.pause(&key, 10_000, 1, ms(5_050)), ms(150));
        assert_eq!(gather.pause(&key, 10_000, 1, ms(5_200)), ms(0));
        assert_eq!(gather.pause(&key, 50_000, 0, ms(5_000)), MOST);
        assert_eq!(gather.pause(&key, usize::MAX, 0, ms(5_000)), MOST);
        assert_eq!(gather.pause(&key, 100, 30, ms(5_000)), ms(60), "thirty have their turn");
        assert_eq!(gather.pause(&key, 1, usize::MAX, ms(5_000)), MOST);
        gather.forget(&key);
        assert_eq!(gather.pause(&key, 10_000, 5, ms(5_050)), ms(0));
    }
}
