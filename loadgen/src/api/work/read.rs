// SPDX-License-Identifier: Apache-2.0
//! Reading and changing what is there: one object at a time, or lists, beside a server that only has the bytes.

use super::{create, figures, measured};
use crate::api::Bench;
use crate::api::found::{Found, OURS};
use crate::api::objects;
use crate::api::peer::bytes::Responder;
use crate::api::rows::{LARGE, SMALL};
use crate::api::storm::{Clients, Course};
use crate::api::subject::Subject;
use crate::api::wire::{Ask, Protocol};
use crate::error::Error;
use crate::report::count;
use serde_json::{Value, json};

/// Pods that a selector finds.
const PICKED: u64 = 10;
/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// Rows `get-64` and `get-1`.
pub async fn get(bench: &Bench<'_>, clients: usize) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let sizes = bench.sizes;
    let path = subject.path("configmaps");
    fill(&subject, sizes.clients, sizes.objects, create::make(path.clone())).await?;
    let mut readers = Clients::new(subject.door.open_all(Protocol::One, clients).await?);
    let one = Ask::get(format!("{path}/{}", create::name(0)));
    let answer = subject.door.open(Protocol::One).await?.send(&one).await?;
    let size = answer.len();
    if size < SMALL {
        return Err(Error::Api(format!("an object of {SMALL} bytes came back with {size}")));
    }
    let responder = Responder::start(&answer)?;
    let mut others = Clients::new(responder.door.open_all(Protocol::One, clients).await?);
    let objects = sizes.objects;
    let ask = move |number: u64| Ask::get(format!("{path}/{}", create::name(number % objects)));
    readers.storm(Course::time(sizes.warm_up), ask.clone()).await?;
    others.storm(Course::time(sizes.warm_up), ask.clone()).await?;
    for round in 0..bench.rounds {
        for ours in bench.turns(round) {
            let course = Course::time(sizes.round);
            if ours {
                let cpu = || subject.cpu_seconds();
                let values = measured(&mut readers, course, ask.clone(), cpu).await?;
                found.add(round, OURS, &figures(&values.0, values.1));
            } else {
                let cpu = || responder.cpu_seconds();
                let values = measured(&mut others, course, ask.clone(), cpu).await?;
                found.add(round, "bytes", &figures(&values.0, values.1));
            }
        }
    }
    drop((readers, others));
    subject.end().await?;
    Ok(found)
}

/// Row `patch-64`.
pub async fn patch(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let sizes = bench.sizes;
    let path = subject.path("configmaps");
    fill(&subject, sizes.clients, sizes.objects, create::make(path.clone())).await?;
    let mut clients = Clients::new(subject.door.open_all(Protocol::One, sizes.clients).await?);
    let objects = sizes.objects;
    let ask = move |number: u64| {
        let path = format!("{path}/{}", create::name(number % objects));
        Ask::patch(path, objects::annotate(number))
    };
    clients.storm(Course::time(sizes.warm_up), ask.clone()).await?;
    for round in 0..bench.rounds {
        let cpu = || subject.cpu_seconds();
        let course = Course::time(sizes.round);
        let (tally, cpu) = measured(&mut clients, course, ask.clone(), cpu).await?;
        found.add(round, OURS, &figures(&tally, cpu));
    }
    drop(clients);
    subject.end().await?;
    Ok(found)
}

/// Row `list`.
pub async fn list(bench: &Bench<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let subject = bench.begin(&mut found).await?;
    let sizes = bench.sizes;
    let path = subject.path("pods");
    fill(&subject, sizes.clients, sizes.pods, pods(path.clone())).await?;
    let mut clients = Clients::new(subject.door.open_all(Protocol::One, 1).await?);
    let all = Ask::list(path.clone());
    let some = Ask::list(format!("{path}?labelSelector=picked%3Dyes"));
    let mut wire = subject.door.open(Protocol::One).await?;
    let answer = wire.send(&all).await?;
    expect_items(&answer, sizes.pods)?;
    expect_items(&wire.send(&some).await?, PICKED)?;
    let responder = Responder::start(&answer)?;
    let mut others = Clients::new(responder.door.open_all(Protocol::One, 1).await?);
    let mib = count(answer.len() as u64) / MIB;
    for round in 0..bench.rounds {
        for ours in bench.turns(round) {
            let (clients, name) = if ours { (&mut clients, OURS) } else { (&mut others, "bytes") };
            let cpu = || if ours { subject.cpu_seconds() } else { responder.cpu_seconds() };
            let ask = all.clone();
            let course = Course::time(sizes.round);
            let (tally, cpu) = measured(clients, course, move |_| ask.clone(), cpu).await?;
            let [_, p50, p99, cpu, own] = figures(&tally, cpu);
            let speed = ("mib_per_second", tally.per_second() * mib, "MiB/s");
            found.add(round, name, &[p50, p99, speed, cpu, own]);
        }
        let ask = some.clone();
        let tally = clients.storm(Course::time(sizes.round), move |_| ask.clone()).await?;
        let p50 = ("selected_p50_us", tally.many.us(0.5), "us");
        found.add(round, OURS, &[p50, ("selected_p99_us", tally.many.us(0.99), "us")]);
    }
    found.note(format!("a list has {mib:.1} MiB, as JSON"));
    drop((clients, others, wire));
    subject.end().await?;
    Ok(found)
}

/// Pods of which a few have another label.
fn pods(path: String) -> impl Fn(u64) -> Ask + Clone + Send + 'static {
    move |number| {
        let picked = if number < PICKED { "yes" } else { "no" };
        let labels = json!({"app": "web", "picked": picked, "pod-template-hash": "5d4f8c7b9"});
        let name = format!("web-5d4f8c7b9-{number:06}");
        Ask::create(path.clone(), objects::pod(&name, &labels, Some("node-1"), LARGE))
    }
}

/// Makes so many objects.
pub(super) async fn fill(
    subject: &Subject,
    clients: usize,
    objects: u64,
    make: impl Fn(u64) -> Ask + Clone + Send + 'static,
) -> Result<(), Error> {
    let mut clients = Clients::new(subject.door.open_all(Protocol::One, clients).await?);
    clients.storm(Course::count(objects), make).await.map(drop)
}

fn expect_items(answer: &[u8], want: u64) -> Result<(), Error> {
    let list: Value = serde_json::from_slice(answer)
        .map_err(|error| Error::Api(format!("a list is not JSON: {error}")))?;
    let items = list["items"].as_array().map_or(0, Vec::len);
    if items as u64 == want {
        return Ok(());
    }
    Err(Error::Api(format!("a list has {items} items, not {want}")))
}
