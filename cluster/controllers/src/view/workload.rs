// SPDX-License-Identifier: Apache-2.0
//! ReplicaSets and Deployments. Their text is kept: pods are made from it, and their status is written with all the rest.

use super::{Condition, Meta, nullable, read, selector, text};
use berth_cluster_api::select::Labels;
use berth_cluster_client::{ObjectError, View};
use serde::Deserialize;
use serde_json::Value;

/// A number, or a part of a whole (`IntOrString`).
pub type Scaled = Value;

/// A ReplicaSet.
#[derive(Debug, Clone, Default)]
pub struct ReplicaSet {
    /// Its metadata.
    pub metadata: Meta,
    /// How many pods are wanted.
    pub replicas: i64,
    /// For how many seconds a pod has to be ready to be available.
    pub min_ready_seconds: i64,
    /// Which pods are its own.
    pub selector: Labels,
    /// Labels of its pods.
    pub template: Meta,
    /// How it is.
    pub status: ReplicaSetStatus,
    /// The whole.
    pub json: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawReplicaSet {
    metadata: Meta,
    spec: RawReplicaSetSpec,
    status: ReplicaSetStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawReplicaSetSpec {
    replicas: Option<i64>,
    #[serde(deserialize_with = "nullable")]
    min_ready_seconds: i64,
    #[serde(deserialize_with = "selector")]
    selector: Labels,
    template: Template,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    #[serde(deserialize_with = "nullable")]
    metadata: Meta,
}

/// `status` of a ReplicaSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    /// Pods.
    pub replicas: i64,
    /// Pods that have all labels of the template.
    pub fully_labeled_replicas: i64,
    /// Pods that are ready.
    pub ready_replicas: i64,
    /// Pods that are ready for long enough.
    pub available_replicas: i64,
    /// Pods on their way out.
    pub terminating_replicas: Option<i64>,
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Its conditions.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
}

impl View for ReplicaSet {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let RawReplicaSet { metadata, spec, status } = read(json)?;
        Ok(Self {
            metadata,
            replicas: spec.replicas.unwrap_or(1),
            min_ready_seconds: spec.min_ready_seconds,
            selector: spec.selector,
            template: spec.template.metadata,
            status,
            json: text(json),
        })
    }
}

/// A Deployment.
#[derive(Debug, Clone, Default)]
pub struct Deployment {
    /// Its metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: DeploymentSpec,
    /// How it is.
    pub status: DeploymentStatus,
    /// The whole.
    pub json: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawDeployment {
    metadata: Meta,
    spec: DeploymentSpec,
    status: DeploymentStatus,
}

/// `spec` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// How many pods are wanted.
    pub replicas: Option<i64>,
    /// Which pods are its own.
    #[serde(deserialize_with = "selector")]
    pub selector: Labels,
    /// The pods' template.
    pub template: Value,
    /// How a template takes the place of another.
    pub strategy: Strategy,
    /// For how many seconds a pod has to be ready to be available.
    #[serde(deserialize_with = "nullable")]
    pub min_ready_seconds: i64,
    /// So many old ReplicaSets are kept.
    pub revision_history_limit: Option<i64>,
    /// Nothing is rolled out.
    #[serde(deserialize_with = "nullable")]
    pub paused: bool,
    /// After so many seconds without progress it is said that there is none.
    pub progress_deadline_seconds: Option<i64>,
}

/// `spec.strategy` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `RollingUpdate` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its limits.
    #[serde(deserialize_with = "nullable")]
    pub rolling_update: Rolling,
}

/// `rollingUpdate` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rolling {
    /// So many more pods than wanted may be there.
    pub max_surge: Scaled,
    /// So many fewer may be available.
    pub max_unavailable: Scaled,
}

/// `status` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Pods.
    pub replicas: i64,
    /// Pods of the newest template.
    pub updated_replicas: i64,
    /// Pods that are ready.
    pub ready_replicas: i64,
    /// Pods that are ready for long enough.
    pub available_replicas: i64,
    /// Pods that are wanted and not available.
    pub unavailable_replicas: i64,
    /// Pods on their way out.
    pub terminating_replicas: Option<i64>,
    /// How often a name was taken.
    pub collision_count: Option<i64>,
    /// Its conditions.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
}

impl View for Deployment {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let RawDeployment { metadata, spec, status } = read(json)?;
        Ok(Self { metadata, spec, status, json: text(json) })
    }
}
