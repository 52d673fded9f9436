// SPDX-License-Identifier: Apache-2.0
//! Who asks, and may they: certificates, ServiceAccount tokens, RBAC, what nodes' agents may read.
#![forbid(unsafe_code)]

pub mod bootstrap;
pub mod certificate;
pub mod node;
pub mod pki;
pub mod rbac;
pub mod token;
pub mod user;

pub use user::User;
