// SPDX-License-Identifier: Apache-2.0
//! Random nodes, and changes of them.

use crate::rng::Rng;
use crate::scenario::{Feature, Scenario};
use crate::specs;
use crate::terms::{self, HOSTNAME, NODE_KEYS, REGION, ZONE, text};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::pod::Taint;
use berth_scheduler_model::requests::Resources;

/// A node of that name.
pub(crate) fn draw(scenario: &Scenario, rng: &mut Rng, name: &Str) -> Node {
    let mut node = Node {
        labels: labels(scenario, rng, name),
        allocatable: allocatable(scenario, rng),
        pods: pods(scenario, rng),
        ..Node::new(name)
    };
    node.taints = taints(scenario, rng);
    node.unschedulable = rng.percent(2);
    node.images = images(scenario, rng);
    node.features = features(scenario, rng);
    node
}

/// The node with something about it changed, or with nothing.
pub(crate) fn change(scenario: &Scenario, rng: &mut Rng, node: &Node) -> Node {
    let mut node = node.clone();
    match rng.below(16) {
        0..7 => {
            let keys = [HOSTNAME, ZONE, ZONE, REGION, NODE_KEYS[0], NODE_KEYS[1], NODE_KEYS[2]];
            let key = *rng.pick(&keys);
            let fresh = labels(scenario, rng, &node.name);
            let others = node.labels.iter().filter(|(have, _)| **have != *key);
            let pair = fresh.iter().filter(|(have, _)| **have == *key);
            node.labels = others.chain(pair).cloned().collect();
        }
        7 => node.taints = taints(scenario, rng),
        8 if !node.taints.is_empty() => {
            node.taints.swap_remove(rng.below(node.taints.len()));
        }
        8 | 9 => node.unschedulable = !node.unschedulable && rng.percent(25),
        10 => node.allocatable = allocatable(scenario, rng),
        11 => node.pods = pods(scenario, rng),
        12 => node.images = images(scenario, rng),
        13 => node.features = features(scenario, rng),
        14 => node = draw(scenario, rng, &node.name.clone()),
        // A heartbeat: nothing is different.
        _ => {}
    }
    node
}

fn labels(scenario: &Scenario, rng: &mut Rng, name: &Str) -> Labels {
    let untidy = |rng: &mut Rng| rng.percent(scenario.untidy);
    let mut pairs = Vec::new();
    if !untidy(rng) {
        pairs.push((text(HOSTNAME), name.clone()));
    } else if rng.percent(60) {
        // Another node's, maybe.
        pairs.push((text(HOSTNAME), scenario.some_name(rng)));
    }
    if !untidy(rng) {
        pairs.push((text(ZONE), terms::value(rng, scenario.values)));
    }
    if rng.percent(70) {
        pairs.push((text(REGION), terms::value(rng, 2)));
    }
    if rng.percent(60) {
        // Few nodes to a rack, in some clusters one.
        pairs.push((text("rack"), terms::value(rng, scenario.nodes_max.div_ceil(2))));
    }
    if rng.percent(50) {
        pairs.push((text("disk"), terms::value(rng, scenario.values)));
    }
    if rng.percent(50) {
        pairs.push((text("size"), Str::from(rng.below(8).to_string())));
    }
    if rng.percent(10) {
        pairs.push((text(NODE_KEYS[3]), terms::value(rng, scenario.values)));
    }
    pairs.into_iter().collect()
}

fn taints(scenario: &Scenario, rng: &mut Rng) -> Vec<Taint> {
    let tolerated = scenario.features[Feature::Tolerations as usize] > 8;
    let count = if rng.percent(if tolerated { 50 } else { 8 }) { rng.between(1, 2) } else { 0 };
    (0..count).map(|_| terms::taint(rng)).collect()
}

fn pods(scenario: &Scenario, rng: &mut Rng) -> i64 {
    if scenario.uniform && rng.percent(90) { 12 } else { rng.amount(0, 14) }
}

fn allocatable(scenario: &Scenario, rng: &mut Rng) -> Resources {
    if scenario.uniform && rng.percent(95) {
        let scalars = Vec::new();
        return Resources { cpu: 8_000, memory: 4 << 30, ephemeral: 20 << 20, scalars };
    }
    let mut all = Resources {
        cpu: *rng.pick(&[0, 1_000, 2_000, 2_500, 4_000, 8_000]),
        memory: *rng.pick(&[0, 1, 2, 3, 4, 8]) << 30,
        ephemeral: rng.amount(0, 20) << 20,
        scalars: Vec::new(),
    };
    if rng.percent(80) {
        all.cpu = all.cpu.max(2_000);
        all.memory = all.memory.max(2 << 30);
    }
    if scenario.features[Feature::Extended as usize] > 0 {
        for name in ["example.com/gpu", "other.io/widget", "hugepages-2Mi"] {
            if rng.percent(60) {
                all.set_scalar(&text(name), rng.amount(0, 8));
            }
        }
    }
    all
}

fn images(scenario: &Scenario, rng: &mut Rng) -> Vec<(Str, i64)> {
    if scenario.features[Feature::Images as usize] == 0 {
        return Vec::new();
    }
    let count = rng.below(4);
    (0..count).map(|_| (specs::image(rng), rng.amount(1, 900) << 20)).collect()
}

fn features(scenario: &Scenario, rng: &mut Rng) -> Vec<Str> {
    if scenario.features[Feature::Declared as usize] == 0 {
        return Vec::new();
    }
    (0..3).filter(|_| rng.percent(60)).map(|at| Str::from(format!("F{at}"))).collect()
}
