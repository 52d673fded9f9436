// SPDX-License-Identifier: Apache-2.0
//! Berth's balancer, as its users start it: `berth balancer --config FILE`, the same file for all rows of a column. Which path
//! served is asked of its live table.

use super::program::{Program, configure, scope};
use super::table::Table;
use super::{Column, Running, Service, Subject};
use crate::balance::backend::Protocol;
use crate::balance::place::{Place, Role};
use crate::balance::socket::any_port;
use crate::balance::template::fill;
use crate::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Its configuration.
const TEMPLATE: &str = include_str!("../../../peers/berth.yaml");

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked at until then.
const LOOK: Duration = Duration::from_millis(10);

/// The socket of its data plane, in its folder.
const CONTROL: &str = "balancer.sock";
/// The flag of a data plane that replaces another.
const TAKE_OVER: &str = "--take-over";

/// The balancer on one of its paths.
#[derive(Debug)]
pub struct Ours {
    program: PathBuf,
    column: Column,
    /// It was found to listen in the node's namespace, where it needs the address to be the node's.
    needs_address: AtomicBool,
}

/// It, on the path of this column.
pub fn on(column: Column, given: Option<&Path>) -> Result<Vec<Box<dyn Subject>>, Error> {
    let program = match given {
        Some(path) => path.to_owned(),
        None => crate::balance::own_program()?.with_file_name("berth"),
    };
    if !program.is_file() {
        return Err(Error::NoBalancer { path: program });
    }
    Ok(vec![Box::new(Ours { program, column, needs_address: AtomicBool::new(false) })])
}

fn config(services: &[Service], path: &str) -> String {
    fill(TEMPLATE, &scope(services).with("path", path))
}

/// A service's name in the configuration.
fn name(service: &Service) -> String {
    format!("service-{}", service.id)
}

impl Subject for Ours {
    fn column(&self) -> Column {
        self.column
    }

    fn variant(&self) -> String {
        String::new()
    }

    fn lacks(&self, _: Protocol) -> Option<&'static str> {
        None
    }

    fn changes(&self) -> bool {
        true
    }

    fn is_steered(&self) -> bool {
        true
    }

    fn start(&self, place: &Place, services: &[Service]) -> Result<Box<dyn Running>, Error> {
        let folder = configure("balancer.yaml", |_| config(services, self.column.name()))?;
        let owns = self.column == Column::Proxy && self.needs_address.load(Ordering::Relaxed);
        own_address(place, owns)?;
        let [admin, steering] = place.run(Role::Node, free_ports)?;
        let mut command = Command::new(&self.program);
        command.args(["--log", "warn", "balancer", "--config"]);
        command.arg(folder.path().join("balancer.yaml"));
        command.arg("--control").arg(folder.path().join(CONTROL));
        command.arg("--admin").arg(admin.to_string());
        command.arg("--listen").arg(steering.to_string());
        // What it says is shown if it does not start.
        command.env("NO_COLOR", "1");
        let mut program = Program::start("berth balancer", place, &mut command, folder)?;
        let namespace = place.trio().map(|trio| trio.of(Role::Node).path());
        let namespace = namespace.map(File::open).transpose().map_err(Error::Load)?;
        let began = Instant::now();
        loop {
            program.check()?;
            // Not there yet, perhaps.
            let table = Table::ask(admin, namespace.as_ref()).unwrap_or_default();
            if let Some(why) = table.refusal() {
                return Err(Error::Balancer(format!("it refused its configuration: {why}")));
            }
            let unserved = table.unserved();
            if !unserved.is_empty() && self.column == Column::Proxy && !owns {
                // A data plane in the node's own namespace listens on addresses that the node has. It is started anew, so that
                // no row's figures depend on when it tries again.
                self.needs_address.store(true, Ordering::Relaxed);
                program.stop()?;
                return self.start(place, services);
            }
            if table.taken() > 0 && unserved.is_empty() {
                break;
            }
            if began.elapsed() > PATIENCE {
                let why = unserved.first().map_or_else(
                    || "it did not take its configuration".to_owned(),
                    |(address, reason)| format!("it does not serve {address}: {reason}"),
                );
                return Err(Error::Balancer(why));
            }
            std::thread::sleep(LOOK);
        }
        program.wait_until_it_serves(place, services, PATIENCE)?;
        let path = self.column.name();
        let successors = Vec::new();
        Ok(Box::new(Balancer { successors, program, admin, steering, namespace, path, owns }))
    }
}

/// The node owns the service address, or nobody does.
fn own_address(place: &Place, own: bool) -> Result<(), Error> {
    if own { Program::give_address(place) } else { Program::take_address(place) }
}

/// Two ports of the node that nobody listens on.
fn free_ports() -> Result<[SocketAddr; 2], Error> {
    let local = any_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let bind = || TcpListener::bind(local).map_err(Error::Load);
    // Both at once, so that they differ.
    let (one, other) = (bind()?, bind()?);
    let address = |listener: &TcpListener| listener.local_addr().map_err(Error::Load);
    Ok([address(&one)?, address(&other)?])
}

/// It runs.
#[derive(Debug)]
struct Balancer {
    /// Processes that took over the forwarding.
    successors: Vec<Child>,
    program: Program,
    admin: SocketAddr,
    steering: SocketAddr,
    /// Of the node, where its table is.
    namespace: Option<File>,
    /// Which is asked for.
    path: &'static str,
    /// The node has the service address.
    owns: bool,
}

impl Balancer {
    fn table(&mut self) -> Result<Table, Error> {
        self.program.check()?;
        Table::ask(self.admin, self.namespace.as_ref()).map_err(Error::Load)
    }
}

impl Running for Balancer {
    fn pids(&self) -> Vec<u32> {
        let successors = self.successors.iter().map(Child::id);
        self.program.pids().into_iter().chain(successors).collect()
    }

    fn path(&mut self, service: &Service) -> Result<Option<String>, Error> {
        Ok(self.table()?.path(&name(service)))
    }

    fn change(&mut self, services: &[Service]) -> Result<(), Error> {
        self.program.rewrite("balancer.yaml", &config(services, self.path))
    }

    fn steering(&self) -> Option<SocketAddr> {
        Some(self.steering)
    }

    fn taken(&mut self) -> Result<u64, Error> {
        Ok(self.table()?.taken())
    }

    /// As the manual says: the same program is started with `--take-over`, with all else that the running one was started with.
    fn upgrade(&mut self, place: &Place) -> Result<u32, Error> {
        let gone = || Error::Balancer("nothing forwards".to_owned());
        let old = self.table()?.forwards().ok_or_else(gone)?;
        let words = fs::read(format!("/proc/{old}/cmdline")).map_err(Error::Load)?;
        let words = words.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let words: Vec<&OsStr> = words.map(OsStr::from_bytes).collect();
        let (program, rest) = words.split_first().ok_or_else(gone)?;
        let mut command = Command::new(program);
        command.args(rest.iter().filter(|word| *word != &TAKE_OVER)).arg(TAKE_OVER);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = place.spawn(Role::Node, &mut command)?;
        let successor = child.id();
        self.successors.push(child);
        let began = Instant::now();
        while self.table()?.forwards() != Some(successor) {
            if began.elapsed() > PATIENCE {
                return Err(Error::Balancer(format!("process {successor} did not take over")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(successor)
    }

    fn listens_on_node(&self) -> bool {
        self.owns
    }

    fn stop(mut self: Box<Self>) -> Result<(), Error> {
        let stopped = self.program.stop();
        end(&mut self.successors);
        stopped
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        end(&mut self.successors);
    }
}

/// The last one was told to end with the balancer; those before it may still hold connections.
fn end(successors: &mut Vec<Child>) {
    for mut child in successors.drain(..) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::Endpoint;

    #[test]
    fn the_configuration_is_the_short_form() {
        let endpoint = |index: u32| Endpoint {
            service: 4,
            index,
            address: format!("10.0.0.1:900{index}").parse().unwrap(),
        };
        let service = Service {
            id: 4,
            protocol: Protocol::Datagram,
            front: "10.9.9.9:7001".parse().unwrap(),
            endpoints: vec![endpoint(0), endpoint(1)],
        };
        let text = config(&[service], "proxy");
        let want = "\
- name: service-4
  address: 10.9.9.9:7001
  protocol: UDP
  path: proxy
  endpoints: [10.0.0.1:9000, 10.0.0.1:9001]
";
        assert!(text.ends_with(want), "{text}");
    }
}
