// SPDX-License-Identifier: Apache-2.0
//! How often an owner is looked at whose objects change all the time: looking costs what all of them cost, so whoever has more is looked at
//! less often, and the sooner again the sooner changes cease. The first change after a quiet time is not kept waiting.

use crate::queue::Key;
use std::collections::BTreeMap;
use std::time::Duration;

/// Nobody waits longer between two looks.
const MOST: Duration = Duration::from_secs(1);
/// Nor where the end of the changes is waited for.
const MOST_UNLESS_QUIET: Duration = Duration::from_secs(2);
/// When nothing changed for so long, more is hardly on its way.
const QUIET: Duration = Duration::from_millis(100);

/// When owners were looked at last, and when something of theirs changed.
#[derive(Debug)]
pub(crate) struct Gather {
    each: Duration,
    /// The end of changes is waited for.
    quiet: bool,
    known: BTreeMap<Key, Times>,
}

#[derive(Debug)]
struct Times {
    looked: Duration,
    changed: Duration,
}

impl Gather {
    /// Between two looks at an owner `each` passes for each object of all that wait, taken to have as many as it has. Ten times what a look
    /// costs for one object keeps looking again and again to a tenth of a core.
    pub(crate) fn new(each: Duration) -> Self {
        Self { each, quiet: false, known: BTreeMap::new() }
    }

    /// The same; where changes have ceased, only a quarter of it passes. Whoever comes to look has to ask again how long to wait.
    pub(crate) fn until_quiet(each: Duration) -> Self {
        Self { quiet: true, ..Self::new(each) }
    }

    /// An object of an owner changed.
    pub(crate) fn changed(&mut self, key: &Key, now: Duration) {
        if let Some(times) = self.known.get_mut(key) {
            times.changed = now;
        }
    }

    /// How long a change of one of so many objects waits for others, when so many owners wait.
    pub(crate) fn pause(
        &self,
        key: &Key,
        objects: usize,
        waiting: usize,
        now: Duration,
    ) -> Duration {
        let Some(Times { looked, changed }) = self.known.get(key) else { return Duration::ZERO };
        let all = objects.max(1).saturating_mul(waiting.max(1));
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let most = if self.quiet { MOST_UNLESS_QUIET } else { MOST };
        let pause = self.each.saturating_mul(all).min(most);
        let end = looked.saturating_add(pause);
        if !self.quiet {
            return end.saturating_sub(now);
        }
        let ceased = changed.saturating_add(QUIET).max(looked.saturating_add(pause / 4));
        end.min(ceased).saturating_sub(now)
    }

    /// An owner is looked at.
    pub(crate) fn looked(&mut self, key: &Key, now: Duration) {
        self.known.insert(key.clone(), Times { looked: now, changed: now });
    }

    /// An owner is gone, or is to be looked at without a pause.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn who_has_more_waits_longer_up_to_a_bound_and_nobody_after_a_quiet_time() {
        let key = Key::new("n", "s");
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

    #[test]
    fn where_changes_cease_it_is_looked_sooner_but_not_at_once() {
        let key = Key::new("n", "s");
        let mut gather = Gather::until_quiet(Duration::from_micros(20));
        gather.looked(&key, ms(1_000));
        assert_eq!(gather.pause(&key, 100_000, 1, ms(1_050)), ms(450), "a quarter of the pause");
        gather.changed(&key, ms(1_600));
        assert_eq!(gather.pause(&key, 100_000, 1, ms(1_650)), ms(50));
        gather.changed(&key, ms(1_690));
        assert_eq!(gather.pause(&key, 100_000, 1, ms(1_700)), ms(90));
        gather.changed(&key, ms(2_990));
        assert_eq!(gather.pause(&key, 100_000, 1, ms(2_995)), ms(5), "no longer than the pause");
        assert_eq!(gather.pause(&key, 100, 1, ms(1_002)), ms(0), "who has few");
        assert_eq!(gather.pause(&key, usize::MAX, 1, ms(2_000)), ms(1_000), "and never longer");
    }
}
