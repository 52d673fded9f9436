// SPDX-License-Identifier: Apache-2.0
//! What rows do, a module for each family.

pub mod create;
pub mod life;
pub mod mixed;
pub mod read;
pub mod watch;

use super::Bench;
use super::found::Found;
use super::rows::Work;
use super::storm::{Clients, Course, Tally};
use super::wire::Ask;
use crate::error::Error;
use crate::report::count;

/// Does a row.
pub async fn run(bench: &Bench<'_>, work: Work) -> Result<Found, Error> {
    match work {
        Work::Create => create::many(bench).await,
        Work::CreateOne => create::one(bench).await,
        Work::Get => read::get(bench, bench.sizes.clients).await,
        Work::GetOne => read::get(bench, 1).await,
        Work::Patch => read::patch(bench).await,
        Work::List => read::list(bench).await,
        Work::Mixed => mixed::run(bench).await,
        Work::FanOut => watch::fan_out::run(bench).await,
        Work::Routing => watch::routing::run(bench).await,
        Work::Start => life::start(bench).await,
        Work::Idle => life::idle(bench).await,
    }
}

/// Figures of a storm of one sort, with the CPU that the server took for a request, and the client.
fn figures(tally: &Tally, cpu_seconds: f64) -> [(&'static str, f64, &'static str); 5] {
    let latencies = if tally.many.count() > 0 { &tally.many } else { &tally.one };
    [
        ("per_second", tally.per_second(), "1/s"),
        ("p50_us", latencies.us(0.5), "us"),
        ("p99_us", latencies.us(0.99), "us"),
        ("cpu_us", cpu_seconds * 1e6 / count(tally.requests()), "us"),
        ("client_cpu_us", tally.client_seconds * 1e6 / count(tally.requests()), "us"),
    ]
}

/// A storm, and the CPU that was taken meanwhile.
async fn measured<F>(
    clients: &mut Clients,
    course: Course,
    ask: F,
    cpu_seconds: impl Fn() -> f64,
) -> Result<(Tally, f64), Error>
where
    F: Fn(u64) -> Ask + Clone + Send + 'static,
{
    let before = cpu_seconds();
    let tally = clients.storm(course, ask).await?;
    Ok((tally, cpu_seconds() - before))
}
