// SPDX-License-Identifier: Apache-2.0
//! What is different in two tables. A worker that skipped some compares the one it had with the one it gets.

use crate::table::{Backend, BackendId, Frontend, FrontendId, Served, Table};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What is different in a newer table. Costs what was changed in between, not what is in the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Frontends that are new.
    pub frontends_added: Vec<FrontendId>,
    /// Frontends that are gone.
    pub frontends_removed: Vec<FrontendId>,
    /// Frontends that are different in anything.
    pub frontends_changed: Vec<FrontendId>,
    /// Backends that are new, each with its frontend.
    pub backends_added: Vec<(FrontendId, BackendId)>,
    /// Backends that are gone, each with its frontend: their flows drain.
    pub backends_removed: Vec<(FrontendId, BackendId)>,
    /// Backends whose readiness, health or weight is different.
    pub backends_changed: Vec<(FrontendId, BackendId)>,
    /// Places that are served now.
    pub served_added: Vec<Moved>,
    /// Places that nobody serves any more.
    pub served_removed: Vec<Moved>,
    /// Places that another frontend serves now, or as another kind of address: their listeners stay.
    pub served_moved: Vec<Moved>,
}

/// A place, and who serves it: the new frontend, or the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// The protocol, as its order puts it.
    pub protocol: crate::model::Protocol,
    /// The place.
    pub served: Served,
    /// The frontend.
    pub frontend: FrontendId,
}

impl Diff {
    /// What is different in `new`.
    #[must_use]
    pub fn between(old: &Table, new: &Table) -> Self {
        let mut diff = Self::default();
        old.frontends.differences(&new.frontends, |_, old, new| match (old, new) {
            (Some(old), Some(new)) if old.id == new.id => {
                if !Arc::ptr_eq(old, new) {
                    diff.changed(old, new);
                }
            }
            (old, new) => {
                if let Some(old) = old {
                    diff.removed(old);
                }
                if let Some(new) = new {
                    diff.added(new);
                }
            }
        });
        diff.settle();
        diff
    }

    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn added(&mut self, new: &Frontend) {
        self.frontends_added.push(new.id);
        self.backends_added.extend(new.backends.iter().map(|backend| (new.id, backend.id)));
        self.served_added.extend(new.served.iter().map(|served| moved(new, *served)));
    }

    fn removed(&mut self, old: &Frontend) {
        self.frontends_removed.push(old.id);
        self.backends_removed.extend(old.backends.iter().map(|backend| (old.id, backend.id)));
        self.served_removed.extend(old.served.iter().map(|served| moved(old, *served)));
    }

    fn changed(&mut self, old: &Frontend, new: &Frontend) {
        self.frontends_changed.push(new.id);
        // Both are in the order of names.
        let (mut olds, mut news) = (old.backends.iter().peekable(), new.backends.iter().peekable());
        while let Some((a, b)) = next_pair(&mut olds, &mut news) {
            match (a, b) {
                (Some(a), Some(b)) if a.id == b.id => {
                    if !a.is_same(b) {
                        self.backends_changed.push((new.id, b.id));
                    }
                }
                (a, b) => {
                    self.backends_removed.extend(a.map(|a| (old.id, a.id)));
                    self.backends_added.extend(b.map(|b| (new.id, b.id)));
                }
            }
        }
        if old.served != new.served {
            let fresh = new.served.iter().filter(|served| !old.served.contains(served));
            self.served_added.extend(fresh.map(|served| moved(new, *served)));
            let gone = old.served.iter().filter(|served| !new.served.contains(served));
            self.served_removed.extend(gone.map(|served| moved(old, *served)));
        }
    }

    /// A place that one frontend lost and another one got, or the same one as another kind, has moved.
    fn settle(&mut self) {
        if self.served_added.is_empty() || self.served_removed.is_empty() {
            return;
        }
        self.served_removed.sort_unstable_by_key(place);
        let within =
            |list: &[Moved], one: &Moved| list.binary_search_by_key(&place(one), place).is_ok();
        let (moved, added) = core::mem::take(&mut self.served_added)
            .into_iter()
            .partition(|one| within(&self.served_removed, one));
        (self.served_moved, self.served_added) = (moved, added);
        self.served_moved.sort_unstable_by_key(place);
        let moved = &self.served_moved;
        self.served_removed.retain(|one| !within(moved, one));
    }
}

/// Where a listener would be.
fn place(moved: &Moved) -> (crate::model::Protocol, Option<IpAddr>, u16) {
    match moved.served {
        Served::At { address, .. } => (moved.protocol, Some(address.ip()), address.port()),
        Served::NodePort(port) => (moved.protocol, None, port),
    }
}

fn moved(frontend: &Frontend, served: Served) -> Moved {
    Moved { protocol: frontend.protocol, served, frontend: frontend.id }
}

type Backends<'a> = core::iter::Peekable<core::slice::Iter<'a, Backend>>;

/// The next name of two lists, with who has it in each.
fn next_pair<'a>(
    olds: &mut Backends<'a>,
    news: &mut Backends<'a>,
) -> Option<(Option<&'a Backend>, Option<&'a Backend>)> {
    let order = match (olds.peek(), news.peek()) {
        (None, None) => return None,
        (Some(_), None) => core::cmp::Ordering::Less,
        (None, Some(_)) => core::cmp::Ordering::Greater,
        (Some(old), Some(new)) if old.id == new.id => core::cmp::Ordering::Equal,
        (Some(old), Some(new)) => old.name().cmp(new.name()),
    };
    Some(match order {
        core::cmp::Ordering::Less => (olds.next(), None),
        core::cmp::Ordering::Greater => (None, news.next()),
        core::cmp::Ordering::Equal => (olds.next(), news.next()),
    })
}
