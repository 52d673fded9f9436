// SPDX-License-Identifier: Apache-2.0
//! Kubernetes objects and scheduler configurations, read into the scheduler's vocabulary (`berth-scheduler-model`).
//!
//! Each function takes anything that serde can read from: `&serde_json::Value`, a `serde_json::Deserializer` over bytes. Of an
//! object only what the scheduler reads is looked at; fields that are unknown are passed over, as a newer API server may send
//! them. What is read is checked, and an error names the field: `spec.containers[0].resources.requests[cpu]: a quantity must
//! not be negative`. ([`config`] is stricter: there an unknown field is a mistake of the user.)
//!
//! Objects are taken as an API server hands them out: with its defaults filled in, and with `matchLabelKeys` of inter-pod
//! terms merged into their selectors.
#![forbid(unsafe_code)]

pub mod config;
mod error;
mod field;
mod groups;
mod node;
mod pod;
mod selector;
mod storage;
mod time;

pub use error::{ObjectError, Problem};
pub use groups::{budget, namespace, replica_set, replication_controller, service, stateful_set};
pub use node::node;
pub use pod::{PodObject, Unschedulable, pod};
pub use storage::{
    csi_capacity, csi_driver, csi_node, persistent_volume, persistent_volume_claim, storage_class,
    volume_attachment,
};

/// Reads an object from JSON text: `from_slice(bytes, |json| pod(json))`.
pub fn from_slice<T>(
    bytes: &[u8],
    read: impl FnOnce(
        &mut serde_json::Deserializer<serde_json::de::SliceRead<'_>>,
    ) -> Result<T, ObjectError>,
) -> Result<T, ObjectError> {
    read(&mut serde_json::Deserializer::from_slice(bytes))
}
