// SPDX-License-Identifier: Apache-2.0
//! The same events give the same placements: twice, on another machine, with nodes in another order (SC-7); and what an engine
//! answers follows from what is there, not from how it came about.

use berth_scheduler_core::{Engine, Options, Outcome, PodId, Vector};
use berth_scheduler_model::objects::{Event, GroupKind};
use berth_scheduler_model::pod::Pod;
use berth_scheduler_simulation::{Feature, Rng, Scenario, Step, World};
use std::collections::BTreeMap;

/// How engines may differ without answering differently.
#[derive(Clone, Copy)]
struct Machine {
    hash_seed: u64,
    class_bytes: usize,
    vector: Vector,
}

impl Machine {
    fn usual() -> Self {
        Self { hash_seed: 1, class_bytes: 256 << 20, vector: berth_scheduler_host::vector() }
    }

    fn engine(self, scenario: &Scenario) -> Engine {
        Engine::new(Options {
            seed: scenario.seed,
            hash_seed: self.hash_seed,
            profiles: scenario.profiles.clone(),
            class_bytes: self.class_bytes,
            vector: self.vector,
            ..Options::default()
        })
    }
}

/// Volumes are left out: nobody tells the engine that a claim got what was decided.
fn scenario(seed: u64) -> Scenario {
    let mut scenario = Scenario::new(seed);
    scenario.features[Feature::Volumes as usize] = 0;
    scenario.silent = 0;
    scenario.events = scenario.events.min(900);
    scenario
}

/// Takes a step; what the engine says of it.
fn take(engine: &mut Engine, step: &Step) -> Option<String> {
    match step {
        Step::Apply(event) => {
            engine.apply(event.clone());
            None
        }
        Step::Place(pod) => {
            let id = PodId { uid: &pod.uid, namespace: &pod.namespace, name: &pod.name };
            Some(match engine.place(id, &pod.spec) {
                Outcome::Placed(placement) => {
                    let node = engine.node_name(placement.node);
                    format!("{} {node} {} {}", pod.uid, placement.total, placement.feasible)
                }
                Outcome::Refused(refusal) => format!("{} {:?}", pod.uid, refusal.nodes),
                Outcome::Known(_) => format!("{} is known", pod.uid),
            })
        }
        Step::Ask(pod, _) => Some(answer(engine, pod)),
        Step::Settle => None,
    }
}

/// Everything that is decided about a pod, by names.
fn answer(engine: &mut Engine, pod: &Pod) -> String {
    let survey = engine.survey(pod);
    let named = |(slot, total): &(u32, i64)| (engine.node_name(*slot).to_string(), *total);
    let mut totals: Vec<(String, i64)> = survey.totals.iter().map(named).collect();
    totals.sort();
    let choice = survey.choice.as_ref().map(named);
    format!("{totals:?} {choice:?} {:?}", survey.refusal.nodes)
}

/// The steps of a run, with what the engine says of them.
fn history(scenario: &Scenario) -> (Vec<Step>, Vec<String>, World) {
    let mut world = World::new(scenario.clone());
    let mut engine = Machine::usual().engine(scenario);
    let mut steps: Vec<Step> = world.start().into_iter().map(Step::Apply).collect();
    let mut said: Vec<String> = steps.iter().filter_map(|s| take(&mut engine, s)).collect();
    for _ in 0..scenario.events {
        let step = world.turn();
        let told = take(&mut engine, &step);
        if let Step::Place(pod) = &step
            && let Some(placed) = engine.find_pod(&pod.uid)
        {
            let node = engine.node_name_of(placed).expect("it was placed").clone();
            world.placed(pod.clone(), node);
        }
        let question = world.question();
        said.extend(told);
        said.extend(take(&mut engine, &question));
        steps.extend([step, question]);
    }
    (steps, said, world)
}

fn play(engine: &mut Engine, steps: &[Step]) -> Vec<String> {
    steps.iter().filter_map(|step| take(engine, step)).collect()
}

/// FNV-1a, 64 bits.
fn hash(said: &[String]) -> u64 {
    let bytes = said.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 1..=60 {
        let scenario = scenario(seed);
        let (steps, said, _) = history(&scenario);
        let (again, said_again, _) = history(&scenario);
        assert_eq!(format!("{steps:?}"), format!("{again:?}"), "the steps of seed {seed}");
        assert_eq!(hash(&said), hash(&said_again), "the answers of seed {seed}");
        println!("seed {seed}: {} answers, {:016x}", said.len(), hash(&said));
    }
}

#[test]
fn neither_hashes_nor_vectors_nor_memory_change_an_answer() {
    for seed in 61..=160 {
        let scenario = scenario(seed);
        let (steps, said, _) = history(&scenario);
        let usual = Machine::usual();
        for machine in [
            Machine { hash_seed: seed, ..usual },
            Machine { class_bytes: 1 << 13, ..usual },
            Machine { vector: Vector::BASELINE, ..usual },
        ] {
            let said_here = play(&mut machine.engine(&scenario), &steps);
            assert_eq!(said, said_here, "seed {seed}");
        }
    }
}

#[test]
fn nodes_may_arrive_in_any_order() {
    for seed in 161..=260 {
        let scenario = scenario(seed);
        let (mut steps, said, _) = history(&scenario);
        let is_node = |step: &Step| matches!(step, Step::Apply(Event::Node(_)));
        // The first ones arrive before anything is asked.
        let first = steps.iter().position(|step| !matches!(step, Step::Apply(_)));
        let places: Vec<usize> =
            (0..first.unwrap_or(0)).filter(|at| is_node(&steps[*at])).collect();
        let mut rng = Rng::new(seed);
        let mut order = places.clone();
        rng.shuffle(&mut order);
        let nodes: Vec<Step> = order.iter().map(|at| steps[*at].clone()).collect();
        // One that changes before anything is asked must not change before it is there.
        let mut latest: BTreeMap<String, Step> = BTreeMap::new();
        for at in &places {
            latest.insert(name(&steps[*at]), steps[*at].clone());
        }
        for (at, node) in places.into_iter().zip(nodes) {
            steps[at] = latest[&name(&node)].clone();
        }
        let said_here = play(&mut Machine::usual().engine(&scenario), &steps);
        assert_eq!(said, said_here, "seed {seed}");
    }
}

fn name(step: &Step) -> String {
    match step {
        Step::Apply(Event::Node(node)) => node.name.to_string(),
        other => format!("{other:?}"),
    }
}

/// What an event is about, and whether it says that this is gone.
fn identity(event: &Event) -> (String, bool) {
    let group = |kind: &GroupKind| format!("{kind:?}");
    match event {
        Event::Node(node) => (format!("node {}", node.name), false),
        Event::NodeGone(name) => (format!("node {name}"), true),
        Event::Pod(pod) => (format!("pod {}", pod.uid), false),
        Event::PodGone { uid } => (format!("pod {uid}"), true),
        Event::Namespace(namespace) => (format!("namespace {}", namespace.name), false),
        Event::NamespaceGone(name) => (format!("namespace {name}"), true),
        Event::Group(g) => (format!("{} {}/{}", group(&g.kind), g.namespace, g.name), false),
        Event::GroupGone { kind, namespace, name } => {
            (format!("{} {namespace}/{name}", group(kind)), true)
        }
        other => (format!("{other:?}"), false),
    }
}

/// An engine that has seen much and forgotten much answers as one that is told what is there now, in any order.
#[test]
fn answers_follow_from_what_is_there() {
    for seed in 261..=460 {
        let scenario = scenario(seed);
        let (steps, _, world) = history(&scenario);
        let mut old = Machine::usual().engine(&scenario);
        play(&mut old, &steps);
        let mut state: BTreeMap<String, Event> = BTreeMap::new();
        for event in
            steps.iter().filter_map(|s| if let Step::Apply(e) = s { Some(e) } else { None })
        {
            match identity(event) {
                (what, true) => drop(state.remove(&what)),
                (what, false) => drop(state.insert(what, event.clone())),
            }
        }
        for pod in &world.bound {
            state.insert(format!("pod {}", pod.uid), Event::Pod(Box::new(pod.clone())));
        }
        let mut events: Vec<Event> = state.into_values().collect();
        Rng::new(seed).shuffle(&mut events);
        let mut fresh = Machine { hash_seed: seed, ..Machine::usual() }.engine(&scenario);
        for event in events {
            fresh.apply(event);
        }
        for class in &world.classes {
            let pod = Pod {
                uid: "ask".into(),
                namespace: class.namespace.clone(),
                name: "ask".into(),
                spec: class.spec.clone(),
                node: None,
                nominated: None,
                started: None,
                terminating: false,
                preempted: false,
            };
            assert_eq!(answer(&mut old, &pod), answer(&mut fresh, &pod), "seed {seed}: {pod:?}");
        }
    }
}
