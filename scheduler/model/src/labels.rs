// SPDX-License-Identifier: Apache-2.0
//! Labels and the three kinds of selectors over them: label selectors, node selectors, tolerations' cousins stay in `pod`.
//!
//! Semantics: k8s.io/apimachinery `labels.Requirement.Matches` and component-helpers `nodeaffinity`.

use crate::Str;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Labels of one object, sorted by key, keys unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Labels(Vec<(Str, Str)>);

impl Labels {
    /// Sorts `pairs`; of two with one key the later wins.
    pub fn new(mut pairs: Vec<(Str, Str)>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut kept: Vec<(Str, Str)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match kept.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => kept.push(pair),
            }
        }
        Self(kept)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Str> {
        self.0.binary_search_by(|pair| (*pair.0).cmp(key)).ok().map(|at| &self.0[at].1)
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = &(Str, Str)> {
        self.0.iter()
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Str, Str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Str, Str)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().collect())
    }
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    /// The label is there with one of the values.
    In,
    /// The label is absent, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is there, both it and the one value are integers, and it is greater. Node selectors only.
    Gt,
    /// As `Gt`, and it is less. Node selectors only.
    Lt,
}

/// One requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: Str,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with: at least one for `In` and `NotIn`, none for `Exists` and `DoesNotExist`, one integer for the rest.
    pub values: Vec<Str>,
}

impl Requirement {
    /// Whether a label with this value (`None`: absent) meets the requirement.
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        let one_of = |v: &str| self.values.iter().any(|w| **w == *v);
        match self.operator {
            Operator::In => value.is_some_and(one_of),
            Operator::NotIn => !value.is_some_and(one_of),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => self.compares(value, |have, bound| have > bound),
            Operator::Lt => self.compares(value, |have, bound| have < bound),
        }
    }

    fn compares(&self, value: Option<&str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let have = value.and_then(|v| v.parse::<i64>().ok());
        let bound = self.values.first().and_then(|v| v.parse::<i64>().ok());
        matches!((have, bound), (Some(have), Some(bound)) if holds(have, bound))
    }
}

/// A label selector: all requirements must hold. Without requirements it matches everything.
///
/// Where Kubernetes tells an absent selector (matches nothing) from an empty one (matches everything), the type here is
/// `Option<LabelSelector>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelSelector {
    /// All must hold.
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Whether `labels` meet every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches_value(labels.get(&r.key).map(|v| &**v)))
    }

    /// Whether it has no requirement, and so matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

/// One term of a node selector: all of its requirements must hold; one without requirements matches no node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeSelectorTerm {
    /// Over the node's labels.
    pub expressions: Vec<Requirement>,
    /// Over the node's fields; Kubernetes knows `metadata.name`, with `In` or `NotIn` and one value.
    pub fields: Vec<Requirement>,
}

impl NodeSelectorTerm {
    /// Whether the node meets the term.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        if self.expressions.is_empty() && self.fields.is_empty() {
            return false;
        }
        self.expressions.iter().all(|r| r.matches_value(labels.get(&r.key).map(|v| &**v)))
            && self.fields.iter().all(|r| {
                let value = (&*r.key == "metadata.name").then_some(name);
                r.matches_value(value)
            })
    }
}

/// A node selector: one of the terms must hold; without terms it matches no node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeSelector {
    /// One of them must hold.
    pub terms: Vec<NodeSelectorTerm>,
}

impl NodeSelector {
    /// Whether the node meets one of the terms.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.terms.iter().any(|term| term.matches(name, labels))
    }
}
