// SPDX-License-Identifier: Apache-2.0
//! Two engines with the same placements to make, releases and changes of nodes: one lists the best nodes of each class, the other
//! looks at all nodes for each decision. The naive scheduler is too slow for runs that use lists up again and again.

use berth_scheduler_core::{Engine, Options, Outcome, PodId};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{Taint, TaintEffect};
use berth_scheduler_workload::{Rng, Row, Workload, rows};

/// A run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twins {
    /// What comes.
    pub row: Row,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Placements.
    pub turns: usize,
}

impl Twins {
    /// Runs both; how many decisions were compared, or how they differ.
    ///
    /// # Errors
    ///
    /// The first decision that is not the same.
    pub fn run(self) -> Result<usize, String> {
        let mut workload = Workload::new(self.row, self.nodes, 70);
        let mut rng = Rng::new(self.seed);
        let listed = [2, 3, 5, 9, 17, Options::default().listed][rng.below(6)];
        let vector = berth_scheduler_host::vector();
        let engine =
            |listed| Engine::new(Options { seed: self.seed, vector, listed, ..Options::default() });
        let mut engines = [engine(listed), engine(0)];
        let apply = |event: Event, engines: &mut [Engine; 2]| {
            for engine in engines {
                engine.apply(event.clone());
            }
        };
        let nodes = std::mem::take(&mut workload.nodes);
        for group in &workload.groups {
            apply(Event::Group(group.clone()), &mut engines);
        }
        for node in &nodes {
            apply(Event::Node(Box::new(node.clone())), &mut engines);
        }
        for pod in std::mem::take(&mut workload.resident) {
            apply(Event::Pod(Box::new(pod)), &mut engines);
        }
        let mut placed: Vec<String> = Vec::new();
        for turn in 0..self.turns {
            let spec = workload.next_spec(|n| rng.below(n));
            let name = format!("pod-{turn}");
            let id = PodId { uid: &name, namespace: rows::namespace(), name: &name };
            let [one, two] = &mut engines;
            let (a, b) = (one.place(id, &spec), two.place(id, &spec));
            if a != b {
                return Err(format!(
                    "{self:?}, lists of {listed}: placement {turn} is {a:?}, not {b:?}"
                ));
            }
            if matches!(a, Outcome::Placed(_)) {
                placed.push(name);
            }
            // Full and emptier in turns.
            let full = placed.len() > workload.fill / 2 && turn / 512 % 2 == 1;
            let leaving = if full { 2 } else { usize::from(placed.len() >= workload.fill) };
            for _ in 0..leaving.min(placed.len()) {
                let uid = placed.swap_remove(rng.below(placed.len()));
                for engine in &mut engines {
                    assert!(engine.release(&uid), "{uid} is placed");
                }
            }
            if rng.below(64) == 0 {
                let node = &nodes[rng.below(nodes.len())];
                apply(Event::Node(Box::new(changed(node, &mut rng))), &mut engines);
            }
        }
        Ok(self.turns)
    }
}

/// The node as it was at first, or with something changed.
fn changed(node: &Node, rng: &mut Rng) -> Node {
    let mut node = node.clone();
    match rng.below(5) {
        0 => node.unschedulable = true,
        1 => node.allocatable.cpu = node.allocatable.cpu * 3 / 2,
        2 => {
            let zone = Str::from("topology.kubernetes.io/zone");
            let value = Str::from(format!("zone-{}", rng.below(4)));
            let others = node.labels.iter().filter(|(key, _)| **key != *zone);
            let others = others.map(|(key, value)| (key.clone(), value.clone()));
            node.labels = others.chain([(zone.clone(), value)]).collect::<Labels>();
        }
        3 => node.taints.push(Taint {
            key: Str::from("slow"),
            value: Str::from(""),
            effect: TaintEffect::PreferNoSchedule,
        }),
        _ => {}
    }
    node
}
