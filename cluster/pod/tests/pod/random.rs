// SPDX-License-Identifier: Apache-2.0
//! Lives at random: containers that end, answers that come late or not at all, engines and agents that go away, pods that are deleted; and the
//! promises that hold in all of them.

use crate::world::{EPOCH, Fault, Manner, World, refused, unreachable};
use berth_cluster_pod::{Event, Failure};
use serde_json::{Value, json};

/// So many that each kind of trouble meets each other one.
const LIVES: u64 = 10_000;
/// Threads that share them.
const PARTS: u64 = 4;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

fn container(dice: &mut Dice, name: &str, lasts: bool) -> Value {
    let mut container = json!({"name": name, "image": dice.of(&["i:1", "j:1"]), "imagePullPolicy": dice.of(&["Always", "IfNotPresent"])});
    if !lasts {
        return container;
    }
    for (probe, odds) in [("startupProbe", 4), ("livenessProbe", 3), ("readinessProbe", 3)] {
        if dice.one_in(odds) {
            container[probe] = json!({
                "exec": {}, "periodSeconds": dice.below(20) + 1, "initialDelaySeconds": dice.below(4), "failureThreshold": dice.below(4) + 1,
            });
            if probe != "readinessProbe" && dice.one_in(3) {
                container[probe]["terminationGracePeriodSeconds"] = json!(dice.below(8) + 1);
            }
        }
    }
    for hook in ["postStart", "preStop"] {
        if dice.one_in(4) {
            container["lifecycle"][hook] = json!({"exec": {}});
        }
    }
    container
}

fn world(dice: &mut Dice) -> World {
    let mut init = Vec::new();
    for at in 0..dice.below(4).saturating_sub(1) {
        let sidecar = dice.one_in(2);
        let mut one = container(dice, &format!("i{at}"), sidecar);
        if sidecar {
            one["restartPolicy"] = json!("Always");
        }
        init.push(one);
    }
    let regular: Vec<_> =
        (0..=dice.below(2)).map(|at| container(dice, &format!("c{at}"), true)).collect();
    let mut spec = json!({
        "restartPolicy": dice.of(&["Always", "Always", "OnFailure", "Never"]), "terminationGracePeriodSeconds": dice.of(&[0, 1, 5, 30]),
        "initContainers": init, "containers": regular,
    });
    if dice.one_in(8) {
        spec["activeDeadlineSeconds"] = json!(dice.below(300) + 1);
    }
    let mut world = World::new(spec);
    let names: Vec<_> =
        world.spec().containers.iter().map(|container| container.name.clone()).collect();
    for name in names {
        let manner = manner(dice, name.starts_with('c'));
        world.manners.insert(name.clone(), manner);
        for probe in ['s', 'l', 'r'] {
            let answers =
                (0..dice.below(30)).map(|_| dice.of(&['g', 'g', 'g', 'b', 'b', '?'])).chain(['g']);
            world.answers.insert((name.clone(), probe), answers.collect());
        }
    }
    world
}

fn manner(dice: &mut Dice, regular: bool) -> Manner {
    let lengths = [0, 500, 3_000, 20_000, 650_000];
    let mut runs: Vec<_> =
        (0..dice.below(5)).map(|_| (dice.of(&lengths), dice.of(&[0, 1, 137]))).collect();
    if !regular {
        runs.push((dice.of(&lengths[..4]), dice.of(&[0, 0, 0, 1])));
        if dice.one_in(3) {
            runs.push((100, 0));
        }
    }
    let term = (!dice.one_in(4)).then(|| (dice.of(&[0, 100, 1_500, 4_000]), dice.of(&[0, 143])));
    Manner { runs, term }
}

const WORDS: [&str; 18] = [
    "volumes",
    "sandbox",
    "find",
    "pull",
    "create",
    "start",
    "poststart",
    "prestop",
    "probe",
    "rotation",
    "term",
    "kill",
    "remove",
    "unsandbox",
    "teardown",
    "look",
    "volumes",
    "create",
];

/// Makes the next commands slow or fail.
fn trouble(dice: &mut Dice, world: &mut World) {
    let word = dice.of(&WORDS);
    world.delays.insert(word, dice.of(&[0, 1, 50, 700, 3_000, 40_000]));
    if dice.one_in(2) {
        let failure = match dice.below(3) {
            0 => refused("at random"),
            1 if word == "create" => Failure::Config("at random".to_owned()),
            _ => unreachable(),
        };
        let done = matches!(failure, Failure::Unreachable(_)) && dice.one_in(2);
        world.faults.entry(word).or_default().push_back(Fault { failure, done });
    }
}

fn outage(dice: &mut Dice, world: &mut World) {
    if world.up {
        world.up = false;
        world.tell(Event::EngineGone);
        let live_restore = dice.one_in(2);
        if !live_restore {
            let keys: Vec<_> = world.engine.containers.keys().cloned().collect();
            for key in keys {
                world.engine.end(&key, world.now, 137, false);
            }
            world.engine.sandboxes.values_mut().for_each(|runs| *runs = false);
        }
    } else {
        back(world);
    }
}

fn back(world: &mut World) {
    world.up = true;
    // What was under way has gone wrong, and nobody says so.
    world.pending.retain(|(_, command)| {
        matches!(crate::world::word(&command.action).0, "volumes" | "teardown" | "rotation")
    });
    let view = world.engine.view(world.now);
    world.tell(Event::EngineBack(view));
}

fn disturb(dice: &mut Dice, world: &mut World) {
    match dice.below(9) {
        0..=3 => trouble(dice, world),
        4 => outage(dice, world),
        5 => {
            let bits = dice.next();
            world.restart_agent(|which| bits >> (which % 64) & 1 == 1);
            if !world.up {
                // The new agent found the engine away, and waited for it.
                world.up = true;
                let view = world.engine.view(world.now);
                world.machine = berth_cluster_pod::Machine::new(
                    world.spec(),
                    crate::world::node(),
                    view,
                    world.now,
                );
            }
        }
        6 => {
            let newest = world.engine.sandboxes.keys().max().copied();
            if let Some(attempt) = newest.filter(|_| world.up) {
                world.engine.sandboxes.insert(attempt, false);
                world.tell(Event::SandboxDied { attempt });
            }
        }
        7 if world.up => {
            let view = world.engine.view(world.now);
            world.tell(Event::Seen(view));
        }
        _ => {
            world.pod["spec"]["containers"][0]["image"] = json!(dice.of(&["i:1", "j:1", "k:1"]));
            let spec = world.spec();
            world.tell(Event::Pod(Box::new(spec)));
        }
    }
}

/// One life to its end.
fn live(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = world(&mut dice);
    let mut until = 0;
    for _ in 0..dice.below(10) {
        until += dice.of(&[10, 400, 2_000, 5_000, 15_000, 30_000, 60_000, 60_000, 700_000]);
        run(&mut world, until);
        disturb(&mut dice, &mut world);
    }
    if dice.one_in(3) {
        calm(&mut world);
        until = world.since() + 120_000;
        run(&mut world, until);
        world.assert_silent();
    }
    let gone = dice.one_in(10);
    for _ in 0..=dice.below(2) {
        if world.concluded {
            break;
        }
        if gone {
            world.tell(Event::Gone);
        } else {
            world.delete(dice.of(&[0, 1, 10, 30, 60]));
        }
        until = world.since() + dice.of(&[0, 300, 3_000]);
        run(&mut world, until);
        if dice.one_in(2) && !world.concluded && !gone {
            disturb(&mut dice, &mut world);
        }
    }
    calm(&mut world);
    until = world.since() + 600_000;
    run(&mut world, until);
    assert!(
        world.concluded,
        "not at its end: {:?} {:?}",
        world.machine.open(),
        world.log.iter().rev().take(30).rev().collect::<Vec<_>>()
    );
    let output = world.machine.handle(world.now, Event::Tick);
    assert!(output.commands.is_empty() && output.wake.is_none());
}

/// Nothing goes wrong from here on.
fn calm(world: &mut World) {
    world.faults.clear();
    world.delays.clear();
    if !world.up {
        back(world);
    }
    for manner in world.manners.values_mut() {
        manner
            .runs
            .truncate(manner.runs.iter().rposition(|(_, code)| *code == 0).map_or(0, |at| at + 1));
    }
}

fn run(world: &mut World, until: u64) {
    if world.up {
        world.run_until(until);
        return;
    }
    // While the engine is away nothing is carried out; the machine is called when it wants to be.
    for _ in 0..1_000 {
        let Some(wake) = world.wake.filter(|wake| *wake <= EPOCH + until) else { break };
        world.now = world.now.max(wake);
        world.wake = None;
        world.tell(Event::Tick);
    }
    world.now = world.now.max(EPOCH + until);
}

impl World {
    /// Has it settled, nothing that is not news leads to a command.
    fn assert_silent(&mut self) {
        if self.concluded || self.next().is_some() {
            return;
        }
        let lines = self.log.len();
        self.now += 1_000;
        let view = self.engine.view(self.now);
        self.tell(Event::Seen(view));
        self.tell(Event::Tick);
        let spec = self.spec();
        self.tell(Event::Pod(Box::new(spec)));
        let said = self.log[lines..].iter().find(|(_, line)| !line.starts_with("<-"));
        assert_eq!(said, None);
    }
}

#[test]
fn promises_hold_in_lives_at_random() {
    let seed = std::env::var("BERTH_SEED").ok().map(|seed| seed.parse().unwrap());
    let lives = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            assert!(std::panic::catch_unwind(|| live(seed)).is_ok(), "BERTH_SEED={seed}");
        }
    };
    if let Some(seed) = seed {
        return lives(seed..seed + 1);
    }
    std::thread::scope(|scope| {
        for part in 0..PARTS {
            scope.spawn(move || lives(part * LIVES / PARTS..(part + 1) * LIVES / PARTS));
        }
    });
}

#[test]
fn one_seed_is_one_life() {
    let trace = |seed| {
        let mut dice = Dice(seed);
        let mut world = world(&mut dice);
        world.run_until(500_000);
        world.log.clone()
    };
    for seed in 0..50 {
        assert_eq!(trace(seed), trace(seed), "BERTH_SEED={seed}");
    }
}
