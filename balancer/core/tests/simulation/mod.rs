// SPDX-License-Identifier: Apache-2.0
//! Node-local balancers and backends with queues under a virtual clock: one seed, one run.
//!
//! Requests come at random (Poisson) to a random balancer, and take heavy-tailed times (bounded Pareto). A backend works on a few
//! at once and queues the rest, first come, first served. Some backends take a multiple of the time. Each balancer is a
//! `Worker` that sees its own requests only.

use berth_balancer_core::model::{
    Algorithm, Config, Endpoint, EndpointPort, EndpointSet, Protocol, Service, ServicePort,
    Settings,
};
use berth_balancer_core::table::{Frontend, Via};
use berth_balancer_core::{Compiler, Random, Request, Ticket, Worker};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Mean time of a request on a quick backend: 10 ms.
const MEAN_NS: f64 = 10e6;
/// Shape of the Pareto distribution: the variance would be infinite without the bound.
const SHAPE: f64 = 1.5;
/// Longest request, in means.
const LONGEST: f64 = 100.0;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Balancers that do not know of each other.
    pub(crate) balancers: u32,
    /// Backends; every second one is slow.
    pub(crate) backends: u32,
    /// How many times as long a slow backend takes.
    pub(crate) slow: u32,
    /// Requests that a backend works on at once.
    pub(crate) at_once: usize,
    /// Load, in percent of what all backends together can do.
    pub(crate) percent: u32,
    pub(crate) requests: u32,
    pub(crate) seed: u64,
}

impl Default for Load {
    /// Half the backends slow: with equal shares those would have to do more than they can.
    fn default() -> Self {
        Self {
            balancers: 64,
            backends: 32,
            slow: 3,
            at_once: 4,
            percent: 60,
            requests: 300_000,
            seed: 1,
        }
    }
}

/// Response times in mean request times, sorted.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * quantile) as usize]
    }
}

/// Choices and times.
struct Chance(Random);

impl Chance {
    /// Above 0, up to 1.
    fn unit(&mut self) -> f64 {
        (f64::from(self.0.below(u32::MAX)) + 1.0) / f64::from(u32::MAX)
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }

    /// A request's time on a quick backend; the mean is `MEAN_NS` but for the bound.
    fn request(&mut self) -> f64 {
        let least = (SHAPE - 1.0) / SHAPE;
        (least / self.unit().powf(1.0 / SHAPE)).min(LONGEST) * MEAN_NS
    }
}

#[derive(Debug)]
struct Job {
    balancer: usize,
    ticket: Ticket,
    came: u64,
    takes: u64,
}

#[derive(Debug, Default)]
struct Server {
    busy: usize,
    queue: VecDeque<Job>,
}

/// Requests that are worked on.
#[derive(Debug, Default)]
struct Running {
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
    /// When a job ends, and its place.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Running {
    fn begin(&mut self, server: &mut Server, job: Job, now: u64) {
        server.busy += 1;
        let place = self.free.pop().unwrap_or(self.jobs.len());
        if place == self.jobs.len() {
            self.jobs.push(None);
        }
        self.ends.push(Reverse((now + job.takes, place)));
        self.jobs[place] = Some(job);
    }

    fn end(&mut self) -> Option<(u64, Job)> {
        let Reverse((now, place)) = self.ends.pop()?;
        self.free.push(place);
        Some((now, self.jobs[place].take()?))
    }
}

/// Runs a load; `weigh` gives slow and quick backends weights that fit.
pub(crate) fn run(load: Load, algorithm: Algorithm, weigh: bool) -> Latencies {
    let frontend = frontend(load, algorithm, weigh);
    let seed = |number: u32| load.seed << 32 | u64::from(number);
    let mut workers: Vec<Worker> = (0..load.balancers).map(|n| Worker::new(seed(n))).collect();
    let mut servers: Vec<Server> = (0..load.backends).map(|_| Server::default()).collect();
    let mut chance = Chance(Random::new(!load.seed));
    let mut running = Running::default();
    let mut latencies = Vec::new();
    let (mut next, mut left) = (0_u64, load.requests);
    while left > 0 || !running.ends.is_empty() {
        let end = running.ends.peek().map(|Reverse((at, _))| *at);
        if left > 0 && end.is_none_or(|end| next <= end) {
            left -= 1;
            let balancer = chance.0.below(load.balancers) as usize;
            let request = request(chance.0.below(u32::MAX), next);
            let ticket = workers[balancer].open(&frontend, &request).expect("all serve");
            let at = place(&frontend, &ticket);
            let slow = if at.is_multiple_of(2) { load.slow } else { 1 };
            let takes = nanoseconds(chance.request() * f64::from(slow));
            let job = Job { balancer, ticket, came: next, takes };
            if servers[at].busy < load.at_once {
                running.begin(&mut servers[at], job, next);
            } else {
                servers[at].queue.push_back(job);
            }
            next += nanoseconds(chance.exponential(interval(load)));
        } else if let Some((now, job)) = running.end() {
            let server = &mut servers[place(&frontend, &job.ticket)];
            server.busy -= 1;
            if let Some(waiting) = server.queue.pop_front() {
                running.begin(server, waiting, now);
            }
            let took = now - job.came;
            workers[job.balancer].on_first_byte(&job.ticket, took, now);
            workers[job.balancer].on_close(job.ticket);
            latencies.push(
                f64::from(u32::try_from(took / 1_000).expect("below an hour")) * 1e3 / MEAN_NS,
            );
        }
    }
    latencies.sort_by(f64::total_cmp);
    Latencies(latencies)
}

/// Mean time between two requests of all.
fn interval(load: Load) -> f64 {
    let half = f64::from(load.backends) / 2.0;
    let at_once = f64::from(u32::try_from(load.at_once).expect("few"));
    let can = (half + half / f64::from(load.slow)) * at_once / MEAN_NS;
    100.0 / (can * f64::from(load.percent))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0, below a day")]
fn nanoseconds(time: f64) -> u64 {
    time as u64 + 1
}

/// The number of a backend, which its address ends in.
fn place(frontend: &Frontend, ticket: &Ticket) -> usize {
    let at = frontend.backends.iter().position(|backend| backend.id == ticket.backend);
    at.expect("nobody leaves")
}

fn request(client: u32, now: u64) -> Request<'static> {
    let source = SocketAddr::new(Ipv4Addr::from_bits(client).into(), 1);
    Request { via: Via::Cluster, inside: true, source, now, prefer: None, tried: &[] }
}

fn frontend(load: Load, algorithm: Algorithm, weigh: bool) -> Arc<Frontend> {
    let name = "web";
    let endpoint = |number: u32| Endpoint {
        name: format!("e{number:03}").into(),
        address: Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
        ports: vec![EndpointPort { name: "".into(), port: 80 }],
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        weight: if weigh && number % 2 == 1 { load.slow } else { 1 },
    };
    let service = Service {
        name: name.into(),
        cluster_ips: vec![Ipv4Addr::new(10, 96, 0, 1).into()],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        settings: Settings { algorithm, ..Settings::default() }.into(),
    };
    let endpoints = (0..load.backends).map(endpoint).collect();
    let mut compiler = Compiler::new();
    let config = Config {
        services: vec![service],
        endpoints: vec![EndpointSet { service: name.into(), endpoints }],
        ..Config::default()
    };
    compiler.replace(config, 0).expect("it is right");
    let address = "10.96.0.1:80".parse().expect("an address");
    compiler.table().lookup(Protocol::Tcp, address).expect("it is there").frontend.clone()
}
