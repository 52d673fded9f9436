// SPDX-License-Identifier: Apache-2.0
//! The balancer's core: decides which endpoint each flow goes to, and keeps the books of flows.
//!
//! Pure: no IO, no clock (time is an argument, `u64` nanoseconds from any fixed moment), no threads of its own, no randomness but
//! seeds.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod affinity;
mod compiler;
mod drain;
mod flows;
mod hash;
mod health;
mod latency;
pub mod limits;
mod lru;
mod maglev;
pub mod model;
mod problem;
pub mod proxy;
mod random;
pub mod rate;
mod ring;
mod sources;
pub mod table;
mod trie;
mod validate;
mod worker;

pub use affinity::Affinity;
pub use compiler::{Change, Compiler};
pub use drain::Drains;
pub use flows::{Flow, FlowKey, FlowTable};
pub use hash::{flow_hash, source_hash};
pub use health::{Due, Health, Turned};
pub use problem::{Fault, Problem};
pub use random::Random;
pub use sources::{Guest, Sources};
pub use table::Table;
pub use validate::validate;
pub use worker::{Pick, Prefer, Refusal, Request, Seen, Ticket, Worker};
