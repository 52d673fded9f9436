// SPDX-License-Identifier: Apache-2.0
//! Where client, balancer and backends stand: in three network namespaces joined by two veth pairs, or all on the loopback
//! device.
//!
//! ```text
//!   berth-PID-client              berth-PID-node                berth-PID-backend
//!   198.18.1.2..17  veth ──────── veth 198.18.1.1
//!                                 198.18.2.1  veth ──────────── veth 198.18.2.2
//! ```
//!
//! 198.18.0.0/15 is set aside for benchmarks (RFC 2544), so nothing else has it. The service address, 198.18.3.10, is the
//! node's alone where a balancer listens on it; to everybody else it is behind the node.

pub mod broom;
pub mod conntrack;
pub mod netns;

use super::socket::Sources;
use crate::error::Error;
use broom::Broom;
use netns::{Namespace, Trio};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

/// The client's first address; it has [`CLIENTS`] of them.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
/// Addresses of the client: each has some 63,000 ports, and a run must not need one twice within a minute.
pub const CLIENTS: u8 = 16;
/// The node, as the client sees it.
pub const NODE: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
/// The node, as the backends see it.
pub const NODE_BEHIND: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 1);
/// The backends.
pub const BACKEND: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 2);
/// The service address.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(198, 18, 3, 10);

/// The network of the services that a row adds by thousands.
pub const CROWD: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 19, 0, 0), 16);

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who asks.
    Client,
    /// Who balances.
    Node,
    /// Who answers.
    Backend,
}

/// Where a run takes place.
#[derive(Debug)]
pub struct Place {
    trio: Option<Trio>,
    /// After the namespaces in this list: it removes them when it is dropped.
    broom: Mutex<Broom>,
}

impl Place {
    /// Namespaces, if this process may make them, else the loopback device, with the reason.
    pub fn choose(loopback: bool) -> Result<(Self, Option<String>), Error> {
        let reason = if loopback { Some("--loopback".to_owned()) } else { netns::impediment() };
        if reason.is_some() {
            return Ok((Self { trio: None, broom: Mutex::new(Broom::start([])?) }, reason));
        }
        let trio = Trio::named();
        // Before the first namespace is made: whatever happens from here on, they go.
        let broom = Mutex::new(Broom::start(trio.names())?);
        let place = Self { trio: Some(trio), broom };
        if let Some(trio) = &place.trio {
            trio.make()?;
        }
        Ok((place, None))
    }

    /// The namespaces, if it is made of them.
    pub fn trio(&self) -> Option<&Trio> {
        self.trio.as_ref()
    }

    fn namespace(&self, role: Role) -> Option<&Namespace> {
        self.trio.as_ref().map(|trio| trio.of(role))
    }

    /// Runs `work` there, on a thread of its own.
    pub fn run<T: Send>(
        &self,
        role: Role,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let namespace = self.namespace(role);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                if let Some(namespace) = namespace {
                    namespace.enter()?;
                }
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a process there.
    pub fn spawn(&self, role: Role, command: &mut Command) -> Result<Child, Error> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = self.run(role, move || {
            command.spawn().map_err(|source| Error::Start { program: name, source })
        })?;
        self.broom.lock().unwrap_or_else(PoisonError::into_inner).watch(child.id());
        Ok(child)
    }

    /// Empties the node's table of flows: a trial must not begin with what the one before left.
    pub fn forget_flows(&self) -> Result<(), Error> {
        if self.trio.is_none() {
            // The host's own is nobody's to empty.
            return Ok(());
        }
        self.run(Role::Node, || {
            let what = "empty the node's table of flows".to_owned();
            conntrack::flush().map_err(|source| Error::Namespace { what, source })
        })
    }

    /// Gives the node the network of [`CROWD`], for what listens in its namespace, or takes it away.
    pub fn own_crowd(&self, own: bool) -> Result<(), Error> {
        self.trio.as_ref().map_or(Ok(()), |trio| trio.own_crowd(own))
    }

    /// The address of a service of the crowd. On the loopback device all of 127.0.0.0/8 is there.
    pub fn crowd_address(&self, number: u16) -> IpAddr {
        let [_, _, c, d] = u32::from(number).to_be_bytes();
        let (a, b) = if self.trio.is_some() { (198, 19) } else { (127, 77) };
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }

    /// Where a balancer that listens does so.
    pub fn service_address(&self) -> IpAddr {
        IpAddr::V4(if self.trio.is_some() { SERVICE } else { Ipv4Addr::LOCALHOST })
    }

    /// Where the backends are.
    pub fn backend_address(&self) -> IpAddr {
        IpAddr::V4(if self.trio.is_some() { BACKEND } else { Ipv4Addr::LOCALHOST })
    }

    /// Where the client's connections come from.
    pub fn sources(&self) -> Sources {
        let first = if self.trio.is_some() { CLIENT } else { Ipv4Addr::new(127, 0, 1, 2) };
        let [a, b, c, d] = first.octets();
        Sources::new((0..CLIENTS).map(|at| Ipv4Addr::new(a, b, c, d + at)).collect())
    }
}
