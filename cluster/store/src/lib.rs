// SPDX-License-Identifier: Apache-2.0
//! The memory of the cluster: revisions, transactions, ordered watch; in memory, on disk and in etcd.
//!
//! Every back end keeps the whole state in memory and reads from there; they differ in what makes a transaction durable and
//! gives it its place in the order. Start reading at [`Store`].
#![forbid(unsafe_code)]

mod backup;
mod entry;
mod etcd;
mod log;
mod record;
mod shared;
mod state;
mod store;
mod txn;
mod watch;

pub use entry::{Body, Entry, Event, Meta, Owner, Pairs};
pub use state::{Compacted, Listing};
pub use store::{Error, OpenError, Options, ReadMeta, Stats, Store};
pub use txn::{CommitError, Committed, Compare, Op, Txn};
pub use watch::{Ended, Interest, Watch, WatchError};

use std::sync::Arc;

/// The answer for events.
pub(crate) fn committed(revision: u64, events: &[Arc<Event>]) -> Committed {
    Committed { revision, entries: events.iter().map(|event| Arc::clone(&event.entry)).collect() }
}
