// SPDX-License-Identifier: Apache-2.0
//! A Deployment that grows from nothing, and gets a new template: with its endpoints, and within its bounds.

use super::{nodes_are_ready, open, tell};
use crate::api::found::Found;
use crate::api::wire::{Ask, Wire};
use crate::cluster::Bench;
use crate::cluster::books::Bounds;
use crate::cluster::objects::{self, SHARE};
use crate::cluster::rows::Row;
use crate::cluster::subject::{self, ALL};
use crate::cluster::watcher::{Watcher, each, parsed};
use crate::error::Error;
use crate::report::count;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const NAMESPACE: &str = "load-deploy";
const APP: &str = "web";
/// How often the state is asked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing may change.
const STALL: Duration = Duration::from_mins(2);

/// Row `deploy`.
pub async fn run(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    let (nodes, replicas) = (bench.nodes(row), bench.pods(row));
    let cluster = bench.start(nodes, ALL).await?;
    let mut wire = open(&cluster.door).await?;
    nodes_are_ready(bench, &mut wire, nodes).await?;
    subject::namespace(&mut wire, NAMESPACE).await?;
    wire.send(&objects::service(NAMESPACE, APP)).await?;
    wire.send(&objects::deployment(NAMESPACE, APP, 0)).await?;
    let watcher = Watcher::open(&cluster.door).await?;
    let cpu = cluster.process.cpu_seconds();

    bench.step("replicas", replicas);
    let began = Instant::now();
    let scale = Bytes::from(json!({"spec": {"replicas": replicas}}).to_string());
    let path = format!("{}/{APP}", objects::apps(NAMESPACE, "deployments"));
    wire.send(&Ask::patch(path, scale)).await?;
    settled(bench, &mut wire, replicas).await?;
    tell(found, &[("available_us", us(began), "us")]);
    endpoints(bench, &mut wire, replicas).await?;
    tell(found, &[("endpoints_us", us(began), "us")]);
    watcher.reaches("there", replicas, &bench.bar, |books| books.staying() as u64).await?;

    bench.step("updated", replicas);
    watcher.books().bounds(Some(bounds(replicas)));
    let began = Instant::now();
    wire.send(&objects::new_template(NAMESPACE, APP)).await?;
    settled(bench, &mut wire, replicas).await?;
    let updated = us(began);
    let (most, least, faults, told) = {
        let mut books = watcher.books();
        let extremes = books.extremes;
        books.bounds(None);
        (extremes.0, extremes.1, books.faults, books.told().join("; "))
    };
    tell(
        found,
        &[
            ("updated_us", updated, "us"),
            ("most_pods", count(most as u64), "1"),
            ("least_available", count(least as u64), "1"),
            ("faults", count(faults), "1"),
            ("cpu_seconds", cluster.process.cpu_seconds() - cpu, "s"),
            ("resident_mib", cluster.process.resident_mib(), "MiB"),
        ],
    );
    drop(watcher);
    cluster.stop().await?;
    if faults == 0 { Ok(()) } else { Err(Error::Api(format!("{faults} faults: {told}"))) }
}

fn us(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

/// As upstream rounds: what may be too many up, what may be missing down.
fn bounds(replicas: u64) -> Bounds {
    let surge = (replicas * SHARE).div_ceil(100);
    let missing = replicas * SHARE / 100;
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Bounds { most: number(replicas + surge), least: number(replicas - missing) }
}

/// Waits until the Deployment's status says that all replicas are of its template, and available, and no others there.
async fn settled(bench: &Bench<'_>, wire: &mut Wire, replicas: u64) -> Result<(), Error> {
    let ask = Ask::get(format!("{}/{APP}", objects::apps(NAMESPACE, "deployments")));
    let mut progress = Progress::new();
    loop {
        let deployment = parsed(&wire.send(&ask).await?)?;
        let status = &deployment["status"];
        let number = |name: &str| status[name].as_u64().unwrap_or(0);
        let generation = deployment["metadata"]["generation"].as_u64().unwrap_or(0);
        let (all, updated) = (number("replicas"), number("updatedReplicas"));
        let available = number("availableReplicas");
        bench.bar.set_position(available.min(updated));
        let seen = number("observedGeneration") >= generation;
        if seen && [all, updated, available] == [replicas; 3] {
            return Ok(());
        }
        progress.check(&[all, updated, available], || {
            format!(
                "the Deployment's status stays at {all} replicas, {updated} updated, {available} available of {replicas}"
            )
        })?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the Service's slices have so many ready endpoints.
async fn endpoints(bench: &Bench<'_>, wire: &mut Wire, want: u64) -> Result<(), Error> {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{APP}"
    );
    let mut progress = Progress::new();
    loop {
        let mut ready = 0;
        each(wire, &path, |slice| ready += ready_of(slice)).await?;
        bench.bar.set_position(ready);
        if ready == want {
            return Ok(());
        }
        let stays = || format!("the Service's EndpointSlices stay at {ready} of {want} ready");
        progress.check(&[ready], stays)?;
        tokio::time::sleep(LOOK).await;
    }
}

fn ready_of(slice: &Value) -> u64 {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
    ready.map(|endpoint| endpoint["addresses"].as_array().map_or(0, |all| all.len() as u64)).sum()
}

/// What has to change now and then.
struct Progress {
    last: Vec<u64>,
    changed: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { last: Vec::new(), changed: Instant::now() }
    }

    fn check(&mut self, now: &[u64], stays: impl Fn() -> String) -> Result<(), Error> {
        if self.last != now {
            self.last = now.to_vec();
            self.changed = Instant::now();
        }
        if self.changed.elapsed() < STALL {
            return Ok(());
        }
        Err(Error::Api(format!("{}, for {} s", stays(), STALL.as_secs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_as_upstream_does() {
        assert_eq!(bounds(10_000), Bounds { most: 12_500, least: 7_500 });
        assert_eq!(bounds(10), Bounds { most: 13, least: 8 });
        assert_eq!(bounds(1), Bounds { most: 2, least: 1 });
    }

    #[test]
    fn endpoints_that_are_not_ready_do_not_count() {
        let slice = json!({"endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
        ]});
        assert_eq!(ready_of(&slice), 1);
        assert_eq!(ready_of(&json!({"endpoints": null})), 0);
    }
}
