// SPDX-License-Identifier: Apache-2.0
//! What controllers keep of objects: a small part, read with serde. Where an object is written back whole, its text is kept, too.

pub mod budget;
pub mod certificate;
pub mod endpoints;
pub mod node;
pub mod pod;
pub mod service;
pub mod workload;

pub use budget::Budget;
pub use certificate::CertificateRequest;
pub use endpoints::{Endpoint, Endpoints, Slice, SlicePort, Subset};
pub use node::{Lease, Node, Taint};
pub use pod::{Condition, ContainerPort, Pod, PodSpec, PodStatus, Toleration};
pub use service::{Service, ServicePort};
pub use workload::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetStatus, Scaled};

use berth_cluster_api::select::Labels;
use berth_cluster_client::{ObjectError, Pool, clock};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::sync::Arc;

/// Labels or annotations.
pub use berth_cluster_client::Texts;

/// A moment: microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        clock::parse(&text).map(Self).ok_or_else(|| serde::de::Error::custom("this is no time"))
    }
}

/// A field that is missing or null has its default.
pub(crate) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// An entry of `ownerReferences`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// Group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// It is the controller of the object.
    #[serde(deserialize_with = "nullable")]
    pub controller: bool,
    /// It cannot be deleted in the foreground before the object.
    #[serde(deserialize_with = "nullable")]
    pub block_owner_deletion: bool,
}

/// `metadata`, beside what [`Id`](berth_cluster_client::Id) has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: Arc<Texts>,
    /// Annotations.
    #[serde(deserialize_with = "nullable")]
    pub annotations: Texts,
    /// Owners.
    #[serde(deserialize_with = "nullable")]
    pub owner_references: Arc<Vec<Owner>>,
    /// What holds the object.
    #[serde(deserialize_with = "nullable")]
    pub finalizers: Vec<String>,
    /// When it was created.
    pub creation_timestamp: Option<Micros>,
    /// When it is to be gone.
    pub deletion_timestamp: Option<Micros>,
    /// Version of its spec.
    #[serde(deserialize_with = "nullable")]
    pub generation: i64,
}

impl Meta {
    /// Takes from the pool what objects of one owner have in common.
    pub(crate) fn share(&mut self, pool: &mut Pool) {
        self.labels = pool.part(std::mem::take(&mut self.labels));
        self.owner_references = pool.part(std::mem::take(&mut self.owner_references));
    }

    /// The owner that controls it.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether it is on its way out.
    pub fn deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// When it was created; the beginning of time if nobody knows.
    pub fn created(&self) -> Micros {
        self.creation_timestamp.unwrap_or_default()
    }
}

/// Whether a selector takes labels.
pub(crate) fn selects(selector: &Labels, labels: &Texts) -> bool {
    selector.matches(|key| labels.get(key).map(compact_str::CompactString::as_str))
}

/// A `LabelSelector`.
pub(crate) fn selector<'de, D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
    let value = berth_cluster_json::Value::deserialize(from)?;
    Ok(Labels::of_selector(value.as_object()))
}

/// Reads a view by serde.
pub(crate) fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ObjectError> {
    serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))
}

/// The text of an object.
pub(crate) fn text(json: &[u8]) -> Box<str> {
    String::from_utf8_lossy(json).into()
}

/// An object whose text is kept, as a value.
pub(crate) fn value(json: &str) -> Value {
    // It was read once already.
    serde_json::from_str(json).unwrap_or_default()
}
