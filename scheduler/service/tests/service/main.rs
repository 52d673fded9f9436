// SPDX-License-Identifier: Apache-2.0
//! The service over gRPC, as its clients see it.

mod contract;
mod durable;
mod fixture;
mod secure;
