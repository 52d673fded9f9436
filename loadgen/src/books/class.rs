// SPDX-License-Identifier: Apache-2.0
//! What is checked of all pods with one spec, made ready once.

use super::counter::{Counted, Counter, CounterKey, NodeSet, all_mean};
use super::labels::{means, selects, value};
use super::nodes::{Column, Needs, NodeIx, Nodes};
use super::violation::Rule;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Operator, Requirement};
use berth_scheduler_model::pod::{PodSpec, SpreadConstraint};
use std::rc::Rc;
use std::sync::Arc;

/// One check of a placement against the counts.
#[derive(Debug)]
enum Check {
    /// A hard topology spread constraint.
    Spread { counter: u32, max_skew: u32, own: u32, min_domains: u32 },
    /// All required affinity terms: the same pods counted by each term's topology. `own`: the pod means itself.
    Affinity { counters: Vec<u32>, own: bool },
    /// A required anti-affinity term of the pod.
    AntiAffinity { counter: u32 },
    /// A required anti-affinity term that others hold and that means this pod.
    Held { counter: u32 },
}

/// What is checked of pods with one spec.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) namespace: Str,
    pub(super) spec: Arc<PodSpec>,
    /// What one pod takes. `None`: no node has it.
    pub(super) needs: Option<Needs>,
    /// Nodes that the pod's rules about the node itself allow; `None`: all.
    allowed: Option<NodeSet>,
    checks: Vec<Check>,
    /// Counters that count these pods.
    pub(super) counted_by: Vec<u32>,
    /// The state of the books in which no node was found for it.
    pub(super) refused_at: u64,
    /// Pods on their way or on nodes.
    pub(super) pods: u32,
    /// Whether it stays without pods.
    pub(super) keep: bool,
}

impl Class {
    /// Everything but the counters.
    pub(super) fn new(nodes: &Nodes, namespace: &str, spec: &Arc<PodSpec>) -> Self {
        let bound = spec.node_name.is_some() || picky(spec);
        let fits = |at: usize| {
            let node = &nodes.traits[at];
            let named = spec.node_name.as_ref().is_none_or(|name| *name == node.name);
            named && node.affine(spec) && node.open(spec) && node.tolerated(spec)
        };
        let anywhere = !bound && nodes.plain;
        Self {
            namespace: Str::from(namespace),
            spec: spec.clone(),
            needs: nodes.needs(spec),
            allowed: (!anywhere).then(|| (0..nodes.len()).map(fits).collect()),
            checks: Vec::new(),
            counted_by: Vec::new(),
            refused_at: u64::MAX,
            pods: 0,
            keep: true,
        }
    }

    /// Whether nothing is counted for this class: then it needs no counters.
    pub(super) fn is_plain(&self) -> bool {
        !self.spec.spread.iter().any(|constraint| constraint.hard)
            && self.spec.affinity_required.is_empty()
            && self.spec.anti_affinity_required.is_empty()
    }

    /// Makes the checks that read counters; `counter` finds one or makes it.
    pub(super) fn prepare(
        &mut self,
        nodes: &mut Nodes,
        mut counter: impl FnMut(&Nodes, CounterKey) -> u32,
    ) {
        let spec = self.spec.clone();
        let hard: Vec<&SpreadConstraint> = spec.spread.iter().filter(|c| c.hard).collect();
        for constraint in &hard {
            let column = nodes.column(&constraint.topology_key);
            let selector = merged(constraint, &spec);
            let own = u32::from(selects(selector.as_ref(), &spec.labels));
            let counted = Counted::Spread { namespace: self.namespace.clone(), selector };
            let eligible = Some(eligible(nodes, &spec, constraint, &hard));
            self.checks.push(Check::Spread {
                counter: counter(nodes, CounterKey { counted, column, eligible }),
                max_skew: constraint.max_skew.cast_unsigned(),
                own,
                min_domains: constraint.min_domains.unwrap_or(1).cast_unsigned(),
            });
        }
        let terms = &spec.affinity_required;
        if !terms.is_empty() {
            let counters = terms.iter().map(|term| {
                let column = nodes.column(&term.topology_key);
                let counted = Counted::Meant(terms.clone());
                counter(nodes, CounterKey { counted, column, eligible: None })
            });
            let counters = counters.collect();
            let own = all_mean(terms, &self.namespace, &spec.labels);
            self.checks.push(Check::Affinity { counters, own });
        }
        for term in &spec.anti_affinity_required {
            let column = nodes.column(&term.topology_key);
            let counted = Counted::Meant(vec![term.clone()]);
            let key = CounterKey { counted, column, eligible: None };
            self.checks.push(Check::AntiAffinity { counter: counter(nodes, key) });
            // And one for those that hold the term, so that pods which it means are kept away.
            let counted = Counted::Holding(term.clone());
            counter(nodes, CounterKey { counted, column, eligible: None });
        }
    }

    /// Takes note of a counter: whether it counts these pods, and whether they are checked against it.
    pub(super) fn meet(&mut self, index: u32, counter: &Counter) {
        let counted = &counter.key.counted;
        if counted.counts(&self.namespace, &self.spec) {
            self.counted_by.push(index);
        }
        if let Counted::Holding(term) = counted
            && means(term, &self.namespace, &self.spec.labels)
        {
            self.checks.push(Check::Held { counter: index });
        }
    }

    /// Whether the rules that only read the node itself allow it.
    #[inline]
    pub(super) fn allows(&self, node: NodeIx) -> bool {
        self.allowed.as_ref().is_none_or(|set| set[node as usize])
    }

    /// The rule that keeps the pod off a node which [`allows`](Self::allows) excludes.
    pub(super) fn excluded_by(&self, nodes: &Nodes, node: NodeIx) -> Rule {
        let node = &nodes.traits[node as usize];
        let named = self.spec.node_name.as_ref().is_none_or(|name| *name == node.name);
        if named && node.affine(&self.spec) { Rule::Taint } else { Rule::NodeAffinity }
    }

    /// Whether the counts allow one more of these pods on the node.
    #[inline]
    pub(super) fn check(
        &self,
        counters: &[Counter],
        columns: &[Column],
        node: NodeIx,
    ) -> Result<(), Rule> {
        for check in &self.checks {
            check.holds(counters, columns, node)?;
        }
        Ok(())
    }
}

impl Check {
    #[inline]
    fn holds(&self, counters: &[Counter], columns: &[Column], node: NodeIx) -> Result<(), Rule> {
        let at = |counter: u32| counters[counter as usize].at(columns, node);
        match self {
            Self::Spread { counter, max_skew, own, min_domains } => {
                let count = at(*counter).ok_or(Rule::Spread)?;
                let least = counters[*counter as usize].least(*min_domains);
                if count + own > max_skew + least { Err(Rule::Spread) } else { Ok(()) }
            }
            Self::Affinity { counters: wanted, own } => {
                let first = *own && wanted.iter().all(|c| counters[*c as usize].is_empty());
                let met = |count: Option<u32>| count.is_some_and(|count| count > 0 || first);
                if wanted.iter().all(|c| met(at(*c))) { Ok(()) } else { Err(Rule::Affinity) }
            }
            Self::AntiAffinity { counter } => match at(*counter) {
                None | Some(0) => Ok(()),
                Some(_) => Err(Rule::AntiAffinity),
            },
            Self::Held { counter } => match at(*counter) {
                None | Some(0) => Ok(()),
                Some(_) => Err(Rule::ExistingAntiAffinity),
            },
        }
    }
}

/// Whether the spec selects nodes by their labels.
fn picky(spec: &PodSpec) -> bool {
    !spec.node_selector.is_empty() || spec.node_required.is_some()
}

/// The constraint's selector with `matchLabelKeys` merged in.
fn merged(constraint: &SpreadConstraint, spec: &PodSpec) -> Option<LabelSelector> {
    let mut selector = constraint.selector.clone()?;
    for key in &constraint.match_label_keys {
        if let Some(value) = value(&spec.labels, key) {
            let values = vec![Str::from(value)];
            selector.requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::In,
                values,
            });
        }
    }
    Some(selector)
}

/// Nodes whose pods count for a constraint: they have the topology keys of all hard constraints, and the policies hold.
fn eligible(
    nodes: &Nodes,
    spec: &PodSpec,
    constraint: &SpreadConstraint,
    hard: &[&SpreadConstraint],
) -> NodeSet {
    let one = |node: &super::labels::Traits| {
        hard.iter().all(|c| value(&node.labels, &c.topology_key).is_some())
            && (!constraint.honor_affinity || node.affine(spec))
            && (!constraint.honor_taints || node.tolerated(spec) && node.open(spec))
    };
    nodes.traits.iter().map(one).collect::<Rc<[bool]>>()
}
