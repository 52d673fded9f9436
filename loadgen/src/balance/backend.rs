// SPDX-License-Identifier: Apache-2.0
//! The backends: one loop for all endpoints of all services, which checks what reaches it and answers.
//!
//! It runs as a process beside this one (the hidden command `serve-backends`), so that its CPU is counted apart. Its first lines
//! of output say where the endpoints are; then it answers `report` with a line of counts, and ends with its input.

pub mod process;
pub mod streams;

use super::message::{self, DATAGRAM, Wrong};
use super::poller::{Interest, Poller};
use super::socket;
use super::wire::Wire;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, recvfrom, sendto};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use streams::Streams;

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// 64 bytes, answered by 64 bytes.
    Echo,
    /// 64 bytes, answered by as many as they ask for.
    Bulk,
    /// HTTP/1.1.
    Http,
    /// Datagrams, each answered by itself.
    Datagram,
}

/// An endpoint's socket.
#[derive(Debug)]
struct Listener {
    socket: OwnedFd,
    protocol: Protocol,
    service: u32,
    endpoint: u32,
}

/// What the backends have seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that were right, and answered.
    pub requests: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that ended by a reset.
    pub resets: u64,
    /// Requests for another service.
    pub misdirected: u64,
    /// Requests whose bytes were wrong.
    pub garbled: u64,
    /// Connections that could not be accepted.
    pub refused: u64,
}

impl Counts {
    /// Counts a request that was not right.
    fn wrong(&mut self, wrong: Wrong) {
        match wrong {
            Wrong::Service { .. } => self.misdirected += 1,
            Wrong::Nonce | Wrong::Bytes => self.garbled += 1,
        }
    }

    /// As a line.
    pub fn line(&self) -> String {
        let Self { requests, connections, resets, misdirected, garbled, refused } = self;
        format!("{requests} {connections} {resets} {misdirected} {garbled} {refused}")
    }

    /// Reads a line.
    pub fn read(line: &str) -> Option<Self> {
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let [requests, connections, resets, misdirected, garbled, refused] =
            numbers.ok()?.try_into().ok()?;
        Some(Self { requests, connections, resets, misdirected, garbled, refused })
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its service.
    pub service: u32,
    /// Its number within the service.
    pub index: u32,
    /// Its address.
    pub address: SocketAddr,
}

/// The loop.
#[derive(Debug)]
pub struct Backends {
    poller: Poller,
    listeners: Vec<Listener>,
    streams: Streams,
    counts: Counts,
}

/// The token of the input that ends the loop; tokens below it are listeners, or streams from [`STREAMS`] on.
const INPUT: u64 = u64::MAX;
/// The first token of a stream.
const STREAMS: u64 = 1 << 32;

/// Datagrams that are answered before others get their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// Connections that are accepted before others get their turn.
const ACCEPTS_AT_ONCE: usize = 64;

impl Backends {
    /// None yet.
    pub fn new() -> io::Result<Self> {
        let streams = Streams::default();
        Ok(Self {
            poller: Poller::new()?,
            listeners: Vec::new(),
            streams,
            counts: Counts::default(),
        })
    }

    /// Opens an endpoint on a free port of `address`.
    pub fn open(
        &mut self,
        address: IpAddr,
        protocol: Protocol,
        (service, index): (u32, u32),
    ) -> io::Result<Endpoint> {
        let free = socket::any_port(address);
        let socket = match protocol {
            Protocol::Datagram => socket::datagrams(&free)?,
            Protocol::Echo | Protocol::Bulk | Protocol::Http => socket::listener(&free)?,
        };
        let address = socket::local(&socket)?;
        self.poller.add(&socket, self.listeners.len() as u64, Interest::Read)?;
        self.listeners.push(Listener { socket, protocol, service, endpoint: index });
        Ok(Endpoint { service, index, address })
    }

    /// What was seen so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Serves until `input` can be read and `on_input` says that it was the end.
    pub fn serve(
        &mut self,
        input: impl AsFd,
        mut on_input: impl FnMut(&Counts) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.poller.add(input.as_fd(), INPUT, Interest::Read)?;
        loop {
            let found = self.poller.wait(None)?;
            for at in 0..found {
                let ready = self.poller.event(at);
                match ready.token {
                    INPUT => {
                        if !on_input(&self.counts)? {
                            return Ok(());
                        }
                    }
                    token if token >= STREAMS => {
                        let slot = usize::try_from(token - STREAMS).unwrap_or(usize::MAX);
                        self.streams.ready(slot, ready, &mut self.counts);
                    }
                    token => self.incoming(usize::try_from(token).unwrap_or(usize::MAX))?,
                }
            }
        }
    }

    fn incoming(&mut self, at: usize) -> io::Result<()> {
        let Some(listener) = self.listeners.get(at) else { return Ok(()) };
        let wire = match listener.protocol {
            Protocol::Datagram => {
                answer_datagrams(listener, &mut self.counts);
                return Ok(());
            }
            Protocol::Http => Wire::Http { close: false },
            Protocol::Echo | Protocol::Bulk => Wire::Message,
        };
        let bulk = listener.protocol == Protocol::Bulk;
        for _ in 0..ACCEPTS_AT_ONCE {
            match streams::accept(&listener.socket) {
                Ok(Some(socket)) => {
                    self.counts.connections += 1;
                    let kind = streams::Kind {
                        wire,
                        bulk,
                        service: listener.service,
                        endpoint: listener.endpoint,
                    };
                    let slot = self.streams.insert(socket, kind);
                    if let Some(socket) = self.streams.socket(slot) {
                        self.poller.add(socket, STREAMS + slot as u64, Interest::Edges)?;
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.counts.refused += 1;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Answers what has come, a bounded number.
fn answer_datagrams(listener: &Listener, counts: &mut Counts) {
    let mut bytes = [0_u8; 2 * DATAGRAM];
    for _ in 0..DATAGRAMS_AT_ONCE {
        let (length, from): (usize, Option<SocketAddrAny>) =
            match recvfrom(&listener.socket, bytes.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _, from)) => (length, from),
                // A port-unreachable of an earlier answer arrives as an error of this call.
                Err(Errno::CONNREFUSED) => continue,
                Err(_) => return,
            };
        let Some(from) = from else { continue };
        match message::read_request(&bytes[..length], listener.service) {
            Ok(_) => {
                counts.requests += 1;
                message::turn_into_answer(&mut bytes[..length], listener.endpoint);
            }
            // The answer shows the client what was read, which it finds wrong.
            Err(wrong) => counts.wrong(wrong),
        }
        // An answer that finds no room is lost, as datagrams are; the client counts it.
        let _ = sendto(&listener.socket, &bytes[..length], SendFlags::DONTWAIT, &from);
    }
}
