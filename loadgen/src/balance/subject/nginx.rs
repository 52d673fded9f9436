// SPDX-License-Identifier: Apache-2.0
//! nginx's stream module with two workers. For UDP it has two configurations: sessions that are kept for a while, or that end with
//! the answer.

use super::program::{Program, configure, find, scope};
use super::{Column, Running, Service, Subject};
use crate::balance::backend::Protocol;
use crate::balance::backend::process::descriptor_limit;
use crate::balance::place::Place;
use crate::balance::template::fill;
use crate::error::Error;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Its configuration.
const TEMPLATE: &str = include_str!("../../../peers/nginx.conf");

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections of a worker at most, those to backends included.
const CONNECTIONS: u64 = 40_000;

/// Where distributions put the module.
const MODULES: [&str; 4] = [
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/local/lib/nginx/modules",
    "/etc/nginx/modules",
];

/// One of its configurations.
#[derive(Debug, Clone)]
pub struct Nginx {
    program: PathBuf,
    modules: PathBuf,
    /// UDP sessions end with their answer.
    one_answer: bool,
}

/// Both, or what to do to have them.
pub fn all() -> Result<Vec<Box<dyn Subject>>, Error> {
    let missing = Error::NoPeer { name: "nginx", package: "nginx-light libnginx-mod-stream" };
    let module = |folder: &&str| Path::new(folder).join("ngx_stream_module.so").is_file();
    let (Some(program), Some(modules)) = (find("nginx"), MODULES.iter().find(|f| module(f))) else {
        return Err(missing);
    };
    let subject = |one_answer| {
        let (program, modules) = (program.clone(), PathBuf::from(modules));
        Box::new(Nginx { program, modules, one_answer }) as Box<dyn Subject>
    };
    Ok([false, true].map(subject).into())
}

impl Nginx {
    fn config(&self, folder: &Path, services: &[Service]) -> String {
        let descriptors = descriptor_limit().min(2 * CONNECTIONS);
        let connections = (descriptors.saturating_sub(100)).min(CONNECTIONS);
        let responses =
            if self.one_answer { "proxy_responses 1;" } else { "# sessions end by time" };
        let user = if rustix::process::geteuid().is_root() { "root" } else { "nobody" };
        let scope = scope(services)
            .with("modules", self.modules.display())
            .with("folder", folder.display())
            .with("descriptors", descriptors)
            .with("connections", connections)
            .with("responses", responses)
            .with("user", user);
        fill(TEMPLATE, &scope)
    }
}

impl Subject for Nginx {
    fn column(&self) -> Column {
        Column::Nginx
    }

    fn variant(&self) -> String {
        let udp = if self.one_answer { ", UDP by answer" } else { "" };
        format!("2 workers{udp}")
    }

    fn lacks(&self, protocol: Protocol) -> Option<&'static str> {
        (self.one_answer && protocol != Protocol::Datagram)
            .then_some("over TCP it is the other configuration")
    }

    fn changes(&self) -> bool {
        !self.one_answer
    }

    fn start(&self, place: &Place, services: &[Service]) -> Result<Box<dyn Running>, Error> {
        let folder = configure("nginx.conf", |folder| self.config(folder, services))?;
        Program::give_address(place)?;
        let mut command = Command::new(&self.program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        command.arg("-e").arg(folder.path().join("error.log"));
        let mut program = Program::start("nginx", place, &mut command, folder)?;
        program.wait_until_it_serves(place, services, PATIENCE)?;
        Ok(Box::new(Workers { program, nginx: self.clone() }))
    }
}

/// It runs.
#[derive(Debug)]
struct Workers {
    program: Program,
    nginx: Nginx,
}

impl Running for Workers {
    fn pids(&self) -> Vec<u32> {
        self.program.pids()
    }

    /// New workers take new connections; the old ones stay for theirs.
    fn change(&mut self, services: &[Service]) -> Result<(), Error> {
        let config = self.nginx.config(self.program.folder(), services);
        self.program.rewrite("nginx.conf", &config)?;
        self.program.signal(Signal::HUP);
        Ok(())
    }

    fn stop(mut self: Box<Self>) -> Result<(), Error> {
        self.program.stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::Endpoint;

    #[test]
    fn the_configuration_names_services_over_tcp_and_udp() {
        let (program, modules) = (PathBuf::new(), PathBuf::from("/m"));
        let nginx = Nginx { program, modules, one_answer: true };
        let service = |id, protocol| {
            let address = "10.0.0.1:9000".parse().unwrap();
            let endpoints = vec![Endpoint { service: id, index: 0, address }];
            Service { id, protocol, front: "10.9.9.9:7001".parse().unwrap(), endpoints }
        };
        let services = [service(1, Protocol::Echo), service(2, Protocol::Datagram)];
        let text = nginx.config(Path::new("/f"), &services);
        assert!(text.contains("listen 10.9.9.9:7001 reuseport"), "{text}");
        assert!(text.contains("listen 10.9.9.9:7001 udp reuseport"), "{text}");
        assert!(text.contains("proxy_responses 1;") && !text.contains('@'), "{text}");
    }
}
