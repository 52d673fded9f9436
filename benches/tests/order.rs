// SPDX-License-Identifier: Apache-2.0
//! The same events give the same placements, also when nodes arrive in another order.

use berth_scheduler_core::{Engine, Options, Outcome, PodId};
use berth_scheduler_model::objects::Event;
use berth_scheduler_workload::{Rng, Row, Workload, rows};

const NODES: usize = 300;

/// The names of the nodes that the pods of a row get. Every third pod is followed by a release.
fn placements(row: Row, shuffle: Option<u64>) -> Vec<String> {
    let mut workload = Workload::new(row, NODES, 70);
    let mut engine = Engine::new(Options { seed: 7, ..Options::default() });
    for group in &workload.groups {
        engine.apply(Event::Group(group.clone()));
    }
    let mut order: Vec<usize> = (0..NODES).collect();
    if let Some(seed) = shuffle {
        let mut rng = Rng::new(seed);
        for at in (1..NODES).rev() {
            order.swap(at, rng.below(at + 1));
        }
    }
    for at in order {
        engine.apply(Event::Node(Box::new(workload.nodes[at].clone())));
    }
    for pod in &workload.resident {
        engine.apply(Event::Pod(Box::new(pod.clone())));
    }
    let mut rng = Rng::new(11);
    let mut placed = Vec::new();
    let mut nodes = Vec::new();
    for serial in 0..workload.fill {
        let spec = workload.next_spec(|n| rng.below(n));
        let uid = format!("uid-{serial}");
        let id = PodId { uid: &uid, namespace: rows::namespace(), name: &uid };
        let outcome = engine.place(id, &spec);
        assert!(matches!(outcome, Outcome::Placed(_)), "{uid} is refused");
        if let Outcome::Placed(placement) = outcome {
            nodes.push(engine.node_name(placement.node).to_string());
        }
        placed.push(uid);
        if serial % 3 == 0 {
            let gone = placed.swap_remove(rng.below(placed.len()));
            assert!(engine.release(&gone));
        }
    }
    nodes
}

#[test]
fn the_order_in_which_nodes_come_makes_no_difference() {
    for row in Row::ALL {
        let as_they_are = placements(row, None);
        for seed in 0..2 {
            assert_eq!(as_they_are, placements(row, Some(seed)), "{}, order {seed}", row.name());
        }
    }
}
