// SPDX-License-Identifier: Apache-2.0
//! Readers: what clients send, as JSON values, within budgets.
//!
//! A reader never panics, never recurses deeper than [`DEPTH_MAX`], and never builds more than a small multiple of what it was given.
//! How many bytes a body may have is the caller's affair, who reads it from the network.

mod protobuf;
mod tree;
mod wire;
mod yaml;

pub use protobuf::protobuf;
pub use yaml::yaml;

use crate::Refusal;
use berth_cluster_json::Value;
use serde::de::DeserializeSeed;
use std::cell::RefCell;
use std::fmt;

/// How deep lists and objects may be nested: below what a stack of 2 MiB holds, above what any kind needs (a schema of a custom
/// resource takes three levels for one of its own).
pub const DEPTH_MAX: usize = 100;

/// How many repeated fields are told; upstream stops at a hundred unknown or repeated fields, too.
pub const DUPLICATES_MAX: usize = 100;

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Read {
    /// The value; of a field that is there twice, the last one.
    pub value: Value,
    /// Paths of fields that are there twice, as strict decoding tells them: `spec.containers[0].name`.
    pub duplicates: Vec<String>,
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It is nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// It is not of the format that it should be of, or unfolds to more than is allowed; the text says where.
    Syntax(String),
    /// It is well formed, but of a kind that has no schema.
    UnknownKind {
        /// As it was sent.
        api_version: String,
        /// As it was sent.
        kind: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "nested deeper than {DEPTH_MAX} levels"),
            Self::Syntax(text) => f.write_str(text),
            Self::UnknownKind { api_version, kind } => {
                write!(f, "no kind \"{kind}\" is registered for version \"{api_version}\"")
            }
        }
    }
}

impl std::error::Error for ReadError {}

impl ReadError {
    /// What the client is told.
    pub fn refusal(&self) -> Refusal {
        Refusal::bad_request(self.to_string())
    }
}

/// Reads JSON. Repeated fields are noticed; numbers that no double holds, lone surrogates, and what follows the value are
/// refused.
pub fn json(bytes: &[u8]) -> Result<Read, ReadError> {
    if let Some(value) = berth_cluster_json::usual(bytes, DEPTH_MAX) {
        return Ok(Read { value, duplicates: Vec::new() });
    }
    let notes = RefCell::new(tree::Notes::default());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = tree::Seed::root(&notes).deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value));
    tree::finish(notes, read.map_err(|problem| problem.to_string()))
}
