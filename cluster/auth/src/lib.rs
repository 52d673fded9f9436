// SPDX-License-Identifier: Apache-2.0
//! Who asks, and may they: certificates, ServiceAccount tokens, RBAC.
#![forbid(unsafe_code)]
