// SPDX-License-Identifier: Apache-2.0
//! The pod network of a node, apart from the engine: which pod has which address, and what the host is told so that pods reach one another,
//! and what is outside.
//!
//! Start with [`AddressBook`] for the first, and [`Host`] for the second: its rules and routes are worked out by a pure [`plan()`] from
//! what is there and what is wanted. The network itself, a bridge without Docker's masquerade, is made by whoever drives the engine.
//!
//! IPv4. What two versions of IP would take: a second range in the books, the same chains in a table of the other family, and routes of
//! it; the plan does not care.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod book;
mod host;
mod plan;
mod range;
mod route;
mod rules;

pub use book::{
    AddressBook, AdoptError, Book, BookError, Opened, REST_MICROS, SizeError, TakeError,
};
pub use host::{Checked, Host, HostError, Problem};
pub use plan::{Action, Observed, Route, Wanted, plan};
pub use range::{Range, RangeError};
