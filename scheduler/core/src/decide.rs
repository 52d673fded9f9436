// SPDX-License-Identifier: Apache-2.0
//! One decision: rules about other pods and normalised scores, once per group of nodes; then the best lane of the best group.
//!
//! Arithmetic: plugins podtopologyspread, interpodaffinity, tainttoleration, nodeaffinity of kube-scheduler v1.36, with their
//! own `NormalizeScore`, over the nodes that are feasible in this decision.

use crate::class::{Inputs, Lanes, Room};
use crate::math::{ln, round};
use crate::rules::ProfileRules;
use crate::sig::{Facts, Kind, Sig};
use crate::ties::{TIE_BITS, TIE_MAX};
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;

/// The node chosen, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Lane of the node: its tie label tells which it is.
    pub(crate) tie: u32,
    /// Weighted sum of all scores.
    pub(crate) total: i64,
    /// Nodes that pass all filters.
    pub(crate) feasible: u32,
}

/// Normalised scores of a group, each before its weight; `None` where the plugin has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GroupScores {
    pub(crate) taints: Option<i64>,
    pub(crate) affinity: Option<i64>,
    pub(crate) spread: Option<i64>,
    pub(crate) prefer: Option<i64>,
}

/// A group in a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evaluated {
    pub(crate) group: u32,
    pub(crate) members: u32,
    spread: i64,
    prefer: i64,
    /// Weighted sum of the normalised scores.
    pub(crate) score: i64,
}

impl Evaluated {
    /// The score's place in a total: above the tie order, as in a lane.
    #[inline]
    pub(crate) fn above_ties(&self) -> u64 {
        u64::try_from(self.score).expect("scores are not negative") << TIE_BITS
    }

    /// Lays scores out by group number, for numbers below `bound`: the score plus one, 0 for a group that is not among these.
    pub(crate) fn lay_out(groups: &[Self], bound: usize, into: &mut Vec<u32>) {
        into.clear();
        into.resize(bound, 0);
        for evaluated in groups {
            into[evaluated.group as usize] =
                u32::try_from(evaluated.score + 1).expect("weights are at most WEIGHT_MAX");
        }
    }
}

/// Room for one decision, reused.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// Feasible groups.
    pub(crate) groups: Vec<Evaluated>,
    /// Nodes that are not feasible, by the first plugin that refused them.
    pub(crate) refused: [u32; Plugin::FILTERS],
    /// Nodes that pass all filters.
    pub(crate) feasible: u32,
    least: Vec<i64>,
    sizes: Vec<f64>,
    seen: Vec<bool>,
    /// By group, for wide lanes: weighted score plus one, 0 if not feasible.
    by_group: Vec<u32>,
    bounds: Bounds,
    room: Room,
}

/// What normalisation needs of the feasible groups.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    taints_max: u32,
    affinity_max: i32,
    spread_min: i64,
    spread_max: i64,
    prefer_min: i64,
    prefer_max: i64,
}

impl Decision {
    /// Filters and scores the groups that `members` says have nodes passing by themselves.
    pub(crate) fn evaluate(
        &mut self,
        sig: &Sig,
        rules: &ProfileRules,
        refused: &[u32; Plugin::FILTERS],
        members: impl Iterator<Item = (u32, u32)>,
    ) {
        self.groups.clear();
        self.refused = *refused;
        self.feasible = 0;
        self.find_least(sig);
        let trivial = sig.is_trivial();
        for (group, members) in members {
            let refusal = if trivial { None } else { refusal(sig, rules, group, &self.least) };
            match refusal {
                Some((plugin, _)) => self.refused[plugin as usize] += members,
                None => {
                    self.feasible += members;
                    self.groups.push(Evaluated { group, members, spread: 0, prefer: 0, score: 0 });
                }
            }
        }
        self.score(sig, rules);
    }

    /// All nodes are refused before they are looked at.
    pub(crate) fn refuse_all(&mut self, plugin: Plugin, nodes: u32) {
        self.groups.clear();
        self.least.clear();
        self.refused = [0; Plugin::FILTERS];
        self.refused[plugin as usize] = nodes;
        self.feasible = 0;
    }

    /// A node with its total, if it is feasible.
    pub(crate) fn on(&self, lanes: &Lanes, slot: Slot) -> Option<Choice> {
        let (lane, group) = lanes.lane(slot);
        let evaluated = self.groups.iter().find(|g| lane != 0 && g.group == group)?;
        Some(self.choice(evaluated.above_ties() + u64::from(lane)))
    }

    /// The smallest count of each hard constraint over its domains.
    fn find_least(&mut self, sig: &Sig) {
        self.least.clear();
        for (i, constraint) in sig.rules.hard.iter().enumerate() {
            let (least, domains) = least_domain(sig, i);
            let enough = domains > 0 && domains >= constraint.min_domains;
            self.least.push(if enough { least } else { 0 });
        }
    }

    /// Where the lanes of all nodes have room.
    pub(crate) fn room(&mut self) -> &mut Room {
        &mut self.room
    }

    /// The smallest count of each hard constraint, as of the last evaluation.
    pub(crate) fn least(&self) -> &[i64] {
        &self.least
    }

    fn score(&mut self, sig: &Sig, rules: &ProfileRules) {
        self.bounds = Bounds {
            spread_min: i64::MAX,
            prefer_min: i64::MAX,
            prefer_max: i64::MIN,
            ..Bounds::default()
        };
        self.measure_domains(sig);
        for evaluated in &mut self.groups {
            let facts = sig.facts(evaluated.group);
            self.bounds.taints_max = self.bounds.taints_max.max(facts.taints);
            self.bounds.affinity_max = self.bounds.affinity_max.max(facts.affinity);
            if !sig.rules.soft.is_empty() && !facts.ignored {
                evaluated.spread = spread_raw(sig, evaluated.group, facts, &self.sizes);
                self.bounds.spread_min = self.bounds.spread_min.min(evaluated.spread);
                self.bounds.spread_max = self.bounds.spread_max.max(evaluated.spread);
            }
            if sig.prefer_hits != 0 {
                evaluated.prefer = sig.count_of_kind(evaluated.group, Kind::Prefer);
                self.bounds.prefer_min = self.bounds.prefer_min.min(evaluated.prefer);
                self.bounds.prefer_max = self.bounds.prefer_max.max(evaluated.prefer);
            }
        }
        let weight = |plugin: Plugin| rules.profile.weights[plugin as usize];
        for at in 0..self.groups.len() {
            let scores = self.scores(sig, rules, &self.groups[at]);
            self.groups[at].score = scores.taints.unwrap_or(0) * weight(Plugin::TaintToleration)
                + scores.affinity.unwrap_or(0) * weight(Plugin::NodeAffinity)
                + scores.spread.unwrap_or(0) * weight(Plugin::PodTopologySpread)
                + scores.prefer.unwrap_or(0) * weight(Plugin::InterPodAffinity);
        }
    }

    /// The normalised scores of an evaluated group.
    pub(crate) fn scores(&self, sig: &Sig, rules: &ProfileRules, group: &Evaluated) -> GroupScores {
        let facts = sig.facts(group.group);
        let on = |plugin: Plugin| rules.profile.weights[plugin as usize] != 0;
        let b = &self.bounds;
        let taints = on(Plugin::TaintToleration).then(|| match i64::from(b.taints_max) {
            0 => 100,
            max => 100 - 100 * i64::from(facts.taints) / max,
        });
        let prefers_nodes =
            !sig.key.spec.node_preferred.is_empty() || !rules.profile.added_preferred.is_empty();
        let affinity =
            (on(Plugin::NodeAffinity) && prefers_nodes).then(|| match i64::from(b.affinity_max) {
                0 => 0,
                max => 100 * i64::from(facts.affinity) / max,
            });
        let spread = (!sig.rules.soft.is_empty()).then(|| match b.spread_max {
            _ if facts.ignored => 0,
            0 => 100,
            max => 100 * (max + b.spread_min - group.spread) / max,
        });
        let prefer = (sig.prefer_hits != 0).then(|| normalise_preference(group.prefer, b));
        GroupScores { taints, affinity, spread, prefer }
    }

    /// Weight of each soft constraint: the logarithm of the number of its domains among feasible nodes, plus two.
    fn measure_domains(&mut self, sig: &Sig) {
        self.sizes.clear();
        for (i, constraint) in sig.rules.soft.iter().enumerate() {
            let counted: u32 =
                self.groups.iter().filter(|g| !sig.facts(g.group).ignored).map(|g| g.members).sum();
            let size = if constraint.per_node { counted } else { self.count_values(sig, i) };
            self.sizes.push(ln(f64::from(size) + 2.0));
        }
    }

    /// Distinct values of a soft constraint's key among feasible nodes that are not ignored; no value counts as one.
    fn count_values(&mut self, sig: &Sig, constraint: usize) -> u32 {
        let target = sig.target(Kind::Soft(u8::try_from(constraint).expect("few")));
        let column = target.column;
        let unique = sig.columns[column].unique;
        self.seen.clear();
        let mut distinct = 0;
        for evaluated in &self.groups {
            let facts = sig.facts(evaluated.group);
            if facts.ignored {
                continue;
            }
            let value = facts.values[column] as usize;
            if unique && value != 0 {
                distinct += evaluated.members;
                continue;
            }
            if self.seen.len() <= value {
                self.seen.resize(value + 1, false);
            }
            if !self.seen[value] {
                self.seen[value] = true;
                distinct += 1;
            }
        }
        distinct
    }

    /// The best node: highest total, then first in the tie order.
    pub(crate) fn best(&mut self, lanes: &mut Lanes, inputs: Inputs<'_>) -> Option<Choice> {
        if lanes.is_wide() {
            return self.best_of_all(lanes);
        }
        let best = lanes.best_of(&self.groups, inputs, &mut self.room);
        best.map(|best| self.choice(best))
    }

    fn choice(&self, best: u64) -> Choice {
        let tie = TIE_MAX - (u32::try_from(best & u64::from(TIE_MAX)).expect("20 bits"));
        let total = i64::try_from(best >> TIE_BITS).expect("totals are below 2^43") - 1;
        Choice { tie, total, feasible: self.feasible }
    }

    fn best_of_all(&mut self, lanes: &Lanes) -> Option<Choice> {
        self.spread_scores();
        let mut best = 0;
        for (lane, group) in lanes.lanes() {
            if lane == 0 {
                continue;
            }
            let score = self.by_group.get(group as usize).copied().unwrap_or(0);
            if score != 0 {
                best = best.max(u64::from(lane) + (u64::from(score - 1) << TIE_BITS));
            }
        }
        (best != 0).then(|| self.choice(best))
    }

    /// Lays the groups' scores out by group number.
    fn spread_scores(&mut self) {
        let bound = self.groups.iter().map(|g| g.group as usize + 1).max().unwrap_or(0);
        Evaluated::lay_out(&self.groups, bound, &mut self.by_group);
    }

    /// Calls back with each feasible node (by slot) and its total.
    pub(crate) fn totals(&mut self, lanes: &Lanes, mut each: impl FnMut(Slot, i64)) {
        self.spread_scores();
        for (slot, (lane, group)) in (0..).zip(lanes.lanes()) {
            if lane != 0
                && let Some(score) = self.by_group.get(group as usize).filter(|s| **s != 0)
            {
                each(slot, crate::local::lane_score(lane) + i64::from(*score) - 1);
            }
        }
    }
}

/// (smallest count, number of domains) of a hard constraint.
fn least_domain(sig: &Sig, constraint: usize) -> (i64, i64) {
    let target = sig.target(Kind::Hard(u8::try_from(constraint).expect("few")));
    if target.own.is_some() {
        let bit = 1 << constraint;
        let mut least = i64::MAX;
        for (group, state) in (0..).zip(&sig.groups) {
            if state.nodes > 0 && sig.facts(group).hard & bit != 0 {
                least = least.min(sig.count(group, target));
            }
        }
        let domains = sig.domain_nodes[constraint].get(1).copied().unwrap_or(0);
        return (least, i64::from(domains));
    }
    let mut least = i64::MAX;
    let mut domains = 0;
    for (value, nodes) in sig.domain_nodes[constraint].iter().enumerate() {
        if *nodes > 0 {
            domains += 1;
            least = least.min(target.sums[value]);
        }
    }
    (least, domains)
}

/// Why a group is refused: by which plugin, and the reason's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupReason {
    SpreadMissingLabel,
    Spread,
    Affinity,
    AntiAffinity,
    ExistingAntiAffinity,
    Features,
}

/// The first rule that refuses a group.
pub(crate) fn refusal(
    sig: &Sig,
    rules: &ProfileRules,
    group: u32,
    least: &[i64],
) -> Option<(Plugin, GroupReason)> {
    if let Some(reason) = spread_refusal(sig, group, least) {
        return Some((Plugin::PodTopologySpread, reason));
    }
    if rules.filters(Plugin::InterPodAffinity)
        && let Some(reason) = affinity_refusal(sig, group)
    {
        return Some((Plugin::InterPodAffinity, reason));
    }
    sig.facts(group).features.then_some((Plugin::NodeDeclaredFeatures, GroupReason::Features))
}

/// PodTopologySpread's filter.
pub(crate) fn spread_refusal(sig: &Sig, group: u32, least: &[i64]) -> Option<GroupReason> {
    for (i, constraint) in sig.rules.hard.iter().enumerate() {
        let target = sig.target(Kind::Hard(u8::try_from(i).expect("few")));
        if sig.facts(group).values[target.column] == 0 {
            return Some(GroupReason::SpreadMissingLabel);
        }
        if sig.count(group, target) + constraint.self_match - least[i] > constraint.max_skew {
            return Some(GroupReason::Spread);
        }
    }
    None
}

/// InterPodAffinity's filter.
pub(crate) fn affinity_refusal(sig: &Sig, group: u32) -> Option<GroupReason> {
    let facts = sig.facts(group);
    let mut met = true;
    let mut labelled = true;
    let (mut anti, mut existing) = (false, false);
    for target in &sig.targets {
        let value = facts.values[target.column];
        match target.kind {
            Kind::Affinity if value == 0 => labelled = false,
            Kind::Affinity => met &= sig.count(group, target) > 0,
            Kind::Anti => anti |= value != 0 && sig.count(group, target) > 0,
            Kind::Existing => existing |= value != 0 && sig.count(group, target) > 0,
            Kind::Hard(_) | Kind::Soft(_) | Kind::Prefer => {}
        }
    }
    // The first pod of a group that wants to be together may go anywhere.
    let first = sig.affinity_total == 0 && sig.rules.self_affinity;
    if !labelled || (!met && !first) {
        return Some(GroupReason::Affinity);
    }
    if anti {
        return Some(GroupReason::AntiAffinity);
    }
    existing.then_some(GroupReason::ExistingAntiAffinity)
}

#[expect(clippy::cast_precision_loss, reason = "counts of pods are below 2^53")]
fn spread_raw(sig: &Sig, group: u32, facts: &Facts, sizes: &[f64]) -> i64 {
    let mut sum = 0.0;
    for (i, constraint) in sig.rules.soft.iter().enumerate() {
        let target = sig.target(Kind::Soft(u8::try_from(i).expect("few")));
        if facts.values[target.column] != 0 {
            let count = sig.count(group, target);
            sum += count as f64 * sizes[i] + (constraint.max_skew - 1) as f64;
        }
    }
    round(sum)
}

#[expect(clippy::cast_precision_loss, reason = "upstream divides as doubles")]
#[expect(clippy::cast_possible_truncation, reason = "0..=100")]
fn normalise_preference(raw: i64, bounds: &Bounds) -> i64 {
    let range = bounds.prefer_max - bounds.prefer_min;
    if range <= 0 {
        return 0;
    }
    (100.0 * ((raw - bounds.prefer_min) as f64 / range as f64)) as i64
}

const _: () = assert!(BLOCK == 64);
