// SPDX-License-Identifier: Apache-2.0
//! The sockets, and what comes in by them.

mod connections;
mod core;
mod datagrams;

use self::core::Core;
use crate::forward::Forwarder;
use crate::forward::resolv::without_own;
use crate::limits;
use crate::stats::Stats;
use crate::zone::Live;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// Connections that the kernel holds until they are taken.
const BACKLOG: i32 = 128;
/// Where any port will do, it has to be free for both transports; so many are tried.
const PORTS_TRIED: usize = 16;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses to answer at, each over UDP and TCP. One by one: from a socket for all addresses, answers could leave from another one than
    /// was asked, and clients would not take them.
    pub listen: Vec<SocketAddr>,
    /// Sockets for UDP on each address, among which the kernel spreads clients. With more than one, another process of the same user could take a
    /// part of the questions unnoticed.
    pub workers: usize,
    /// Who is asked for everything that is not the cluster's, in this order; see [`crate::of_resolv_conf`]. Addresses of this server are left out.
    pub upstreams: Vec<SocketAddr>,
    /// Limits of those who ask.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        let (listen, upstreams) = (Vec::new(), Vec::new());
        Self { listen, workers: 1, upstreams, limits: Limits::default() }
    }
}

/// Limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest answer over UDP that anybody gets: 512 to 4,096.
    pub udp_bytes: usize,
    /// Connections over TCP at a time.
    pub connections: usize,
    /// Of these from one address.
    pub connections_of_one: u32,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// Questions that are being asked of upstreams at a time.
    pub asked: usize,
    /// Of these for one address.
    pub asked_by_one: u32,
    /// How long one upstream is waited for.
    pub attempt: Duration,
    /// How long all upstreams together are waited for.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_bytes: limits::UDP_BYTES,
            connections: limits::CONNECTIONS_MAX,
            connections_of_one: limits::CONNECTIONS_OF_ONE_MAX,
            idle: limits::IDLE,
            asked: limits::ASKED_MAX,
            asked_by_one: limits::ASKED_BY_ONE_MAX,
            attempt: limits::ATTEMPT,
            patience: limits::PATIENCE,
        }
    }
}

/// Why a server cannot be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// There is no address to listen on.
    #[error("no address to listen on is given")]
    Nowhere,
    /// An address stands for all.
    #[error(
        "{0} stands for all addresses, and answers could leave from a wrong one: give each address that is asked"
    )]
    Wildcard(SocketAddr),
    /// A number is out of its bounds.
    #[error("{name}: {number} is not between {least} and {most}")]
    Number {
        /// Which.
        name: &'static str,
        /// What it is.
        number: usize,
        /// Its bounds.
        least: usize,
        /// Its bounds.
        most: usize,
    },
    /// The kernel refused an address.
    #[error("cannot listen on {address} over {transport}")]
    Socket {
        /// Which.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A DNS server, bound to its addresses.
#[derive(Debug)]
pub struct Server {
    core: Arc<Core>,
    addresses: Vec<SocketAddr>,
    datagrams: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
}

impl Server {
    /// Takes the addresses, within a runtime. From here on questions wait in the sockets until it [runs](Server::run).
    pub fn bind(options: &Options, live: Arc<Live>) -> Result<Self, BindError> {
        check(options)?;
        let (mut addresses, mut datagrams, mut listeners) = (Vec::new(), Vec::new(), Vec::new());
        for address in &options.listen {
            let (address, sockets, listener) = bind(*address, options.workers)?;
            addresses.push(address);
            datagrams.extend(sockets);
            listeners.push(listener);
        }
        let stats = Arc::new(Stats::default());
        let upstreams = without_own(&options.upstreams, &addresses);
        if upstreams.len() < options.upstreams.len() {
            tracing::warn!(used = ?upstreams, given = ?options.upstreams, "upstreams are left out: own addresses, doubles, or too many");
        }
        let forwarder = Forwarder::new(upstreams, Arc::clone(&stats), options.limits);
        let core = Arc::new(Core::new(live, forwarder, stats, options.limits));
        Ok(Self { core, addresses, datagrams, listeners })
    }

    /// Where it listens: as was given, with the ports that the kernel chose where none was.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its counters, which may be kept while it runs.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.core.stats)
    }

    /// Answers until it is dropped; all its tasks end then.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        for socket in self.datagrams {
            tasks.spawn(datagrams::serve(Arc::clone(&self.core), socket));
        }
        let doors = connections::Doors::new(Arc::clone(&self.core));
        for listener in self.listeners {
            tasks.spawn(connections::serve(Arc::clone(&doors), listener));
        }
        // None of them ends by itself.
        while tasks.join_next().await.is_some() {}
    }
}

fn check(options: &Options) -> Result<(), BindError> {
    let within = |name, number, least, most| {
        let fits = (least..=most).contains(&number);
        if fits { Ok(()) } else { Err(BindError::Number { name, number, least, most }) }
    };
    within("workers", options.workers, 1, limits::WORKERS_MAX)?;
    within("udpBytes", options.limits.udp_bytes, limits::UDP_BYTES_MIN, limits::UDP_BYTES_MAX)?;
    within("connections", options.limits.connections, 0, limits::DESCRIPTORS_MAX)?;
    within("asked", options.limits.asked, 0, limits::DESCRIPTORS_MAX)?;
    if options.listen.is_empty() {
        return Err(BindError::Nowhere);
    }
    match options.listen.iter().find(|address| address.ip().is_unspecified()) {
        Some(address) => Err(BindError::Wildcard(*address)),
        None => Ok(()),
    }
}

type Bound = (SocketAddr, Vec<UdpSocket>, TcpListener);

fn bind(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    let mut tried = 0;
    loop {
        match bind_once(address, workers) {
            Err(BindError::Socket { transport: "TCP", source, .. })
                if address.port() == 0
                    && source.kind() == io::ErrorKind::AddrInUse
                    && tried < PORTS_TRIED =>
            {
                tried += 1;
            }
            bound => return bound,
        }
    }
}

fn bind_once(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    let failed = |transport| move |source| BindError::Socket { address, transport, source };
    let first = datagram_socket(address, workers > 1).map_err(failed("UDP"))?;
    let address = first.local_addr().map_err(failed("UDP"))?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(datagram_socket(address, true).map_err(failed("UDP"))?);
    }
    let listener = listener(address).map_err(failed("TCP"))?;
    Ok((address, sockets, listener))
}

fn datagram_socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the server before this one may still be on their way out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
