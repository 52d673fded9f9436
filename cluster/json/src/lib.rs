// SPDX-License-Identifier: Apache-2.0
//! JSON values as the API keeps them while it works on an object: [`Value`], with the methods that `serde_json`'s has, and [`json!`].
//!
//! The difference is what an object costs. `serde_json` keeps each map in a B-tree, whose smallest node has room for eleven members
//! (632 bytes), and each name in an allocation of its own. Here a map of few members is one vector in order of names, and a text of up
//! to 24 bytes, which most names and many values are, lies where it is used. Why that is worth a type of our own:
//! `docs/adr/0018-a-json-value-of-our-own.md`.
#![forbid(unsafe_code)]

mod convert;
mod macros;
mod map;
mod parse;
mod read;
mod value;
mod write;

pub use compact_str::CompactString as Text;
pub use map::{Entry, Map};
pub use parse::usual;
pub use serde_json::Number;
pub use value::{Index, Value};
pub use write::{write, write_text};

#[doc(hidden)]
pub use convert::to_value;
