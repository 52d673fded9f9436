// SPDX-License-Identifier: Apache-2.0
//! The kernel's table of flows (conntrack) by netlink: events, dumps, entries ended.

use crate::address::{from_octets, octets};
use crate::filter;
use crate::netlink::{self, Family, Message, Socket, Writer, attribute, be16, be32, flag};
use crate::rules::{FLOW_ENDED, FLOW_FINS, FLOW_OURS};
use berth_balancer_core::model::Protocol;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
pub(crate) const DELETE: u16 = SUBSYSTEM | 2;

/// Groups whose events are heard: changes and ends. Beginnings are known from the verdict.
const GROUPS: u32 = 1 << 1 | 1 << 2;

/// Receive buffer for events: some 20,000 of them.
const RECEIVE: usize = 16 << 20;

/// Who talks to whom, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// States of a TCP connection that matter (nf_conntrack_tcp.h).
pub(crate) mod tcp {
    pub(crate) const SYN_SENT: u8 = 1;
    pub(crate) const ESTABLISHED: u8 = 3;
    pub(crate) const TIME_WAIT: u8 = 7;
    pub(crate) const CLOSE: u8 = 8;
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From the client to the service.
    pub(crate) original: Tuple,
    /// From the endpoint back.
    pub(crate) reply: Tuple,
    pub(crate) mark: u32,
    /// The endpoint has answered; of the end of an entry it is not known.
    pub(crate) replied: bool,
    pub(crate) tcp_state: Option<u8>,
    /// It is gone.
    pub(crate) gone: bool,
    /// Bytes from the client and to it, of an entry that is gone, if the kernel counts them.
    pub(crate) bytes: Option<(u64, u64)>,
}

impl Entry {
    /// A connection that is over, though its entry stays for a while.
    pub(crate) fn is_closed(&self) -> bool {
        match self.tcp_state {
            Some(tcp::TIME_WAIT | tcp::CLOSE) => true,
            // A new connection in an entry whose old one was over: the marks are the old one's.
            Some(..=tcp::ESTABLISHED) => false,
            _ => self.has_both_fins(),
        }
    }

    /// Both sides of a connection said that it is over, which was told.
    pub(crate) fn has_both_fins(&self) -> bool {
        self.mark & FLOW_FINS == FLOW_FINS
    }
}

/// The entry that an event or a dump tells of. `None`: one of another protocol.
fn read(message: Message<'_>) -> Option<Entry> {
    if !matches!(message.kind, NEW | DELETE) {
        return None;
    }
    let (mut original, mut reply) = (None, None);
    let (mut mark, mut status, mut tcp_state) = (0, 0, None);
    let (mut bytes_in, mut bytes_out) = (None, None);
    for (kind, value) in netlink::attributes(message.body.get(4..)?) {
        match kind {
            1 => original = tuple(value),
            2 => reply = tuple(value),
            3 => status = be32(value)?,
            4 => {
                let tcp = attribute(value, 1);
                tcp_state = tcp.and_then(|tcp| attribute(tcp, 1)?.first().copied());
            }
            8 => mark = be32(value)?,
            9 => bytes_in = attribute(value, 2).and_then(be64),
            10 => bytes_out = attribute(value, 2).and_then(be64),
            _ => (),
        }
    }
    let bytes = bytes_in.zip(bytes_out);
    let replied = status & 2 != 0;
    let gone = message.kind == DELETE;
    Some(Entry { original: original?, reply: reply?, mark, replied, tcp_state, gone, bytes })
}

fn be64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, transport) = (attribute(bytes, 1)?, attribute(bytes, 2)?);
    let address = |v4, v6| attribute(ip, v4).or_else(|| attribute(ip, v6)).and_then(from_octets);
    let port = |kind| attribute(transport, kind).and_then(be16);
    let protocol = match attribute(transport, 1)?.first()? {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let source = SocketAddr::new(address(1, 3)?, port(2)?);
    let destination = SocketAddr::new(address(2, 4)?, port(3)?);
    Some(Tuple { protocol, source, destination })
}

fn write_tuple(writer: &mut Writer, tuple: &Tuple) {
    let all = writer.open(1);
    let ip = writer.open(1);
    let (source, destination) = if tuple.source.is_ipv4() { (1, 2) } else { (3, 4) };
    writer.attribute(source, &octets(tuple.source.ip()));
    writer.attribute(destination, &octets(tuple.destination.ip()));
    writer.close(ip);
    let transport = writer.open(2);
    let number = if tuple.protocol == Protocol::Tcp { 6 } else { 17 };
    writer.attribute(1, &[number]);
    writer.attribute(2, &tuple.source.port().to_be_bytes());
    writer.attribute(3, &tuple.destination.port().to_be_bytes());
    writer.close(transport);
    writer.close(all);
}

/// Hears of entries that change and end.
#[derive(Debug)]
pub(crate) struct Events {
    socket: Socket,
}

impl Events {
    pub(crate) fn open(receive: Option<usize>) -> io::Result<Self> {
        let socket = Socket::open(Family::Netfilter, GROUPS)?;
        socket.set_buffers(receive.unwrap_or(RECEIVE), 1 << 16)?;
        // Without it there is more to read, and all goes on.
        drop(filter::attach(&socket));
        Ok(Self { socket })
    }

    /// The next datagram, if one is there. `ENOBUFS` as an error: events were lost.
    pub(crate) fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        self.socket.try_receive(buffer)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The entries of a datagram.
pub(crate) fn entries(datagram: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    netlink::messages(datagram).filter_map(read)
}

/// Reads and ends entries.
#[derive(Debug)]
pub(crate) struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::open(Family::Netfilter, 0)?;
        socket.set_buffers(RECEIVE, 1 << 20)?;
        Ok(Self { socket })
    }

    /// Gives all entries with this balancer's mark to `each`; the kernel passes over others.
    pub(crate) fn dump(&mut self, mut each: impl FnMut(Entry)) -> io::Result<()> {
        let mut writer = Writer::default();
        let sequence = self.socket.next_sequence();
        writer.begin(GET, flag::DUMP, sequence);
        writer.put(&[0, 0, 0, 0]);
        writer.u32(8, FLOW_OURS);
        writer.u32(21, FLOW_OURS);
        writer.end();
        self.socket.transact(writer.bytes(), (sequence, sequence), |message| {
            if let Some(entry) = read(message).filter(|entry| entry.mark & FLOW_OURS != 0) {
                each(entry);
            }
        })
    }

    /// One entry.
    pub(crate) fn get(&mut self, original: &Tuple) -> io::Result<Entry> {
        let mut found = None;
        self.one(GET, 0, original, |_| (), |message| found = read(message))?;
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Ends entries at once: the next packet of such a flow counts as a first one. Those that are not there are passed over.
    pub(crate) fn delete(&mut self, all: &[Tuple]) -> io::Result<()> {
        for tuple in all {
            match self.one(DELETE, 0, tuple, |_| (), |_| ()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                other => other?,
            }
        }
        Ok(())
    }

    /// Marks an entry's connection as ended: the rules answer each of its packets with RST.
    pub(crate) fn end(&mut self, original: &Tuple) -> io::Result<()> {
        let mark = |writer: &mut Writer| {
            writer.u32(8, FLOW_ENDED);
            writer.u32(21, FLOW_ENDED);
        };
        self.one(NEW, 0, original, mark, |_| ())
    }

    fn one(
        &mut self,
        kind: u16,
        flags: u16,
        original: &Tuple,
        fill: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let mut writer = Writer::default();
        let sequence = self.socket.next_sequence();
        writer.begin(kind, flags | flag::ACK, sequence);
        writer.put(&[if original.source.is_ipv4() { 2 } else { 10 }, 0, 0, 0]);
        write_tuple(&mut writer, original);
        fill(&mut writer);
        writer.end();
        self.socket.transact(writer.bytes(), (sequence, sequence), each)
    }
}

/// Ends every entry of the host, not only ours, as an operator might: for tests.
///
/// # Errors
/// What the kernel said.
pub fn flush_all() -> io::Result<()> {
    let mut socket = Socket::open(Family::Netfilter, 0)?;
    let mut writer = Writer::default();
    let sequence = socket.next_sequence();
    writer.begin(DELETE, flag::ACK, sequence);
    writer.put(&[0, 0, 0, 0]);
    writer.end();
    socket.transact(writer.bytes(), (sequence, sequence), |_| ())
}

/// An event as the kernel would send it: of an established flow of ours, with this tuple in both directions.
pub(crate) fn written(tuple: &Tuple) -> Vec<u8> {
    written_event(tuple, FLOW_OURS, false, 3, 0xe)
}

pub(crate) fn written_event(
    tuple: &Tuple,
    mark: u32,
    gone: bool,
    state: u8,
    status: u32,
) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.begin(if gone { DELETE } else { NEW }, 0, 0);
    writer.put(&[2, 0, 0, 0]);
    write_tuple(&mut writer, tuple);
    let reply = writer.bytes().len();
    write_tuple(&mut writer, tuple);
    writer.u32(3, status);
    let info = writer.open(4);
    let tcp = writer.open(1);
    writer.attribute(1, &[state]);
    writer.close(tcp);
    writer.close(info);
    writer.u32(8, mark);
    for kind in [9, 10] {
        let counters = writer.open(kind);
        writer.attribute(2, &1_000_u64.to_be_bytes());
        writer.close(counters);
    }
    writer.end();
    let mut bytes = writer.bytes().to_vec();
    bytes[reply + 2] = 2; // the reply's tuple
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(mark: u32, gone: bool, state: u8) -> Vec<u8> {
        let tuple = Tuple {
            protocol: Protocol::Tcp,
            source: "10.0.0.2:40000".parse().unwrap(),
            destination: "10.96.0.1:80".parse().unwrap(),
        };
        written_event(&tuple, mark, gone, state, 0xe)
    }

    #[test]
    fn an_event_is_read() {
        let bytes = event(FLOW_OURS, false, tcp::TIME_WAIT);
        let entry = entries(&bytes).next().unwrap();
        assert_eq!(entry.original.destination, "10.96.0.1:80".parse().unwrap());
        assert_eq!(entry.original, entry.reply);
        assert!(entry.replied && entry.is_closed() && !entry.gone);
        assert_eq!((entry.mark, entry.bytes), (FLOW_OURS, Some((1_000, 1_000))));
        assert!(entries(&event(FLOW_OURS, true, 3)).next().unwrap().gone);
        for length in 0..bytes.len() {
            assert_eq!(entries(&bytes[..length]).count(), 0);
        }
    }

    #[test]
    fn a_connection_is_over_after_fin_from_both_sides_but_not_one_that_came_after_it() {
        let is_closed = |mark, state| {
            entries(&event(FLOW_OURS | mark, false, state)).next().unwrap().is_closed()
        };
        for state in 1..=tcp::ESTABLISHED {
            assert!(!is_closed(FLOW_FINS, state));
        }
        for state in [4, 5, 6] {
            assert!(is_closed(FLOW_FINS, state));
            for one in [0x0800_0000, 0x1000_0000] {
                assert!(!is_closed(one, state));
            }
        }
        assert!(is_closed(0, tcp::TIME_WAIT) && is_closed(0, tcp::CLOSE));
    }
}
