// SPDX-License-Identifier: Apache-2.0
//! Pods that make room for others, checked by a model that knows nothing but capacities, zones and priorities: SC-6 of the
//! reliability table. Whom exactly upstream would choose is the recorded verdicts' and the differential test's affair.
//!
//! `BERTH_SIMULATION_EVENTS=...` goes on for so many events instead of the few that the test takes by itself.

use berth_scheduler_core::{Backoff, Decided, Engine, Eviction, Options, Outcome, PodId, PodIx};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels, Operator, Requirement};
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{DisruptionBudget, Event};
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::requests::{Requests, Resources};
use berth_scheduler_simulation::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

const NAMESPACE: &str = "ns";
const APPS: usize = 3;
const EVENTS_PER_SEED: usize = 300;
const WAITING_MAX: usize = 12;

fn events(usual: usize) -> usize {
    let text = std::env::var("BERTH_SIMULATION_EVENTS").ok();
    text.map_or(usual, |text| text.parse().expect("the variable is a number"))
}

#[derive(Debug, Clone)]
struct Want {
    cpu: i64,
    priority: i32,
    app: usize,
    zone: Option<usize>,
}

#[derive(Debug)]
struct Machine {
    cpu: i64,
    pods: usize,
    zone: usize,
}

/// What the model knows.
#[derive(Debug, Default)]
struct Model {
    machines: Vec<Machine>,
    /// By uid: what it wants, and its node.
    placed: BTreeMap<String, (Want, usize)>,
    /// By uid: what it wants, and the node it is nominated to.
    waiting: BTreeMap<String, (Want, Option<usize>)>,
    /// Pods that have to go and are still there.
    leaving: Vec<String>,
    allowed: [i32; APPS],
}

impl Model {
    fn on(&self, node: usize) -> impl Iterator<Item = (&String, &Want)> {
        self.placed
            .iter()
            .filter(move |(_, (_, at))| *at == node)
            .map(|(uid, (want, _))| (uid, want))
    }

    /// Nominees of a node whose room a pod of that priority has to leave alone.
    fn nominees(&self, node: usize, priority: i32, but: &str) -> impl Iterator<Item = &Want> {
        let held = move |(uid, (want, at)): &(&String, &(Want, Option<usize>))| {
            *at == Some(node) && want.priority >= priority && *uid != but
        };
        self.waiting.iter().filter(held).map(|(_, (want, _))| want)
    }

    /// Whether a pod fits on a node without these pods, beside the room that is held for others.
    fn fits(&self, uid: &str, want: &Want, node: usize, without: &[String]) -> bool {
        let machine = &self.machines[node];
        let here = self.on(node).filter(|(uid, _)| !without.contains(uid)).map(|(_, want)| want);
        let (mut cpu, mut pods) = (want.cpu, 1);
        for other in here.chain(self.nominees(node, want.priority, uid)) {
            cpu += other.cpu;
            pods += 1;
        }
        want.zone.is_none_or(|zone| zone == machine.zone)
            && cpu <= machine.cpu
            && pods <= machine.pods
    }

    fn lower(&self, want: &Want, node: usize) -> Vec<String> {
        let lower = self.on(node).filter(|(_, other)| other.priority < want.priority);
        lower.map(|(uid, _)| uid.clone()).collect()
    }

    /// Nodes that take a pod as they are.
    fn takers(&self, uid: &str, want: &Want) -> Vec<usize> {
        (0..self.machines.len()).filter(|node| self.fits(uid, want, *node, &[])).collect()
    }
}

struct Run {
    seed: u64,
    rng: Rng,
    engine: Engine,
    model: Model,
    strict: bool,
    /// Whether all who wait are tried again after some minutes; without, only events wake anybody.
    flushes: bool,
    now: u64,
    serial: usize,
    evictions: usize,
    preempted: usize,
    placed: usize,
}

fn node_name(node: usize) -> String {
    format!("n{node}")
}

fn labels(pairs: &[(&str, String)]) -> Labels {
    pairs.iter().map(|(key, value)| (Str::from(*key), Str::from(value.as_str()))).collect()
}

fn spec(want: &Want) -> Arc<PodSpec> {
    let plain = Resources { cpu: want.cpu, ..Resources::default() };
    let requests = Requests {
        plain,
        non_zero_cpu: want.cpu,
        non_zero_memory: 0,
        usage_cpu: want.cpu,
        usage_memory: 0,
    };
    let zone = want.zone.map(|zone| ("zone", zone.to_string()));
    Arc::new(PodSpec {
        labels: labels(&[("app", want.app.to_string())]),
        node_selector: labels(zone.as_slice()),
        priority: want.priority,
        requests,
        containers: 1,
        ..PodSpec::default()
    })
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (strict, flushes) = (rng.percent(30), rng.percent(50));
        let flush_ms = if flushes { Backoff::default().flush_ms } else { u64::MAX / 2 };
        let options = Options {
            seed,
            strict_budgets: strict,
            backoff: Backoff { flush_ms, ..Backoff::default() },
            vector: berth_scheduler_host::vector(),
            ..Options::default()
        };
        let mut run = Self {
            seed,
            engine: Engine::new(options),
            model: Model::default(),
            rng,
            strict,
            flushes,
            now: 1,
            serial: 0,
            evictions: 0,
            preempted: 0,
            placed: 0,
        };
        for node in 0..run.rng.between(1, 6) {
            let machine = Machine {
                cpu: run.rng.amount(4, 16),
                pods: run.rng.between(3, 8),
                zone: run.rng.below(2),
            };
            let allocatable = Resources { cpu: machine.cpu, memory: 1, ..Resources::default() };
            run.engine.apply(Event::Node(Box::new(Node {
                labels: labels(&[("zone", machine.zone.to_string())]),
                allocatable,
                pods: i64::try_from(machine.pods).expect("small"),
                ..Node::new(&node_name(node))
            })));
            run.model.machines.push(machine);
        }
        for app in 0..APPS {
            run.set_budget(app);
        }
        run
    }

    fn set_budget(&mut self, app: usize) {
        let allowed = i32::try_from(self.rng.below(4)).expect("small");
        self.model.allowed[app] = allowed;
        let values = vec![Str::from(app.to_string())];
        let requirement = Requirement { key: Str::from("app"), operator: Operator::In, values };
        self.engine.apply(Event::Budget(DisruptionBudget {
            namespace: Str::from(NAMESPACE),
            name: Str::from(app.to_string()),
            selector: Some(LabelSelector { requirements: vec![requirement] }),
            allowed,
            disrupted: Vec::new(),
        }));
    }

    fn node_of(&self, slot: u32) -> usize {
        let name = self.engine.node_name(slot);
        name.strip_prefix('n').and_then(|n| n.parse().ok()).expect("names are ours")
    }

    fn uid_of(&self, pod: PodIx) -> String {
        self.engine.pod_id(pod).uid.to_owned()
    }

    fn turn(&mut self) {
        self.now += self.rng.below(2_000) as u64;
        match self.rng.below(100) {
            0..45 => self.come(),
            45..60 => self.release_one(),
            60..85 => self.leave_one(),
            85..90 => self.cancel_one(),
            90..95 => self.hold_passes(),
            _ => {
                let app = self.rng.below(APPS);
                self.set_budget(app);
            }
        }
        self.drain();
        self.check_nominations();
    }

    /// A pod comes: it is placed, or room is made for it, or it is refused (or waits, if it came through the queue).
    fn come(&mut self) {
        if self.model.waiting.len() >= WAITING_MAX {
            return;
        }
        self.serial += 1;
        let uid = format!("u{}", self.serial);
        let want = Want {
            cpu: self.rng.amount(1, 8),
            priority: i32::try_from(self.rng.below(4)).expect("small"),
            app: self.rng.below(APPS),
            zone: self.rng.percent(20).then(|| self.rng.below(2)),
        };
        let id = PodId { uid: &uid, namespace: NAMESPACE, name: &uid };
        if self.rng.percent(30) {
            self.engine.enqueue(self.now, id, &spec(&want)).expect("uids are new");
            self.model.waiting.insert(uid, (want, None));
            return;
        }
        let takers = self.model.takers(&uid, &want);
        let (outcome, evicts) = self.engine.place_or_preempt(self.now, id, &spec(&want));
        match outcome {
            Outcome::Placed(placement) => {
                let node = self.node_of(placement.node);
                assert!(takers.contains(&node), "seed {}: {uid} is placed on {node}", self.seed);
                self.model.placed.insert(uid, (want, node));
                self.placed += 1;
            }
            Outcome::Refused(_) => {
                assert!(takers.is_empty(), "seed {}: {uid} fits {takers:?}", self.seed);
                match evicts {
                    Some((_, eviction)) => self.evict(&uid, want, &eviction),
                    None => self.check_helpless(&uid, &want),
                }
            }
            Outcome::Known(_) => unreachable!("seed {}: uids are new", self.seed),
        }
    }

    /// Checks whom a pod has to go for, and marks them.
    fn evict(&mut self, uid: &str, want: Want, eviction: &Eviction) {
        let (seed, node) = (self.seed, self.node_of(eviction.node));
        let victims: Vec<String> = eviction.victims.iter().map(|pod| self.uid_of(*pod)).collect();
        let model = &self.model;
        assert!(!victims.is_empty(), "seed {seed}: {uid} preempts nobody");
        assert!(model.takers(uid, &want).is_empty(), "seed {seed}: {uid} fits without victims");
        for victim in &victims {
            let (other, at) = &model.placed[victim];
            assert_eq!(*at, node, "seed {seed}: {victim} is elsewhere");
            assert!(other.priority < want.priority, "seed {seed}: {victim} goes for {uid}");
        }
        assert!(
            model.fits(uid, &want, node, &victims),
            "seed {seed}: {uid} does not fit even then"
        );
        for kept in &victims {
            let fewer: Vec<String> = victims.iter().filter(|v| *v != kept).cloned().collect();
            assert!(
                !model.fits(uid, &want, node, &fewer),
                "seed {seed}: {kept} has to go for {uid} and need not"
            );
        }
        if self.strict {
            assert_eq!(eviction.violations, 0, "seed {seed}: {uid}");
            for (app, allowed) in model.allowed.iter().enumerate() {
                let gone = victims.iter().filter(|uid| model.placed[*uid].0.app == app).count();
                let allowed = usize::try_from(*allowed).expect("not negative");
                assert!(gone <= allowed, "seed {seed}: {gone} of app {app} go, {allowed} may");
            }
        }
        for victim in &victims {
            let pod = self.engine.find_pod(victim).expect("it is on its node");
            self.engine.mark_preempted(pod, true);
            self.model.leaving.push(victim.clone());
        }
        self.preempted += victims.len();
        self.evictions += 1;
        self.model.waiting.insert(uid.to_owned(), (want, Some(node)));
    }

    /// Nobody has to go for a pod: then it would help on no node, or not without more than budgets allow.
    fn check_helpless(&self, uid: &str, want: &Want) {
        for node in 0..self.model.machines.len() {
            let lower = self.model.lower(want, node);
            let helps = !lower.is_empty() && self.model.fits(uid, want, node, &lower);
            assert!(self.strict || !helps, "seed {}: {uid} might preempt on {node}", self.seed);
        }
    }

    fn release_one(&mut self) {
        let Some(uid) = self.model.leaving.pop() else { return };
        self.release(&uid);
    }

    fn leave_one(&mut self) {
        if self.model.placed.is_empty() {
            return;
        }
        let at = self.rng.below(self.model.placed.len());
        let uid = self.model.placed.keys().nth(at).expect("below").clone();
        self.release(&uid);
    }

    fn release(&mut self, uid: &str) {
        self.model.leaving.retain(|other| other != uid);
        // It may have left before.
        let known = self.model.placed.remove(uid).is_some();
        assert_eq!(self.engine.release(uid), known, "seed {}: {uid}", self.seed);
    }

    fn waiting_one(&mut self, nominated: bool) -> Option<String> {
        let matches =
            |(_, (_, node)): &(&String, &(Want, Option<usize>))| node.is_some() || !nominated;
        let uids: Vec<&String> =
            self.model.waiting.iter().filter(matches).map(|(uid, _)| uid).collect();
        (!uids.is_empty()).then(|| (*self.rng.pick(&uids)).clone())
    }

    fn cancel_one(&mut self) {
        let Some(uid) = self.waiting_one(false) else { return };
        self.model.waiting.remove(&uid);
        assert!(self.engine.cancel(&uid), "seed {}: {uid} waits", self.seed);
    }

    /// Nobody came for room that was held.
    fn hold_passes(&mut self) {
        let Some(uid) = self.waiting_one(true) else { return };
        let pod = self.engine.find_pod(&uid).expect("it waits");
        self.engine.clear_nomination(pod);
        self.model.waiting.get_mut(&uid).expect("it waits").1 = None;
    }

    /// Decides on all who wait and may be tried; whether anybody was placed or found victims.
    fn drain(&mut self) -> bool {
        let mut any = false;
        while let Some(decided) = self.engine.next(self.now) {
            match decided {
                Decided::Placed(placement) => {
                    any = true;
                    self.placed += 1;
                    let (uid, node) = (self.uid_of(placement.pod), self.node_of(placement.node));
                    let (want, nominated) =
                        self.model.waiting.get(&uid).cloned().expect("only who waits is placed");
                    let takers = self.model.takers(&uid, &want);
                    assert!(takers.contains(&node), "seed {}: {uid} on {node}", self.seed);
                    if let Some(nominated) = nominated.filter(|node| takers.contains(node)) {
                        assert_eq!(node, nominated, "seed {}: {uid} has room there", self.seed);
                    }
                    self.model.waiting.remove(&uid);
                    self.model.placed.insert(uid, (want.clone(), node));
                    self.lose_lower(node, want.priority);
                }
                Decided::Waits { pod, eviction, .. } => {
                    let uid = self.uid_of(pod);
                    let want = self.model.waiting[&uid].0.clone();
                    if let Some(eviction) = eviction {
                        any = true;
                        self.evict(&uid, want, &eviction);
                    }
                }
            }
        }
        any
    }

    /// A pod of the queue was placed: who has a lower priority no longer has the room in view.
    fn lose_lower(&mut self, node: usize, priority: i32) {
        for (want, nominated) in self.model.waiting.values_mut() {
            if *nominated == Some(node) && want.priority < priority {
                *nominated = None;
            }
        }
    }

    /// Room is held: who was nominated is so still, for all that the model knows of.
    fn check_nominations(&self) {
        for (uid, (_, node)) in &self.model.waiting {
            let pod = self.engine.find_pod(uid).expect("it waits");
            let held = self.engine.pod(pod).nominated.map(|slot| self.node_of(slot));
            assert_eq!(held, *node, "seed {}: the room of {uid}", self.seed);
        }
        for (node, machine) in self.model.machines.iter().enumerate() {
            let cpu: i64 = self.model.on(node).map(|(_, want)| want.cpu).sum();
            let pods = self.model.on(node).count();
            assert!(cpu <= machine.cpu && pods <= machine.pods, "seed {}: {node}", self.seed);
        }
    }

    /// Nothing new comes, and whoever has to go goes: it comes to rest, and nobody waits who could be helped.
    fn come_to_rest(&mut self) {
        let most = self.model.placed.len() + self.model.waiting.len() + 1;
        let mut rounds = 0;
        loop {
            self.now += 3_600_000;
            for uid in std::mem::take(&mut self.model.leaving) {
                self.release(&uid);
            }
            let any = self.drain();
            self.check_nominations();
            if !any && self.model.leaving.is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds <= most, "seed {}: no rest after {rounds} rounds", self.seed);
        }
        for (uid, (want, _)) in &self.model.waiting {
            let takers = self.model.takers(uid, want);
            assert!(
                takers.is_empty(),
                "seed {}: {uid} waits and fits {takers:?}: {:?}",
                self.seed,
                self.model
            );
            // That a pod of lower priority came is no event that wakes anybody, as it is upstream.
            if self.flushes {
                self.check_helpless(uid, want);
            }
        }
    }
}

#[test]
fn preemption_takes_only_lower_priorities_only_as_many_as_needed_and_ends() {
    let (mut seed, mut done, mut evictions, mut victims, mut placed) = (0, 0, 0, 0, 0);
    while done < events(60_000) {
        seed += 1;
        let mut run = Run::new(seed);
        for _ in 0..EVENTS_PER_SEED {
            run.turn();
        }
        run.come_to_rest();
        done += EVENTS_PER_SEED;
        evictions += run.evictions;
        victims += run.preempted;
        placed += run.placed;
    }
    println!("{evictions} pods made {victims} go, {placed} were placed, in {done} events");
    assert!(evictions * 50 > done, "{evictions} evictions in {done} events");
}
