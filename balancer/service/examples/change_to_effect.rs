// SPDX-License-Identifier: Apache-2.0
//! How long a running balancer takes for 10,000 services of 10 endpoints over gRPC, and for 1,000 changes of one endpoint under
//! traffic, and how much memory it has.
//!
//! ```text
//! berth balancer --listen 127.0.0.1:7303
//! cargo run --release -p berth-balancer-service --example change_to_effect -- [ADDRESS] [CONNECTIONS A SECOND]
//! cargo run --release -p berth-balancer-service --example change_to_effect -- --write FILE
//! ```
//!
//! A change moves the one endpoint of a service that serves to an address that nobody had before. While it is on its way, and all
//! the time between, clients make new connections to the services that change, and each is told which address it came to. One
//! that began after a change was answered must come to the new address, or this ends with a panic. `--write` writes the same
//! services as a configuration file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "an example")]

use berth_proto::balancer as pb;
use berth_proto::balancer::balancer_client::BalancerClient;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Channel, Endpoint};

const SERVICES: u32 = 10_000;
const ENDPOINTS: u32 = 10;
const CHANGES: u32 = 1_000;
/// Services that change, all over the table.
const CHANGED: u32 = 50;
const PORT: u16 = 8_080;
/// Where endpoints listen.
const TARGET: u16 = 9_090;
/// First address of services, of endpoints, and of those to which endpoints move: `address + number of the change`.
const AT: u32 = 0x7f10_0000;
const FROM: u32 = 0x7f80_0000;
const MOVED: u32 = 0x7fc0_0000;

/// The services that change: one endpoint serves, so that it is known where a connection must come to.
fn changes(service: u32) -> bool {
    service.is_multiple_of(SERVICES / CHANGED)
}

fn endpoint(service: u32, at: u32) -> pb::Endpoint {
    let ready = (changes(service) && at > 0).then_some(false);
    pb::Endpoint {
        name: format!("s{service}-{at}"),
        address: Ipv4Addr::from_bits(FROM + service * ENDPOINTS + at).to_string(),
        ready,
        ..pb::Endpoint::default()
    }
}

fn service(number: u32) -> pb::Service {
    let port = pb::Port { port: PORT.into(), target_port: TARGET.into(), ..pb::Port::default() };
    pb::Service {
        name: format!("s{number}"),
        addresses: vec![Ipv4Addr::from_bits(AT + number).to_string()],
        ports: vec![port],
        endpoints: (0..ENDPOINTS).map(|at| endpoint(number, at)).collect(),
        ..pb::Service::default()
    }
}

/// The same services as a file.
fn file() -> String {
    let mut text = String::from("services:\n");
    for number in 0..SERVICES {
        let address = Ipv4Addr::from_bits(AT + number);
        let _ = writeln!(text, "- name: s{number}\n  address: {address}:{PORT}\n  endpoints:");
        for at in 0..ENDPOINTS {
            let pb::Endpoint { name, address, .. } = endpoint(number, at);
            let _ = writeln!(text, "  - name: {name}\n    address: {address}:{TARGET}");
        }
    }
    text
}

/// Endpoints on all loopback addresses: each connection is told to which one it came.
async fn serve() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, TARGET)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Ok(SocketAddr::V4(own)) = stream.local_addr() {
                tokio::spawn(async move { stream.write_all(&own.ip().octets()).await });
            }
        }
    });
}

/// What a service has been told: the last change that was answered, and the last that was sent. 0 is none.
#[derive(Default)]
struct Known {
    answered: AtomicU32,
    sent: AtomicU32,
}

struct Traffic {
    known: Vec<Known>,
    connections: AtomicU64,
    stops: AtomicBool,
}

impl Traffic {
    /// Makes one connection to a service that changes, and checks where it came to.
    async fn connect(&self, which: u32) {
        let service = which * (SERVICES / CHANGED);
        let known = &self.known[which as usize];
        let least = known.answered.load(Ordering::SeqCst);
        let mut stream =
            TcpStream::connect((IpAddr::from(Ipv4Addr::from_bits(AT + service)), PORT))
                .await
                .unwrap();
        let mut address = [0; 4];
        stream.read_exact(&mut address).await.unwrap();
        let most = known.sent.load(Ordering::SeqCst);
        let address = u32::from_be_bytes(address);
        let change = address.saturating_sub(MOVED);
        assert!(change > 0 || address == FROM + service * ENDPOINTS, "{address:x} is another's");
        assert!(
            (least..=most).contains(&change),
            "a connection came to the address of change {change}, after {least} of {most}"
        );
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// So many connections a second, whatever became of those before.
    async fn run(self: Arc<Self>, per_second: u32) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        let mut which = 0;
        while !self.stops.load(Ordering::Relaxed) && per_second > 0 {
            ticks.tick().await;
            which = (which + 7) % CHANGED;
            let own = Arc::clone(&self);
            tokio::spawn(async move { own.connect(which).await });
        }
    }
}

fn applied(answer: pb::ApplyResponse) -> pb::Applied {
    match answer.outcome {
        Some(pb::apply_response::Outcome::Applied(applied)) => applied,
        other => panic!("{other:?}"),
    }
}

/// Memory of a process in MiB: what is resident, how much of that is its own, and the peak.
fn memory(pid: u32) -> [u64; 3] {
    let sum = |file: &str, names: &[&str]| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let own = lines.filter(|(name, _)| names.contains(name));
        own.filter_map(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok()).sum()
    };
    let own = ["Private_Clean", "Private_Dirty"];
    let all = [("smaps_rollup", &["Rss"][..]), ("smaps_rollup", &own), ("status", &["VmHWM"])];
    all.map(|(file, names)| sum(file, names) / 1_024)
}

fn print_memory(plane: u32) {
    let parent = fs::read_to_string(format!("/proc/{plane}/stat")).unwrap_or_default();
    let mut fields = parent.rsplit(')').next().unwrap_or_default().split_whitespace();
    let control: u32 = fields.nth(1).and_then(|pid| pid.parse().ok()).unwrap_or(0);
    let mut total = 0;
    for (what, pid) in [("control plane", control), ("data plane", plane)] {
        let [resident, own, peak] = memory(pid);
        println!(
            "{what}: {resident} MiB resident, {own} MiB of them its own; {peak} MiB at its peak"
        );
        total += resident;
    }
    println!("both: {total} MiB");
}

fn print_times(what: &str, mut all: Vec<u64>) {
    all.sort_unstable();
    let at = |thousandths: usize| all[(all.len() * thousandths / 1_000).min(all.len() - 1)];
    println!("{what}: p50 {} us, p99 {} us, max {} us", at(500), at(990), at(1_000));
}

fn end_at_any_panic() {
    // A connection that came to the wrong place ends all of this, whichever task it belongs to.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::exit(1);
    }));
}

/// Loads everything from nothing.
async fn load(client: &mut BalancerClient<Channel>) {
    let services = (0..SERVICES).map(service).collect();
    let all = pb::ApplyRequest { replace: true, services, ..Default::default() };
    let begun = Instant::now();
    let answer = applied(client.apply(all).await.unwrap().into_inner());
    let took = begun.elapsed();
    println!(
        "10,000 services of 10 endpoints: {took:.2?} as the client sees it, {:.2} s in the service, {} unserved",
        Duration::from_nanos(answer.took_ns).as_secs_f64(),
        answer.unserved.len()
    );
}

/// Times of changes, in microseconds.
#[derive(Default)]
struct Times {
    effect: Vec<u64>,
    seen: Vec<u64>,
    next: Vec<u64>,
}

/// Moves one endpoint after the other, under traffic.
async fn change_all(client: &mut BalancerClient<Channel>, traffic: &Traffic) -> Times {
    let mut times = Times::default();
    for change in 1..=CHANGES {
        let which = change * 13 % CHANGED;
        let service = which * (SERVICES / CHANGED);
        let mut moved = endpoint(service, 0);
        moved.address = Ipv4Addr::from_bits(MOVED + change).to_string();
        moved.ports = vec![pb::EndpointPort { name: String::new(), port: TARGET.into() }];
        let what = Some(pb::endpoint_change::What::Set(moved));
        let one = pb::EndpointChange { service: format!("s{service}"), what };
        let request = pb::ApplyRequest { endpoints: vec![one], ..Default::default() };
        let known = &traffic.known[which as usize];
        known.sent.store(change, Ordering::SeqCst);
        let begun = Instant::now();
        let answer = applied(client.apply(request).await.unwrap().into_inner());
        times.seen.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
        times.effect.push(answer.took_ns / 1_000);
        known.answered.store(change, Ordering::SeqCst);
        traffic.connect(which).await;
        times.next.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [write, path] = &arguments[..]
        && write == "--write"
    {
        return fs::write(path, file()).unwrap();
    }
    end_at_any_panic();
    let address = arguments.first().map_or("127.0.0.1:7303", String::as_str);
    let per_second = arguments.get(1).map_or(1_000, |text| text.parse().unwrap());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
    let mut client = BalancerClient::new(channel).max_decoding_message_size(64 << 20);

    load(&mut client).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = client.status(pb::StatusRequest {}).await.unwrap().into_inner();
    let plane = status.data_plane.map_or(0, |plane| plane.pid);
    print_memory(plane);

    serve().await;
    let known = (0..CHANGED).map(|_| Known::default()).collect();
    let connections = AtomicU64::new(0);
    let traffic = Arc::new(Traffic { known, connections, stops: AtomicBool::new(false) });
    let running = tokio::spawn(Arc::clone(&traffic).run(per_second));
    let all = Instant::now();
    let times = change_all(&mut client, &traffic).await;
    traffic.stops.store(true, Ordering::Relaxed);
    running.await.unwrap();
    let connections = traffic.connections.load(Ordering::Relaxed);
    println!(
        "{CHANGES} changes under {:.0} new connections a second; all {connections} came to where they had to",
        f64::from(u32::try_from(connections).unwrap()) / all.elapsed().as_secs_f64()
    );
    print_times("one endpoint, receipt to effect", times.effect);
    print_times("one endpoint, request to answer as the client sees it", times.seen);
    print_times(
        "one endpoint, request until the next connection has come to the new one",
        times.next,
    );
    print_memory(plane);
}
