// SPDX-License-Identifier: Apache-2.0
//! A balancer that is a program: its folder, its process, its end.

use super::{Running, Service};
use crate::balance::place::{Place, Role};
use crate::balance::template::Scope;
use crate::balance::usage;
use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(5);
/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Folders in which programs of the system are, also where the search path of a user does not have them.
const FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin"];

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The services as a template names them: `tcp`, `udp`, `service` (all), each with its `endpoint`s.
pub fn scope(services: &[Service]) -> Scope {
    let endpoints = |service: &Service| {
        let endpoint = |e: &crate::balance::backend::Endpoint| {
            Scope::default().with("address", e.address).with("index", e.index)
        };
        service.endpoints.iter().map(endpoint).collect()
    };
    let of = |service: &Service| {
        // What is drawn is a place among those that are there, whatever their numbers.
        let draw = |(at, e): (usize, &crate::balance::backend::Endpoint)| {
            format!("{at} : goto endpoint-{}-{}", service.id, e.index)
        };
        let draw: Vec<String> = service.endpoints.iter().enumerate().map(draw).collect();
        Scope::default()
            .with("id", service.id)
            .with("front", service.front)
            .with("ip", service.front.ip())
            .with("port", service.front.port())
            .with("protocol", if service.is_udp() { "udp" } else { "tcp" })
            .with("PROTOCOL", if service.is_udp() { "UDP" } else { "TCP" })
            .with("list", list(service))
            .with("count", service.endpoints.len())
            .with("draw", draw.join(", "))
            .with_each("endpoint", endpoints(service))
    };
    let some = |udp: bool| services.iter().filter(|s| s.is_udp() == udp).map(of).collect();
    Scope::default()
        .with_each("tcp", some(false))
        .with_each("udp", some(true))
        .with_each("service", services.iter().map(of).collect())
}

/// A service's endpoints in one line.
fn list(service: &Service) -> String {
    let addresses: Vec<String> = service.endpoints.iter().map(|e| e.address.to_string()).collect();
    addresses.join(", ")
}

/// A program that runs, with its folder.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    folder: TempDir,
}

/// A folder for a program, with its configuration in it.
pub fn configure(file: &str, text: impl FnOnce(&Path) -> String) -> Result<TempDir, Error> {
    let folder = tempfile::Builder::new().prefix("berth-peer-").tempdir().map_err(Error::Folder)?;
    let path = folder.path().join(file);
    let text = text(folder.path());
    std::fs::write(&path, text).map_err(|source| Error::Write { path, source })?;
    Ok(folder)
}

impl Program {
    /// Starts it on the node; what it prints goes to a file in its folder.
    pub fn start(
        name: &'static str,
        place: &Place,
        command: &mut Command,
        folder: TempDir,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Start { program: name.to_owned(), source };
        let log = File::create(folder.path().join("log")).map_err(failed)?;
        let again = log.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(log).stderr(again);
        let child = place.spawn(Role::Node, command)?;
        Ok(Self { name, child, folder })
    }

    /// It listens on the service address, which the node gets for as long as it runs.
    pub fn give_address(place: &Place) -> Result<(), Error> {
        place.trio().map_or(Ok(()), |trio| trio.own_service_address(true))
    }

    /// The service address is nobody's: what rewrites packets does not listen.
    pub fn take_address(place: &Place) -> Result<(), Error> {
        place.trio().map_or(Ok(()), |trio| trio.own_service_address(false))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces a file of its folder as a whole: whoever reads it sees the old one or the new one.
    pub fn rewrite(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.path().join(file);
        let beside = self.folder.path().join("next");
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|source| Error::Write { path, source })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that has ended is found out by the next look.
            let _ = kill_process(pid, signal);
        }
    }

    /// The processes.
    pub fn pids(&self) -> Vec<u32> {
        usage::family(self.child.id())
    }

    /// Fails if it has ended, with what it printed.
    pub fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(&status.to_string())),
            Err(source) => Err(Error::Start { program: self.name.to_owned(), source }),
        }
    }

    fn ended(&self, status: &str) -> Error {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let more = std::fs::read_to_string(self.folder.path().join("error.log"));
        let said = format!("{}{}", log.trim(), more.unwrap_or_default().trim());
        Error::Command { line: self.name.to_owned(), status: status.to_owned(), said }
    }

    /// Waits until all its services over TCP can be connected to from where the clients are.
    pub fn wait_until_it_serves(
        &mut self,
        place: &Place,
        services: &[Service],
        patience: Duration,
    ) -> Result<(), Error> {
        let began = Instant::now();
        for service in services.iter().filter(|service| !service.is_udp()) {
            while !reachable(place, service)? {
                self.check()?;
                if began.elapsed() > patience {
                    let what = format!("it does not listen on {}", service.front);
                    return Err(self.ended(&what));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Asks it to stop, and kills it if it does not.
    pub fn stop(&mut self) -> Result<(), Error> {
        let failed = |source| Error::Start { program: self.name.to_owned(), source };
        let family = self.pids();
        self.signal(Signal::TERM);
        let began = Instant::now();
        while self.child.try_wait().map_err(failed)?.is_none() {
            if began.elapsed() > STOP {
                self.child.kill().map_err(failed)?;
                self.child.wait().map_err(failed)?;
                break;
            }
            std::thread::sleep(LOOK);
        }
        // Workers that outlive their master would share the ports of the next one.
        while family.iter().any(|pid| usage::started(*pid).is_some()) && began.elapsed() < STOP {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn reachable(place: &Place, service: &Service) -> Result<bool, Error> {
    let front = service.front;
    place.run(Role::Client, move || {
        let second = Duration::from_secs(1);
        match std::net::TcpStream::connect_timeout(&front, second) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(Error::Start { program: front.to_string(), source: error })
            }
            Err(_) => Ok(false),
        }
    })
}

/// A program that is a balancer and nothing else.
#[derive(Debug)]
pub struct Listening(pub Program);

impl Running for Listening {
    fn pids(&self) -> Vec<u32> {
        self.0.pids()
    }

    fn stop(mut self: Box<Self>) -> Result<(), Error> {
        self.0.stop()
    }
}
