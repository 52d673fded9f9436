// SPDX-License-Identifier: Apache-2.0
//! Random words: label keys and values, selectors, affinity terms, taints.

use crate::rng::Rng;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::pod::{Taint, TaintEffect, Toleration};

/// Label of a node's own name.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label of a node's zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
/// Label of a node's region.
pub(crate) const REGION: &str = "topology.kubernetes.io/region";
/// Label keys of pods.
pub(crate) const POD_KEYS: [&str; 4] = ["app", "tier", "track", "shard"];
/// Label keys of namespaces.
pub(crate) const NAMESPACE_KEYS: [&str; 2] = ["team", "stage"];
/// Keys of topologies; no node ever has the last one.
pub(crate) const TOPOLOGY_KEYS: [&str; 6] = [HOSTNAME, ZONE, "rack", REGION, "disk", "nowhere"];
/// Label keys of nodes, other than host name, zone and region.
pub(crate) const NODE_KEYS: [&str; 4] =
    ["rack", "disk", "size", "failure-domain.beta.kubernetes.io/zone"];
/// Keys of taints.
pub(crate) const TAINT_KEYS: [&str; 3] = ["dedicated", "gpu", "node.kubernetes.io/unschedulable"];

/// A text.
pub(crate) fn text(text: &str) -> Str {
    Str::from(text)
}

/// One of the words.
pub(crate) fn word(rng: &mut Rng, words: &[&str]) -> Str {
    text(words[rng.below(words.len())])
}

/// The name of a namespace.
pub(crate) fn namespace(at: usize) -> Str {
    Str::from(format!("ns{at}"))
}

/// The name of a node.
pub(crate) fn node_name(at: usize) -> Str {
    Str::from(format!("n{at:02}"))
}

/// A value of a label.
pub(crate) fn value(rng: &mut Rng, values: usize) -> Str {
    Str::from(format!("v{}", rng.below(values)))
}

/// A weight of a preference.
pub(crate) fn weight(rng: &mut Rng) -> i32 {
    let weight = if rng.percent(50) { rng.amount(1, 100) } else { rng.amount(1, 3) };
    i32::try_from(weight).expect("small")
}

/// Labels with some of the keys.
pub(crate) fn labels(rng: &mut Rng, keys: &[&str], percent: usize, values: usize) -> Labels {
    let mut pairs = Vec::new();
    for key in keys {
        if rng.percent(percent) {
            pairs.push((text(key), value(rng, values)));
        }
    }
    pairs.into_iter().collect()
}

/// A requirement of a label selector.
pub(crate) fn requirement(rng: &mut Rng, keys: &[&str], values: usize) -> Requirement {
    let key = word(rng, keys);
    let operator = match rng.below(10) {
        0..6 => Operator::In,
        6..8 => Operator::NotIn,
        8 => Operator::Exists,
        _ => Operator::DoesNotExist,
    };
    let values = match operator {
        Operator::In | Operator::NotIn => {
            let count = if rng.percent(70) { 1 } else { 2 };
            (0..count).map(|_| value(rng, values)).collect()
        }
        _ => Vec::new(),
    };
    Requirement { key, operator, values }
}

/// A label selector.
pub(crate) fn selector(rng: &mut Rng, keys: &[&str], values: usize) -> LabelSelector {
    let count = match rng.below(20) {
        0 => 0,
        1..15 => 1,
        _ => 2,
    };
    LabelSelector { requirements: (0..count).map(|_| requirement(rng, keys, values)).collect() }
}

/// A selector that may be absent.
pub(crate) fn maybe_selector(rng: &mut Rng, keys: &[&str], values: usize) -> Option<LabelSelector> {
    (!rng.percent(4)).then(|| selector(rng, keys, values))
}

/// A selector that is a map, as Services have it.
pub(crate) fn map_selector(rng: &mut Rng, values: usize) -> Option<LabelSelector> {
    if rng.percent(5) {
        return None;
    }
    let map = labels(rng, &POD_KEYS, 35, values);
    let is = |(key, value): &(Str, Str)| Requirement {
        key: key.clone(),
        operator: Operator::In,
        values: vec![value.clone()],
    };
    Some(LabelSelector { requirements: map.iter().map(is).collect() })
}

/// A term of a node selector.
pub(crate) fn node_term(rng: &mut Rng, values: usize) -> NodeSelectorTerm {
    let mut term = NodeSelectorTerm::default();
    for _ in 0..*rng.pick(&[1, 1, 1, 1, 2, 0]) {
        term.expressions.push(match rng.below(12) {
            0 => Requirement {
                key: text("size"),
                operator: if rng.percent(50) { Operator::Gt } else { Operator::Lt },
                values: vec![Str::from(rng.below(6).to_string())],
            },
            1 => Requirement {
                key: text(HOSTNAME),
                operator: if rng.percent(50) { Operator::In } else { Operator::NotIn },
                values: vec![node_name(rng.below(6)), node_name(rng.below(6))],
            },
            2..7 => requirement(rng, &[ZONE, REGION], values),
            _ => requirement(rng, &NODE_KEYS, values),
        });
    }
    if rng.percent(6) {
        term.fields.push(Requirement {
            key: text("metadata.name"),
            operator: if rng.percent(60) { Operator::In } else { Operator::NotIn },
            values: vec![node_name(rng.below(6))],
        });
    }
    term
}

/// A node selector.
pub(crate) fn node_selector(rng: &mut Rng, values: usize) -> NodeSelector {
    let count = *rng.pick(&[1, 1, 1, 2, 2, 3]);
    NodeSelector { terms: (0..count).map(|_| node_term(rng, values)).collect() }
}

fn effect(rng: &mut Rng) -> TaintEffect {
    *rng.pick(&[TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute])
}

/// A taint.
pub(crate) fn taint(rng: &mut Rng) -> Taint {
    let value = word(rng, &["", "a", "b"]);
    Taint { key: word(rng, &TAINT_KEYS), value, effect: effect(rng) }
}

/// A toleration.
pub(crate) fn toleration(rng: &mut Rng) -> Toleration {
    let key = (!rng.percent(8)).then(|| word(rng, &TAINT_KEYS));
    let value = (key.is_some() && rng.percent(50)).then(|| word(rng, &["", "a", "b"]));
    let effect = rng.percent(60).then(|| effect(rng));
    Toleration { key, value, effect }
}
