// SPDX-License-Identifier: Apache-2.0
//! What an answer can break.

use std::collections::BTreeMap;
use std::fmt;

/// A rule that an answer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// The answer is not what the protocol allows at this place.
    Protocol,
    /// The node is not one that was registered.
    UnknownNode,
    /// More CPU than the node has.
    Cpu,
    /// More memory than the node has.
    Memory,
    /// More ephemeral storage than the node has.
    Ephemeral,
    /// More of an extended resource than the node has.
    Extended,
    /// More pods than the node takes.
    Pods,
    /// A port of the host is taken.
    Ports,
    /// Node name, node selector or required node affinity.
    NodeAffinity,
    /// A taint that the pod does not tolerate, or a node that takes no pods.
    Taint,
    /// A hard topology spread constraint.
    Spread,
    /// Required pod affinity.
    Affinity,
    /// The pod's own required anti-affinity.
    AntiAffinity,
    /// Required anti-affinity of a pod that is there.
    ExistingAntiAffinity,
    /// The pod was refused though a node would take it.
    WrongRefusal,
    /// A pod was to be evicted that must not be: of no lower priority, or elsewhere.
    Victim,
    /// The service's lists differ from what it answered.
    Lists,
}

impl Rule {
    /// The rule in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Protocol => "an answer that the protocol does not allow",
            Self::UnknownNode => "a node that was never registered",
            Self::Cpu => "more CPU than the node has",
            Self::Memory => "more memory than the node has",
            Self::Ephemeral => "more ephemeral storage than the node has",
            Self::Extended => "more of an extended resource than the node has",
            Self::Pods => "more pods than the node takes",
            Self::Ports => "a host port that is taken",
            Self::NodeAffinity => "a node that the pod's node affinity excludes",
            Self::Taint => "a node whose taint the pod does not tolerate",
            Self::Spread => "a hard topology spread constraint is broken",
            Self::Affinity => "required pod affinity is not met",
            Self::AntiAffinity => "the pod's required anti-affinity is broken",
            Self::ExistingAntiAffinity => "required anti-affinity of a pod on the node is broken",
            Self::WrongRefusal => "a refusal though a node would take the pod",
            Self::Victim => "a victim that must not be evicted",
            Self::Lists => "the service's lists differ from its answers",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Violations that are told in full; the others are counted.
const TOLD_MAX: usize = 10;

/// What was broken how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    counts: BTreeMap<Rule, u64>,
    told: Vec<String>,
}

impl Violations {
    /// Counts one; `tell` is only asked for the first few.
    pub fn add(&mut self, rule: Rule, tell: impl FnOnce() -> String) {
        *self.counts.entry(rule).or_insert(0) += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("{rule}: {}", tell()));
        }
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many by rule.
    pub fn by_rule(&self) -> &BTreeMap<Rule, u64> {
        &self.counts
    }

    /// All of it in lines, for people.
    pub fn notes(&self) -> Vec<String> {
        let counts =
            self.counts.iter().map(|(rule, times)| format!("violated {times} times: {rule}"));
        counts.chain(self.told.iter().map(|text| format!("  {text}"))).collect()
    }

    /// The first few, in full.
    pub fn told(&self) -> &[String] {
        &self.told
    }
}
