// SPDX-License-Identifier: Apache-2.0
//! What a controller wrote and its informer does not show yet. Who decides over several objects would, from half of an own step, take the
//! next one wrongly.

use crate::queue::Key;
use std::collections::BTreeMap;
use std::time::Duration;

/// After this long something went wrong, and what is observed counts again.
const TIMEOUT: Duration = Duration::from_mins(1);
/// When to look again for what was written and is not shown yet; a change that shows it comes earlier.
pub(crate) const BEHIND: Duration = Duration::from_secs(5);

/// Versions that were written, by owner and object.
#[derive(Debug, Default)]
pub struct Written(BTreeMap<Key, BTreeMap<Key, (u64, Duration)>>);

impl Written {
    /// An object of an owner was written and has this version now.
    pub fn wrote(&mut self, owner: &Key, object: Key, version: &str, now: Duration) {
        // Versions of Kubernetes are numbers that grow; of a server where they are not, nothing is waited for.
        if let Ok(version) = version.parse() {
            self.0.entry(owner.clone()).or_default().insert(object, (version, now));
        }
    }

    /// The informer shows an object in this version.
    pub fn seen(&mut self, owner: &Key, object: &Key, version: &str) {
        let Some(objects) = self.0.get_mut(owner) else { return };
        if version
            .parse()
            .is_ok_and(|seen: u64| objects.get(object).is_some_and(|(own, _)| seen >= *own))
        {
            objects.remove(object);
        }
        if objects.is_empty() {
            self.0.remove(owner);
        }
    }

    /// The informer shows that an object is gone.
    pub fn gone(&mut self, owner: &Key, object: &Key) {
        self.seen(owner, object, &u64::MAX.to_string());
    }

    /// Whether what is observed is older than what was written.
    pub fn behind(&self, owner: &Key, now: Duration) -> bool {
        let objects = self.0.get(owner).into_iter().flatten();
        objects.into_iter().any(|(_, (_, since))| now.saturating_sub(*since) < TIMEOUT)
    }

    /// The owner is gone.
    pub fn forget(&mut self, owner: &Key) {
        self.0.remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_writes_are_waited_for() {
        let (mut written, owner, object) =
            (Written::default(), Key::new("n", "d"), Key::new("n", "r"));
        let start = Duration::from_secs(5);
        written.wrote(&owner, object.clone(), "12", start);
        written.seen(&owner, &object, "9");
        assert!(written.behind(&owner, start));
        assert!(!written.behind(&Key::new("n", "e"), start));
        assert!(!written.behind(&owner, start + TIMEOUT));
        written.seen(&owner, &object, "13");
        assert!(!written.behind(&owner, start));
        written.wrote(&owner, object.clone(), "14", start);
        written.gone(&owner, &object);
        assert!(!written.behind(&owner, start));
    }
}
