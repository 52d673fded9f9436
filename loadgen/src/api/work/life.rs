// SPDX-License-Identifier: Apache-2.0
//! The server's own life: how soon it is ready, and what it takes when nothing is asked.

use super::create;
use super::read::fill;
use crate::api::Bench;
use crate::api::found::{Found, OURS};
use crate::error::Error;

/// Row `start`.
pub async fn start(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for round in 0..bench.rounds {
        let subject = bench.begin(&mut found).await?;
        found.add(round, OURS, &[("empty_us", subject.ready_us(), "us")]);
        subject.end().await?;
    }
    let mut subject = bench.begin(&mut found).await?;
    let path = subject.path("configmaps");
    fill(&subject, bench.sizes.clients, bench.sizes.stored, create::make(path)).await?;
    found.note(format!("{} ConfigMaps of 1 KiB in the store", bench.sizes.stored));
    for round in 0..bench.rounds {
        subject = subject.again(false).await?;
        found.add(round, OURS, &[("stopped_us", subject.ready_us(), "us")]);
        found.add(round, OURS, &[("stopped_mib", subject.resident_mib(), "MiB")]);
        subject = subject.again(true).await?;
        found.add(round, OURS, &[("killed_us", subject.ready_us(), "us")]);
        found.add(round, OURS, &[("killed_mib", subject.resident_mib(), "MiB")]);
    }
    subject.end().await?;
    Ok(found)
}

/// Row `idle`.
pub async fn idle(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for round in 0..bench.rounds {
        let subject = bench.begin(&mut found).await?;
        tokio::time::sleep(bench.sizes.idle / 5).await;
        let before = subject.cpu_seconds();
        tokio::time::sleep(bench.sizes.idle).await;
        let taken = (subject.cpu_seconds() - before) / bench.sizes.idle.as_secs_f64();
        let values =
            [("resident_mib", subject.resident_mib(), "MiB"), ("cpu_percent", taken * 100.0, "%")];
        found.add(round, OURS, &values);
        subject.end().await?;
    }
    Ok(found)
}
