// SPDX-License-Identifier: Apache-2.0
//! Durable creates: many clients beside etcd, one client beside the disk alone.

use super::figures;
use crate::api::Bench;
use crate::api::found::{Found, OURS};
use crate::api::objects;
use crate::api::peer::disk::{self, Space};
use crate::api::peer::etcd;
use crate::api::rows::SMALL;
use crate::api::storm::{Clients, Course, Latencies, Tally};
use crate::api::subject::Subject;
use crate::api::wire::{Ask, Protocol};
use crate::error::Error;
use std::time::Duration;

/// A name of which many objects may come.
pub(super) fn name(number: u64) -> String {
    format!("object-{number:012}")
}

/// Makes ConfigMaps.
pub(super) fn make(path: String) -> impl Fn(u64) -> Ask + Clone + Send + 'static {
    move |number| Ask::create(path.clone(), objects::config_map(&name(number), SMALL))
}

async fn storm(
    subject: &Subject,
    clients: &mut Clients,
    time: Duration,
) -> Result<(Tally, f64), Error> {
    let before = subject.cpu_seconds();
    let tally = clients.storm(Course::time(time), make(subject.path("configmaps"))).await?;
    Ok((tally, subject.cpu_seconds() - before))
}

/// Row `create-64`.
pub async fn many(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let sizes = bench.sizes;
    let wires = subject.door.open_all(Protocol::One, sizes.clients).await?;
    let mut clients = Clients::new(wires);
    let peer = match etcd::program() {
        Some(program) => Some(etcd::Etcd::start(&program, &subject.disk()).await?),
        None => {
            bench.missing(&mut found, "etcd", "etcd-server")?;
            None
        }
    };
    storm(&subject, &mut clients, sizes.warm_up).await?;
    if let Some(etcd) = &peer {
        etcd.puts(sizes.clients, SMALL, sizes.warm_up).await?;
    }
    for round in 0..bench.rounds {
        for ours in bench.turns(round) {
            if ours {
                let (tally, cpu) = storm(&subject, &mut clients, sizes.round).await?;
                found.add(round, OURS, &figures(&tally, cpu));
            } else if let Some(etcd) = &peer {
                let before = etcd.cpu_seconds();
                let tally = etcd.puts(sizes.clients, SMALL, sizes.round).await?;
                found.add(round, "etcd", &figures(&tally, etcd.cpu_seconds() - before));
            }
        }
    }
    drop((clients, peer));
    subject.end().await?;
    Ok(found)
}

/// Row `create-1`. A shared disk is fast in one moment and slow in the next: a round goes back and forth between ours and the disk
/// alone many times.
pub async fn one(bench: &Bench<'_>) -> Result<Found, Error> {
    const SLICES: u32 = 20;
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let slice = bench.sizes.round / SLICES;
    let mut clients = Clients::new(subject.door.open_all(Protocol::One, 1).await?);
    let bytes = objects::config_map(&name(0), SMALL);
    storm(&subject, &mut clients, bench.sizes.warm_up).await?;
    for round in 0..bench.rounds {
        let mut ours = Tally::default();
        let mut cpu = 0.0;
        let mut disks = [Space::Grows, Space::Prepared].map(|space| (space, Latencies::default()));
        for _ in 0..SLICES {
            let (tally, taken) = storm(&subject, &mut clients, slice).await?;
            ours.join(&tally);
            cpu += taken;
            for (space, latencies) in &mut disks {
                latencies.join(&disk::appends(&subject.disk(), *space, &bytes, slice)?);
            }
        }
        found.add(round, OURS, &figures(&ours, cpu));
        for (space, p) in &disks {
            let p = [("p50_us", p.us(0.5), "us"), ("p99_us", p.us(0.99), "us")];
            found.add(round, space.name(), &p);
        }
    }
    drop(clients);
    subject.end().await?;
    Ok(found)
}
