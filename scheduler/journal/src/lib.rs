// SPDX-License-Identifier: Apache-2.0
//! The scheduler's durable log. It takes batches of bytes, says when they are safe, and gives them back after a restart; what
//! the bytes mean is the caller's affair.
//!
//! ```text
//! DIR/lock                   held by the one process that may write
//! DIR/log-0000000007         segments of the log, each allocated in full before it is used
//! DIR/log-0000000008
//! DIR/current                which snapshot counts, and which batches it holds
//! DIR/synced                 up to where the log was known to be on disk; a hint, may be old
//! DIR/snapshot-00000000000000004711/   a sled database: the state in chunks, written once, never changed
//! ```
//!
//! **The log is the record.** [`Journal::submit`] hands a batch to the committer, which gathers what comes while the disk
//! works: one write and one sync for all of it, then all of it is acknowledged. A group is one frame with one checksum, and the
//! next is not begun before the sync of the one before has returned. So a damaged frame with a good one behind it was
//! acknowledged, and is refused as corruption; one with nothing behind it was not, and is cut.
//!
//! **A snapshot is fuzzy.** The caller hands out its state in slices between its other work, each as it is at that moment, while
//! the log goes on. Batches are therefore *effects* that can be applied again: the last word about a thing wins. Recovery reads
//! the snapshot, then every batch after its beginning.
//!
//! **A full disk is noticed before it hurts**: space for the log is allocated ahead, and when there is no more, the state says
//! [`State::Full`] while what is under way still fits. A failed sync is final: nothing is acknowledged after it.
//!
//! Start reading at [`Journal`]; [`log`] has the frames, [`recover`] the rules of recovery.
#![forbid(unsafe_code)]

pub mod disk;
pub mod error;
pub mod frame;
pub mod journal;
pub mod log;
pub mod manifest;
pub mod recover;
pub mod snapshot;
pub mod store;

pub use error::{CommitError, OpenError};
pub use journal::{Completion, Journal, Options, State, Stats};
pub use recover::{Replay, Report};
pub use snapshot::{Put, Snapshot};
