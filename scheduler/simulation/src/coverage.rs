// SPDX-License-Identifier: Apache-2.0
//! What runs came to: how often each rule had something to say.

use berth_scheduler_model::rules::Plugin;
use berth_scheduler_testkit::{Decision, PreemptionVerdict, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Counts over runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Changes of the cluster, placements included.
    pub events: u64,
    /// Comparisons.
    pub compared: u64,
    /// Pods placed.
    pub placed: u64,
    /// Pods refused.
    pub refused: u64,
    /// Comparisons where no node was feasible.
    pub infeasible: u64,
    /// Comparisons where several nodes were, with more than one total.
    pub distinct: u64,
    /// Comparisons where the best total was shared.
    pub tied: u64,
    /// Nodes refused, by the first plugin to do it.
    pub refusals: [u64; Plugin::FILTERS],
    /// Full comparisons where a plugin scored some nodes differently.
    pub scores: [u64; Plugin::COUNT],
    /// Comparisons of preemption where evicting helped.
    pub evictions: u64,
    /// Those where it violated a budget.
    pub violations: u64,
}

impl Coverage {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.compared += other.compared;
        self.placed += other.placed;
        self.refused += other.refused;
        self.infeasible += other.infeasible;
        self.distinct += other.distinct;
        self.tied += other.tied;
        self.evictions += other.evictions;
        self.violations += other.violations;
        for (sum, more) in self.refusals.iter_mut().zip(other.refusals) {
            *sum += more;
        }
        for (sum, more) in self.scores.iter_mut().zip(other.scores) {
            *sum += more;
        }
    }

    /// A decision was compared.
    pub fn decided(&mut self, decision: &Decision) {
        self.compared += 1;
        let totals: BTreeSet<i64> = decision.totals.values().copied().collect();
        self.infeasible += u64::from(totals.is_empty());
        self.distinct += u64::from(totals.len() > 1);
        let best = totals.last();
        let shared = decision.totals.values().filter(|total| Some(*total) == best).count();
        self.tied += u64::from(shared > 1);
        for (plugin, nodes) in &decision.rejected_by {
            self.refusals[*plugin as usize] += *nodes as u64;
        }
    }

    /// A full verdict was compared.
    pub fn explained(&mut self, verdict: &Verdict) {
        self.compared += 1;
        let mut seen: BTreeMap<Plugin, BTreeSet<i64>> = BTreeMap::new();
        for (plugin, score) in verdict.scores.values().flatten() {
            seen.entry(*plugin).or_default().insert(*score);
        }
        for (plugin, _) in seen.iter().filter(|(_, scores)| scores.len() > 1) {
            self.scores[*plugin as usize] += 1;
        }
    }

    /// Preemption was compared.
    pub fn preempted(&mut self, verdict: &PreemptionVerdict) {
        self.compared += 1;
        self.evictions += u64::from(!verdict.candidates.is_empty());
        let violates = verdict.candidates.values().any(|candidate| candidate.violations > 0);
        self.violations += u64::from(violates);
    }

    /// What was met less than `least` times: the runs leave it out.
    #[must_use]
    pub fn missing(&self, least: u64) -> Vec<String> {
        let mut missing = Vec::new();
        let mut need = |what: &str, count: u64| {
            if count < least {
                missing.push(format!("{what}: {count}"));
            }
        };
        need("placed", self.placed);
        need("refused", self.refused);
        need("several totals", self.distinct);
        need("shared best total", self.tied);
        need("evictions", self.evictions);
        need("violations", self.violations);
        for (plugin, count) in Plugin::ALL.iter().zip(self.refusals) {
            need(plugin.name(), count);
        }
        let scoring = [
            Plugin::TaintToleration,
            Plugin::NodeAffinity,
            Plugin::PodTopologySpread,
            Plugin::InterPodAffinity,
            Plugin::NodeResourcesFit,
            Plugin::NodeResourcesBalancedAllocation,
            Plugin::ImageLocality,
        ];
        for plugin in scoring {
            need(&format!("scores of {plugin}"), self.scores[plugin as usize]);
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} comparisons ({} without a node, {} with several totals, {} tied), \
             {} placed, {} refused, {} evictions ({} violate a budget); nodes refused:",
            self.events,
            self.compared,
            self.infeasible,
            self.distinct,
            self.tied,
            self.placed,
            self.refused,
            self.evictions,
            self.violations
        )?;
        for (plugin, nodes) in Plugin::ALL.iter().zip(self.refusals) {
            write!(f, " {plugin} {nodes}")?;
        }
        write!(f, "; different scores:")?;
        for (plugin, verdicts) in Plugin::ALL.iter().zip(self.scores).filter(|(_, n)| *n > 0) {
            write!(f, " {plugin} {verdicts}")?;
        }
        Ok(())
    }
}
