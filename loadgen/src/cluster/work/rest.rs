// SPDX-License-Identifier: Apache-2.0
//! Pods that run on simulated nodes, and what a cluster takes when nothing is asked of it.

use super::{check, fill, furnish, latencies, make_nodes, nodes_are_ready, open, tell};
use crate::api::found::Found;
use crate::cluster::Bench;
use crate::cluster::rows::{Constraint, Row};
use crate::cluster::subject::{ALL, PASSIVE};
use crate::cluster::watcher::Watcher;
use crate::error::Error;
use crate::report::count;
use std::time::Duration;

/// How long a cluster settles before it is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// Row `run`.
pub async fn run(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    let (nodes, pods) = (bench.nodes(row), bench.pods(row));
    let cluster = bench.start(nodes, ALL).await?;
    let mut wire = open(&cluster.door).await?;
    nodes_are_ready(bench, &mut wire, nodes).await?;
    let shape = furnish(&mut wire, nodes, false).await?;
    let watcher = Watcher::open(&cluster.door).await?;
    let cpu = cluster.process.cpu_seconds();
    let pace = bench.pace(pods, watcher.began);
    let made = fill(bench, &cluster.door, &watcher, pace, &shape, true).await?;
    let cpu = cluster.process.cpu_seconds() - cpu;
    let last = watcher.books().last_running;
    let seconds = last.saturating_sub(made.began()).as_secs_f64();
    let (ran, bound) = (latencies(&made, &watcher, true), latencies(&made, &watcher, false));
    tell(
        found,
        &[
            ("pods_per_second", count(made.times.len() as u64) / seconds, "1/s"),
            ("running_p50_us", ran.us(0.5), "us"),
            ("running_p99_us", ran.us(0.99), "us"),
            ("bound_p50_us", bound.us(0.5), "us"),
            ("bound_p99_us", bound.us(0.99), "us"),
            ("refused", count(made.refused), "1"),
            ("cpu_seconds", cpu, "s"),
            ("resident_mib", cluster.process.resident_mib(), "MiB"),
        ],
    );
    if let Some(why) = &made.why {
        found.note(format!("refused: {why}"));
    }
    check(&cluster.door, &watcher, Constraint::None, found).await?;
    drop(watcher);
    cluster.stop().await
}

/// Row `idle`.
pub async fn idle(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    let (nodes, pods) = (bench.nodes(row), bench.pods(row));
    let cluster = bench.start(nodes, ALL).await?;
    let mut wire = open(&cluster.door).await?;
    nodes_are_ready(bench, &mut wire, nodes).await?;
    let shape = furnish(&mut wire, nodes, false).await?;
    let watcher = Watcher::open(&cluster.door).await?;
    let pace = bench.pace(pods, watcher.began);
    fill(bench, &cluster.door, &watcher, pace, &shape, true).await?.whole()?;
    // Our own watch is none of what an idle cluster has.
    drop((watcher, wire));
    tokio::time::sleep(bench.short(SETTLE)).await;
    let (before, time) = (cluster.process.cpu_seconds(), bench.short(Duration::from_secs(20)));
    bench.step("seconds", time.as_secs());
    tokio::time::sleep(time).await;
    let percent = 100.0 * (cluster.process.cpu_seconds() - before) / time.as_secs_f64();
    let resident = cluster.process.resident_mib();
    tell(found, &[("cpu_percent", percent, "%"), ("resident_mib", resident, "MiB")]);
    cluster.stop().await
}

/// Row `memory`.
pub async fn memory(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    let (nodes, pods) = (bench.nodes(row), bench.pods(row));
    let cluster = bench.start(0, PASSIVE).await?;
    let empty = cluster.process.resident_mib();
    make_nodes(bench, &cluster.door, nodes).await?;
    let mut wire = open(&cluster.door).await?;
    let shape = furnish(&mut wire, nodes, true).await?;
    let watcher = Watcher::open(&cluster.door).await?;
    let pace = bench.pace(pods, watcher.began);
    fill(bench, &cluster.door, &watcher, pace, &shape, false).await?.whole()?;
    tokio::time::sleep(bench.short(SETTLE)).await;
    let resident = cluster.process.resident_mib();
    tell(found, &[("resident_mib", resident, "MiB"), ("empty_mib", empty, "MiB")]);
    check(&cluster.door, &watcher, Constraint::None, found).await?;
    drop(watcher);
    cluster.stop().await
}
