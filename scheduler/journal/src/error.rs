// SPDX-License-Identifier: Apache-2.0
//! What can go wrong: when opening, and when committing.

use std::io;

/// Why a journal cannot be opened. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot {doing} in the data directory")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Another process holds the directory.
    #[error("the data directory is in use by another process")]
    InUse,
    /// Something acknowledged is damaged or missing.
    #[error(
        "the data directory is damaged: {what}. Nothing was changed. Restore the directory from a backup, or start with an empty one"
    )]
    Corrupt {
        /// What, and where.
        what: String,
    },
    /// Written by a version that this one does not know.
    #[error("{file} has format {format}; this version reads format {known}")]
    Format {
        /// The file.
        file: String,
        /// Its format.
        format: u32,
        /// Ours.
        known: u32,
    },
    /// The caller could not make sense of what was read, though its checksum is right.
    #[error("the data directory holds a record that this version cannot read: {what}")]
    Record {
        /// What, and where.
        what: String,
    },
}

/// Why a batch was not made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The disk failed; whether the batch is on it is not known. No further batch is taken.
    #[error("the journal failed; restart the process to recover what is on disk")]
    Failed,
}

/// Whether there is simply no space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
