// SPDX-License-Identifier: Apache-2.0
//! A whole run of one seed; and, where it fails, the search for the few steps that matter.

use crate::coverage::Coverage;
use crate::pair::{Difference, Pair};
use crate::scenario::Scenario;
use crate::step::Step;
use crate::world::World;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// A run that failed.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// At which step.
    pub at: usize,
    /// What was different.
    pub difference: Difference,
    /// Few steps that make the same happen.
    pub steps: Vec<Step>,
    /// What is different after those.
    pub then: Difference,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} (BERTH_SIMULATION_SEED={}) fails at step {}:",
            self.seed, self.seed, self.at
        )?;
        writeln!(f, "{}", self.difference)?;
        writeln!(f, "{} steps that lead to it:", self.steps.len())?;
        for step in &self.steps {
            writeln!(f, "  {}", short(&format!("{step:?}")))?;
        }
        write!(f, "{}", self.then)
    }
}

/// Leaves out what says nothing.
fn short(text: &str) -> String {
    const NOTHING: &[&str] = &[
        "labels: Labels([])",
        "controller: None",
        "scheduler_name: None",
        "priority: 0",
        "preemption: PreemptLowerPriority",
        "node_name: None",
        "node_selector: Labels([])",
        "node_required: None",
        "node_preferred: []",
        "affinity_required: []",
        "affinity_preferred: []",
        "anti_affinity_required: []",
        "anti_affinity_preferred: []",
        "tolerations: []",
        "spread: []",
        "host_ports: []",
        "images: []",
        "volumes: []",
        "gates: []",
        "needs_features: []",
        "unsupported: []",
        "scalars: []",
        "taints: []",
        "features: []",
        "unschedulable: false",
        "nominated: None",
        "started: None",
        "terminating: false",
        "preempted: false",
        "namespace_selector: None",
        "min_domains: None",
        "match_label_keys: []",
        "fields: []",
    ];
    let mut text = text.to_owned();
    for nothing in NOTHING {
        text = text.replace(&format!("{nothing}, "), "").replace(&format!(", {nothing} }}"), " }");
    }
    text
}

/// Runs a seed.
pub fn run(scenario: &Scenario) -> Result<Coverage, Box<Failure>> {
    run_in(World::new(scenario.clone()))
}

/// Runs in a world of its own, to the end of its events or of what it chooses by.
pub fn run_in(mut world: World) -> Result<Coverage, Box<Failure>> {
    let mut steps = Vec::new();
    let difference = match caught(|| attempt(&mut world, &mut steps)) {
        Ok(coverage) => return Ok(coverage),
        Err(difference) => difference,
    };
    let scenario = &world.scenario;
    let at = steps.len() - 1;
    let (steps, then) = shrink(scenario, steps, difference.clone());
    Err(Box::new(Failure { seed: scenario.seed, at, difference, steps, then }))
}

/// As [`run`], without a search for the steps that matter.
pub fn first_difference(scenario: &Scenario) -> Result<Coverage, Difference> {
    let _quiet = Quiet::new();
    caught(|| attempt(&mut World::new(scenario.clone()), &mut Vec::new()))
}

/// A panic is a difference too.
fn caught<T>(act: impl FnOnce() -> Result<T, Difference>) -> Result<T, Difference> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn attempt(world: &mut World, steps: &mut Vec<Step>) -> Result<Coverage, Difference> {
    let scenario = world.scenario.clone();
    let mut pair = Pair::new(&scenario);
    for event in world.start() {
        steps.push(Step::Apply(event));
        pair.take(&steps[steps.len() - 1])?;
    }
    let silence = scenario.events / 2;
    for at in 0..scenario.events + scenario.silent {
        if world.is_spent() {
            break;
        }
        let step = world.turn();
        steps.push(step.clone());
        let placed = pair.take(&step)?;
        if let (Step::Place(pod), Some(node)) = (step, placed.node) {
            world.placed(pod, node);
        }
        let silent = (silence..silence + scenario.silent).contains(&at);
        if silent || at % scenario.every != 0 {
            continue;
        }
        steps.push(world.question());
        pair.take(&steps[steps.len() - 1])?;
        pair.coverage.events += 1;
    }
    Ok(pair.coverage)
}

/// Takes steps from the beginning; the first difference.
pub fn replay(scenario: &Scenario, steps: &[Step]) -> Result<(), (usize, Difference)> {
    let mut reached = 0;
    let outcome = caught(|| {
        let mut pair = Pair::new(scenario);
        for (at, step) in steps.iter().enumerate() {
            reached = at;
            pair.take(step)?;
        }
        Ok(())
    });
    outcome.map_err(|difference| (reached, difference))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Difference {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Difference {
        what: "one of them panicked".to_owned(),
        engine: text.unwrap_or_default(),
        reference: String::new(),
    }
}

/// Leaves out steps, many at once and then fewer, as long as there is still a difference of the same kind.
fn shrink(
    scenario: &Scenario,
    mut steps: Vec<Step>,
    mut then: Difference,
) -> (Vec<Step>, Difference) {
    const REPLAYS: usize = 4_000;
    let _quiet = Quiet::new();
    let mut left = REPLAYS;
    let mut chunk = steps.len().div_ceil(2);
    while chunk > 0 && left > 0 {
        let mut at = 0;
        let mut removed = false;
        while at < steps.len() && left > 0 {
            left -= 1;
            let mut fewer = steps.clone();
            fewer.drain(at..(at + chunk).min(steps.len()));
            match replay(scenario, &fewer) {
                Err((reached, difference)) if difference.what == then.what => {
                    fewer.truncate(reached + 1);
                    steps = fewer;
                    then = difference;
                    removed = true;
                }
                _ => at += chunk,
            }
        }
        if !removed || chunk > 1 {
            chunk /= 2;
        }
    }
    (steps, then)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread's panics print nothing: the search for few steps meets many.
struct Quiet;

impl Quiet {
    fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if !QUIET.get() {
                    usual(info);
                }
            }));
        });
        QUIET.set(true);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(false);
    }
}
