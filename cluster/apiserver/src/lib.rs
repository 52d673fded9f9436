// SPDX-License-Identifier: Apache-2.0
//! The Kubernetes API over HTTP: a tower `Service` over a store and a set of kinds. Start reading at [`Server`].
//!
//! A request is understood ([`path`], [`query`], [`listing`], [`accept`]), its user is found and asked for their roles, and its verb
//! is carried out. Objects lie in the store as they go to clients ([`object`], [`render`]).
#![forbid(unsafe_code)]

pub mod accept;
mod access;
mod admission;
mod agent;
mod answer;
mod ask;
mod body;
mod bootstrap;
mod control;
mod count;
mod environment;
mod epoch;
mod fault;
mod fence;
#[cfg(test)]
mod fixtures;
mod grant;
mod guard;
mod identity;
mod impersonate;
mod limits;
mod listener;
pub mod listing;
mod local;
pub mod object;
mod page;
pub mod path;
pub mod query;
pub mod render;
mod reserve;
mod resources;
mod server;
mod shape;
mod stored;
mod verb;
mod write;

pub use admission::Tolerations;
pub use agent::{Agents, AgentsError};
pub use answer::{Answer, Body};
pub use control::{CONTROLLERS, Control, Controllers};
pub use environment::{Environment, Fixed, Machine, Moment};
pub use fault::Faults;
pub use identity::Caller;
pub use listener::{Listener, Listening, Times};
pub use local::CallError;
pub use resources::Resources;
pub use server::{Builder, Options, Server};
pub use stored::read_meta;
