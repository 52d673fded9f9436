// SPDX-License-Identifier: Apache-2.0
//! Endpoints leave a service one at a time and come back, while new connections come: none of them may fail, and none that begins when a
//! removal is answered may reach who has left.

use super::{Found, Stage, wait_until_served};
use crate::balance::client::steady::{Plan, Signals};
use crate::balance::steering;
use crate::balance::subject::Running;
use crate::error::Error;
use crate::report::count;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How long an endpoint is out.
const OUT: Duration = Duration::from_millis(15);
/// How long a connection lives: some of those that begin on an endpoint see it leave.
const LINGER: Duration = Duration::from_millis(200);

/// Runs it.
pub fn run(
    stage: &Stage<'_>,
    running: &dyn Running,
    (removals, per_second): (usize, f64),
) -> Result<Found, Error> {
    const NAME: &str = "leaving";
    let signals = Signals::default();
    let plan = Plan { every: Duration::from_secs(1), per_second, linger: LINGER };
    let target = stage.target(vec![stage.extra]);
    let service = steering::service(NAME, stage.extra, stage.service, stage.path);
    let endpoints = &stage.service.endpoints;
    stage.steer(running, |steering| steering.set(service).map(drop))?;
    wait_until_served(stage.place, stage.extra)?;
    let leave = || {
        stage.steer(running, |steering| {
            let began = Instant::now();
            let (mut slowest, mut made) = (0, 0);
            for turn in 0..removals {
                if signals.over.load(Ordering::SeqCst) {
                    break;
                }
                let leaver = &endpoints[turn % endpoints.len()];
                let message = steering::endpoint(leaver);
                let gone = steering.take(NAME, &message.name)?;
                signals.gone.mark(leaver.index, true);
                thread::sleep(OUT);
                signals.gone.mark(leaver.index, false);
                let back = steering.put(NAME, message)?;
                slowest = slowest.max(gone.took_ns).max(back.took_ns);
                made += 1;
            }
            Ok((made, slowest, began.elapsed()))
        })
    };
    let ((made, slowest, took), mut tally, _) =
        stage.under_traffic((&target, plan), &signals, leave)?;
    if made < removals {
        tally.failed(format!("only {made} of {removals} removals were made"));
    }
    let mut found = Found { tally, ..Found::default() };
    found.tell("removals", count(made as u64), "1");
    found.tell("seconds", took.as_secs_f64(), "s");
    found.tell("slowest_change_us", count(slowest) / 1_000.0, "us");
    Ok(found)
}
