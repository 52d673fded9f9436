// SPDX-License-Identifier: Apache-2.0
//! Which way a connection really took, seen from outside of the balancer: what it says of itself is asked too, and must agree.
//!
//! A connection of our own is made through the balancer and held. If the node's kernel has an entry that directs it to an endpoint, the
//! kernel forwards it. If a process of the balancer has a socket whose other end is ours, that process does. Else nobody does.

use super::backend::Protocol;
use super::client::PATIENCE;
use super::message::{self, DATAGRAM, MESSAGE, Request};
use super::pattern;
use super::place::{Place, Role, conntrack};
use super::subject::{Column, Service};
use super::wire::{LONGEST, Wire};
use crate::error::Error;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Who forwards a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A process: two connections, and bytes copied between them.
    Process,
    /// The kernel: one connection whose packets it directs to an endpoint.
    Kernel,
    /// Nobody.
    Nobody,
}

impl Way {
    /// The way that a column is about.
    pub fn of(column: Column) -> Self {
        match column {
            Column::Proxy | Column::Haproxy | Column::Nginx => Self::Process,
            Column::Fast | Column::Nft => Self::Kernel,
            Column::Direct => Self::Nobody,
        }
    }
}

impl Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "forwarded by a process of the balancer (the proxy path)",
            Self::Kernel => "forwarded by the node's kernel (the fast path)",
            Self::Nobody => "forwarded by nobody that is known",
        })
    }
}

/// Why a column's figures do not count, if they do not: by what it says of itself, if it says anything, and by what was seen.
pub fn objection(column: Column, said: Option<&str>, seen: Way) -> Option<String> {
    let ours = matches!(column, Column::Proxy | Column::Fast);
    if ours && said != Some(column.name()) {
        let said = said.map_or_else(|| "none that it names".to_owned(), |said| format!("{said:?}"));
        return Some(format!("the path that served was {said}, not {column}"));
    }
    (seen != Way::of(column)).then(|| format!("a connection was {seen}, which is not {column}"))
}

/// A connection of ours that was answered, held.
#[derive(Debug)]
enum Held {
    Stream(TcpStream),
    Flow(UdpSocket),
}

/// Makes a connection to a service at `address`, and says who forwards it.
pub fn way(
    place: &Place,
    service: &Service,
    address: SocketAddr,
    pids: impl Fn() -> Vec<u32>,
) -> Result<Way, Error> {
    let failed = |error| Error::Balancer(format!("a connection to {address} fails: {error}"));
    let held = place.run(Role::Client, || ask(service, address).map_err(failed))?;
    let client = match &held {
        Held::Stream(stream) => stream.local_addr(),
        Held::Flow(socket) => socket.local_addr(),
    };
    let client = client.map_err(Error::Load)?;
    let number = if service.is_udp() { conntrack::UDP } else { conntrack::TCP };
    let entry = place.run(Role::Node, || match (client, address) {
        // Who may not ask has no rules either.
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            Ok(conntrack::directed_to(number, from, to).ok().flatten())
        }
        _ => Ok(None),
    })?;
    let is_endpoint = |to: SocketAddr| service.endpoints.iter().any(|e| e.address == to);
    if entry.is_some_and(|to| to != address && is_endpoint(to)) {
        return Ok(Way::Kernel);
    }
    let has = |pid: &u32| match held {
        Held::Stream(_) => has_socket(*pid, "tcp", |_, remote| remote == client),
        // Its end of a flow may be over with the answer: what it listens with is not.
        Held::Flow(_) => has_socket(*pid, "udp", |local, _| local == address),
    };
    // Asked now: who accepted it may be younger than the question.
    Ok(if pids().iter().any(has) { Way::Process } else { Way::Nobody })
}

/// One request and its answer.
fn ask(service: &Service, address: SocketAddr) -> io::Result<Held> {
    let nonce = 0x0b5e_12e5;
    let id = service.id;
    let wrong = |wrong: message::Wrong| io::Error::other(format!("a probe: {wrong}"));
    if service.is_udp() {
        return ask_by_datagram(id, address, nonce);
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let wire = match service.protocol {
        Protocol::Http => Wire::Http { close: false },
        Protocol::Echo | Protocol::Bulk | Protocol::Datagram => Wire::Message,
    };
    let mut bytes = [0; LONGEST];
    let length = wire.request_bytes();
    let request = Request { service: id, nonce, amount: MESSAGE as u64 };
    wire.write_request(&mut bytes[..length], &request);
    stream.write_all(&bytes[..length])?;
    let answer = &mut bytes[..wire.answer_bytes()];
    stream.read_exact(answer)?;
    if service.protocol == Protocol::Bulk {
        let place = pattern::Place::of(nonce);
        if !pattern::Pattern::new().matches(place, answer, 0) {
            return Err(wrong(message::Wrong::Bytes));
        }
    } else {
        wire.read_answer(answer, id, nonce).map_err(wrong)?;
    }
    Ok(Held::Stream(stream))
}

fn ask_by_datagram(id: u32, address: SocketAddr, nonce: u64) -> io::Result<Held> {
    const TRIES: u32 = 10;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut bytes = [0; DATAGRAM];
    let mut last = io::Error::other("no answer to a probe");
    for _ in 0..TRIES {
        message::write_request(&mut bytes, &Request { service: id, nonce, amount: 0 });
        socket.send(&bytes)?;
        match socket.recv(&mut bytes) {
            Ok(length) => {
                return message::read_answer(&bytes[..length], id, nonce)
                    .map(|_| Held::Flow(socket))
                    .map_err(|wrong| io::Error::other(format!("a probe: {wrong}")));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether a process has a socket whose ends are as `wanted` says. Seen in the process's own network namespace, whichever that is, and
/// in those that it holds: sockets of a process need not be in its own.
fn has_socket(pid: u32, kind: &str, wanted: impl Fn(SocketAddr, SocketAddr) -> bool) -> bool {
    let mut tables = held_namespaces(pid, kind);
    tables.extend(fs::read_to_string(format!("/proc/{pid}/net/{kind}")));
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let found = lines.filter_map(line).filter(|(a, b, _)| wanted(*a, *b));
    let wanted: Vec<String> = found.map(|(_, _, inode)| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return false;
    }
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.into_iter().any(|link| wanted.iter().any(|name| link.as_os_str() == name.as_str()))
}

/// The sockets of network namespaces of which a process has a descriptor.
fn held_namespaces(pid: u32, kind: &str) -> Vec<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let is_namespace = |path: &PathBuf| {
        fs::read_link(path)
            .is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"net:["))
    };
    let namespaces = descriptors.flatten().map(|entry| entry.path()).filter(is_namespace);
    let read = |path: PathBuf| {
        let namespace = File::open(path).ok()?;
        // Of a thread of its own, which ends there.
        let seen = thread::spawn({
            let table = format!("/proc/thread-self/net/{kind}");
            move || {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), network).ok()?;
                fs::read_to_string(table).ok()
            }
        });
        seen.join().ok().flatten()
    };
    namespaces.filter_map(read).collect()
}

/// Both ends and the inode of a line of `/proc/net/tcp` or `udp`.
fn line(line: &str) -> Option<(SocketAddr, SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some((end(fields.get(1)?)?, end(fields.get(2)?)?, fields.get(9)?.parse().ok()?))
}

fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    // The address as the machine's number of its bytes.
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    Some((Ipv4Addr::from(address), u16::from_str_radix(port, 16).ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_column_counts_on_its_own_path_alone() {
        for (column, said, seen, fits) in [
            (Column::Proxy, Some("proxy"), Way::Process, true),
            (Column::Proxy, Some("proxy"), Way::Kernel, false),
            (Column::Proxy, Some("proxy"), Way::Nobody, false),
            (Column::Proxy, Some("fast"), Way::Process, false),
            (Column::Proxy, None, Way::Process, false),
            (Column::Fast, Some("fast"), Way::Kernel, true),
            (Column::Fast, Some("fast"), Way::Process, false),
            (Column::Fast, Some("proxy"), Way::Process, false),
            (Column::Haproxy, None, Way::Process, true),
            (Column::Haproxy, None, Way::Nobody, false),
            (Column::Nginx, None, Way::Process, true),
            (Column::Nft, None, Way::Kernel, true),
            (Column::Nft, None, Way::Nobody, false),
            (Column::Direct, None, Way::Nobody, true),
            (Column::Direct, None, Way::Kernel, false),
        ] {
            let objection = objection(column, said, seen);
            assert_eq!(objection.is_none(), fits, "{column} {said:?} {seen:?}: {objection:?}");
        }
    }

    #[test]
    fn sockets_of_a_process_are_found_by_their_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap();
        let (own, from) = (std::process::id(), client.local_addr().unwrap());
        assert!(has_socket(own, "tcp", |_, remote| remote == from));
        drop(accepted);
        assert!(!has_socket(own, "tcp", |_, remote| remote == from), "its end is closed");
        assert!(!has_socket(1, "tcp", |_, remote| remote == from), "not process 1's");
    }
}
