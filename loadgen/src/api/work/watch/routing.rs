// SPDX-License-Identifier: Apache-2.0
//! Many watchers, each of the pods of one node, as agents watch: a write should cost the same however many others there are.
//!
//! Only the pods of a few nodes are written, and those nodes are watched in either case: as many events are delivered beside all
//! watchers as beside those few.

use super::{Mark, Reader, Told, Watchers, revision};
use crate::api::Bench;
use crate::api::found::{Found, OURS};
use crate::api::objects;
use crate::api::rows::{FEW, SMALL};
use crate::api::storm::{Clients, Course, Until};
use crate::api::subject::Subject;
use crate::api::wire::{Ask, Protocol};
use crate::api::work::read::fill;
use crate::error::Error;
use crate::report::count;
use serde_json::json;
use std::sync::Arc;

/// Pods of the nodes that are written to, so that no two writes meet.
const PODS: u64 = 500;

/// Sees to it that only pods of its node come.
struct OfNode {
    mark: Mark,
}

impl Reader for OfNode {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if self.mark.behind(line).is_some() {
            return Ok(());
        }
        let (mark, line) = [&self.mark.text, line].map(String::from_utf8_lossy).into();
        Err(format!("a watch for {mark} got {line}"))
    }
}

/// Row `routing`.
pub async fn run(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let sizes = bench.sizes;
    let path = subject.path("pods");
    let all = path.clone();
    let make = move |number: u64| {
        let node = node(number % FEW as u64);
        let labels = json!({"app": "web"});
        Ask::create(all.clone(), objects::pod(&pod(number), &labels, Some(&node), SMALL))
    };
    fill(&subject, sizes.clients, PODS, make).await?;
    let mut clients = Clients::new(subject.door.open_all(Protocol::One, sizes.clients).await?);
    for round in 0..bench.rounds {
        for ours in bench.turns(round) {
            let (name, nodes) = if ours { (OURS, sizes.nodes) } else { ("10 watchers", FEW) };
            let values = beside(bench, &subject, &mut clients, nodes).await?;
            found.add(round, name, &values);
        }
    }
    drop(clients);
    subject.end().await?;
    Ok(found)
}

fn node(number: u64) -> String {
    format!("node-{number:05}")
}

fn pod(number: u64) -> String {
    format!("web-{number:05}")
}

/// Writes beside so many watchers.
async fn beside(
    bench: &Bench<'_>,
    subject: &Subject,
    clients: &mut Clients,
    nodes: usize,
) -> Result<Vec<(&'static str, f64, &'static str)>, Error> {
    let path = subject.path("pods");
    let from = revision(&mut subject.door.open(Protocol::One).await?, &path).await?;
    let told = Arc::<Told>::default();
    let watch = |number: u64| {
        let node = node(number);
        format!("/api/v1/pods?watch=1&resourceVersion={from}&fieldSelector=spec.nodeName%3D{node}")
    };
    let paths = (0..nodes as u64).map(watch).collect();
    let reader = |number: usize| OfNode {
        mark: Mark::new(format!("\"nodeName\":\"{}\"", node(number as u64))),
    };
    let watchers = Watchers::open(subject, paths, &told, reader).await?;
    let write = move |number: u64| {
        let path = format!("{path}/{}", pod(number % PODS));
        Ask::patch(path, objects::annotate(number))
    };
    let course = Course { until: Until::Time(bench.sizes.round), rate: Some(bench.sizes.writes) };
    let before = subject.cpu_seconds();
    let tally = clients.storm(course, write).await?;
    told.reaches(tally.requests()).await?;
    let cpu = subject.cpu_seconds() - before;
    told.check()?;
    let mut values = vec![
        ("write_cpu_us", cpu * 1e6 / count(tally.requests()), "us"),
        ("writes_per_second", tally.per_second(), "1/s"),
        ("write_p50_us", tally.one.us(0.5), "us"),
        ("write_p99_us", tally.one.us(0.99), "us"),
    ];
    if nodes > FEW {
        values.push(("opened_per_second", watchers.opened_per_second(), "1/s"));
    }
    Ok(values)
}
