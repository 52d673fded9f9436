// SPDX-License-Identifier: Apache-2.0
//! Who asks, and may they: certificates, ServiceAccount tokens, RBAC.
#![forbid(unsafe_code)]

pub mod bootstrap;
pub mod certificate;
pub mod pki;
pub mod rbac;
pub mod token;
pub mod user;

pub use user::User;
