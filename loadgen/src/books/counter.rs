// SPDX-License-Identifier: Apache-2.0
//! Counts of pods by topology domain, kept up with each placement and release; the least of them is always known.

use super::labels::{means, selects};
use super::nodes::{Column, NOWHERE, NodeIx};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels};
use berth_scheduler_model::pod::{PodAffinityTerm, PodSpec};
use std::rc::Rc;

/// A set of nodes.
pub(super) type NodeSet = Rc<[bool]>;

/// Which pods a counter counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Counted {
    /// Those of a namespace that a spread constraint selects.
    Spread { namespace: Str, selector: Option<LabelSelector> },
    /// Those that all of the terms mean.
    Meant(Vec<PodAffinityTerm>),
    /// Those that have the term among their required anti-affinity.
    Holding(PodAffinityTerm),
}

impl Counted {
    pub(super) fn counts(&self, namespace: &str, spec: &PodSpec) -> bool {
        match self {
            Self::Spread { namespace: wanted, selector } => {
                **wanted == *namespace && selects(selector.as_ref(), &spec.labels)
            }
            Self::Meant(terms) => all_mean(terms, namespace, &spec.labels),
            Self::Holding(term) => spec.anti_affinity_required.contains(term),
        }
    }
}

/// Whether all of the terms mean a pod.
pub(super) fn all_mean(terms: &[PodAffinityTerm], namespace: &str, labels: &Labels) -> bool {
    terms.iter().all(|term| means(term, namespace, labels))
}

/// What tells counters apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CounterKey {
    pub(super) counted: Counted,
    pub(super) column: usize,
    /// Only pods on these nodes count, and only their domains are there.
    pub(super) eligible: Option<NodeSet>,
}

/// Pods by domain.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) key: CounterKey,
    counts: Vec<u32>,
    /// Whether a domain has an eligible node.
    there: Vec<bool>,
    /// How many domains have a count: index is the count.
    having: Vec<u32>,
    least: u32,
    domains: u32,
    total: u64,
}

impl Counter {
    pub(super) fn new(key: CounterKey, column: &Column) -> Self {
        let mut there = vec![false; column.values.len()];
        for (node, domain) in column.domain.iter().enumerate() {
            if *domain != NOWHERE && key.eligible.as_ref().is_none_or(|set| set[node]) {
                there[*domain as usize] = true;
            }
        }
        let domains = u32::try_from(there.iter().filter(|t| **t).count()).expect("few domains");
        Self {
            key,
            counts: vec![0; there.len()],
            there,
            having: vec![domains],
            least: 0,
            domains,
            total: 0,
        }
    }

    /// A pod came onto a node.
    #[inline]
    pub(super) fn add(&mut self, columns: &[Column], node: NodeIx) {
        let Some(domain) = self.domain(columns, node) else { return };
        let count = self.counts[domain];
        self.counts[domain] = count + 1;
        self.total += 1;
        self.having[count as usize] -= 1;
        if self.having.len() == count as usize + 1 {
            self.having.push(0);
        }
        self.having[count as usize + 1] += 1;
        if count == self.least && self.having[count as usize] == 0 {
            self.least = count + 1;
        }
    }

    /// A pod went off a node.
    #[inline]
    pub(super) fn remove(&mut self, columns: &[Column], node: NodeIx) {
        let Some(domain) = self.domain(columns, node) else { return };
        let count = self.counts[domain];
        self.counts[domain] = count - 1;
        self.total -= 1;
        self.having[count as usize] -= 1;
        self.having[count as usize - 1] += 1;
        self.least = self.least.min(count - 1);
    }

    /// Pods in the node's domain; `None` where the node has no domain.
    #[inline]
    pub(super) fn at(&self, columns: &[Column], node: NodeIx) -> Option<u32> {
        let domain = columns[self.key.column].domain[node as usize];
        (domain != NOWHERE).then(|| self.counts[domain as usize])
    }

    /// The least count of all domains; 0 with fewer domains than asked for.
    #[inline]
    pub(super) fn least(&self, min_domains: u32) -> u32 {
        if self.domains < min_domains { 0 } else { self.least }
    }

    /// Whether nothing is counted anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    #[inline]
    fn domain(&self, columns: &[Column], node: NodeIx) -> Option<usize> {
        let eligible = self.key.eligible.as_ref().is_none_or(|set| set[node as usize]);
        let domain = columns[self.key.column].domain[node as usize];
        let counts = eligible && domain != NOWHERE;
        counts.then(|| {
            debug_assert!(self.there[domain as usize], "an eligible node's domain is there");
            domain as usize
        })
    }
}
