// SPDX-License-Identifier: Apache-2.0
//! One pod that fits nowhere, and who would have to go for it.

use crate::cluster::{self, Lists};
use crate::error::Problem;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One pod that fits nowhere, with upstream's verdict.
#[derive(Debug, Clone)]
pub struct OraclePreemption {
    /// Unique name.
    pub name: String,
    /// What the generator put in.
    pub features: Vec<String>,
    /// The profile.
    pub profile: Profile,
    /// The cluster, with the pods that are nominated to nodes.
    pub events: Vec<Event>,
    /// The pending pod.
    pub pod: Pod,
    /// The verdict.
    pub expect: PreemptionExpectation,
}

/// Upstream's verdict.
#[derive(Debug, Clone, Default)]
pub struct PreemptionExpectation {
    /// Why the pod may not preempt, if it may not.
    pub ineligible: Option<String>,
    /// Per node the first plugin that rejects it, and whether preemption may help.
    pub filter: BTreeMap<Str, (Plugin, Code)>,
    /// Nodes where evicting helps.
    pub candidates: BTreeMap<Str, ExpectedCandidate>,
    /// Nodes where it does not though it might have.
    pub failed: BTreeMap<Str, Option<Plugin>>,
    /// All acceptable choices.
    pub nominated: BTreeSet<Str>,
}

/// What must go from a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedCandidate {
    /// The pods as `namespace/name`, most important first.
    pub victims: Vec<String>,
    /// How many of them violate a disruption budget.
    pub violations: usize,
}

#[derive(Deserialize)]
struct PreemptionView {
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
    eligible: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    filter: BTreeMap<String, String>,
    #[serde(default)]
    code: BTreeMap<String, String>,
    #[serde(default)]
    candidates: BTreeMap<String, CandidateView>,
    #[serde(default)]
    failed: BTreeMap<String, String>,
    #[serde(default)]
    nominated: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CandidateView {
    victims: Vec<String>,
    pdb_violations: usize,
}

impl OraclePreemption {
    pub(crate) fn read(value: Value) -> Result<Self, Problem> {
        let view: PreemptionView = serde_json::from_value(value).map_err(Problem::Json)?;
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
    fn read(self) -> Result<PreemptionExpectation, Problem> {
        let mut expect = PreemptionExpectation {
            ineligible: (!self.eligible).then_some(self.message),
            nominated: self.nominated.unwrap_or_default().into_iter().map(Str::from).collect(),
            ..PreemptionExpectation::default()
        };
        for (node, name) in self.filter {
            let place = format!("expect.filter[{node}]");
            let plugin = cluster::plugin(&name, &place)?;
            let code = self.code.get(&node).map_or("", String::as_str);
            let code = cluster::code(code, &format!("expect.code[{node}]"))?;
            expect.filter.insert(Str::from(node), (plugin, code));
        }
        for (node, view) in self.candidates {
            let candidate =
                ExpectedCandidate { victims: view.victims, violations: view.pdb_violations };
            expect.candidates.insert(Str::from(node), candidate);
        }
        for (node, name) in self.failed {
            let place = format!("expect.failed[{node}]");
            let plugin = match name.as_str() {
                "" => None,
                name => Some(cluster::plugin(name, &place)?),
            };
            expect.failed.insert(Str::from(node), plugin);
        }
        Ok(expect)
    }
}
