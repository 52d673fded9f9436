// SPDX-License-Identifier: Apache-2.0
//! The rules of one signature, read once from its spec: what they say of a node by itself, and of other pods.
//!
//! Semantics: plugins nodeunschedulable, nodename, tainttoleration, nodeaffinity, podtopologyspread, interpodaffinity and
//! nodedeclaredfeatures of kube-scheduler v1.36.

use crate::intern::Interner;
use crate::local::{Fit, LocalRules, Resource};
use crate::nodes::TaintSet;
use crate::peers::PeerKey;
use crate::sig::{Kind, PRE_FILTER, SigKey};
use crate::terms::{Namespaces, existing_term_matches, own_term_matches};
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels, Operator, Requirement};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::{PodSpec, SpreadConstraint, Taint, TaintEffect};
use berth_scheduler_model::profile::{DefaultSpread, FitStrategy, Profile};
use berth_scheduler_model::rules::Plugin;

/// Label of a node's own name.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label of a node's zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// A profile, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct ProfileRules {
    pub(crate) profile: Profile,
    pub(crate) local: LocalRules,
}

impl ProfileRules {
    pub(crate) fn new(profile: Profile, resources: &mut Interner) -> Self {
        let mut resource = |name: &Str| match &**name {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            "ephemeral-storage" => Resource::Ephemeral,
            _ => Resource::Scalar(resources.intern_str(name)),
        };
        let weight = |plugin: Plugin| profile.weights[plugin as usize];
        let fit_resources: Vec<(Resource, i64)> =
            profile.fit.resources().iter().map(|(name, w)| (resource(name), *w)).collect();
        let balanced: Vec<Resource> = profile.balanced.iter().map(&mut resource).collect();
        let fit = match &profile.fit {
            FitStrategy::LeastAllocated(_) => Fit::Least,
            FitStrategy::MostAllocated(_) => Fit::Most,
            FitStrategy::RequestedToCapacityRatio { shape, .. } => {
                Fit::Ratio(shape.iter().map(|(used, score)| (*used, score * 10)).collect())
            }
        };
        let of = |wanted: Resource| {
            fit_resources.iter().find(|(r, _)| *r == wanted).map(|(_, weight)| *weight)
        };
        let both = |list: &[Resource]| {
            list.len() == 2 && list.contains(&Resource::Cpu) && list.contains(&Resource::Memory)
        };
        let kernel = match (of(Resource::Cpu), of(Resource::Memory)) {
            (Some(cpu), Some(memory))
                if fit_resources.len() == 2
                    && both(&balanced)
                    && !matches!(fit, Fit::Ratio(_))
                    && (1..=100).contains(&cpu)
                    && (1..=100).contains(&memory)
                    && filters_fit(&profile) =>
            {
                Some((cpu, memory))
            }
            _ => None,
        };
        let local = LocalRules {
            fit,
            fit_resources,
            fit_weight: weight(Plugin::NodeResourcesFit),
            balanced,
            balanced_weight: weight(Plugin::NodeResourcesBalancedAllocation),
            image_weight: weight(Plugin::ImageLocality),
            kernel,
            filters: filters_fit(&profile),
        };
        Self { profile, local }
    }

    /// Whether a plugin filters in this profile.
    pub(crate) fn filters(&self, plugin: Plugin) -> bool {
        self.profile.filters[plugin as usize]
    }

    /// Whether the fit filter looks at this extended resource.
    pub(crate) fn filters_resource(&self, name: &str) -> bool {
        // Only extended resources can be ignored.
        let Some((group, _)) = name.split_once('/') else { return true };
        let extended = !name.contains("kubernetes.io/") && !name.starts_with("requests.");
        !(extended
            && (self.profile.ignored_resources.iter().any(|r| **r == *name)
                || self.profile.ignored_resource_groups.iter().any(|g| **g == *group)))
    }
}

fn filters_fit(profile: &Profile) -> bool {
    profile.filters[Plugin::NodeResourcesFit as usize]
}

/// A topology spread constraint, with its selector complete.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) key: Str,
    pub(crate) max_skew: i64,
    pub(crate) min_domains: i64,
    selector: Option<LabelSelector>,
    /// 1 if the pod itself counts.
    pub(crate) self_match: i64,
    honor_affinity: bool,
    honor_taints: bool,
    /// A soft constraint on host names: it counts the pods of the node itself, whatever the policies.
    pub(crate) per_node: bool,
}

impl Spread {
    fn new(constraint: &SpreadConstraint, labels: &Labels) -> Self {
        let selector = with_label_keys(constraint, labels);
        let self_match = i64::from(selector.as_ref().is_some_and(|s| s.matches(labels)));
        Self {
            key: constraint.topology_key.clone(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
            selector,
            self_match,
            honor_affinity: constraint.honor_affinity,
            honor_taints: constraint.honor_taints,
            per_node: !constraint.hard && *constraint.topology_key == *HOSTNAME,
        }
    }

    /// Whether a pod of the peer is counted: not terminating, same namespace, and an empty selector counts none.
    fn counts(&self, key: &SigKey, peer: &PeerKey) -> bool {
        !peer.terminating
            && self.selector.as_ref().is_some_and(|s| !s.is_empty())
            && self.matches(key, peer)
    }

    /// Whether a pod of the peer is counted when it is moved in thought: upstream then looks neither at whether it terminates
    /// nor at whether the selector is empty, so that a count may even fall below zero.
    pub(crate) fn matches(&self, key: &SigKey, peer: &PeerKey) -> bool {
        peer.namespace == key.namespace
            && self.selector.as_ref().is_some_and(|s| s.matches(&peer.labels))
    }
}

/// `matchLabelKeys`: the incoming pod's values are required besides; an absent selector with keys is made of the keys alone.
fn with_label_keys(constraint: &SpreadConstraint, labels: &Labels) -> Option<LabelSelector> {
    let mut requirements: Vec<Requirement> = constraint
        .match_label_keys
        .iter()
        .filter_map(|key| {
            let value = labels.get(key)?.clone();
            Some(Requirement { key: key.clone(), operator: Operator::In, values: vec![value] })
        })
        .collect();
    if requirements.is_empty() {
        return constraint.selector.clone();
    }
    if let Some(selector) = &constraint.selector {
        requirements.extend(selector.requirements.iter().cloned());
    }
    Some(LabelSelector { requirements })
}

/// The rules of a signature.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) hard: Vec<Spread>,
    pub(crate) soft: Vec<Spread>,
    /// Nodes that lack a key of the soft constraints are left out of their scores (not so under the system's defaults).
    pub(crate) require_all: bool,
    /// The pod meets all of its own required affinity terms.
    pub(crate) self_affinity: bool,
    /// Node names that its match fields allow; `None`: all.
    pub(crate) names: Option<Vec<Str>>,
    /// Scores of InterPodAffinity may differ from zero.
    pub(crate) prefers: bool,
}

impl Compiled {
    pub(crate) fn new(key: &SigKey, profile: &ProfileRules, namespaces: &Namespaces) -> Self {
        let spec = &key.spec;
        let spread = |hard: bool| -> Vec<Spread> {
            let own = spec.spread.iter().filter(|c| c.hard == hard);
            own.map(|c| Spread::new(c, &spec.labels)).collect()
        };
        let (mut hard, mut soft) = (spread(true), spread(false));
        let mut require_all = true;
        if let Some(selector) = &key.default_selector {
            let constraints = match &profile.profile.default_spread {
                DefaultSpread::System => {
                    require_all = false;
                    system_defaults()
                }
                DefaultSpread::List(list) => list.clone(),
            };
            for mut constraint in constraints {
                constraint.selector = Some(selector.clone());
                let into = if constraint.hard { &mut hard } else { &mut soft };
                into.push(Spread::new(&constraint, &spec.labels));
            }
        }
        if !profile.filters(Plugin::PodTopologySpread) {
            hard.clear();
        }
        if profile.profile.weights[Plugin::PodTopologySpread as usize] == 0 {
            soft.clear();
        }
        let has_preferences =
            !(spec.affinity_preferred.is_empty() && spec.anti_affinity_preferred.is_empty());
        let ignores = profile.profile.ignore_preferred_of_existing && !has_preferences;
        let weight = profile.profile.weights[Plugin::InterPodAffinity as usize];
        let own = |term| own_term_matches(term, namespaces, key.namespace, &spec.labels);
        Self {
            hard,
            soft,
            require_all,
            self_affinity: !spec.affinity_required.is_empty()
                && spec.affinity_required.iter().all(own),
            names: allowed_names(spec),
            prefers: weight != 0 && !ignores,
        }
    }

    /// Whether labels of namespaces may matter to the pod's own rules.
    pub(crate) fn reads_namespaces(key: &SigKey) -> bool {
        let spec = &key.spec;
        let terms = spec.affinity_required.iter().chain(&spec.anti_affinity_required);
        let weighted = spec.affinity_preferred.iter().chain(&spec.anti_affinity_preferred);
        terms.chain(weighted.map(|(_, t)| t)).any(|t| t.namespace_selector.is_some())
    }

    /// Topology keys of the pod's own rules.
    pub(crate) fn keys<'a>(&'a self, key: &'a SigKey) -> impl Iterator<Item = (Kind, &'a Str)> {
        let spec = &key.spec;
        let index = |i: usize| u8::try_from(i).expect("constraints are at most SPREAD_MAX");
        let hard = self.hard.iter().enumerate().map(move |(i, c)| (Kind::Hard(index(i)), &c.key));
        let soft = self.soft.iter().enumerate().map(move |(i, c)| (Kind::Soft(index(i)), &c.key));
        let affinity = spec.affinity_required.iter().map(|t| (Kind::Affinity, &t.topology_key));
        let anti = spec.anti_affinity_required.iter().map(|t| (Kind::Anti, &t.topology_key));
        let prefer = spec.affinity_preferred.iter().chain(&spec.anti_affinity_preferred);
        let prefer = prefer.map(|(_, t)| (Kind::Prefer, &t.topology_key));
        hard.chain(soft).chain(affinity).chain(anti).chain(prefer)
    }

    /// What one pod of `peer` adds to the counts: calls back with kind, topology key and amount.
    pub(crate) fn effects(
        &self,
        key: &SigKey,
        peer: &PeerKey,
        namespaces: &Namespaces,
        profile: &ProfileRules,
        mut add: impl FnMut(Kind, &Str, i64),
    ) {
        let index = |i: usize| u8::try_from(i).expect("constraints are at most SPREAD_MAX");
        for (i, constraint) in self.hard.iter().enumerate() {
            if constraint.counts(key, peer) {
                add(Kind::Hard(index(i)), &constraint.key, 1);
            }
        }
        for (i, constraint) in self.soft.iter().enumerate() {
            if constraint.counts(key, peer) {
                add(Kind::Soft(index(i)), &constraint.key, 1);
            }
        }
        let spec = &key.spec;
        let own = |term| own_term_matches(term, namespaces, peer.namespace, &peer.labels);
        if !spec.affinity_required.is_empty() && spec.affinity_required.iter().all(own) {
            for term in &spec.affinity_required {
                add(Kind::Affinity, &term.topology_key, 1);
            }
        }
        for term in spec.anti_affinity_required.iter().filter(|t| own(t)) {
            add(Kind::Anti, &term.topology_key, 1);
        }
        if self.prefers {
            for (weight, term) in spec.affinity_preferred.iter().filter(|(_, t)| own(t)) {
                add(Kind::Prefer, &term.topology_key, i64::from(*weight));
            }
            for (weight, term) in spec.anti_affinity_preferred.iter().filter(|(_, t)| own(t)) {
                add(Kind::Prefer, &term.topology_key, -i64::from(*weight));
            }
        }
        let Some(terms) = &peer.terms else { return };
        let theirs = |term| existing_term_matches(term, namespaces, key.namespace, &spec.labels);
        for term in terms.anti_required.iter().filter(|t| theirs(t)) {
            add(Kind::Existing, &term.topology_key, 1);
        }
        if self.prefers {
            let hard = profile.profile.hard_pod_affinity_weight;
            for term in terms.affinity_required.iter().filter(|t| hard > 0 && theirs(t)) {
                add(Kind::Prefer, &term.topology_key, hard);
            }
            for (weight, term) in terms.affinity_preferred.iter().filter(|(_, t)| theirs(t)) {
                add(Kind::Prefer, &term.topology_key, i64::from(*weight));
            }
            for (weight, term) in terms.anti_preferred.iter().filter(|(_, t)| theirs(t)) {
                add(Kind::Prefer, &term.topology_key, -i64::from(*weight));
            }
        }
    }

    /// Which static filters refuse the node: a bit per plugin, and [`PRE_FILTER`].
    pub(crate) fn refusals(
        &self,
        key: &SigKey,
        profile: &ProfileRules,
        node: &Node,
        untolerated: bool,
    ) -> u16 {
        let spec = &key.spec;
        let mut bits = 0;
        let mut refuse = |plugin: Plugin| {
            if profile.filters(plugin) {
                bits |= 1 << plugin as u16;
            }
        };
        if node.unschedulable && !tolerates_unschedulable(spec) {
            refuse(Plugin::NodeUnschedulable);
        }
        if spec.node_name.as_ref().is_some_and(|name| *name != node.name) {
            refuse(Plugin::NodeName);
        }
        if untolerated {
            refuse(Plugin::TaintToleration);
        }
        if !matches_affinity(spec, node) || !matches_added(profile, node) {
            refuse(Plugin::NodeAffinity);
        }
        if profile.filters(Plugin::NodeAffinity)
            && self.names.as_ref().is_some_and(|names| !names.contains(&node.name))
        {
            bits |= PRE_FILTER;
        }
        bits
    }

    /// Sum of the weights of preferred node affinity terms that the node meets.
    pub(crate) fn preference(spec: &PodSpec, profile: &ProfileRules, node: &Node) -> i32 {
        if profile.profile.weights[Plugin::NodeAffinity as usize] == 0 {
            return 0;
        }
        let all = spec.node_preferred.iter().chain(&profile.profile.added_preferred);
        all.filter(|(_, term)| term.matches(&node.name, &node.labels))
            .map(|(weight, _)| weight)
            .sum()
    }

    /// Bits of the hard and of the soft spread constraints that count pods on a node, and whether soft ones ignore it.
    pub(crate) fn counted(
        &self,
        spec: &PodSpec,
        node: &Node,
        untolerated: bool,
    ) -> (u64, u64, bool) {
        if self.hard.is_empty() && self.soft.is_empty() {
            return (0, 0, false);
        }
        let allowed = matches_affinity(spec, node);
        let policies =
            |c: &Spread| (!c.honor_affinity || allowed) && (!c.honor_taints || !untolerated);
        let has_all = |list: &[Spread]| list.iter().all(|c| node.labels.get(&c.key).is_some());
        let bits = |list: &[Spread]| {
            list.iter()
                .enumerate()
                .filter(|(_, c)| policies(c))
                .fold(0, |bits, (i, _)| bits | 1 << i)
        };
        let hard = if has_all(&self.hard) { bits(&self.hard) } else { 0 };
        let complete = has_all(&self.soft);
        let ignored = self.require_all && !complete;
        let soft = if ignored { 0 } else { bits(&self.soft) };
        (hard, soft, ignored)
    }
}

/// The constraints of pods that have none, where Services and controllers say which pods belong together.
fn system_defaults() -> Vec<SpreadConstraint> {
    let constraint = |key: &str, max_skew| SpreadConstraint {
        max_skew,
        topology_key: Str::from(key),
        hard: false,
        selector: None,
        min_domains: None,
        honor_affinity: true,
        honor_taints: false,
        match_label_keys: Vec::new(),
    };
    vec![constraint(HOSTNAME, 3), constraint(ZONE, 5)]
}

/// Whether the node meets the pod's node selector and required affinity.
pub(crate) fn matches_affinity(spec: &PodSpec, node: &Node) -> bool {
    spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && spec.node_required.as_ref().is_none_or(|s| s.matches(&node.name, &node.labels))
}

/// Whether the node meets the profile's added affinity.
pub(crate) fn matches_added(profile: &ProfileRules, node: &Node) -> bool {
    let added = profile.profile.added_required.as_ref();
    added.is_none_or(|s| s.matches(&node.name, &node.labels))
}

fn tolerates_unschedulable(spec: &PodSpec) -> bool {
    let taint = Taint {
        key: Str::from("node.kubernetes.io/unschedulable"),
        value: Str::from(""),
        effect: TaintEffect::NoSchedule,
    };
    spec.tolerations.iter().any(|t| t.tolerates(&taint))
}

/// Whether a set has a taint that keeps the pod away, and the number of PreferNoSchedule taints that it does not tolerate.
pub(crate) fn taints(spec: &PodSpec, set: &TaintSet) -> (bool, u32) {
    let tolerated = |taint: &Taint| spec.tolerations.iter().any(|t| t.tolerates(taint));
    let untolerated = set
        .taints
        .iter()
        .filter(|t| t.effect != TaintEffect::PreferNoSchedule)
        .any(|t| !tolerated(t));
    let preferred = set.taints.iter().filter(|t| t.effect == TaintEffect::PreferNoSchedule);
    let soft = preferred
        .filter(|taint| {
            !spec.tolerations.iter().any(|t| {
                t.effect.is_none_or(|e| e == TaintEffect::PreferNoSchedule) && t.tolerates(taint)
            })
        })
        .count();
    (untolerated, u32::try_from(soft).expect("taints are at most TOLERATIONS_MAX"))
}

/// Node names that the match fields of required affinity allow (PreFilter of NodeAffinity); `None`: no restriction.
fn allowed_names(spec: &PodSpec) -> Option<Vec<Str>> {
    let selector = spec.node_required.as_ref()?;
    let mut all: Vec<Str> = Vec::new();
    for term in &selector.terms {
        let mut names: Option<Vec<Str>> = None;
        let by_name =
            term.fields.iter().filter(|r| &*r.key == "metadata.name" && r.operator == Operator::In);
        for requirement in by_name {
            names = Some(match names {
                None => requirement.values.clone(),
                Some(have) => have.into_iter().filter(|n| requirement.values.contains(n)).collect(),
            });
        }
        all.extend(names?);
    }
    if selector.terms.is_empty() { None } else { Some(all) }
}
