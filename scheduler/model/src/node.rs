// SPDX-License-Identifier: Apache-2.0
//! What the scheduler knows of a node.

use crate::Str;
use crate::labels::Labels;
use crate::pod::Taint;
use crate::requests::Resources;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name: its identity.
    pub name: Str,
    /// Labels.
    pub labels: Labels,
    /// Taints.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `status.allocatable` without pods.
    pub allocatable: Resources,
    /// `status.allocatable.pods`.
    pub pods: i64,
    /// Images it has: name with tag or digest, and size in bytes. Several names may stand for one image.
    pub images: Vec<(Str, i64)>,
    /// `status.declaredFeatures`, sorted.
    pub features: Vec<Str>,
}

impl Node {
    /// An empty node: no labels, no capacity.
    pub fn new(name: &str) -> Self {
        Self {
            name: Str::from(name),
            labels: Labels::default(),
            taints: Vec::new(),
            unschedulable: false,
            allocatable: Resources::default(),
            pods: 0,
            images: Vec::new(),
            features: Vec::new(),
        }
    }
}
