// SPDX-License-Identifier: Apache-2.0
//! The gRPC contracts, and the code generated from them. The contracts themselves stand in the `.proto` files, in their comments:
//! start with `berth/scheduler/v1/scheduler.proto` and `berth/balancer/v1/balancer.proto`.
//!
//! - [`balancer`]: all of the balancer's.
//! - [`etcd`]: what the cluster's store says to etcd, a client alone.
//! - [`v1`]: all messages, and a client over them.
//! - [`hot`]: the server, and a client, in which the messages of the two scheduling calls are the encoded bytes of [`raw`].
//!
//! `src/generated` is checked in, so that nobody needs a protobuf compiler. After a change of a `.proto` file:
//! `cargo run --manifest-path proto/codegen/Cargo.toml`.
#![forbid(unsafe_code)]

pub mod codec;
pub mod raw;
pub mod wire;

/// Package `berth.scheduler.v1`: all messages, and `scheduler_client`.
#[expect(missing_docs, reason = "generated; not every field has a comment in the .proto")]
#[allow(clippy::all, clippy::pedantic, clippy::disallowed_types, reason = "generated")]
#[allow(unreachable_pub, unused_qualifications, rustdoc::all, reason = "generated")]
pub mod v1 {
    include!("generated/berth.scheduler.v1.rs");
}

/// The same service with the messages of the hot calls in their encoded form: `scheduler_server`, and `scheduler_client`.
#[allow(missing_docs, missing_debug_implementations, reason = "generated")]
#[allow(clippy::all, clippy::pedantic, clippy::disallowed_types, reason = "generated")]
#[allow(unreachable_pub, unused_qualifications, rustdoc::all, reason = "generated")]
pub mod hot {
    include!("generated/berth.scheduler.v1.raw.rs");
}

/// Package `berth.balancer.v1`: all messages, `balancer_client` and `balancer_server`.
#[expect(missing_docs, reason = "generated; not every field has a comment in the .proto")]
#[allow(missing_debug_implementations, reason = "generated")]
#[allow(clippy::all, clippy::pedantic, clippy::disallowed_types, reason = "generated")]
#[allow(unreachable_pub, unused_qualifications, rustdoc::all, reason = "generated")]
pub mod balancer {
    include!("generated/berth.balancer.v1.rs");
}

/// Package `etcdserverpb`, the part of it that the cluster's store speaks: messages, `kv_client` and `watch_client`.
#[expect(missing_docs, reason = "generated; not every field has a comment in the .proto")]
#[allow(missing_debug_implementations, reason = "generated")]
#[allow(clippy::all, clippy::pedantic, clippy::disallowed_types, reason = "generated")]
#[allow(unreachable_pub, unused_qualifications, rustdoc::all, reason = "generated")]
pub mod etcd {
    include!("generated/etcdserverpb.rs");
}

/// The descriptors of all of Berth's `.proto` files, as reflection serves them (an encoded `google.protobuf.FileDescriptorSet`).
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
