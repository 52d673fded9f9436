// SPDX-License-Identifier: Apache-2.0
//! What rows do, a module for each family; and what all of them need.

pub mod bind;
pub mod deploy;
pub mod failover;
pub mod namespace;
pub mod rest;

use super::Bench;
use super::creators::{Made, Pace, create};
use super::objects::{self, APPS, NAMESPACES, Shape};
use super::rooms::Rooms;
use super::rows::{Constraint, Row, Work};
use super::subject;
use super::watcher::{Watcher, each, parsed};
use crate::api::found::{Found, OURS};
use crate::api::storm::Latencies;
use crate::api::wire::{Door, Protocol, Wire};
use crate::error::Error;
use crate::report::count;
use std::time::{Duration, Instant};

/// How long nodes may take to be there.
const NODES: Duration = Duration::from_mins(5);

/// Does a row; what it found before it broke off stays.
pub async fn run(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    match row.work {
        Work::Bind(constraint) => bind::run(bench, row, constraint, None, found).await,
        Work::Paced => {
            let rate = bench.rate(row);
            bind::run(bench, row, Constraint::None, Some(rate), found).await
        }
        Work::Run => rest::run(bench, row, found).await,
        Work::Deploy => deploy::run(bench, row, found).await,
        Work::Namespace => namespace::run(bench, row, found).await,
        Work::Idle => rest::idle(bench, row, found).await,
        Work::Memory => rest::memory(bench, row, found).await,
        Work::Failover => failover::run(bench, row, found).await,
    }
}

/// Figures of a row.
fn tell(found: &mut Found, figures: &[(&'static str, f64, &'static str)]) {
    found.add(0, OURS, figures);
}

/// Makes nodes that only exist in the API.
async fn make_nodes(bench: &Bench<'_>, door: &Door, nodes: u64) -> Result<(), Error> {
    bench.step("nodes", nodes);
    let pace = bench.pace(nodes, Instant::now());
    create(door, pace, None, objects::node).await?.whole().map(drop)
}

/// Makes the namespaces of a load, each with its Services, whose selectors find the pods; and with owners if pods have some.
async fn furnish(wire: &mut Wire, nodes: u64, owned: bool) -> Result<Shape, Error> {
    let mut shape = Shape { constraint: Constraint::None, nodes, owners: Vec::new() };
    for number in 0..NAMESPACES {
        let namespace = objects::namespace(number);
        subject::namespace(wire, &namespace).await?;
        for app in 0..APPS {
            let app = format!("app-{app}");
            wire.send(&objects::service(&namespace, &app)).await?;
            if owned {
                let owner = parsed(&wire.send(&objects::owner(&namespace, &app)).await?)?;
                let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
                shape.owners.push(uid.to_owned());
            }
        }
    }
    Ok(shape)
}

/// Waits until so many nodes are ready.
async fn nodes_are_ready(bench: &Bench<'_>, wire: &mut Wire, nodes: u64) -> Result<(), Error> {
    bench.step("nodes", nodes);
    let began = Instant::now();
    loop {
        let mut ready = 0;
        each(wire, "/api/v1/nodes", |node| {
            let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            let is_ready = |c: &serde_json::Value| c["type"] == "Ready" && c["status"] == "True";
            ready += u64::from(conditions.into_iter().any(is_ready));
        })
        .await?;
        bench.bar.set_position(ready);
        if ready >= nodes {
            return Ok(());
        }
        if began.elapsed() > NODES {
            return Err(Error::Api(format!(
                "{ready} of {nodes} simulated nodes are ready after {} s; try fewer with --nodes",
                NODES.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Makes pods and waits until they are bound, or run. Refused ones are not waited for.
async fn fill(
    bench: &Bench<'_>,
    door: &Door,
    watcher: &Watcher,
    pace: Pace,
    shape: &Shape,
    until_running: bool,
) -> Result<Made, Error> {
    bench.step("pods", pace.count);
    let shape = shape.clone();
    let making = create(door, pace, None, move |number| shape.pod(number));
    let shown = |books: &super::books::Books| {
        if until_running { books.running } else { books.bound }
    };
    // While they are made the bar shows how far those before are.
    let drawing = async {
        loop {
            bench.bar.set_position(shown(&watcher.books()));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let made = tokio::select! {
        made = making => made?,
        () = drawing => unreachable!("it draws for ever"),
    };
    let want = made.times.len() as u64;
    let what = if until_running { "running" } else { "bound" };
    watcher.reaches(what, want, &bench.bar, shown).await?;
    Ok(made)
}

/// From when each was made, or due, to when the watch showed it bound, or running.
fn latencies(made: &Made, watcher: &Watcher, running: bool) -> Latencies {
    let books = watcher.books();
    let mut all = Latencies::default();
    for (number, at) in &made.times {
        let (bound, ran) = books.times(&objects::pod_key(*number));
        if let Some(then) = if running { ran } else { bound } {
            all.add(then.saturating_sub(*at));
        }
    }
    all
}

/// Checks the state as lists show it, and what the watch said on the way.
async fn check(
    door: &Door,
    watcher: &Watcher,
    constraint: Constraint,
    found: &mut Found,
) -> Result<(), Error> {
    // The connection from before the load was idle for too long to be there still.
    let mut wire = open(door).await?;
    let mut rooms = Rooms::default();
    each(&mut wire, "/api/v1/nodes", |node| rooms.node(node)).await?;
    let mut elsewhere = 0;
    each(&mut wire, "/api/v1/pods", |pod| {
        rooms.pod(pod);
        let seen = super::books::Seen::read(pod, false);
        elsewhere += u64::from(watcher.books().node(&seen.name) != seen.node.as_deref());
    })
    .await?;
    let overcommits = rooms.overcommits();
    let misplaced = rooms.misplaced(constraint);
    let (rebound, told) = {
        let books = watcher.books();
        (books.rebound, books.told().to_vec())
    };
    tell(
        found,
        &[
            ("bound_twice", count(rebound), "1"),
            ("overcommits", count(overcommits.len() as u64), "1"),
            ("misplaced", count(misplaced.len() as u64), "1"),
            ("pending", count(rooms.pending), "1"),
        ],
    );
    let mut wrong: Vec<String> = overcommits.into_iter().chain(misplaced).chain(told).collect();
    if rooms.pending > 0 {
        wrong.push(format!("{} pods are on no node", rooms.pending));
    }
    if elsewhere > 0 {
        wrong.push(format!("{elsewhere} pods are not where the watch said"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let all = wrong.len();
    wrong.truncate(5);
    Err(Error::Api(format!("{all} faults: {}", wrong.join("; "))))
}

async fn open(door: &Door) -> Result<Wire, Error> {
    door.open(Protocol::One).await
}
