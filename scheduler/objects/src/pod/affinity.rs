// SPDX-License-Identifier: Apache-2.0
//! Node affinity, pod affinity and pod anti-affinity.

use crate::error::{ObjectError, Path};
use crate::field::{Lax, List, Text, at_most, each, name, within};
use crate::selector::{self, LabelSelectorView, NodeSelectorTermView, NodeSelectorView};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{NodeSelector, NodeSelectorTerm};
use berth_scheduler_model::limits::TERMS_MAX;
use berth_scheduler_model::pod::PodAffinityTerm;
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AffinityView {
    #[serde(rename = "nodeAffinity")]
    node: Lax<NodeAffinityView>,
    #[serde(rename = "podAffinity")]
    pod: Lax<PodAffinityView>,
    #[serde(rename = "podAntiAffinity")]
    anti: Lax<PodAffinityView>,
}

/// `v1.NodeAffinity`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeAffinityView {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelectorView>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<PreferredNodeView>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PreferredNodeView {
    weight: Lax<i32>,
    preference: Lax<NodeSelectorTermView>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodAffinityView {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: List<TermView>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<PreferredTermView>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PreferredTermView {
    weight: Lax<i32>,
    pod_affinity_term: Lax<TermView>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TermView {
    label_selector: Option<LabelSelectorView>,
    namespaces: List<String>,
    namespace_selector: Option<LabelSelectorView>,
    topology_key: Text,
}

/// All affinities of a pod.
pub(crate) struct Affinity {
    pub(crate) node_required: Option<NodeSelector>,
    pub(crate) node_preferred: Vec<(i32, NodeSelectorTerm)>,
    pub(crate) required: Vec<PodAffinityTerm>,
    pub(crate) preferred: Vec<(i32, PodAffinityTerm)>,
    pub(crate) anti_required: Vec<PodAffinityTerm>,
    pub(crate) anti_preferred: Vec<(i32, PodAffinityTerm)>,
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

impl AffinityView {
    pub(crate) fn read(&self, namespace: &Str, path: &Path<'_>) -> Result<Affinity, ObjectError> {
        let (node_required, node_preferred) = self.node.read(&path.field("nodeAffinity"))?;
        let (required, preferred) = self.pod.read(namespace, &path.field("podAffinity"))?;
        let (anti_required, anti_preferred) =
            self.anti.read(namespace, &path.field("podAntiAffinity"))?;
        Ok(Affinity {
            node_required,
            node_preferred,
            required,
            preferred,
            anti_required,
            anti_preferred,
        })
    }
}

type NodeTerms = (Option<NodeSelector>, Vec<(i32, NodeSelectorTerm)>);

impl NodeAffinityView {
    /// What is required and what is preferred.
    pub(crate) fn read(&self, path: &Path<'_>) -> Result<NodeTerms, ObjectError> {
        let required =
            self.required.as_ref().map(|view| view.read(&path.field(REQUIRED))).transpose()?;
        let at = path.field(PREFERRED);
        at_most(self.preferred.len(), TERMS_MAX, &at)?;
        let preferred = each(&self.preferred, &at, |view, at| {
            Ok((weight(view.weight.0, at)?, view.preference.read(&at.field("preference"))?))
        })?;
        Ok((required, preferred))
    }
}

type PodTerms = (Vec<PodAffinityTerm>, Vec<(i32, PodAffinityTerm)>);

impl PodAffinityView {
    fn read(&self, namespace: &Str, path: &Path<'_>) -> Result<PodTerms, ObjectError> {
        let at = path.field(REQUIRED);
        at_most(self.required.len(), TERMS_MAX, &at)?;
        let required = each(&self.required, &at, |view, at| view.read(namespace, at))?;
        let at = path.field(PREFERRED);
        at_most(self.preferred.len(), TERMS_MAX, &at)?;
        let preferred = each(&self.preferred, &at, |view, at| {
            let term = view.pod_affinity_term.read(namespace, &at.field("podAffinityTerm"))?;
            Ok((weight(view.weight.0, at)?, term))
        })?;
        Ok((required, preferred))
    }
}

impl TermView {
    fn read(&self, namespace: &Str, path: &Path<'_>) -> Result<PodAffinityTerm, ObjectError> {
        let at = path.field("namespaces");
        at_most(self.namespaces.len(), TERMS_MAX, &at)?;
        let mut namespaces = each(&self.namespaces, &at, |n, at| name(n, at))?;
        if namespaces.is_empty() && self.namespace_selector.is_none() {
            namespaces.push(namespace.clone());
        }
        Ok(PodAffinityTerm {
            selector: selector::optional(
                self.label_selector.as_ref(),
                &path.field("labelSelector"),
            )?,
            namespaces,
            namespace_selector: selector::optional(
                self.namespace_selector.as_ref(),
                &path.field("namespaceSelector"),
            )?,
            topology_key: name(&self.topology_key, &path.field("topologyKey"))?,
        })
    }
}

fn weight(weight: i32, path: &Path<'_>) -> Result<i32, ObjectError> {
    within(i64::from(weight), 1, 100, &path.field("weight"))?;
    Ok(weight)
}
