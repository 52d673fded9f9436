// SPDX-License-Identifier: Apache-2.0
//! The controllers of a Kubernetes control plane: a folder for each. In each a pure `plan` says what is to be done about what is observed
//! (no IO, no clock), and a thin driver does it: informers fill an index, a [queue] of keys is worked off, calls go out.
//!
//! [`Controllers::start`] starts those that are wanted. They see nothing but the API, each as a user of its own.
#![forbid(unsafe_code)]

mod batch;
pub mod certificates;
pub mod collector;
mod context;
mod controller;
pub mod deployment;
pub mod disruption;
pub mod endpoint_slice;
pub mod endpoints;
pub mod events;
pub mod expectations;
mod gather;
mod index;
mod informers;
pub mod load_balancer;
pub mod node_ipam;
pub mod node_lifecycle;
mod place;
pub mod pod_gc;
pub mod queue;
pub mod replica_set;
pub mod serving;
mod start;
pub mod taint_eviction;
mod template;
pub mod view;
pub mod written;

pub use start::{CONTROLLERS, Config, Controllers, Recorders, SHARED, Settings};
