// SPDX-License-Identifier: Apache-2.0
//! The control plane with a data plane, in the process and over gRPC.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "what cannot be done is a failure of the test; futures of tests live once"
)]

mod fixture;
mod grpc;
mod service;
