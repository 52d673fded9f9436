// SPDX-License-Identifier: Apache-2.0
//! The control plane with a data plane, in the process and over gRPC.

mod fixture;
mod grpc;
mod service;
