// SPDX-License-Identifier: Apache-2.0
//! A full cluster on which room has to be made, as in kube-scheduler's own benchmark: four pods of low priority to a node
//! (900m each of 4 CPU), and such of high priority that want 3 CPU.

use crate::nodes;
use crate::specs::{NAMESPACE, plain, requests, selector};
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::DisruptionBudget;
use berth_scheduler_model::pod::PodSpec;
use std::sync::Arc;

/// Apps of low priority, each with a label of its own, and a budget where there are budgets.
pub const APPS: usize = 10;
/// Pods of low priority on a node.
pub const LOW_PER_NODE: usize = 4;
const LOW_CPU: i64 = 900;
const HIGH_CPU: i64 = 3_000;
const MEMORY: i64 = 500 << 20;

/// The cluster.
#[derive(Debug)]
pub struct Preemption {
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Budgets over the pods of low priority: one an app, every second one used up, so that the choice has to go by them.
    pub budgets: Vec<DisruptionBudget>,
    /// Specs of low priority, one an app.
    pub low: Vec<Arc<PodSpec>>,
    /// The spec of high priority.
    pub high: Arc<PodSpec>,
}

impl Preemption {
    /// A cluster of so many nodes, with budgets or without.
    #[must_use]
    pub fn new(nodes: usize, budgets: bool) -> Self {
        let low = |i: usize| {
            let spec = plain(&[("app", &app(i))]);
            Arc::new(PodSpec { requests: requests(LOW_CPU, MEMORY), ..spec })
        };
        let high = plain(&[("app", "high")]);
        let budgeted = if budgets { APPS } else { 0 };
        Self {
            nodes: (0..nodes).map(nodes::node).collect(),
            budgets: (0..budgeted).map(|i| budget(&app(i), i % 2 == 0)).collect(),
            low: (0..APPS).map(low).collect(),
            high: Arc::new(PodSpec { requests: requests(HIGH_CPU, MEMORY), priority: 10, ..high }),
        }
    }
}

fn app(i: usize) -> String {
    format!("low-{i}")
}

fn budget(app: &str, used_up: bool) -> DisruptionBudget {
    DisruptionBudget {
        namespace: Str::from(NAMESPACE),
        name: Str::from(app),
        selector: Some(selector(&[("app", app)])),
        allowed: if used_up { 0 } else { 1_000_000 },
        disrupted: Vec::new(),
    }
}
