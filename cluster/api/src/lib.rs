// SPDX-License-Identifier: Apache-2.0
//! API machinery of Kubernetes, without IO: what an object of a kind must look like, and how it may change.
//!
//! Objects are JSON values ([`berth_cluster_json::Value`]). A *kind* is a row of the [`registry`]: names, schema, and its [`Rules`](registry::Rules).
//! What a client is told where something is wrong is a [`Refusal`]; problems of fields are gathered in [`field::Errors`].
#![forbid(unsafe_code)]

pub mod cells;
pub mod der;
pub mod field;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod pkcs10;
pub mod read;
pub mod refusal;
pub mod registry;
pub mod schema;
pub mod select;
pub mod strict;
pub mod time;

pub use refusal::Refusal;

pub use berth_cluster_json::Map;
