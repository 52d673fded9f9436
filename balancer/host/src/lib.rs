// SPDX-License-Identifier: Apache-2.0
//! What the balancer asks of a Linux host and tells it, by netlink: routes, interfaces, neighbours, rules; and whose an address is.
//!
//! Both of its paths need it: the fast path for its rules and local routes, the proxy path for the way into its network namespace.
//! Nothing here decides what is served.
//!
//! Start with `netlink` for how it is said, `route`, `veth` and `nft` for what; `conflict` says whose an address is, `changes` that
//! it may be another's now, `exception` has the rules among those of others.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

pub mod address;
pub mod changes;
pub mod conflict;
pub mod divert;
pub mod exception;
pub mod netlink;
pub mod nft;
pub mod route;
pub mod veth;
