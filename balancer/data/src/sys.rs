// SPDX-License-Identifier: Apache-2.0
//! The system calls that the data plane makes, with the flags it always wants. No decisions here.

mod datagrams;
mod descriptors;
mod ring;
mod schedule;
mod transparent;
mod unreachable;

pub(crate) use datagrams::{Datagrams, Name};
pub(crate) use descriptors::{Spare, descriptors_max, receive, send};
pub(crate) use ring::{Done, End as RingEnd, PIECE_BYTES, Piece, Ring};
pub(crate) use schedule::{Waited, Waits, set_batch};
pub(crate) use transparent::{is_transparent, set_transparent};
pub(crate) use unreachable::unreachable;

use crate::limits::BACKLOG;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Nanoseconds of the monotonic clock: the same for a process and its successor.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// One of a group of sockets at `address`, among which the kernel spreads connections or flows.
fn shared(address: &SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let socket = net::socket_with(family(address), kind, FLAGS, None)?;
    // Datagrams need no address in reuse, and with it any other user could take the port, too.
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    sockopt::set_socket_reuseport(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    net::bind(&socket, address)?;
    Ok(socket)
}

/// A listener. Connections inherit that small messages are not held back.
pub(crate) fn listen(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = shared(address, SocketType::STREAM)?;
    prepare(socket)
}

/// A listener for connections to any address that the host's rules give it. Needs `CAP_NET_ADMIN`.
pub(crate) fn listen_for_others(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = shared(address, SocketType::STREAM)?;
    set_transparent(&socket, address.is_ipv6())?;
    prepare(socket)
}

fn prepare(socket: OwnedFd) -> Result<OwnedFd, Errno> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Connections inherit this.
    keep_alive(&socket);
    sockopt::set_socket_oobinline(&socket, true)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Has the kernel notice a peer that vanished without a word, so that it does not fill the place of others for ever.
pub(crate) fn keep_alive(socket: impl AsFd) {
    // A socket that broke in between tells so by itself.
    let _ = sockopt::set_socket_keepalive(&socket, true);
    let _ = sockopt::set_tcp_keepidle(&socket, Duration::from_mins(5));
}

/// A socket for datagrams to a service.
pub(crate) fn bind_datagrams(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = shared(address, SocketType::DGRAM)?;
    // A burst of small datagrams that arrives while the worker is elsewhere must fit; each takes about 800 bytes of this.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
    let _ = sockopt::set_socket_send_buffer_size(&socket, 4 << 20);
    Ok(socket)
}

/// Begins to connect. The outcome comes as an event, or at once if it is a failure already.
pub(crate) fn connect(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = net::socket_with(family(address), SocketType::STREAM, FLAGS, None)?;
    // Before anything can arrive: where a second urgent byte comes while the first one is next, the kernel drops the first
    // unless urgent bytes are read in their place among the others (RFC 6093, section 4).
    sockopt::set_socket_oobinline(&socket, true)?;
    match net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A socket that sends to one address, and receives from it alone.
pub(crate) fn connect_datagrams(address: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = net::socket_with(family(address), SocketType::DGRAM, FLAGS, None)?;
    net::connect(&socket, address)?;
    Ok(socket)
}

/// Closes a connection with a reset.
pub(crate) fn reset(socket: OwnedFd) {
    // Where this fails the connection is gone already.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    drop(socket);
}

/// Whether descriptors or memory ran out: not the connection's fault, and better in a while.
pub(crate) fn is_exhausted(error: Errno) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error)
}

/// What went wrong with a socket, once.
pub(crate) fn error_of(socket: impl AsFd) -> Option<Errno> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => None,
        Ok(Err(error)) | Err(error) => Some(error),
    }
}
