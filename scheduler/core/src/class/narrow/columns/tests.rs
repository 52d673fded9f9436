// SPDX-License-Identifier: Apache-2.0
//! The kernel against the exact one, on nodes and requests of all sizes, and close to where a whole number is reached.

use super::*;
use crate::hash::Hasher;
use crate::intern::Interner;
use crate::local::{At, Fit, LocalRules, Resource, Shape, lane_score, single};
use crate::nodes::Usage;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::node::Node;

const GIB: i64 = 1 << 30;

fn rules() -> LocalRules {
    LocalRules {
        fit: Fit::Least,
        fit_resources: vec![(Resource::Cpu, 1), (Resource::Memory, 1)],
        fit_weight: 1,
        balanced: vec![Resource::Cpu, Resource::Memory],
        balanced_weight: 1,
        image_weight: 1,
        kernel: Some((1, 1)),
        filters: true,
    }
}

fn usage(cpu: i64, memory: i64) -> Usage {
    let (cpu_assumed, memory_assumed) =
        (if cpu == 0 { 100 } else { cpu }, if memory == 0 { 200 << 20 } else { memory });
    Usage {
        cpu,
        memory,
        cpu_assumed,
        memory_assumed,
        cpu_booked: cpu_assumed,
        memory_booked: memory_assumed,
        ..Usage::default()
    }
}

/// Numbers of a linear congruential generator.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).expect("31 bits") % n
    }
}

/// 128 nodes of many sizes, in use to any degree: none, half, exactly all, more than all.
fn nodes(draw: &mut Draw) -> Nodes {
    let hasher = Hasher::new(1);
    let mut nodes = Nodes::new(hasher.clone(), 1);
    let mut resources = Interner::new(hasher);
    let round = draw.below(2) == 0;
    for i in 0..128 {
        let mut node = Node::new(&format!("node-{i}"));
        let (cpu, memory) = match draw.below(20) {
            0 => (0, 4 * GIB),
            1 => (1 << 50, 1 << 50),
            _ if round => (4_000 << draw.below(5), (8 * GIB) << draw.below(5)),
            _ => (1_000 + draw.below(100_000), GIB + draw.below(1 << 30) * 64),
        };
        (node.allocatable.cpu, node.allocatable.memory) = (cpu, memory);
        node.pods = 3 + draw.below(20);
        let slot = nodes.insert(Box::new(node), &mut resources);
        for _ in 0..draw.below(8) {
            let part = |draw: &mut Draw, whole: i64| match draw.below(6) {
                0 => 0,
                1 => whole / 2,
                2 => whole / (1 + draw.below(40)),
                _ => draw.below(1 << 20) * (whole >> 22),
            };
            let pod = usage(part(draw, cpu), part(draw, memory));
            nodes.book(slot, &pod, true);
        }
    }
    nodes
}

#[test]
fn bounds_hold_and_are_exact_where_nothing_is_marked() {
    let rules = rules();
    let mut draw = Draw(7);
    let (mut compared, mut exact, mut out, mut maybe) = (0, 0, 0, 0);
    for _ in 0..60 {
        let nodes = nodes(&mut draw);
        let mut reference = Reference::default();
        reference.choose(&nodes);
        let mut columns: Vec<Columns> = vec![Columns::EMPTY; nodes.blocks.len()];
        for (slot, _) in nodes.iter() {
            let (block, i) = split(slot);
            assert_eq!(columns[block].take(i, &reference, &nodes, slot), Taken::Yes);
        }
        for _ in 0..40 {
            let (cpu, memory) = match draw.below(3) {
                0 => (1 + draw.below(500), draw.below(GIB)),
                1 => (250 << draw.below(4), (GIB / 2) << draw.below(3)),
                _ => (draw.below(1_300), draw.below(1 << 30)),
            };
            let shape = Shape::new(usage(cpu, memory), Vec::new(), &rules);
            let Some(amounts) = shape.plain_amounts() else { continue };
            let Some(request) = reference.request(amounts) else { continue };
            let mut words = vec![[0; BLOCK]; columns.len()];
            let found = all_words(Vector::BASELINE, &columns, request, &mut words);
            assert_eq!(found.best, *words.as_flattened().iter().max().expect("some"));
            for (slot, _) in nodes.iter() {
                let (block, i) = split(slot);
                let at = At { block: &nodes.blocks[block], lane: i, entry: nodes.entry(slot) };
                let lane = single(at, 0, &rules, &shape);
                let word = words[block][i];
                compared += 1;
                if word & MAYBE != 0 {
                    maybe += 1;
                } else if word == 0 {
                    assert_eq!(lane, 0, "node {slot}: {cpu} {memory}");
                    out += 1;
                } else {
                    let (bound, score) = (i64::from(word >> MARKS) - 1, lane_score(lane));
                    assert_ne!(lane, 0, "node {slot}: {cpu} {memory}");
                    assert!(score <= bound, "node {slot}: {cpu} {memory}: {score} above {bound}");
                    if word & UNSURE == 0 {
                        exact += 1;
                        assert_eq!(score, bound, "node {slot}: {cpu} {memory}");
                    }
                }
            }
        }
    }
    assert!(compared > 100_000 && exact > compared / 4, "{exact} of {compared} exact");
    assert!(out > 1_000 && maybe > 1_000, "{out} out, {maybe} may be");
}

#[test]
fn too_large_requests_are_left_to_the_exact_kernel() {
    let reference = Reference { cpu: 1_000.0, memory: 1e9 };
    assert!(reference.request([1_200.0, 1e8, 1_200.0, 1e8]).is_some());
    assert!(reference.request([1_300.0, 1e8, 1_300.0, 1e8]).is_none());
}

#[test]
fn a_node_smaller_than_the_reference_asks_for_another_one() {
    let nodes = nodes(&mut Draw(3));
    let reference = Reference { cpu: 1e9, memory: 1.0 };
    let mut columns = Columns::EMPTY;
    let small =
        nodes.iter().any(|(slot, _)| columns.take(0, &reference, &nodes, slot) == Taken::Small);
    assert!(small);
}
