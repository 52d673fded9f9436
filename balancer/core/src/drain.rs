// SPDX-License-Identifier: Apache-2.0
//! Backends that left the table and still have connections.
//!
//! | state | event | next |
//! |---|---|---|
//! | in the table | it leaves, without connections | gone |
//! | in the table | it leaves, with connections | draining |
//! | draining | a connection closes, not the last | draining |
//! | draining | the last connection closes | gone |
//! | draining, overdue | it comes back | in the table, with its connections |
//! | draining | the deadline | overdue: it is named once, and its connections are to be ended |
//! | overdue | the last connection closes | gone |

use crate::table::BackendId;
use alloc::collections::{BTreeMap, BTreeSet};

/// Backends that drain.
#[derive(Debug, Default)]
pub struct Drains {
    all: BTreeMap<BackendId, Draining>,
    deadlines: BTreeSet<(u64, BackendId)>,
}

#[derive(Debug, Clone, Copy)]
struct Draining {
    connections: u32,
    deadline: u64,
}

impl Drains {
    /// A backend with so many connections left the table; they may live until `deadline` (nanoseconds).
    pub(crate) fn begin(&mut self, backend: BackendId, connections: u32, deadline: u64) {
        if connections > 0 {
            self.all.insert(backend, Draining { connections, deadline });
            self.deadlines.insert((deadline, backend));
        }
    }

    /// A connection of a backend closed. True if it was the last one of a backend that drains.
    pub(crate) fn closed(&mut self, backend: BackendId) -> bool {
        let Some(draining) = self.all.get_mut(&backend) else { return false };
        draining.connections -= 1;
        if draining.connections > 0 {
            return false;
        }
        let deadline = draining.deadline;
        self.all.remove(&backend);
        self.deadlines.remove(&(deadline, backend));
        true
    }

    /// A backend is in the table again. Its connections, which are counted there from now on.
    pub(crate) fn end(&mut self, backend: BackendId) -> u32 {
        let Some(draining) = self.all.remove(&backend) else { return 0 };
        self.deadlines.remove(&(draining.deadline, backend));
        draining.connections
    }

    /// The next backend whose deadline has passed. It is named once.
    pub(crate) fn expired(&mut self, now: u64) -> Option<BackendId> {
        let (deadline, backend) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.remove(&(deadline, backend));
        Some(backend)
    }

    /// The next deadline that has not been named, in nanoseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Backends that drain or are overdue, each with its connections.
    pub fn iter(&self) -> impl Iterator<Item = (BackendId, u32)> + '_ {
        self.all.iter().map(|(backend, draining)| (*backend, draining.connections))
    }

    /// Whether a backend drains or is overdue.
    #[must_use]
    pub fn has(&self, backend: BackendId) -> bool {
        self.all.contains_key(&backend)
    }

    /// Whether nothing drains.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const fn id(slot: u32) -> BackendId {
        BackendId { slot, generation: 1 }
    }

    #[test]
    fn a_backend_drains_until_its_last_connection_or_its_deadline() {
        let mut drains = Drains::default();
        drains.begin(id(1), 2, 100);
        drains.begin(id(2), 1, 50);
        drains.begin(id(3), 0, 10);
        assert_eq!(drains.iter().collect::<Vec<_>>(), [(id(1), 2), (id(2), 1)]);
        assert_eq!(drains.deadline(), Some(50));
        assert_eq!(drains.expired(49), None);
        assert_eq!(drains.expired(50), Some(id(2)));
        assert_eq!(drains.expired(50), None, "named once");
        assert!(drains.closed(id(2)));
        assert!(!drains.closed(id(2)), "not known any more");
        assert!(!drains.closed(id(1)));
        assert!(drains.closed(id(1)));
        assert!(drains.is_empty());
        assert_eq!(drains.expired(1_000), None, "its deadline went with it");
        drains.begin(id(4), 3, 100);
        assert_eq!(drains.end(id(4)), 3);
        assert_eq!((drains.end(id(4)), drains.expired(1_000)), (0, None), "it is back");
        assert!(!drains.closed(id(4)) && drains.is_empty());
    }
}
