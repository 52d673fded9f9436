// SPDX-License-Identifier: Apache-2.0
//! Thousands of services with ten endpoints each come in one message. Then, again and again, the one endpoint of a service that takes
//! connections is replaced, while other traffic flows: once a change is answered, a client's next connections must reach the new one.
//!
//! The latencies of the row are from the message's receipt until the last worker uses the new table, as the balancer says; what the client
//! saw, from before it sent the message until it had the answer, stands beside it and bounds it.

use super::{Found, Stage};
use crate::balance::backend::Endpoint;
use crate::balance::client::PATIENCE;
use crate::balance::client::course::Tally;
use crate::balance::client::steady::{Plan, Signals};
use crate::balance::message::{self, MESSAGE, Nonces, Request};
use crate::balance::place::Role;
use crate::balance::steering::{self, Steering};
use crate::balance::subject::Running;
use crate::balance::usage;
use crate::error::Error;
use crate::report::count;
use berth_proto::balancer as pb;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Endpoints of each service.
const ENDPOINTS: u16 = 10;
/// The port of each.
const PORT: u16 = 80;
/// Connections after each change, enough that every worker gets some.
const LOOKS: usize = 6;
/// The traffic.
const HELD: usize = 64;
const EVERY: Duration = Duration::from_millis(32);
const PER_SECOND: f64 = 200.0;
const LINGER: Duration = Duration::from_millis(20);

/// Runs it.
pub fn run(
    stage: &Stage<'_>,
    running: &dyn Running,
    (services, changes): (u16, usize),
) -> Result<Found, Error> {
    let node = running.listens_on_node();
    if node {
        stage.place.own_crowd(true)?;
    }
    let found = measure(stage, running, (services, changes));
    if node {
        stage.place.own_crowd(false)?;
    }
    found
}

fn measure(
    stage: &Stage<'_>,
    running: &dyn Running,
    (services, changes): (u16, usize),
) -> Result<Found, Error> {
    let signals = Signals::default();
    signals.held.store(HELD, std::sync::atomic::Ordering::SeqCst);
    let plan = Plan { every: EVERY, per_second: PER_SECOND, linger: LINGER };
    let target = stage.target(vec![stage.service.front]);
    let pids = running.pids();
    // One of them is asked; port and address as all others have.
    let (name, front) = (service_name(services / 2), front(stage, services / 2));
    let work = || {
        stage.steer(running, |steering| {
            let loaded = load(stage, steering, services)?;
            let asker = |endpoint: u32, nonces: &mut Nonces| ask(stage, front, endpoint, nonces);
            let changed = replace(stage, steering, (&name, changes), asker)?;
            let resident = pids.iter().filter_map(|pid| usage::resident_bytes(*pid)).sum::<u64>();
            Ok((loaded, changed, resident))
        })
    };
    let ((loaded, changed, resident), tally, answers) =
        stage.under_traffic((&target, plan), &signals, work)?;
    let mut found = Found { tally: changed.tally, ..Found::default() };
    found.tally.failures += tally.failures;
    found.tally.notes.extend(tally.notes);
    found.tell("load_s", loaded.0.as_secs_f64(), "s");
    found.tell("load_in_service_s", loaded.1.as_secs_f64(), "s");
    let seen = |quantile| count(changed.seen.value_at_quantile(quantile)) / 1_000.0;
    found.tell("seen_p50_us", seen(0.5), "us");
    found.tell("seen_p99_us", seen(0.99), "us");
    found.tell("resident_mib", count(resident >> 10) / 1_024.0, "MiB");
    found.tell("traffic_answers", count(answers + tally.operations), "1");
    Ok(found)
}

fn service_name(number: u16) -> String {
    format!("crowd-{number}")
}

fn front(stage: &Stage<'_>, number: u16) -> SocketAddr {
    // The lowest address of a network is nobody's.
    let port = if stage.place.trio().is_some() { PORT } else { 7_080 };
    SocketAddr::new(stage.place.crowd_address(number + 1), port)
}

/// All services; how long that took as it is seen from here, and by the balancer.
fn load(
    stage: &Stage<'_>,
    steering: &mut Steering,
    services: u16,
) -> Result<(Duration, Duration), Error> {
    let services = (0..services).map(|number| {
        let mut service = steering::service(
            &service_name(number),
            front(stage, number),
            stage.service,
            stage.path,
        );
        // None is ready but the first: so it is known who must answer, and no connection is lost to those that are made up.
        service.endpoints = (0..ENDPOINTS).map(|at| made_up(number, at)).collect();
        service.endpoints[0] = first(&stage.service.endpoints[0]);
        service
    });
    let request = pb::ApplyRequest { services: services.collect(), ..Default::default() };
    let began = Instant::now();
    let applied = steering.apply_once(request)?;
    let took = began.elapsed();
    if let Some(one) = applied.unserved.first() {
        let all = applied.unserved.len();
        let (address, reason) = (&one.address, &one.reason);
        return Err(Error::Balancer(format!("{all} are not served: {address}: {reason}")));
    }
    Ok((took, Duration::from_nanos(applied.took_ns)))
}

/// An endpoint that is there in the table alone.
fn made_up(number: u16, at: u16) -> pb::Endpoint {
    const FIRST: u32 = Ipv4Addr::new(10, 0, 0, 0).to_bits();
    let address = FIRST + u32::from(number) * u32::from(ENDPOINTS) + u32::from(at);
    let address = SocketAddr::new(Ipv4Addr::from_bits(address).into(), PORT);
    let mut endpoint = steering::at(&format!("e{at}"), address);
    endpoint.ready = Some(false);
    endpoint.serving = Some(false);
    endpoint
}

fn first(endpoint: &Endpoint) -> pb::Endpoint {
    steering::at("e0", endpoint.address)
}

struct Changed {
    /// Receipt to effect, and whatever failed.
    tally: Tally,
    /// As the client saw it.
    seen: hdrhistogram::Histogram<u64>,
}

/// Replaces the endpoint again and again; `ask` says what is wrong with the connections after it, if anything is.
fn replace(
    stage: &Stage<'_>,
    steering: &mut Steering,
    (name, changes): (&str, usize),
    asker: impl Fn(u32, &mut Nonces) -> Result<(), String> + Send + Sync,
) -> Result<Changed, Error> {
    let mut tally = Tally::default();
    let mut seen = crate::balance::client::course::histogram();
    let endpoints = &stage.service.endpoints;
    let began = Instant::now();
    // The client stands elsewhere than who changes.
    let (order, orders) = mpsc::channel::<u32>();
    let (tell, told) = mpsc::channel::<Result<(), String>>();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (orders, tell) = (orders, tell);
            let mut nonces = Nonces::new(stage.seed ^ 0xc0de);
            stage.place.run(Role::Client, move || {
                for endpoint in orders {
                    let _ = tell.send(asker(endpoint, &mut nonces));
                }
                Ok(())
            })
        });
        let order = order;
        for turn in 1..=changes {
            let endpoint = &endpoints[turn % endpoints.len()];
            let sent = Instant::now();
            let applied = steering.put(name, first(endpoint))?;
            let took = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
            seen.saturating_record(took);
            tally.record(Duration::from_nanos(applied.took_ns));
            tally.operations += 1;
            let asked = order.send(endpoint.index).is_ok();
            match told.recv().ok().filter(|_| asked) {
                Some(Ok(())) => {}
                Some(Err(why)) => tally.failed(why),
                None => return Err(Error::Balancer("the client is gone".to_owned())),
            }
            if tally.failures >= 20 {
                break;
            }
        }
        tally.seconds = began.elapsed().as_secs_f64();
        Ok(Changed { tally, seen })
    })
}

/// Connects some times; each must reach the endpoint.
fn ask(
    stage: &Stage<'_>,
    front: SocketAddr,
    endpoint: u32,
    nonces: &mut Nonces,
) -> Result<(), String> {
    for _ in 0..LOOKS {
        let answer = one(front, stage.service.id, nonces.draw());
        let reached = answer.map_err(|error| format!("a connection after a change: {error}"))?;
        if reached != endpoint {
            return Err(format!("after the answer to a change endpoint {reached} was reached"));
        }
    }
    Ok(())
}

fn one(front: SocketAddr, service: u32, nonce: u64) -> io::Result<u32> {
    let mut stream = TcpStream::connect_timeout(&front, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = [0; MESSAGE];
    message::write_request(&mut bytes, &Request { service, nonce, amount: 0 });
    stream.write_all(&bytes)?;
    stream.read_exact(&mut bytes)?;
    let answer = message::read_answer(&bytes, service, nonce);
    answer.map_err(|wrong| io::Error::other(wrong.to_string()))
}
