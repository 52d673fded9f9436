// SPDX-License-Identifier: Apache-2.0
//! The balancer's fast path on Linux: userspace chooses the endpoint of a flow's first packet, the kernel forwards the rest.
//!
//! Needs root (`CAP_NET_ADMIN`, `CAP_NET_RAW`) and a kernel with nf_tables, NFQUEUE and conntrack's netlink; [`probe()`] says what is
//! missing. No eBPF.
//!
//! ```text
//!  first packet ──▶ rules: to a service? ──▶ queue ──▶ decider: endpoint ──▶ verdict with a mark ──▶ rules: destination by the mark
//!  all others   ──▶ conntrack: translated, forwarded                          events of flows ──▶ decider: books
//! ```
//!
//! Start with `fast` for what it is to its users, `rules` for what the kernel does, `engine` for what is decided. Not here: the
//! proxy path, sources of configuration, health checks.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod conntrack;
mod counters;
mod decider;
mod end;
mod engine;
mod fast;
mod filter;
mod fits;
#[doc(hidden)]
pub mod fuzz;
mod kernel;
mod notes;
mod owner;
mod packet;
mod probe;
mod queue;
pub mod report;
mod rules;
pub mod topology;
mod ways;

pub(crate) use berth_balancer_host::{address, changes, conflict, netlink, nft, route};

pub use conflict::{Conflict, With};
#[doc(hidden)]
pub use conntrack::flush_all;
pub use counters::Stats;
pub use engine::Takes;
pub use fast::{Fast, Options, StartError, clean, conflicts, now, own_addresses};
pub use fits::{fits, misfits};
pub use kernel::{ApplyError, Conflicts};
pub use probe::{Available, Missing, probe};
pub use route::{Hop, ROUTE_PROTOCOL};
pub use rules::{FLOW_ENDED, FLOW_FINS, FLOW_MASQUERADE, FLOW_OURS};
