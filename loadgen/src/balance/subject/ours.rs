// SPDX-License-Identifier: Apache-2.0
//! Berth's balancer, as its users start it: `berth balancer --config FILE`, the same file for all rows of a column. Which path
//! served is asked of its live table.

use super::program::{Program, configure, scope};
use super::{Column, Running, Service, Subject};
use crate::balance::backend::Protocol;
use crate::balance::place::{Place, Role};
use crate::balance::socket::any_port;
use crate::balance::template::fill;
use crate::error::Error;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Its configuration.
const TEMPLATE: &str = include_str!("../../../peers/berth.yaml");

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long its table may take.
const TABLE: Duration = Duration::from_secs(5);

/// The balancer on one of its paths.
#[derive(Debug)]
pub struct Ours {
    program: PathBuf,
    column: Column,
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
    Ok(vec![Box::new(Ours { program, column })])
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

    fn start(&self, place: &Place, services: &[Service]) -> Result<Box<dyn Running>, Error> {
        let folder = configure("balancer.yaml", |_| config(services, self.column.name()))?;
        match self.column {
            Column::Fast => Program::take_address(place)?,
            _ => Program::give_address(place)?,
        }
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let admin = place.run(Role::Node, || {
            let free = TcpListener::bind(any_port(local)).map_err(Error::Load)?;
            free.local_addr().map_err(Error::Load)
        })?;
        let mut command = Command::new(&self.program);
        command.args(["--log", "warn", "balancer", "--config"]);
        command.arg(folder.path().join("balancer.yaml"));
        command.arg("--control").arg(folder.path().join("balancer.sock"));
        command.arg("--admin").arg(admin.to_string());
        // What it says is shown if it does not start.
        command.env("NO_COLOR", "1");
        let mut program = Program::start("berth balancer", place, &mut command, folder)?;
        program.wait_until_it_serves(place, services, PATIENCE)?;
        let namespace = place.trio().map(|trio| trio.of(Role::Node).path());
        let door = namespace.map(File::open).transpose().map_err(Error::Load)?;
        let path = self.column.name();
        Ok(Box::new(Balancer { program, admin, namespace: door, path }))
    }
}

/// It runs.
#[derive(Debug)]
struct Balancer {
    program: Program,
    admin: SocketAddr,
    /// Of the node, where its table is.
    namespace: Option<File>,
    /// Which is asked for.
    path: &'static str,
}

impl Running for Balancer {
    fn pids(&self) -> Vec<u32> {
        self.program.pids()
    }

    fn path(&mut self, service: &Service) -> Result<Option<String>, Error> {
        self.program.check()?;
        let (admin, namespace) = (self.admin, self.namespace.as_ref());
        let table = std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                if let Some(namespace) = namespace {
                    crate::balance::place::netns::enter(namespace)?;
                }
                table(admin)
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        Ok(path_of(&table.map_err(Error::Load)?, &name(service)))
    }

    fn change(&mut self, services: &[Service]) -> Result<(), Error> {
        self.program.rewrite("balancer.yaml", &config(services, self.path))
    }

    fn stop(mut self: Box<Self>) -> Result<(), Error> {
        self.program.stop()
    }
}

/// The live table, as it is sent.
fn table(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, TABLE)?;
    stream.set_read_timeout(Some(TABLE))?;
    write!(stream, "GET /table HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The path that a service takes, by the answer with the table.
fn path_of(answer: &str, service: &str) -> Option<String> {
    let body = &answer[answer.find('{')?..=answer.rfind('}')?];
    let table: Value = serde_json::from_str(body).ok()?;
    let services = table["services"].as_array()?;
    let service = services.iter().find(|one| one["name"] == service)?;
    service["path"].as_str().map(str::to_owned)
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

    #[test]
    fn the_path_is_read_from_the_table() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n\
                      {\"services\": [{\"name\": \"a\", \"path\": \"fast\"}, {\"name\": \"b\"}]}\n";
        assert_eq!(path_of(answer, "a"), Some("fast".to_owned()));
        assert_eq!(path_of(answer, "b"), None);
        assert_eq!(path_of("HTTP/1.1 404 Not Found\r\n\r\n", "a"), None);
    }
}
