// SPDX-License-Identifier: Apache-2.0
//! What is wrong with what a source of truth wants: each problem with the field's path, in the words of that source.

use std::fmt;

/// Problems of one configuration that are told; what comes beyond is counted. A person reads the first few, and a hundred thousand
/// endpoints with one mistake each are one mistake.
pub const PROBLEMS_MAX: usize = 1_000;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field: `services[3].endpoints[1].address`. Empty: the whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// A problem of the field at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    /// The first [`PROBLEMS_MAX`].
    pub list: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
    /// Another source is in the way: the same may be right later.
    pub waits: bool,
}

impl Problems {
    /// One problem alone.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { list: vec![Problem::new(path, message)], ..Self::default() }
    }

    /// Notes a problem.
    pub fn note(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem::new(path, message));
        } else {
            self.more += 1;
        }
    }

    /// Notes that another source has what this one wants.
    pub fn note_waiting(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.waits = true;
        self.note(path, message);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// The value, if there is no problem.
    ///
    /// # Errors
    /// The problems.
    pub fn finish<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
