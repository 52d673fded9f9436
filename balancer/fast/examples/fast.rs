// SPDX-License-Identifier: Apache-2.0
//! The fast path alone, told by lines on standard input: to try it in a network namespace, to test it and to measure it.
//!
//! ```text
//! service NAME tcp|udp ADDRESS:PORT [node-port=N] [drain-ms=N] [source=auto|keep|masquerade] [algorithm=rr|p2c|lc]
//!     [ranges=CIDR,...] [per-source=N] [rate-per-source=N] [outer] ENDPOINT ...      `outer`: a load balancer's address
//! fill SERVICES ENDPOINTS   that many services, at 10.96.0.0 and on
//! node ADDRESS ...          addresses on which node ports are served
//! remove NAME               a service is gone
//! apply                     the table is made so; prints the time that it took
//! stats, seen NAME, resync  what is counted, flows per endpoint, the kernel's table read anew
//! ports, draining, flows    what is told of services, endpoints and flows
//! retire, resume, overtaken another process takes over, or does not; which one did without this one's being told
//! stop, leave               ends; `leave` leaves the rules
//! ```
#![expect(clippy::print_stdout, reason = "it answers on standard output")]

use anyhow::{Context, Result, bail};
use berth_balancer_core::model::{
    Algorithm, Config, Endpoint, EndpointPort, EndpointSet, Name, Protocol, Rate, Service,
    ServicePort, Settings, SourceAddress,
};
use berth_balancer_core::{Change, Compiler};
use berth_balancer_fast::report::FlowQuery;
use berth_balancer_fast::{Fast, Options, clean, now, probe};
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn main() -> Result<()> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("a value is missing");
        match argument.as_str() {
            "--instance" => options.instance = value()?,
            "--state" => options.state = value()?.into(),
            "--flows" => options.flows_max = value()?.parse()?,
            "--queue" => options.queue_max = value()?.parse()?,
            "--event-bytes" => options.event_bytes = Some(value()?.parse()?),
            "--probe" => {
                let found = probe();
                for missing in &found.missing {
                    println!("{missing}");
                }
                println!("usable {}", found.is_usable());
                return Ok(());
            }
            "--clean" => return Ok(clean(&options)?),
            other => bail!("no such option: {other}"),
        }
    }
    Session { options, compiler: Compiler::new(), fast: None, drain_ms: 30_000 }.run()
}

struct Session {
    options: Options,
    compiler: Compiler,
    fast: Option<Fast>,
    drain_ms: u64,
}

impl Session {
    fn run(mut self) -> Result<()> {
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => (),
                ["stop"] => break,
                ["leave"] => {
                    if let Some(fast) = self.fast.take() {
                        fast.leave();
                    }
                    return Ok(());
                }
                words => match self.obey(words) {
                    Ok(answer) => println!("{answer}"),
                    Err(error) => println!("error: {error:#}"),
                },
            }
        }
        match self.fast.take() {
            Some(fast) => Ok(fast.stop()?),
            None => Ok(()),
        }
    }

    fn obey(&mut self, words: &[&str]) -> Result<String> {
        match words {
            ["service", rest @ ..] => self.service(rest),
            ["fill", services, endpoints] => self.fill(services.parse()?, endpoints.parse()?),
            ["node", addresses @ ..] => {
                let mut node = self.compiler.config().node;
                node.addresses = addresses.iter().map(|at| at.parse()).collect::<Result<_, _>>()?;
                self.change(Change::Node(node))
            }
            ["remove", name] => self.change(Change::RemoveService(Name::from(*name))),
            ["apply"] => self.apply(),
            ["stats"] => Ok(format!("{:?}", self.fast()?.stats())),
            ["resync"] => Ok(format!("resync {}", self.fast()?.resync())),
            ["seen", name] => self.seen(name),
            ["ports"] => Ok(format!("{:?}", self.fast()?.ports())),
            ["draining"] => Ok(format!("{:?}", self.fast()?.draining())),
            ["flows"] => {
                let query = FlowQuery { most: 1_000, ..FlowQuery::default() };
                Ok(format!("{:?}", self.fast()?.flows(&query)))
            }
            ["retire"] => {
                self.fast()?.retire();
                Ok(String::from("ok"))
            }
            ["resume"] => {
                self.fast()?.resume();
                Ok(String::from("ok"))
            }
            ["overtaken"] => Ok(format!("{:?}", self.fast()?.overtaken_by())),
            other => bail!("not understood: {}", other.join(" ")),
        }
    }

    fn fast(&self) -> Result<&Fast> {
        self.fast.as_ref().context("nothing is applied yet")
    }

    fn change(&mut self, change: Change) -> Result<String> {
        match self.compiler.apply(change, now()) {
            Ok(()) => Ok(String::from("ok")),
            Err(problems) => bail!("{problems:?}"),
        }
    }

    fn apply(&mut self) -> Result<String> {
        let begun = now();
        let table = self.compiler.table();
        match &self.fast {
            Some(fast) => fast.apply(table)?,
            None => self.fast = Some(Fast::start(&self.options, table)?),
        }
        Ok(format!("applied {} us", (now() - begun) / 1_000))
    }

    fn seen(&self, name: &str) -> Result<String> {
        let (table, fast) = (self.compiler.table(), self.fast()?);
        let mut parts = vec![String::from("seen")];
        table.each(|frontend| {
            for backend in frontend.backends.iter().filter(|_| &*frontend.service == name) {
                let (active, ejected) = fast.seen(frontend, backend.id).unwrap_or_default();
                let state = if ejected > now() { " ejected" } else { "" };
                parts.push(format!("{}={active}{state}", backend.address));
            }
        });
        Ok(parts.join(" "))
    }

    fn service(&mut self, words: &[&str]) -> Result<String> {
        let [name, protocol, address, rest @ ..] = words else { bail!("service NAME tcp ADDRESS") };
        let protocol = if *protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
        let address: SocketAddr = address.parse()?;
        let mut settings = Settings { drain_ns: self.drain_ms * 1_000_000, ..Settings::default() };
        let (mut node_port, mut endpoints, mut outer) = (None, Vec::new(), false);
        for word in rest {
            match word.split_once('=') {
                Some(("node-port", port)) => node_port = Some(port.parse()?),
                Some(("drain-ms", time)) => settings.drain_ns = time.parse::<u64>()? * 1_000_000,
                Some(("source", "keep")) => settings.source = SourceAddress::Keep,
                Some(("source", "masquerade")) => settings.source = SourceAddress::Masquerade,
                Some(("source", _)) => (),
                Some(("algorithm", "rr")) => settings.algorithm = Algorithm::RoundRobin,
                Some(("algorithm", "lc")) => settings.algorithm = Algorithm::LeastConnections,
                Some(("algorithm", "p2c")) => settings.algorithm = Algorithm::PowerOfTwo,
                Some(("ranges", all)) => {
                    settings.source_ranges =
                        all.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                Some(("per-source", most)) => {
                    settings.limits.connections_per_source_max = Some(most.parse()?);
                }
                Some(("rate-per-source", rate)) => {
                    let per_second = rate.parse()?;
                    settings.limits.rate_per_source = Some(Rate { per_second, burst: per_second });
                }
                None if *word == "outer" => outer = true,
                Some((other, _)) => bail!("no such setting: {other}"),
                None => endpoints.push(endpoint(word.parse()?)),
            }
        }
        let port = ServicePort { name: Name::from(""), protocol, port: address.port(), node_port };
        let service = Service {
            name: Name::from(*name),
            cluster_ips: Vec::from_iter((!outer).then_some(address.ip())),
            external_ips: Vec::new(),
            load_balancer_ips: Vec::from_iter(outer.then_some(address.ip())),
            ports: vec![port],
            settings: settings.into(),
        };
        self.change(Change::Service(Box::new(service)))?;
        self.change(Change::Endpoints(EndpointSet { service: Name::from(*name), endpoints }))
    }

    /// Many services at once, as one configuration.
    fn fill(&mut self, services: u32, endpoints: u32) -> Result<String> {
        let mut config = self.compiler.config();
        for number in 0..services {
            let name = Name::from(format!("fill-{number}"));
            let address = Ipv4Addr::from_bits(0x0a60_0100 + number);
            let port = ServicePort {
                name: Name::from(""),
                protocol: Protocol::Tcp,
                port: 80,
                node_port: None,
            };
            config.services.push(Service {
                name: name.clone(),
                cluster_ips: vec![address.into()],
                external_ips: Vec::new(),
                load_balancer_ips: Vec::new(),
                ports: vec![port],
                settings: Settings::default().into(),
            });
            let one = |at: u32| {
                let address = Ipv4Addr::from_bits(0x0ac8_0000 + number * endpoints + at);
                endpoint((address, 8080).into())
            };
            let endpoints = (0..endpoints).map(one).collect();
            config.endpoints.push(EndpointSet { service: name, endpoints });
        }
        match self.compiler.replace(Config { ..config }, now()) {
            Ok(()) => Ok(String::from("ok")),
            Err(problems) => bail!("{:?}", problems.first()),
        }
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let ip: IpAddr = address.ip();
    Endpoint {
        name: Name::from(address.to_string()),
        address: ip,
        ports: vec![EndpointPort { name: Name::from(""), port: address.port() }],
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        weight: 1,
    }
}
