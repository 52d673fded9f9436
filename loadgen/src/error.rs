// SPDX-License-Identifier: Apache-2.0
//! Why a run could not be made.

use std::error::Error as _;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

/// Why a run could not be made, or not to its end. (A run that was made and did not hold is no error: see
/// [`Verdict`](crate::Verdict).)
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write to the standard output")]
    Output(#[source] io::Error),
    /// Verdicts could not be read.
    #[error("cannot read the verdicts")]
    Verdicts(#[source] berth_scheduler_testkit::ReadError),
}

/// An error with what caused it, in one line.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // An error that shows its cause in its own text is not told twice.
        let told = error.to_string();
        if !text.ends_with(&told) {
            let _ = write!(text, ": {told}");
        }
        cause = error.source();
    }
    text
}
