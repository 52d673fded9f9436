// SPDX-License-Identifier: Apache-2.0
//! Budgets of disruptions.

use super::{Condition, Meta, Micros, Scaled, nullable, read, selector, text};
use berth_cluster_api::select::Labels;
use berth_cluster_client::{ObjectError, View};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A PodDisruptionBudget.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// Its metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: BudgetSpec,
    /// How it is.
    pub status: BudgetStatus,
    /// The whole.
    pub json: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    metadata: Meta,
    spec: BudgetSpec,
    status: BudgetStatus,
}

/// `spec` of a PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetSpec {
    /// Which pods it is about.
    #[serde(deserialize_with = "selector")]
    pub selector: Labels,
    /// So many have to stay.
    pub min_available: Scaled,
    /// So many of those that are wanted may be missing.
    pub max_unavailable: Scaled,
}

/// `status` of a PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Pods that were allowed to go, and when, until they are seen to.
    #[serde(deserialize_with = "nullable")]
    pub disrupted_pods: BTreeMap<String, Micros>,
    /// So many may go now.
    pub disruptions_allowed: i64,
    /// So many are ready.
    pub current_healthy: i64,
    /// So many have to stay.
    pub desired_healthy: i64,
    /// So many are wanted.
    pub expected_pods: i64,
    /// Its conditions.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
}

impl View for Budget {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let Raw { metadata, spec, status } = read(json)?;
        Ok(Self { metadata, spec, status, json: text(json) })
    }
}
