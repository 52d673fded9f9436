// SPDX-License-Identifier: Apache-2.0
//! What is measured: balancers that are started for a run and stopped after it, and, for comparison, no balancer at all.

pub mod direct;
pub mod haproxy;
pub mod nft;
pub mod nginx;
pub mod ours;
pub mod program;
pub mod table;

use super::backend::{Endpoint, Protocol};
use super::place::Place;
use crate::error::Error;
use std::fmt::{self, Debug, Display};
use std::net::SocketAddr;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Berth's proxy path.
    Proxy,
    /// Berth's fast path.
    Fast,
    /// HAProxy.
    Haproxy,
    /// nginx's stream module.
    Nginx,
    /// The kernel's NAT by nftables rules, as kube-proxy writes them.
    Nft,
    /// No balancer: the client asks the endpoints themselves.
    Direct,
}

impl Column {
    /// All of them, ours first.
    pub const ALL: [Self; 6] =
        [Self::Proxy, Self::Fast, Self::Haproxy, Self::Nginx, Self::Nft, Self::Direct];

    /// Those that ours is compared with.
    pub const PEERS: [Self; 4] = [Self::Haproxy, Self::Nginx, Self::Nft, Self::Direct];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Fast => "fast",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Nft => "nft",
            Self::Direct => "direct",
        }
    }

    /// The column of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

impl Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A service of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its number, which every request names.
    pub id: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where a balancer serves it.
    pub front: SocketAddr,
    /// Where its endpoints are.
    pub endpoints: Vec<Endpoint>,
}

impl Service {
    /// Whether it is over UDP.
    pub fn is_udp(&self) -> bool {
        self.protocol == Protocol::Datagram
    }
}

/// A balancer in one configuration.
pub trait Subject: Debug + Send + Sync {
    /// Its column.
    fn column(&self) -> Column;

    /// Its configuration, in a few words; empty if it has but one.
    fn variant(&self) -> String;

    /// Why it cannot serve what is spoken there, if it cannot.
    fn lacks(&self, protocol: Protocol) -> Option<&'static str>;

    /// Whether its services can be changed while it runs.
    fn changes(&self) -> bool {
        false
    }

    /// Whether it takes changes over gRPC, and its forwarding process can be replaced.
    fn is_steered(&self) -> bool {
        false
    }

    /// Whether processes forward, whose system calls can be counted.
    fn has_processes(&self) -> bool {
        true
    }

    /// Starts it; when this returns it serves all services.
    fn start(&self, place: &Place, services: &[Service]) -> Result<Box<dyn Running>, Error>;
}

/// A balancer that runs.
pub trait Running: Debug + Send {
    /// Where a client reaches a service: one address, or, without a balancer, those of its endpoints.
    fn addresses(&self, service: &Service) -> Vec<SocketAddr> {
        vec![service.front]
    }

    /// Its processes.
    fn pids(&self) -> Vec<u32>;

    /// Which path it says that it takes for a service, for what has several.
    fn path(&mut self, _service: &Service) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Serves these services from now on instead, whose fronts are the same; connections that are there stay. It may return before
    /// the change is in effect.
    fn change(&mut self, _services: &[Service]) -> Result<(), Error> {
        Err(Error::Balancer("it cannot be changed while it runs".to_owned()))
    }

    /// Where it takes changes over gRPC, within the node's namespace.
    fn steering(&self) -> Option<SocketAddr> {
        None
    }

    /// How many changed configurations it has taken.
    fn taken(&mut self) -> Result<u64, Error> {
        Err(Error::Balancer("it does not say when it took a change".to_owned()))
    }

    /// Replaces the process that forwards by a new one; gives that one's number.
    fn upgrade(&mut self, _place: &Place) -> Result<u32, Error> {
        Err(Error::Balancer("it cannot be replaced while it runs".to_owned()))
    }

    /// Whether it listens on addresses that the node has to own.
    fn listens_on_node(&self) -> bool {
        true
    }

    /// Stops it. What it made (rules, addresses, processes) is gone when this returns.
    fn stop(self: Box<Self>) -> Result<(), Error>;
}
