// SPDX-License-Identifier: Apache-2.0
//! Sockets that do not block, and the source addresses of a client.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;

/// The lowest source port that is used.
const PORT_MIN: u64 = 2_048;
/// Source ports of one address.
const PORTS: u64 = 65_536 - PORT_MIN;

fn open(kind: SocketType, address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, kind, flags, None)?)
}

/// A TCP socket that listens.
pub fn listener(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(SocketType::STREAM, address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Accepted connections inherit it: answers to requests that came together go out at once.
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A UDP socket on an address.
pub fn datagrams(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(SocketType::DGRAM, address)?;
    // A burst of all windows at once must fit: what is dropped here would count as the balancer's loss.
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, 8 << 20));
    bind(&socket, address)?;
    Ok(socket)
}

/// The address that a socket is bound to.
pub fn local(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(address).map_err(Into::into)
}

/// Where a client's connections come from: each from an address and port of its own, one after the other, so that neither a
/// search for a free port nor an earlier connection's TIME_WAIT is part of what is measured, and so that each UDP flow is new.
#[derive(Debug, Clone)]
pub struct Sources {
    addresses: Vec<Ipv4Addr>,
}

/// Over all clients of this process: a port that was used is not used again soon.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Sources {
    /// From these addresses.
    pub fn new(addresses: Vec<Ipv4Addr>) -> Self {
        Self { addresses }
    }

    /// The next address and port.
    fn draw(&self) -> SocketAddr {
        let count = self.addresses.len().max(1) as u64;
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = usize::try_from(next % count).unwrap_or(0);
        let address = self.addresses.get(address).copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
        // Another start in each run of this program, whose connections may still be in TIME_WAIT.
        let offset = u64::from(std::process::id()).wrapping_mul(7_919);
        let port = PORT_MIN + (next / count + offset) % PORTS;
        let port = u16::try_from(port).unwrap_or(0);
        SocketAddr::V4(SocketAddrV4::new(address, port))
    }

    /// Begins a connection.
    pub fn connect(&self, to: &SocketAddr) -> io::Result<OwnedFd> {
        loop {
            let socket = open(SocketType::STREAM, to)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            if !self.bind(&socket, to)? {
                continue;
            }
            match connect(&socket, to) {
                Ok(()) | Err(Errno::INPROGRESS) => return Ok(socket),
                // This very pair of addresses is still in use: the next port.
                Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A UDP socket that talks to one address.
    pub fn flow(&self, to: &SocketAddr) -> io::Result<OwnedFd> {
        loop {
            let socket = open(SocketType::DGRAM, to)?;
            if self.bind(&socket, to)? {
                connect(&socket, to)?;
                return Ok(socket);
            }
        }
    }

    /// Whether the socket got the next source; a port that somebody else has is passed over.
    fn bind(&self, socket: &OwnedFd, to: &SocketAddr) -> io::Result<bool> {
        if to.is_ipv6() || self.addresses.is_empty() {
            return Ok(true);
        }
        match bind(socket, &self.draw()) {
            Ok(()) => Ok(true),
            Err(Errno::ADDRINUSE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// An address on which the system chooses the port.
pub fn any_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}
