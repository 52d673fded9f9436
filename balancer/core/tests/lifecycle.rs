// SPDX-License-Identifier: Apache-2.0
//! Random connections over random changes, against naive books: what is counted, who may be chosen, and that rolling updates and
//! removals fail nobody.

mod fixture;

use berth_balancer_core::model::{
    Algorithm, Distribution, Endpoint, HashKey, Limits, Settings, SlowStart,
};
use berth_balancer_core::table::{BackendId, Frontend, Table};
use berth_balancer_core::{Change, Compiler, Random, Refusal, Request, Ticket, Worker};
use fixture::{SECOND, compiled, endpoint, endpoints, from_client, frontend, one_of};
use std::collections::{BTreeMap, BTreeSet};

const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::PeakEwma,
    Algorithm::PowerOfTwo,
    Algorithm::LeastConnections,
    Algorithm::RoundRobin,
    Algorithm::SmoothWeighted,
    Algorithm::Maglev(HashKey::Flow),
    Algorithm::RingHash(HashKey::Source),
    Algorithm::Random,
];

/// Two workers and the tickets that they gave.
struct World {
    compiler: Compiler,
    /// What the workers have: now and then a few changes behind.
    table: Table,
    workers: [Worker; 2],
    open: Vec<(usize, Ticket)>,
    now: u64,
}

impl World {
    fn frontend(&self) -> std::sync::Arc<Frontend> {
        let mut all = Vec::new();
        self.table.each(|frontend| all.push(frontend.clone()));
        all.remove(0)
    }

    fn publish(&mut self) {
        for worker in &mut self.workers {
            worker.adopt(&self.table, self.compiler.table(), self.now);
        }
        self.table = self.compiler.table().clone();
    }

    fn change(&mut self, random: &mut Random) {
        let number = random.below(12);
        let (service, name) = ("web".into(), format!("p{number}"));
        let change = if random.below(3) == 0 {
            Change::RemoveEndpoint { service, endpoint: name.into() }
        } else {
            let address = format!("10.0.{}.{number}:80", random.below(3));
            let mut endpoint = endpoint(&name, &address);
            endpoint.ready = random.below(4) > 0;
            endpoint.terminating = random.below(2) == 0;
            endpoint.weight = 1 + random.below(5);
            endpoint.zone = Some(if number.is_multiple_of(2) { "z0" } else { "z1" }.into());
            Change::Endpoint { service, endpoint }
        };
        // Refused when the endpoint is not there.
        let _ = self.compiler.apply(change, self.now);
        if random.below(4) == 0 {
            let (service, endpoint) = ("web".into(), format!("p{number}").into());
            let healthy = random.below(2) == 0;
            let change = Change::Health { service, endpoint, port: "".into(), healthy };
            let _ = self.compiler.apply(change, self.now);
        }
    }

    fn open(&mut self, random: &mut Random) {
        let frontend = self.frontend();
        let at = random.below(2) as usize;
        let tried: Vec<BackendId> =
            (0..random.below(2)).filter_map(|_| frontend.backends.first().map(|b| b.id)).collect();
        let client = from_client(random.below(1_000), self.now);
        let request = Request { tried: &tried, ..client };
        match self.workers[at].open(&frontend, &request) {
            Ok(ticket) => {
                self.check_choice(&frontend, at, &ticket, &tried);
                self.open.push((at, ticket));
            }
            Err(refusal) => self.check_refusal(&frontend, refusal, &tried),
        }
    }

    /// Those that may serve, by the book of KEP-1669.
    fn serving(frontend: &Frontend) -> Vec<BackendId> {
        let all = || frontend.backends.iter();
        let ready: Vec<_> = all().filter(|b| b.is_ready()).map(|b| b.id).collect();
        if !ready.is_empty() {
            return ready;
        }
        all().filter(|b| b.is_serving() && b.is_terminating()).map(|b| b.id).collect()
    }

    fn connections(&self, id: BackendId) -> u32 {
        let of = |ticket: &&(usize, Ticket)| ticket.1.backend == id;
        u32::try_from(self.open.iter().filter(of).count()).expect("few")
    }

    fn usable(&self, frontend: &Frontend, at: usize, id: BackendId, tried: &[BackendId]) -> bool {
        let backend = frontend.backends.iter().find(|b| b.id == id).expect("it is there");
        let seen = self.workers[at].seen(frontend, id, self.now);
        backend.is_healthy()
            && seen.ejected_until_ns <= self.now
            && self.connections(id) < MOST
            && !tried.contains(&id)
    }

    fn check_choice(&self, frontend: &Frontend, at: usize, ticket: &Ticket, tried: &[BackendId]) {
        let serving = Self::serving(frontend);
        let id = ticket.backend;
        assert!(serving.contains(&id), "it may not serve");
        assert!(!tried.contains(&id), "it was tried");
        assert!(self.connections(id) < MOST, "it is full");
        let good = |id: &BackendId| self.usable(frontend, at, *id, tried);
        assert!(good(&id) || !serving.iter().any(good), "another one is usable");
        let backend = frontend.backends.iter().find(|b| b.id == id).expect("it is there");
        assert_eq!(ticket.address, backend.address);
    }

    fn check_refusal(&self, frontend: &Frontend, refusal: Refusal, tried: &[BackendId]) {
        let serving = Self::serving(frontend);
        let untried: Vec<_> = serving.iter().filter(|id| !tried.contains(id)).collect();
        match refusal {
            Refusal::NoEndpoint => assert!(serving.is_empty()),
            Refusal::AllTried => assert!(untried.is_empty() && !serving.is_empty()),
            Refusal::EndpointsFull => {
                assert!(untried.iter().all(|id| self.connections(**id) >= MOST));
            }
            other => unreachable!("{other}"),
        }
    }

    fn end(&mut self, random: &mut Random) {
        if self.open.is_empty() {
            return;
        }
        let at = random.below(u32::try_from(self.open.len()).expect("few")) as usize;
        let (worker, mut ticket) = self.open.swap_remove(at);
        let id = ticket.backend;
        let worker = &mut self.workers[worker];
        let drained = match random.below(4) {
            0 => worker.on_failed(&self.table, ticket, self.now),
            _ => {
                worker.on_connected(&mut ticket, self.now);
                worker.on_first_byte(&ticket, 1_000, self.now);
                worker.on_close(ticket)
            }
        };
        if drained {
            assert!(worker.drains().iter().all(|(other, _)| other != id));
        }
    }

    /// Every open ticket is counted once: with its backend, or with one that drains.
    fn check_books(&self) {
        let frontend = self.frontend();
        for (at, worker) in self.workers.iter().enumerate() {
            let mut books: BTreeMap<BackendId, u32> = BTreeMap::new();
            for (_, ticket) in self.open.iter().filter(|(worker, _)| *worker == at) {
                *books.entry(ticket.backend).or_default() += 1;
            }
            for backend in &frontend.backends {
                let active = worker.seen(&frontend, backend.id, self.now).active;
                assert_eq!(active, books.remove(&backend.id).unwrap_or(0), "{}", backend.name());
            }
            assert_eq!(worker.drains().iter().collect::<BTreeMap<_, _>>(), books);
        }
        for backend in &frontend.backends {
            assert_eq!(backend.shared.connections(), self.connections(backend.id));
        }
    }
}

/// Connections of an endpoint.
const MOST: u32 = 6;

#[test]
fn books_and_choices_hold_whatever_happens() {
    for seed in 0..96 {
        let mut random = Random::new(seed);
        let settings = Settings {
            algorithm: *one_of(&mut random, &ALGORITHMS),
            distribution: *one_of(&mut random, &[Distribution::Any, Distribution::PreferSameZone]),
            limits: Limits { connections_per_endpoint_max: Some(MOST), ..Limits::default() },
            slow_start: (seed % 3 == 0)
                .then_some(SlowStart { window_ns: 20 * SECOND, percent_min: 5 }),
            ..Settings::default()
        };
        let compiler = compiled(settings, Vec::new());
        let mut world = World {
            table: compiler.table().clone(),
            compiler,
            workers: [Worker::new(seed), Worker::new(!seed)],
            open: Vec::new(),
            now: SECOND,
        };
        for _ in 0..1_500 {
            world.now += u64::from(random.below(2)) * SECOND;
            match random.below(10) {
                0 => world.change(&mut random),
                1 => world.publish(),
                2..5 => world.end(&mut random),
                _ => world.open(&mut random),
            }
            world.check_books();
        }
        // In the end everything is given back.
        while !world.open.is_empty() {
            world.end(&mut random);
        }
        world.check_books();
        assert!(world.workers.iter().all(|worker| worker.drains().is_empty()));
    }
}

#[test]
fn an_endpoint_that_comes_back_while_it_drains_has_its_connections_again() {
    let settings = Settings { drain_ns: 30 * SECOND, ..Settings::default() };
    let mut compiler = compiled(settings, vec![endpoint("p0", "10.0.0.1:80")]);
    let (mut worker, mut table) = (Worker::new(1), Table::default());
    let mut publish = |compiler: &Compiler, worker: &mut Worker, now| {
        worker.adopt(&table, compiler.table(), now);
        table = compiler.table().clone();
    };
    let gone = || Change::RemoveEndpoint { service: "web".into(), endpoint: "p0".into() };
    let back =
        |address| Change::Endpoint { service: "web".into(), endpoint: endpoint("p0", address) };
    publish(&compiler, &mut worker, SECOND);
    let ticket = worker.open(&frontend(&compiler), &from_client(1, SECOND)).expect("it serves");
    let id = ticket.backend;
    compiler.apply(gone(), 2 * SECOND).expect("valid");
    publish(&compiler, &mut worker, 2 * SECOND);
    assert!(worker.drains().has(id));
    assert_eq!(compiler.table().counts().backends, 0);

    // Somebody else at its address is not it.
    compiler.apply(back("10.0.0.2:80"), 3 * SECOND).expect("valid");
    publish(&compiler, &mut worker, 3 * SECOND);
    assert_ne!(frontend(&compiler).backends[0].id, id);
    assert!(worker.drains().has(id));

    compiler.apply(back("10.0.0.1:80"), 4 * SECOND).expect("valid");
    publish(&compiler, &mut worker, 4 * SECOND);
    let now_there = frontend(&compiler);
    assert_eq!(now_there.backends[0].id, id);
    assert_eq!(worker.seen(&now_there, id, 4 * SECOND).active, 1);
    assert_eq!(worker.drain_expired(100 * SECOND), None);
    assert!(!worker.on_close(ticket), "it does not drain");
    assert_eq!(worker.seen(&now_there, id, 4 * SECOND).active, 0);

    // When the time is over, it is another one.
    compiler.apply(gone(), 5 * SECOND).expect("valid");
    compiler.apply(back("10.0.0.1:80"), 35 * SECOND).expect("valid");
    assert_ne!(frontend(&compiler).backends[0].id, id);
}

/// A thousand pods replaced one after the other under load: ready, terminating and still serving for a while, gone. A pod's process
/// ends a little after the table lost it; nobody may be sent to a dead one, and nobody's connection may outlive its deadline.
#[test]
fn a_rolling_update_fails_nobody() {
    let settings = Settings { drain_ns: 5 * SECOND, ..Settings::default() };
    let mut compiler = compiled(settings, endpoints(8));
    let mut worker = Worker::new(1);
    let mut random = Random::new(1);
    let mut pods: Vec<Endpoint> = endpoints(8);
    let mut dead: BTreeSet<BackendId> = BTreeSet::new();
    // Connections, and when each closes by itself.
    let mut open: Vec<(u64, Ticket)> = Vec::new();
    let (mut now, mut failed, mut drained) = (0, 0, 0);
    for turn in 0..1_000 {
        let old = compiler.table().clone();
        let mut leaving = pods.remove(0);
        let gone = fixture::backend(&frontend(&compiler), &leaving.name).id;
        (leaving.ready, leaving.terminating) = (false, true);
        let name = leaving.name.clone();
        let new = endpoint(&format!("n{turn}"), &format!("10.{}.{}.1:80", turn / 250, turn % 250));
        pods.push(new.clone());
        for endpoint in [leaving, new] {
            compiler.apply(Change::Endpoint { service: "web".into(), endpoint }, now).unwrap();
        }
        worker.adopt(&old, compiler.table(), now);
        let old = compiler.table().clone();
        for step in 0..20 {
            if step == 10 {
                let change =
                    Change::RemoveEndpoint { service: "web".into(), endpoint: name.clone() };
                compiler.apply(change, now).unwrap();
                worker.adopt(&old, compiler.table(), now);
            }
            let client = from_client(random.below(1 << 16), now);
            let ticket = worker.open(&frontend(&compiler), &client).expect("somebody serves");
            failed += u32::from(dead.contains(&ticket.backend) || ticket.backend == gone);
            open.push((now + u64::from(random.below(8)) * SECOND, ticket));
            now += SECOND / 20;
            // What closes by itself, and what the deadline cuts.
            let (closing, rest) = open.into_iter().partition(|(until, _)| *until <= now);
            open = rest;
            for (_, ticket) in closing {
                worker.on_close(ticket);
            }
            while let Some(overdue) = worker.drain_expired(now) {
                let (cut, rest): (Vec<_>, _) =
                    open.into_iter().partition(|(_, ticket)| ticket.backend == overdue);
                open = rest;
                drained += cut.len();
                assert!(!cut.is_empty(), "only who has connections is overdue");
                for (_, ticket) in cut {
                    worker.on_close(ticket);
                }
                assert!(worker.drains().iter().all(|(id, _)| id != overdue));
            }
        }
        dead.insert(gone);
    }
    assert_eq!(failed, 0);
    assert!(drained > 0, "some lived until the deadline");
    assert!(open.iter().all(|(_, ticket)| {
        !dead.contains(&ticket.backend)
            || worker.drains().iter().any(|(id, _)| id == ticket.backend)
    }));
}
