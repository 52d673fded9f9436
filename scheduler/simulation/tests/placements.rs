// SPDX-License-Identifier: Apache-2.0
//! Histories of placements, checked by books that are kept apart from the engine: SC-1, SC-4 and SC-5 of the reliability table.
//!
//! `BERTH_SIMULATION_EVENTS=…` goes on for so many events instead of the few that each test takes by itself.

use berth_scheduler_core::{Engine, Options, Outcome, PodId};
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::volume::PodVolume;
use berth_scheduler_simulation::{Books, Scenario, Step, Turn, World};
use std::collections::BTreeMap;
use std::sync::Arc;

fn events(usual: usize) -> usize {
    let text = std::env::var("BERTH_SIMULATION_EVENTS").ok();
    text.map_or(usual, |text| text.parse().expect("the variable is a number"))
}

/// An engine, and the books.
struct History {
    engine: Engine,
    books: Books,
}

impl History {
    fn new(scenario: &Scenario) -> Self {
        let options = Options {
            seed: scenario.seed,
            vector: berth_scheduler_host::vector(),
            ..Options::default()
        };
        Self { engine: Engine::new(options), books: Books::default() }
    }

    fn apply(&mut self, event: Event) {
        self.books.apply(&event);
        self.engine.apply(event);
    }

    /// Places a pod; the node.
    fn place(&mut self, pod: &Pod) -> Option<Pod> {
        let id = PodId { uid: &pod.uid, namespace: &pod.namespace, name: &pod.name };
        let Outcome::Placed(placement) = self.engine.place(id, &pod.spec) else { return None };
        let node = self.engine.node_name(placement.node).clone();
        Some(Pod { node: Some(node), ..pod.clone() })
    }
}

fn without(mut scenario: Scenario, turns: &[Turn]) -> Scenario {
    for turn in turns {
        scenario.turns[*turn as usize] = 0;
    }
    // Of the default profile alone: what the books know.
    scenario.profiles = vec![Profile::default()];
    scenario.silent = 0;
    scenario
}

/// SC-1: no node is used beyond what it has, at any time, where nobody else binds pods and nodes do not shrink.
#[test]
fn no_node_is_ever_overcommitted() {
    let (mut seed, mut done, mut placed) = (10_000, 0, 0);
    while done < events(20_000) {
        seed += 1;
        let scenario = Scenario { nodes: 6 + seed % 45, ..Scenario::new(seed as u64) };
        let scenario =
            Scenario { nodes_max: 55, pods_per_node: 10, events: 600, ..scenario }.named();
        let others = [Turn::Bind, Turn::PodChange, Turn::Pending, Turn::NodeGone, Turn::NodeNew];
        let mut world = World::new(without(scenario, &others));
        let mut history = History::new(&world.scenario);
        world.start().into_iter().for_each(|event| history.apply(event));
        let first: BTreeMap<Str, Node> =
            world.nodes.iter().map(|node| (node.name.clone(), node.clone())).collect();
        for _ in 0..world.scenario.events {
            match world.turn() {
                // Labels and taints change; capacity stays.
                Step::Apply(Event::Node(node)) => {
                    let first: &Node = &first[&node.name];
                    let (allocatable, pods) = (first.allocatable.clone(), first.pods);
                    history.apply(Event::Node(Box::new(Node { allocatable, pods, ..*node })));
                }
                Step::Apply(event) => history.apply(event),
                Step::Place(pod) => {
                    if let Some(bound) = history.place(&pod) {
                        placed += 1;
                        let node = bound.node.clone().expect("it was placed");
                        history.books.apply(&Event::Pod(Box::new(bound)));
                        world.placed(pod, node);
                    }
                }
                Step::Ask(..) | Step::Settle => {}
            }
            done += 1;
            let wrong = history.books.overcommitted();
            assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
        }
    }
    println!("{placed} placements in {done} events");
    assert!(placed * 10 > done, "{placed} placements in {done} events");
}

/// SC-4 and SC-5: where a pod is placed, every hard rule holds; where it is refused, each node breaks one.
#[test]
fn a_placement_keeps_all_rules_and_a_refusal_is_right() {
    let (mut seed, mut done, mut placed, mut refused) = (20_000, 0, 0, 0);
    while done < events(40_000) {
        seed += 1;
        let mut scenario = Scenario::new(seed as u64);
        (scenario.nodes, scenario.nodes_max) = (2 + seed % 5, 7);
        scenario.pods_per_node = 2;
        scenario.events = 300;
        (scenario.turns[Turn::Place as usize], scenario.turns[Turn::Release as usize]) = (80, 40);
        let mut world = World::new(without(scenario.named(), &[Turn::Pending]));
        let mut history = History::new(&world.scenario);
        for event in world.start().into_iter().filter(is_known) {
            history.apply(event);
        }
        for _ in 0..world.scenario.events {
            done += 1;
            let pod = match world.turn() {
                Step::Apply(event) => {
                    if is_known(&event) {
                        history.apply(event);
                    }
                    continue;
                }
                Step::Place(pod) => only_claims(pod),
                Step::Ask(..) | Step::Settle => continue,
            };
            match history.place(&pod) {
                Some(bound) => {
                    placed += 1;
                    let node = bound.node.clone().expect("it was placed");
                    let objections = history.books.objections(&pod, &node);
                    assert!(
                        objections.is_empty(),
                        "seed {seed}: {pod:?} on {node}: {objections:?}"
                    );
                    history.books.apply(&Event::Pod(Box::new(bound)));
                    world.placed(pod, node);
                }
                None => {
                    refused += 1;
                    for node in history.books.node_names() {
                        let objections = history.books.objections(&pod, node);
                        assert!(!objections.is_empty(), "seed {seed}: {pod:?} fits {node}");
                    }
                }
            }
        }
    }
    println!("{placed} placements and {refused} refusals in {done} events");
    assert!(placed * 20 > done && refused * 20 > done, "{placed}, {refused} of {done}");
}

/// Whether the books follow the event: of claims those that have their volume.
fn is_known(event: &Event) -> bool {
    match event {
        Event::Claim(claim) => claim.volume.is_some() && claim.bind_completed,
        Event::CsiNode(_) | Event::Attachment(_) => false,
        Event::Pod(pod) => pod.spec.volumes.iter().all(is_claim),
        _ => true,
    }
}

fn is_claim(volume: &PodVolume) -> bool {
    matches!(volume, PodVolume::Claim { ephemeral: false, .. })
}

fn only_claims(pod: Pod) -> Pod {
    let mut spec = (*pod.spec).clone();
    spec.volumes.retain(is_claim);
    Pod { spec: Arc::new(spec), ..pod }
}
