// SPDX-License-Identifier: Apache-2.0
//! Why a file of verdicts cannot be read.

use berth_scheduler_objects::ObjectError;
use berth_scheduler_objects::config::ConfigError;
use std::io;
use std::path::PathBuf;

/// Why a file cannot be read: `FILE:LINE: problem`.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {problem}", .file.display())]
pub struct ReadError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    #[source]
    pub problem: Box<Problem>,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It could not be read at all.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// It is no record of verdicts.
    #[error("{0}")]
    Json(#[source] serde_json::Error),
    /// A Kubernetes object in it cannot be used.
    #[error("{place}: {error}")]
    Object {
        /// Where, as `pods[3]`.
        place: String,
        /// What is wrong with it.
        #[source]
        error: ObjectError,
    },
    /// The profile cannot be used.
    #[error("profile: {0}")]
    Profile(#[source] ConfigError),
    /// A value is none of those that are possible, or a reference leads nowhere.
    #[error("{place}: \"{found}\" is not known")]
    Unknown {
        /// Where.
        place: String,
        /// The value.
        found: String,
    },
}
