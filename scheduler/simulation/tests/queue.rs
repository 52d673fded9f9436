// SPDX-License-Identifier: Apache-2.0
//! Pods that wait are placed once there is a place for them: after each event, none is left that a fresh decision would place.
//! The clock's own retries are put off, so that only hints about events wake anybody.

use berth_scheduler_core::{Backoff, Decided, Engine, Options, PodId};
use berth_scheduler_model::pod::{Pod, PodSpec, PreemptionPolicy};
use berth_scheduler_simulation::{Feature, Scenario, Step, Turn, World};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pods that wait at once, at most.
const WAITING_MAX: usize = 40;
/// Longer than a pod backs off, in milliseconds.
const STEP_MS: u64 = 60_000;

struct Queue {
    engine: Engine,
    world: World,
    now: u64,
    waiting: BTreeMap<String, Pod>,
    placed: usize,
}

impl Queue {
    fn new(scenario: &Scenario) -> Self {
        let engine = Engine::new(Options {
            seed: scenario.seed,
            profiles: scenario.profiles.clone(),
            class_bytes: scenario.class_bytes,
            vector: berth_scheduler_host::vector(),
            backoff: Backoff { flush_ms: u64::MAX / 2, ..Backoff::default() },
            ..Options::default()
        });
        let world = World::new(scenario.clone());
        Self { engine, world, now: 1, waiting: BTreeMap::new(), placed: 0 }
    }

    fn turn(&mut self, step: Step) {
        match step {
            Step::Apply(event) => self.engine.apply_at(self.now, event),
            // Victims and nominations are another test's.
            Step::Place(mut pod) if self.waiting.len() < WAITING_MAX => {
                pod.spec = Arc::new(PodSpec {
                    preemption: PreemptionPolicy::Never,
                    ..(*pod.spec).clone()
                });
                let id = PodId { uid: &pod.uid, namespace: &pod.namespace, name: &pod.name };
                self.engine.enqueue(self.now, id, &pod.spec).expect("uids are new");
                self.waiting.insert(pod.uid.to_string(), pod);
            }
            Step::Place(_) | Step::Settle | Step::Ask(..) => {}
        }
        // Twice: what was refused in the first round backs off for less than a step.
        for _ in 0..2 {
            self.now += STEP_MS;
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(decided) = self.engine.next(self.now) {
            if let Decided::Placed(placement) = decided {
                let uid = self.engine.pod_id(placement.pod).uid.to_string();
                let node = self.engine.node_name(placement.node).clone();
                let pod = self.waiting.remove(&uid).expect("only what waits is placed");
                self.world.placed(pod, node);
                self.placed += 1;
            }
        }
    }

    fn check(&mut self, seed: u64, at: usize) {
        for (uid, pod) in &self.waiting {
            let survey = self.engine.survey(pod);
            let gated = !pod.spec.gates.is_empty();
            assert!(
                gated || survey.choice.is_none(),
                "seed {seed}, step {at}: {uid} waits, and {:?} would take it",
                survey.choice.map(|(slot, _)| self.engine.node_name(slot).clone()),
            );
        }
    }
}

#[test]
fn nobody_waits_who_could_be_placed() {
    let (mut placed, mut waited) = (0, 0);
    for seed in 1..=120 {
        let mut scenario = Scenario::new(seed);
        // Nobody tells the engine that a claim got what was decided.
        scenario.features[Feature::Volumes as usize] = 0;
        // All that wait come through this test.
        scenario.turns[Turn::Pending as usize] = 0;
        scenario.silent = 0;
        scenario.events = scenario.events.min(400);
        let mut queue = Queue::new(&scenario);
        for event in queue.world.start() {
            queue.engine.apply_at(queue.now, event);
        }
        for at in 0..scenario.events {
            let step = queue.world.turn();
            queue.turn(step);
            queue.check(seed, at);
            waited += queue.waiting.len();
        }
        placed += queue.placed;
    }
    println!("{placed} placed from the queue, {waited} found waiting rightly");
    assert!(placed > 2_000 && waited > 20_000, "{placed} {waited}");
}
