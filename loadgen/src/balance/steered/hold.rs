// SPDX-License-Identifier: Apache-2.0
//! Thousands of connections are held, each asks once a second, and new ones come all the time. Meanwhile configurations are reloaded,
//! endpoints leave and come back over gRPC, and the process that forwards is replaced by the next. No connection may break, none be
//! refused, no byte be wrong.
//!
//! Half of the connections are to a service of the configuration, half to one that came over gRPC. Some are added after each
//! replacement, so that each process has some.

use super::{Found, Stage, wait_until_served};
use crate::balance::client::Upheaval;
use crate::balance::client::steady::{Plan, Signals};
use crate::balance::steering;
use crate::balance::subject::{Running, Service};
use crate::error::Error;
use crate::report::count;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a held connection asks.
const EVERY: Duration = Duration::from_secs(1);
/// How long a new connection lives.
const LINGER: Duration = Duration::from_millis(200);
/// How long a reload may take.
const RELOAD: Duration = Duration::from_secs(10);
/// How long an endpoint is out, or in. The changes are over sooner than the reloads, or go on after them.
const CHANGE: Duration = Duration::from_millis(20);
/// The name of the service over gRPC.
const NAME: &str = "held";

/// Runs it.
pub fn run(
    stage: &Stage<'_>,
    running: &mut dyn Running,
    upheaval: Upheaval,
) -> Result<Found, Error> {
    let signals = Signals::default();
    let each = upheaval.held / 20 / upheaval.upgrades.max(1);
    let first = upheaval.held - each * upheaval.upgrades;
    signals.held.store(first, Ordering::SeqCst);
    let plan = Plan { every: EVERY, per_second: upheaval.per_second, linger: LINGER };
    let target = stage.target(vec![stage.service.front, stage.extra]);
    let service = steering::service(NAME, stage.extra, stage.service, stage.path);
    stage.steer(running, |steering| steering.set(service).map(drop))?;
    wait_until_served(stage.place, stage.extra)?;
    let began = Instant::now();
    let work = || upset(stage, running, &signals, (upheaval, each));
    let (done, mut tally, answers) = stage.under_traffic((&target, plan), &signals, work)?;
    let Done { reloads, changes, upgrades, retries } = done;
    for (what, made, wanted) in [
        ("reloads", reloads, upheaval.reloads),
        ("changes", changes, upheaval.changes),
        ("upgrades", upgrades, upheaval.upgrades),
    ] {
        if made < wanted {
            tally.failed(format!("only {made} of {wanted} {what} were made"));
        }
    }
    let held = signals.settled.load(Ordering::SeqCst);
    if held < upheaval.held {
        tally.failed(format!("only {held} of {} connections were held", upheaval.held));
    }
    let mut found = Found { tally, ..Found::default() };
    found.tell("held", count(held as u64), "1");
    found.tell("held_answers", count(answers), "1");
    found.tell("reloads", count(reloads as u64), "1");
    found.tell("changes", count(changes as u64), "1");
    found.tell("upgrades", count(upgrades as u64), "1");
    found.tell("asked_again", count(retries), "1");
    found.tell("seconds", began.elapsed().as_secs_f64(), "s");
    Ok(found)
}

/// What was made.
#[derive(Debug, Default)]
struct Done {
    reloads: usize,
    changes: usize,
    upgrades: usize,
    /// Times that a change was asked for again, as the forwarding process was being replaced.
    retries: u64,
}

fn upset(
    stage: &Stage<'_>,
    running: &mut dyn Running,
    signals: &Signals,
    (upheaval, each): (Upheaval, usize),
) -> Result<Done, Error> {
    let Some(address) = running.steering() else {
        return Err(Error::Balancer("it takes no changes over gRPC".to_owned()));
    };
    let broken = AtomicBool::new(false);
    let goes_on = || !signals.over.load(Ordering::SeqCst) && !broken.load(Ordering::SeqCst);
    thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let changed = stage.place.run(crate::balance::place::Role::Node, || {
                let mut steering = steering::Steering::connect(address)?;
                change(stage, &mut steering, upheaval.changes, &goes_on)
            });
            broken.fetch_or(changed.is_err(), Ordering::SeqCst);
            changed
        });
        let here = reload_and_upgrade(stage, running, signals, (upheaval, each), &goes_on);
        broken.fetch_or(here.is_err(), Ordering::SeqCst);
        let (changes, retries) =
            changer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (reloads, upgrades) = here?;
        Ok(Done { reloads, changes, upgrades, retries })
    })
}

/// An endpoint leaves the service over gRPC, comes back, the next one leaves.
fn change(
    stage: &Stage<'_>,
    steering: &mut steering::Steering,
    changes: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<(usize, u64), Error> {
    let endpoints = &stage.service.endpoints;
    let mut made = 0;
    while made < changes && goes_on() {
        let message = steering::endpoint(&endpoints[made / 2 % endpoints.len()]);
        if made.is_multiple_of(2) {
            steering.take(NAME, &message.name)?;
        } else {
            steering.put(NAME, message)?;
        }
        made += 1;
        thread::sleep(CHANGE);
    }
    if !made.is_multiple_of(2) {
        // The last one comes back: its connections are not to be drained.
        steering.put(NAME, steering::endpoint(&endpoints[made / 2 % endpoints.len()]))?;
    }
    Ok((made, steering.retries))
}

fn reload_and_upgrade(
    stage: &Stage<'_>,
    running: &mut dyn Running,
    signals: &Signals,
    (upheaval, each): (Upheaval, usize),
    goes_on: &dyn Fn() -> bool,
) -> Result<(usize, usize), Error> {
    let (mut reloads, mut upgrades) = (0, 0);
    let turns = upheaval.reloads.max(upheaval.upgrades);
    for turn in 1..=turns {
        if !goes_on() {
            break;
        }
        if reloads < upheaval.reloads {
            let before = running.taken()?;
            running.change(&without_one(stage.services, stage.service.id, turn))?;
            wait_until_taken(running, before)?;
            reloads += 1;
        }
        // Spread evenly over the reloads.
        if upgrades < turn * upheaval.upgrades / turns {
            running.upgrade(stage.place)?;
            upgrades += 1;
            signals.held.fetch_add(each, Ordering::SeqCst);
        }
    }
    // As it was, so that nothing is drained at the end.
    running.change(stage.services)?;
    // Those that were added last are to be there before it ends.
    super::wait_for_traffic(signals)?;
    Ok((reloads, upgrades))
}

/// The services with an endpoint of one of them left out, at every other turn none.
fn without_one(services: &[Service], id: u32, turn: usize) -> Vec<Service> {
    let mut services = services.to_vec();
    for service in services.iter_mut().filter(|service| service.id == id) {
        if !turn.is_multiple_of(2) {
            service.endpoints.remove(turn / 2 % service.endpoints.len());
        }
    }
    services
}

fn wait_until_taken(running: &mut dyn Running, before: u64) -> Result<(), Error> {
    let began = Instant::now();
    while running.taken()? <= before {
        if began.elapsed() > RELOAD {
            return Err(Error::Balancer("it did not take a changed configuration".to_owned()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
