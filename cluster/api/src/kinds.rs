// SPDX-License-Identifier: Apache-2.0
//! The kinds that are built in: a file for each family, a row for each kind.

pub mod access;
pub mod budget;
pub mod certificate;
pub mod config;
pub mod endpoints;
pub mod event;
pub mod lease;
pub mod namespace;
pub mod network;
pub mod node;
pub mod pod;
pub mod priority;
pub mod quota;
pub mod rbac;
pub mod review;
pub mod row;
pub mod runtime;
pub mod service;
pub mod storage;
mod view;
pub mod workload;

use crate::registry::Kind;

/// The rows of all kinds that are built in.
pub fn builtin() -> Vec<Kind> {
    let mut all = config::kinds();
    all.extend(namespace::kinds());
    all.extend(rbac::kinds());
    all.extend(pod::kinds());
    all.extend(workload::kinds());
    all.extend(service::kinds());
    all.extend(endpoints::kinds());
    all.extend(node::kinds());
    all.extend(lease::kinds());
    all.extend(event::kinds());
    all.extend(priority::kinds());
    all.extend(budget::kinds());
    all.extend(storage::kinds());
    all.extend(network::kinds());
    all.extend(runtime::kinds());
    all.extend(quota::kinds());
    all.extend(review::kinds());
    all.extend(certificate::kinds());
    all
}
