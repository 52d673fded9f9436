// SPDX-License-Identifier: Apache-2.0
//! One pod on one cluster.

use crate::cluster::{self, Lists};
use crate::error::Problem;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One pod on one cluster, with upstream's verdict.
#[derive(Debug, Clone)]
pub struct OracleCase {
    /// Unique name.
    pub name: String,
    /// What the generator put in.
    pub features: Vec<String>,
    /// The profile.
    pub profile: Profile,
    /// The cluster.
    pub events: Vec<Event>,
    /// The pending pod.
    pub pod: Pod,
    /// The verdict.
    pub expect: CaseExpectation,
}

/// Upstream's verdict.
#[derive(Debug, Clone, Default)]
pub struct CaseExpectation {
    /// Nodes that pass all filters.
    pub feasible: Vec<Str>,
    /// The other nodes.
    pub rejected: BTreeMap<Str, ExpectedRejection>,
    /// Normalised scores per feasible node.
    pub scores: BTreeMap<Str, BTreeMap<Plugin, i64>>,
    /// Weighted sums per feasible node.
    pub total: BTreeMap<Str, i64>,
}

/// Why a node is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRejection {
    /// The first plugin that rejects it.
    pub plugin: Plugin,
    /// Its reasons, sorted, joined by ", ".
    pub reason: String,
    /// Whether preemption may help.
    pub code: Code,
    /// It was rejected before the filters ran.
    pub pre_filter: bool,
    /// Every plugin that rejects it on its own, in filter order.
    pub plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
struct CaseView {
    name: String,
    #[serde(default)]
    features: Vec<String>,
    #[serde(flatten)]
    lists: Lists,
    pod: Value,
    profile: Value,
    expect: ExpectView,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectView {
    #[serde(default)]
    feasible: Option<Vec<String>>,
    #[serde(default)]
    rejected: BTreeMap<String, RejectionView>,
    #[serde(default)]
    scores: BTreeMap<String, BTreeMap<String, i64>>,
    #[serde(default)]
    total: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectionView {
    plugin: String,
    reason: String,
    code: String,
    #[serde(default)]
    phase: Option<String>,
    #[serde(default)]
    plugins: Vec<String>,
}

impl OracleCase {
    pub(crate) fn read(value: Value) -> Result<Self, Problem> {
        let view: CaseView = serde_json::from_value(value).map_err(Problem::Json)?;
        Ok(Self {
            name: view.name,
            features: view.features,
            profile: cluster::profile(&view.profile)?,
            events: view.lists.events()?,
            pod: cluster::pending(&view.pod, "pod")?,
            expect: view.expect.read()?,
        })
    }
}

impl ExpectView {
    fn read(self) -> Result<CaseExpectation, Problem> {
        let mut expect = CaseExpectation {
            feasible: self.feasible.unwrap_or_default().into_iter().map(Str::from).collect(),
            total: self.total.into_iter().map(|(node, total)| (Str::from(node), total)).collect(),
            ..CaseExpectation::default()
        };
        for (node, view) in self.rejected {
            let place = format!("expect.rejected[{node}]");
            expect.rejected.insert(Str::from(node), view.read(&place)?);
        }
        for (node, view) in self.scores {
            let place = format!("expect.scores[{node}]");
            let scores: Result<_, Problem> = view
                .into_iter()
                .map(|(name, score)| Ok((cluster::plugin(&name, &place)?, score)))
                .collect();
            expect.scores.insert(Str::from(node), scores?);
        }
        Ok(expect)
    }
}

impl RejectionView {
    fn read(self, place: &str) -> Result<ExpectedRejection, Problem> {
        let pre_filter = match self.phase.as_deref() {
            None | Some("") => false,
            Some("PreFilter") => true,
            Some(phase) => return Err(cluster::unknown(place, phase)),
        };
        let plugins: Result<_, Problem> =
            self.plugins.iter().map(|name| cluster::plugin(name, place)).collect();
        Ok(ExpectedRejection {
            plugin: cluster::plugin(&self.plugin, place)?,
            reason: self.reason,
            code: cluster::code(&self.code, place)?,
            pre_filter,
            plugins: plugins?,
        })
    }
}
