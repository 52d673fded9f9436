// SPDX-License-Identifier: Apache-2.0
//! The kinds that the server has built in.

pub mod pod;
pub mod workload;
