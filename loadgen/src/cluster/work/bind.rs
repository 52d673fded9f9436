// SPDX-License-Identifier: Apache-2.0
//! Pods are bound to nodes that only exist in the API, so that nothing is measured but the API and the scheduler.

use super::{check, fill, furnish, latencies, make_nodes, open, tell};
use crate::api::found::Found;
use crate::api::storm::own_cpu_seconds;
use crate::api::wire::Wire;
use crate::cluster::Bench;
use crate::cluster::rows::{Constraint, Row};
use crate::cluster::subject::PASSIVE;
use crate::cluster::watcher::{Watcher, each};
use crate::error::Error;
use crate::report::count;
use std::time::Duration;

/// Clients of an open loop at least: one that waits for its answer must not hold up the next that is due.
const OPEN_LOOP: usize = 64;
/// How long Events may lag behind what they tell of.
const EVENTS: Duration = Duration::from_secs(1);

/// Rows `bind...`, `affinity`, `anti-affinity`, `spread`.
pub async fn run(
    bench: &Bench<'_>,
    row: &Row,
    constraint: Constraint,
    rate: Option<f64>,
    found: &mut Found,
) -> Result<(), Error> {
    let (nodes, pods) = (bench.nodes(row), bench.pods(row));
    let cluster = bench.start(0, PASSIVE).await?;
    make_nodes(bench, &cluster.door, nodes).await?;
    let mut wire = open(&cluster.door).await?;
    let mut shape = furnish(&mut wire, nodes, true).await?;
    shape.constraint = constraint;
    let watcher = Watcher::open(&cluster.door).await?;
    let mut pace = bench.pace(pods, watcher.began);
    pace.rate = rate;
    if rate.is_some() {
        pace.clients = pace.clients.max(OPEN_LOOP);
    }
    let (cpu, own) = (cluster.process.cpu_seconds(), own_cpu_seconds());
    let made = fill(bench, &cluster.door, &watcher, pace, &shape, false).await?;
    let (cpu, own) = (cluster.process.cpu_seconds() - cpu, own_cpu_seconds() - own);
    let seconds = (watcher.books().last_bound.saturating_sub(made.began())).as_secs_f64();
    let bound = latencies(&made, &watcher, false);
    tell(
        found,
        &[
            ("pods_per_second", count(made.times.len() as u64) / seconds, "1/s"),
            ("bound_p50_us", bound.us(0.5), "us"),
            ("bound_p99_us", bound.us(0.99), "us"),
            ("refused", count(made.refused), "1"),
            ("cpu_seconds", cpu, "s"),
            ("client_cpu_seconds", own, "s"),
            ("resident_mib", cluster.process.resident_mib(), "MiB"),
        ],
    );
    if let Some(why) = &made.why {
        found.note(format!("refused: {why}"));
    }
    tokio::time::sleep(EVENTS).await;
    tell(found, &[("events", count(scheduled(&mut wire).await?), "1")]);
    check(&cluster.door, &watcher, constraint, found).await?;
    drop(watcher);
    cluster.stop().await
}

/// Events that tell of a binding.
async fn scheduled(wire: &mut Wire) -> Result<u64, Error> {
    let mut events = 0;
    let one = |event: &serde_json::Value| events += u64::from(event["reason"] == "Scheduled");
    each(wire, "/api/v1/events", one).await?;
    Ok(events)
}
