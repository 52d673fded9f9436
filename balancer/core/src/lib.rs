// SPDX-License-Identifier: Apache-2.0
//! The balancer's core: decides which endpoint each flow goes to, and keeps the books of flows.
//!
//! Pure: no IO, no clock (time is an argument, `u64` nanoseconds from any fixed moment), no threads of its own, no randomness but
//! seeds.
//!
//! [`Compiler`] makes a [`Table`] of what is wanted; a [`Worker`] chooses by it:
//!
//! ```
//! use berth_balancer_core::model::{Config, Protocol};
//! use berth_balancer_core::{Compiler, Refusal, Request, Table, Worker};
//! use core::net::SocketAddr;
//!
//! /// What a data plane does with a new connection; `connect` says whether the endpoint accepted it.
//! fn forward(
//!     (worker, table, now): (&mut Worker, &Table, u64),
//!     (source, destination): (SocketAddr, SocketAddr),
//!     connect: impl Fn(SocketAddr) -> bool,
//! ) -> Result<(), Refusal> {
//!     let found = table.lookup(Protocol::Tcp, destination).ok_or(Refusal::NoEndpoint)?;
//!     let mut tried = Vec::new();
//!     loop {
//!         let (via, inside, prefer) = (found.via, false, None);
//!         let request = Request { via, inside, source, now, prefer, tried: &tried };
//!         let mut ticket = worker.open(found.frontend, &request)?;
//!         if connect(ticket.address) {
//!             worker.on_connected(&mut ticket, now);
//!             worker.on_first_byte(&ticket, 1_000_000, now);
//!             worker.on_close(ticket);
//!             return Ok(());
//!         }
//!         tried.push(ticket.backend);
//!         worker.on_failed(table, ticket, now);
//!     }
//! }
//!
//! let mut compiler = Compiler::new();
//! compiler.replace(Config::default(), 0).expect("nothing wanted is right");
//! let (mut worker, table) = (Worker::new(1), compiler.table().clone());
//! worker.adopt(&Table::default(), &table, 0);
//! let addresses = ("192.0.2.1:4000".parse().unwrap(), "10.96.0.1:80".parse().unwrap());
//! let sent = forward((&mut worker, &table, 0), addresses, |_| true);
//! assert_eq!(sent, Err(Refusal::NoEndpoint));
//! ```
//!
//! Start with `table` for what a table knows, `worker` for how it is used.
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
mod tell;
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
pub use sources::{Guest, Known, Sources};
pub use table::Table;
pub use tell::{LATENCY_BOUNDS_NS, LATENCY_BUCKETS, REFUSALS, latency_bucket};
pub use validate::{Claim, ClaimPath, Place, claims, validate, validate_parts};
pub use worker::{Pick, Prefer, Record, Refusal, Request, Seen, Ticket, Worker};
