// SPDX-License-Identifier: Apache-2.0
//! NFQUEUE: packets that wait in the kernel for a verdict.
//!
//! The kernel copies the first bytes of each; the packet itself stays where it is. Verdicts of all packets that were there are
//! sent with one system call. `REPEAT` with a mark sends a packet once more through the hook that queued it, where the rules
//! find the mark.

use crate::netlink::{self, Family, Socket, Writer, be32, flag};
use crate::packet::SEEN;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const VERDICT: u16 = SUBSYSTEM | 1;
const CONFIG: u16 = SUBSYSTEM | 2;

/// Receive buffer: some 8,000 packets of 128 bytes with the kernel's own books of them.
const RECEIVE: usize = 8 << 20;

/// A queued packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queued<'a> {
    pub(crate) id: u32,
    /// Netfilter's hook: 0 prerouting, 3 output.
    pub(crate) hook: u8,
    /// Port of a bridge through which it came, where bridges call netfilter; 0 for none.
    pub(crate) bridge_port: u32,
    pub(crate) payload: &'a [u8],
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop,
    /// Once more through the hook, with this mark.
    Repeat(u32),
}

/// A queue's socket.
#[derive(Debug)]
pub(crate) struct Queue {
    socket: Socket,
    number: u16,
    verdicts: Writer,
}

impl Queue {
    /// Takes the first queue number from `from` on that nobody has, and tries `tries` of them.
    pub(crate) fn open(from: u16, tries: u16, length: u32) -> io::Result<Self> {
        let mut socket = Socket::open(Family::Netfilter, 0)?;
        socket.set_buffers(RECEIVE, RECEIVE)?;
        let mut busy = None;
        for number in (0..tries).map(|more| from.wrapping_add(more)) {
            match configure(&mut socket, number, length) {
                Ok(()) => return Ok(Self { socket, number, verdicts: Writer::default() }),
                Err(error) => busy = Some(error),
            }
        }
        Err(busy.unwrap_or_else(|| io::ErrorKind::InvalidInput.into()))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// The next datagram, if one is there. `ENOBUFS` as an error: packets were dropped, since there was no room.
    pub(crate) fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        self.socket.try_receive(buffer)
    }

    /// Notes a verdict; [`Self::flush`] sends them.
    pub(crate) fn answer(&mut self, id: u32, verdict: Verdict) {
        let (code, mark) = match verdict {
            Verdict::Drop => (0_u32, None),
            Verdict::Repeat(mark) => (4, Some(mark)),
        };
        self.verdicts.begin(VERDICT, 0, 0);
        self.verdicts.put(&header(self.number));
        let mut value = [0; 8];
        value[..4].copy_from_slice(&code.to_be_bytes());
        value[4..].copy_from_slice(&id.to_be_bytes());
        self.verdicts.attribute(2, &value);
        if let Some(mark) = mark {
            self.verdicts.u32(3, mark);
        }
        self.verdicts.end();
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        let sent = self.socket.send(self.verdicts.bytes());
        self.verdicts.clear();
        sent
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `nfgenmsg`: family, version, the queue's number.
fn header(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [0, 0, high, low]
}

/// Binds to a queue: copies of the first bytes, no segmentation of large packets, never open when full.
fn configure(socket: &mut Socket, number: u16, length: u32) -> io::Result<()> {
    const BIND: [u8; 4] = [1, 0, 0, 0];
    const COPY_PACKET: u8 = 2;
    const FLAG_GSO: u32 = 4;
    let mut command = |fill: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::default();
        let sequence = socket.next_sequence();
        writer.begin(CONFIG, flag::ACK, sequence);
        writer.put(&header(number));
        fill(&mut writer);
        writer.end();
        socket.transact(writer.bytes(), (sequence, sequence), |_| ())
    };
    command(&|writer| writer.attribute(1, &BIND))?;
    command(&|writer| {
        let mut parameters = [0; 5];
        parameters[..4].copy_from_slice(&SEEN.to_be_bytes());
        parameters[4] = COPY_PACKET;
        writer.attribute(2, &parameters);
        writer.u32(3, length);
        writer.u32(4, FLAG_GSO);
        writer.u32(5, FLAG_GSO);
    })
}

/// The packets of a datagram.
pub(crate) fn packets(datagram: &[u8]) -> impl Iterator<Item = Queued<'_>> {
    netlink::messages(datagram).filter_map(|message| {
        if message.kind != PACKET {
            return None;
        }
        let mut queued = Queued { id: 0, hook: 0, bridge_port: 0, payload: &[] };
        let mut known = false;
        for (kind, value) in netlink::attributes(message.body.get(4..)?) {
            match kind {
                1 => {
                    queued.id = be32(value)?;
                    queued.hook = *value.get(6)?;
                    known = true;
                }
                7 => queued.bridge_port = be32(value)?,
                10 => queued.payload = value,
                _ => (),
            }
        }
        known.then_some(queued)
    })
}

/// What the kernel tells of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Packets that wait for a verdict.
    pub(crate) waiting: u64,
    /// Packets that the kernel dropped because the queue was full, or its reader too slow.
    pub(crate) dropped: u64,
}

/// The state of a queue of this network namespace; none if nobody reads it.
pub(crate) fn state(number: u16) -> Option<State> {
    let path = "/proc/thread-self/net/netfilter/nfnetlink_queue";
    read_state(&std::fs::read_to_string(path).unwrap_or_default(), number)
}

pub(crate) fn read_state(text: &str, number: u16) -> Option<State> {
    // Columns: number, port id, waiting, copy mode, copy range, dropped, dropped by the socket, last id (nfnetlink_queue.c).
    let of = |line: &str| -> Vec<u64> {
        line.split_whitespace().filter_map(|field| field.parse().ok()).collect()
    };
    let fields = text.lines().map(of).find(|f| f.first() == Some(&u64::from(number)))?;
    let at = |place: usize| fields.get(place).copied().unwrap_or(0);
    Some(State { waiting: at(2), dropped: at(5) + at(6) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_queue_is_found_by_its_number() {
        let text = "    1  111     5 2   128     1     2        9  1\n47616  222     0 2   128     3     4       10  1\n";
        assert_eq!(read_state(text, 1), Some(State { waiting: 5, dropped: 3 }));
        assert_eq!(read_state(text, 47_616), Some(State { waiting: 0, dropped: 7 }));
        assert_eq!(read_state(text, 2), None);
        assert_eq!(read_state("", 1), None);
    }

    #[test]
    fn packets_are_read_and_what_is_cut_short_is_passed_over() {
        let mut writer = Writer::default();
        writer.begin(PACKET, 0, 0);
        writer.put(&header(3));
        writer.attribute(1, &[0, 0, 0, 9, 8, 0, 3]);
        writer.u32(7, 12);
        writer.attribute(10, &[0x45, 1, 2]);
        writer.end();
        let all: Vec<_> = packets(writer.bytes()).collect();
        assert_eq!((all.len(), all[0].id, all[0].hook, all[0].bridge_port), (1, 9, 3, 12));
        assert_eq!(all[0].payload, [0x45, 1, 2]);
        for length in 0..writer.len() {
            assert_eq!(packets(&writer.bytes()[..length]).count(), 0);
        }
    }
}
