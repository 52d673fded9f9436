// SPDX-License-Identifier: Apache-2.0
//! The balancer's core: one turn of each is what a bench measures, and gives a number that follows from the seed alone.

use berth_balancer_core::model::{
    Algorithm, Config, Endpoint, EndpointPort, EndpointSet, HashKey, Protocol, ProxyProtocol,
    Service, ServicePort, Settings, Timeouts,
};
use berth_balancer_core::proxy::{self, Parsed, ProxyError};
use berth_balancer_core::table::{FrontendId, Via};
use berth_balancer_core::{
    Affinity, Change, Compiler, FlowKey, FlowTable, Prefer, Random, Request, Table, Ticket, Worker,
};
use core::net::{Ipv4Addr, SocketAddr};

/// Algorithms, by the names that benches give them.
pub const ALGORITHMS: [(&str, Algorithm); 8] = [
    ("p2c-peak-ewma", Algorithm::PeakEwma),
    ("p2c", Algorithm::PowerOfTwo),
    ("least-connections", Algorithm::LeastConnections),
    ("round-robin", Algorithm::RoundRobin),
    ("smooth-weighted", Algorithm::SmoothWeighted),
    ("maglev", Algorithm::Maglev(HashKey::Flow)),
    ("ring-hash", Algorithm::RingHash(HashKey::Flow)),
    ("random", Algorithm::Random),
];

const SECOND: u64 = 1_000_000_000;

/// Services with endpoints, all ready.
#[must_use]
pub fn config(services: u32, endpoints: u32, algorithm: Algorithm) -> Config {
    let mut config = Config::default();
    for number in 0..services {
        let name = format!("default/service-{number:05}");
        config.services.push(Service {
            name: name.as_str().into(),
            cluster_ips: vec![Ipv4Addr::from_bits(CLUSTER + number).into()],
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            ports: vec![ServicePort {
                name: "http".into(),
                protocol: Protocol::Tcp,
                port: 80,
                node_port: None,
            }],
            settings: Settings { algorithm, ..Settings::default() }.into(),
        });
        let endpoints = (0..endpoints).map(|at| endpoint(number, at)).collect();
        config.endpoints.push(EndpointSet { service: name.as_str().into(), endpoints });
    }
    config
}

/// First cluster address: 10.96.0.0.
const CLUSTER: u32 = 0x0a60_0000;

fn address(service: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(CLUSTER + service).into(), 80)
}

fn endpoint(service: u32, at: u32) -> Endpoint {
    Endpoint {
        name: format!("pod-{service:05}-{at:04}").into(),
        address: Ipv4Addr::from_bits(0x1400_0000 + service * 1_024 + at).into(),
        ports: vec![EndpointPort { name: "http".into(), port: 8_080 }],
        ready: true,
        serving: true,
        terminating: false,
        node: Some(format!("node-{}", at % 100).into()),
        zone: Some(format!("zone-{}", at % 3).into()),
        weight: 1,
    }
}

/// A table of a configuration.
///
/// # Panics
/// If the configuration is not right.
#[must_use]
pub fn compile(config: Config) -> Compiler {
    let mut compiler = Compiler::new();
    compiler.replace(config, 0).expect("the configuration is right");
    compiler
}

fn client(random: &mut Random) -> SocketAddr {
    let bits = random.next_u64();
    #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
    let (address, port) = (bits as u32, (bits >> 32) as u16);
    SocketAddr::new(Ipv4Addr::from_bits(address).into(), port)
}

/// Choices for services of one algorithm.
#[derive(Debug)]
pub struct Choices {
    table: Table,
    worker: Worker,
    /// Connections that stay open, as many as the first service has endpoints: none of them is idle.
    held: Vec<Ticket>,
    random: Random,
    services: u32,
    now: u64,
}

impl Choices {
    /// Services, each with so many endpoints, and a worker that has seen some connections.
    #[must_use]
    pub fn new(services: u32, endpoints: u32, algorithm: Algorithm) -> Self {
        let table = compile(config(services, endpoints, algorithm)).table().clone();
        let mut worker = Worker::new(1);
        worker.adopt(&Table::default(), &table, 0);
        let (random, held, now) = (Random::new(2), Vec::new(), SECOND);
        let mut choices = Self { table, worker, held, random, services, now };
        for _ in 0..endpoints {
            let ticket = choices.open(0);
            choices.held.push(ticket);
        }
        for _ in 0..services * endpoints.min(1_000) {
            choices.connection();
        }
        choices
    }

    /// Connections that stay open.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn service(&mut self) -> u32 {
        if self.services == 1 { 0 } else { self.random.below(self.services) }
    }

    fn open(&mut self, service: u32) -> Ticket {
        let request = self.request();
        let found = self.table.lookup(Protocol::Tcp, address(service)).expect("it is there");
        self.worker.open(found.frontend, &request).expect("somebody serves")
    }

    fn request(&mut self) -> Request<'static> {
        self.now += 10_000;
        let source = client(&mut self.random);
        Request { via: Via::Cluster, inside: true, source, now: self.now, prefer: None, tried: &[] }
    }

    /// A lookup alone: the slot of the frontend.
    ///
    /// # Panics
    /// If the service is not found.
    pub fn lookup(&mut self) -> u64 {
        let service = self.service();
        let found = self.table.lookup(Protocol::Tcp, address(service)).expect("it is there");
        u64::from(found.frontend.id.slot)
    }

    /// A choice for the first service, without counting: the backend's slot.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick(&mut self) -> u64 {
        let request = self.request();
        let found = self.table.lookup(Protocol::Tcp, address(0)).expect("it is there");
        let pick = self.worker.pick(found.frontend, &request).expect("somebody serves");
        u64::from(pick.backend.slot)
    }

    /// A whole connection to any service, from the lookup until it closes: the backend's slot.
    ///
    /// # Panics
    /// If there is no backend.
    pub fn connection(&mut self) -> u64 {
        let service = self.service();
        let mut ticket = self.open(service);
        let slot = u64::from(ticket.backend.slot);
        self.worker.on_connected(&mut ticket, self.now + 100_000);
        self.worker.on_first_byte(&ticket, 1_000_000 + slot % 16 * 50_000, self.now + 2_000_000);
        self.worker.on_close(ticket);
        slot
    }
}

/// Changes of single endpoints, each published and adopted by a worker.
#[derive(Debug)]
pub struct Changes {
    compiler: Compiler,
    worker: Worker,
    published: Table,
    random: Random,
    services: u32,
    endpoints: u32,
    now: u64,
}

impl Changes {
    /// Services, each with so many endpoints.
    #[must_use]
    pub fn new(services: u32, endpoints: u32, algorithm: Algorithm) -> Self {
        let compiler = compile(config(services, endpoints, algorithm));
        let published = compiler.table().clone();
        let mut worker = Worker::new(1);
        worker.adopt(&Table::default(), &published, 0);
        let random = Random::new(3);
        Self { compiler, worker, published, random, services, endpoints, now: SECOND }
    }

    /// One endpoint goes and comes back in turn: the next table is made, published and adopted. What is different, as numbers of
    /// frontends and backends.
    ///
    /// # Panics
    /// If the change is refused.
    pub fn turn(&mut self) -> u64 {
        self.now += SECOND;
        let (number, at) = (self.random.below(self.services), self.random.below(self.endpoints));
        let service = format!("default/service-{number:05}").into();
        let mut endpoint = endpoint(number, at);
        endpoint.ready = self.random.below(2) == 0;
        self.compiler.apply(Change::Endpoint { service, endpoint }, self.now).expect("it is right");
        let new = self.compiler.table().clone();
        let diff = self.worker.adopt(&self.published, &new, self.now);
        self.published = new;
        (diff.frontends_changed.len() * 16 + diff.backends_changed.len()) as u64
    }
}

/// UDP flows.
#[derive(Debug)]
pub struct Flows {
    flows: FlowTable<u32>,
    random: Random,
    clients: u32,
    service: SocketAddr,
    now: u64,
}

impl Flows {
    /// A table full of so many flows.
    #[must_use]
    pub fn new(flows: u32) -> Self {
        let service = SocketAddr::new(Ipv4Addr::from_bits(CLUSTER).into(), 53);
        let (random, now) = (Random::new(4), SECOND);
        let mut this = Self { flows: FlowTable::new(flows, 5), random, clients: 0, service, now };
        for _ in 0..flows {
            this.insert();
        }
        this
    }

    fn key(&self, client: u32) -> FlowKey {
        let source =
            SocketAddr::new(Ipv4Addr::from_bits(client.wrapping_mul(0x9e37_79b1)).into(), 7);
        FlowKey::new(source, self.service)
    }

    /// A packet of one of the flows: 1 if it was found.
    pub fn lookup(&mut self) -> u64 {
        self.now += 100;
        let back = self.random.below(u32::try_from(self.flows.len()).unwrap_or(u32::MAX));
        let key = self.key(self.clients - back);
        u64::from(self.flows.packet(&key, self.now).is_some())
    }

    /// A new flow, in a full table: 1 if another one went.
    pub fn insert(&mut self) -> u64 {
        self.now += 100;
        self.clients += 1;
        let backend =
            berth_balancer_core::table::BackendId { slot: self.clients % 64, generation: 1 };
        let (key, client) = (self.key(self.clients), self.clients);
        let gone = self.flows.insert(key, backend, client, &Timeouts::default(), self.now);
        u64::from(gone.is_some())
    }
}

/// Clients with session affinity.
#[derive(Debug)]
pub struct Clients {
    affinity: Affinity,
    random: Random,
    clients: u32,
}

const FRONTEND: FrontendId = FrontendId { slot: 1, generation: 1 };

impl Clients {
    /// A table full of so many clients.
    #[must_use]
    pub fn new(clients: u32) -> Self {
        let mut affinity = Affinity::new(clients, 6);
        for client in 0..clients {
            let backend =
                berth_balancer_core::table::BackendId { slot: client % 10, generation: 1 };
            let prefer = Prefer { backend, position: client % 10 };
            affinity.assign(FRONTEND, Ipv4Addr::from_bits(client).into(), prefer, SECOND, 0);
        }
        Self { affinity, random: Random::new(7), clients }
    }

    /// The backend's slot of one of the clients.
    ///
    /// # Panics
    /// If it is not known.
    pub fn lookup(&mut self) -> u64 {
        let client = Ipv4Addr::from_bits(self.random.below(self.clients)).into();
        let prefer = self.affinity.find(FRONTEND, client, 1).expect("it is known");
        u64::from(prefer.backend.slot)
    }
}

/// PROXY headers of a TCP connection over IPv4, version 1 and 2.
#[must_use]
pub fn headers() -> [(ProxyProtocol, Vec<u8>); 2] {
    let addresses = Some((
        SocketAddr::new(Ipv4Addr::new(192, 168, 100, 200).into(), 56_324),
        SocketAddr::new(Ipv4Addr::new(10, 96, 0, 10).into(), 443),
    ));
    let (mut one, mut two) = ([0; proxy::V1_BYTES_MAX], [0; proxy::V2_BYTES]);
    let first = proxy::write_v1(addresses, &mut one);
    let second = proxy::write_v2(Protocol::Tcp, addresses, &mut two);
    [(ProxyProtocol::V1, one[..first].to_vec()), (ProxyProtocol::V2, two[..second].to_vec())]
}

/// Bytes of the header that was read.
///
/// # Errors
/// If it is none.
pub fn parse((version, bytes): &(ProxyProtocol, Vec<u8>)) -> Result<u64, ProxyError> {
    match proxy::parse(*version, bytes)? {
        Parsed::Header { length, .. } => Ok(length as u64),
        Parsed::NeedMore { .. } => Ok(0),
    }
}
