// SPDX-License-Identifier: Apache-2.0
//! Transactions: conditions, operations, and how they end.

use crate::entry::{Body, Entry, Meta};
use std::sync::Arc;

/// A condition: the key has this revision.
#[derive(Debug, Clone)]
pub struct Compare {
    /// The key.
    pub key: String,
    /// Revision of its last write; 0 says that it must not exist.
    pub revision: u64,
}

/// A change of one key.
#[derive(Debug, Clone)]
pub enum Op {
    /// Writes it.
    Put {
        /// The key.
        key: String,
        /// The object.
        body: Body,
        /// What is known of it.
        meta: Meta,
    },
    /// Removes it; a key that is not there is a conflict.
    Delete {
        /// The key.
        key: String,
    },
}

impl Op {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// All of it happens, at one revision, or nothing. A key may be changed once.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    /// Conditions.
    pub compares: Vec<Compare>,
    /// Changes; with none, only the conditions are checked.
    pub ops: Vec<Op>,
}

/// A transaction that is durable.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its revision; without changes, the present one.
    pub revision: u64,
    /// One per change; for a delete the last state with this revision.
    pub entries: Vec<Arc<Entry>>,
}

/// Why a transaction was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A condition does not hold, and what is there instead is durable; nothing was written.
    #[error("the key {key} is at another revision")]
    Conflict {
        /// The key.
        key: String,
        /// What is there.
        current: Option<Arc<Entry>>,
    },
    /// The disk has no space; nothing was written.
    #[error("the store is full: {0}")]
    Full(String),
    /// Nothing was written.
    #[error("the store cannot write: {0}")]
    Failed(String),
    /// It may have been written or not. An etcd may even write it later, after what others write meanwhile: a condition on what
    /// was there keeps it from undoing that.
    #[error("it is not known whether the write took place: {0}")]
    Unknown(String),
}
