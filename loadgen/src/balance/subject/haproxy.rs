// SPDX-License-Identifier: Apache-2.0
//! HAProxy, with one or two threads, splicing or not: which of the four is best depends on the load.

use super::program::{Listening, Program, configure, find, scope};
use super::{Column, Running, Service, Subject};
use crate::balance::backend::Protocol;
use crate::balance::backend::process::descriptor_limit;
use crate::balance::place::Place;
use crate::balance::template::fill;
use crate::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Its configuration.
const TEMPLATE: &str = include_str!("../../../peers/haproxy.cfg");

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that it is asked for at most.
const CONNECTIONS: u64 = 20_000;

/// One of its configurations.
#[derive(Debug)]
pub struct Haproxy {
    program: PathBuf,
    threads: u32,
    splice: bool,
}

/// All four, or what to do to have them.
pub fn all() -> Result<Vec<Box<dyn Subject>>, Error> {
    let program = find("haproxy").ok_or(Error::NoPeer { name: "haproxy", package: "haproxy" })?;
    let variants = [(1, false), (2, false), (1, true), (2, true)];
    let subject = |(threads, splice)| {
        let program = program.clone();
        Box::new(Haproxy { program, threads, splice }) as Box<dyn Subject>
    };
    Ok(variants.into_iter().map(subject).collect())
}

impl Haproxy {
    fn config(&self, services: &[Service]) -> String {
        // Two descriptors a connection, two a pipe, and some.
        let connections = (descriptor_limit().saturating_sub(2_500) / 2).clamp(100, CONNECTIONS);
        let splice = if self.splice {
            "option splice-request\n    option splice-response"
        } else {
            "# spliced neither way"
        };
        let scope = scope(services)
            .with("threads", self.threads)
            .with("connections", connections)
            .with("splice", splice);
        fill(TEMPLATE, &scope)
    }
}

impl Subject for Haproxy {
    fn column(&self) -> Column {
        Column::Haproxy
    }

    fn variant(&self) -> String {
        let threads = if self.threads == 1 { "1 thread" } else { "2 threads" };
        if self.splice { format!("{threads}, splice") } else { threads.to_owned() }
    }

    fn lacks(&self, protocol: Protocol) -> Option<&'static str> {
        (protocol == Protocol::Datagram).then_some("haproxy does not balance UDP")
    }

    fn start(&self, place: &Place, services: &[Service]) -> Result<Box<dyn Running>, Error> {
        let folder = configure("haproxy.cfg", |_| self.config(services))?;
        Program::give_address(place)?;
        let mut command = Command::new(&self.program);
        command.arg("-db").arg("-f").arg(folder.path().join("haproxy.cfg"));
        let mut program = Program::start("haproxy", place, &mut command, folder)?;
        program.wait_until_it_serves(place, services, PATIENCE)?;
        Ok(Box::new(Listening(program)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::Endpoint;

    fn service(id: u32, protocol: Protocol) -> Service {
        let address = |port| format!("10.0.0.1:{port}").parse().unwrap();
        let endpoint = |index| Endpoint { service: id, index, address: address(9_000) };
        let endpoints = vec![endpoint(0), endpoint(1)];
        Service { id, protocol, front: "10.9.9.9:7001".parse().unwrap(), endpoints }
    }

    #[test]
    fn the_configuration_names_services_over_tcp_alone() {
        let haproxy = Haproxy { program: PathBuf::new(), threads: 2, splice: true };
        let text = haproxy.config(&[service(1, Protocol::Echo), service(2, Protocol::Datagram)]);
        assert!(text.contains("nbthread 2\n"), "{text}");
        assert!(text.contains("    option splice-request\n    option splice-response\n"), "{text}");
        assert!(text.contains("listen service-1\n    bind 10.9.9.9:7001 "), "{text}");
        assert!(text.contains("    server endpoint-1 10.0.0.1:9000\n"), "{text}");
        assert!(!text.contains("service-2") && !text.contains('@'), "{text}");
    }
}
