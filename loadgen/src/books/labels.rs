// SPDX-License-Identifier: Apache-2.0
//! Selectors over labels, evaluated anew: the engine has its own code for this, and the checks must not share its mistakes.

use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{
    LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, Requirement,
};
use berth_scheduler_model::pod::{PodAffinityTerm, PodSpec, Taint, TaintEffect, Toleration};

/// Whether a label with this value (`None`: absent) meets a requirement.
fn meets(requirement: &Requirement, value: Option<&str>) -> bool {
    let among = |value: &str| requirement.values.iter().any(|other| &**other == value);
    let compare = |than: fn(i64, i64) -> bool| {
        let bound = requirement.values.first().and_then(|text| text.parse().ok());
        let have = value.and_then(|text| text.parse().ok());
        have.zip(bound).is_some_and(|(have, bound)| than(have, bound))
    };
    match requirement.operator {
        Operator::In => value.is_some_and(among),
        Operator::NotIn => value.is_none_or(|value| !among(value)),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
        Operator::Gt => compare(|have, bound| have > bound),
        Operator::Lt => compare(|have, bound| have < bound),
    }
}

/// The value of a label.
pub(super) fn value<'a>(labels: &'a Labels, key: &str) -> Option<&'a str> {
    labels.iter().find(|(have, _)| &**have == key).map(|(_, value)| &**value)
}

/// Whether the selector selects the labels; an absent selector selects nothing.
pub(super) fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_some_and(|selector| {
        selector.requirements.iter().all(|r| meets(r, value(labels, &r.key)))
    })
}

/// Whether a term of (anti-)affinity means a pod with these labels in this namespace. Namespaces have no labels here: nobody
/// registers them, so a namespace selector means all namespaces or none.
pub(super) fn means(term: &PodAffinityTerm, namespace: &str, labels: &Labels) -> bool {
    let everywhere = selects(term.namespace_selector.as_ref(), &Labels::default());
    let here = everywhere || term.namespaces.iter().any(|name| &**name == namespace);
    here && selects(term.selector.as_ref(), labels)
}

/// A node as rules that only read the node see it.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    pub(super) name: Str,
    pub(super) labels: Labels,
    pub(super) taints: Vec<Taint>,
    pub(super) unschedulable: bool,
}

impl Traits {
    fn in_term(&self, term: &NodeSelectorTerm) -> bool {
        let empty = term.expressions.is_empty() && term.fields.is_empty();
        let field = |r: &Requirement| meets(r, (&*r.key == "metadata.name").then_some(&*self.name));
        !empty
            && term.expressions.iter().all(|r| meets(r, value(&self.labels, &r.key)))
            && term.fields.iter().all(field)
    }

    fn selected(&self, selector: &NodeSelector) -> bool {
        selector.terms.iter().any(|term| self.in_term(term))
    }

    /// Whether the pod's node selector and required node affinity allow the node.
    pub(super) fn affine(&self, spec: &PodSpec) -> bool {
        let pairs = |(key, want): &(Str, Str)| value(&self.labels, key) == Some(&**want);
        spec.node_selector.iter().all(pairs)
            && spec.node_required.as_ref().is_none_or(|selector| self.selected(selector))
    }

    /// Whether the pod tolerates the node's taints.
    pub(super) fn tolerated(&self, spec: &PodSpec) -> bool {
        let keeps_away = |taint: &&Taint| taint.effect != TaintEffect::PreferNoSchedule;
        self.taints
            .iter()
            .filter(keeps_away)
            .all(|taint| spec.tolerations.iter().any(|t| tolerates(t, taint)))
    }

    /// Whether the node takes new pods, or the pod does not mind.
    pub(super) fn open(&self, spec: &PodSpec) -> bool {
        let mark = Taint {
            key: Str::from("node.kubernetes.io/unschedulable"),
            value: Str::from(""),
            effect: TaintEffect::NoSchedule,
        };
        !self.unschedulable || spec.tolerations.iter().any(|t| tolerates(t, &mark))
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let same = |mine: &Option<Str>, its: &Str| match mine {
        Some(mine) => mine == its,
        None => true,
    };
    let effect = match toleration.effect {
        Some(effect) => effect == taint.effect,
        None => true,
    };
    effect && same(&toleration.key, &taint.key) && same(&toleration.value, &taint.value)
}
