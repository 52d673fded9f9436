// SPDX-License-Identifier: Apache-2.0
//! Netlink (RFC 3549): sockets, and messages written and read.
//!
//! ```text
//! message    | length u32 | kind u16 | flags u16 | sequence u32 | port u32 | header of the family | attributes ... |
//! attribute  | length u16 | kind u16 | value, padded to 4 bytes |
//! ```
//!
//! All numbers of the frame have the machine's byte order; values inside attributes of netfilter have the network's.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv,
    sendto, socket_with, sockopt,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Flags of requests.
pub mod flag {
    /// A request.
    pub const REQUEST: u16 = 1;
    /// Answered also if it succeeds.
    pub const ACK: u16 = 4;
    /// Everything there is.
    pub const DUMP: u16 = 0x300;
    /// What is there is replaced.
    pub const REPLACE: u16 = 0x100;
    /// What is not there is made.
    pub const CREATE: u16 = 0x400;
    /// Behind what is there.
    pub const APPEND: u16 = 0x800;
}

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// Bytes that one datagram from the kernel has at most: a page of a dump has 32 KiB, an NFQUEUE packet 64 KiB and its frame.
pub const DATAGRAM: usize = 1 << 17;

/// Writes messages, one behind the other.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    message: usize,
}

/// A nested attribute that is not finished.
#[must_use]
#[derive(Debug)]
pub struct Nest(usize);

impl Writer {
    /// Begins a message.
    pub fn begin(&mut self, kind: u16, flags: u16, sequence: u32) {
        self.message = self.bytes.len();
        self.put(&0_u32.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(&(flags | flag::REQUEST).to_ne_bytes());
        self.put(&sequence.to_ne_bytes());
        self.put(&0_u32.to_ne_bytes());
    }

    /// The length is known when the message is complete.
    pub fn end(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.message).unwrap_or(u32::MAX);
        self.bytes[self.message..self.message + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Has the last message answered also if it succeeds.
    pub fn demand_answer(&mut self) {
        if let Some(low) = self.bytes.get_mut(self.message + 6..self.message + 8) {
            let flags = u16::from_ne_bytes([low[0], low[1]]) | flag::ACK;
            low.copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// Bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// An attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.put(&length.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.pad();
    }

    /// An attribute that is a number of the network's order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A text with its final zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// Begins a nested attribute.
    pub fn open(&mut self, kind: u16) -> Nest {
        let at = self.bytes.len();
        self.put(&0_u16.to_ne_bytes());
        self.put(&(kind | NESTED).to_ne_bytes());
        Nest(at)
    }

    /// Ends it.
    pub fn close(&mut self, nest: Nest) {
        let length = u16::try_from(self.bytes.len() - nest.0).unwrap_or(u16::MAX);
        self.bytes[nest.0..nest.0 + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// All messages.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all messages.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing is written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// A message that was received.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its kind.
    pub kind: u16,
    /// Of the request that it belongs to.
    pub sequence: u32,
    /// Behind the header.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// What the kernel answered: `None` if this is no answer, else the error, 0 for none.
    fn verdict(&self) -> Option<i32> {
        match self.kind {
            ERROR => Some(i32_at(self.body, 0).unwrap_or(0)),
            DONE => Some(i32_at(self.body, 0).unwrap_or(0).min(0)),
            _ => None,
        }
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The messages of a datagram. What is cut short ends them.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, sequence, body })
    })
}

/// The attributes of a message's body behind the header of its family, or of a nested attribute.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// One attribute.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A number of 32 bits of the network's order.
pub fn be32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A number of 16 bits of the network's order.
pub fn be16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?))
}

/// A number of 32 bits of the machine's order.
pub fn ne32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A socket to the kernel.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Which part of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Interfaces, addresses, routes, neighbours.
    Route,
    /// Rules, queues, flows.
    Netfilter,
}

impl Socket {
    /// Opens one that hears the multicast groups of a mask.
    pub fn open(family: Family, groups: u32) -> io::Result<Self> {
        let protocol: Option<Protocol> = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let descriptor =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&descriptor, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { descriptor, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Makes room for what the kernel sends while this process is busy, and for large batches. Without `CAP_NET_ADMIN` only as much as
    /// the host gives everybody.
    pub fn set_buffers(&self, receive: usize, send: usize) -> io::Result<()> {
        use rustix::io::Errno;
        let fd = &self.descriptor;
        match sockopt::set_socket_recv_buffer_size_force(fd, receive) {
            Err(Errno::PERM) => sockopt::set_socket_recv_buffer_size(fd, receive)?,
            set => set?,
        }
        match sockopt::set_socket_send_buffer_size_force(fd, send) {
            Err(Errno::PERM) => sockopt::set_socket_send_buffer_size(fd, send)?,
            set => set?,
        }
        Ok(())
    }

    /// A number for the next message.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends messages.
    ///
    /// # Errors
    /// The kernel does not take them.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        sendto(&self.descriptor, bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    /// The next datagram, if one is there.
    pub fn try_receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        match recv(&self.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(Some(&buffer[..length.min(buffer.len())])),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends messages, whose sequences are `range`, and waits until the kernel has answered the last one. `each` gets all that
    /// is no answer.
    ///
    /// # Errors
    /// The kernel's first error.
    pub fn transact(
        &mut self,
        bytes: &[u8],
        range: (u32, u32),
        mut each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let (first, last) = range;
        self.send(bytes)?;
        let mut failed = 0;
        loop {
            let (length, _) = recv(&self.descriptor, &mut *self.buffer, RecvFlags::empty())?;
            for message in messages(&self.buffer[..length.min(DATAGRAM)]) {
                if !(first..=last).contains(&message.sequence) {
                    continue; // a late answer to a batch that failed as a whole
                }
                let Some(code) = message.verdict() else {
                    each(message);
                    continue;
                };
                failed = if failed == 0 { code } else { failed };
                // A batch that fails as a whole is answered at its beginning.
                if message.sequence == last || (code != 0 && message.sequence == first) {
                    let error = io::Error::from_raw_os_error(-failed);
                    return if failed == 0 { Ok(()) } else { Err(error) };
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.begin(5, flag::ACK, 7);
        writer.put(&[1, 2, 3, 4]);
        writer.text(1, "abc");
        let nest = writer.open(2);
        writer.u32(3, 0x0102_0304);
        writer.close(nest);
        writer.end();
        writer.begin(6, 0, 8);
        writer.end();
        let all: Vec<_> = messages(writer.bytes()).collect();
        assert_eq!((all.len(), all[0].kind, all[1].kind, all[1].sequence), (2, 5, 6, 8));
        let body = &all[0].body[4..];
        assert_eq!(attribute(body, 1), Some(&b"abc\0"[..]));
        assert_eq!(attribute(attribute(body, 2).unwrap(), 3).and_then(be32), Some(0x0102_0304));
        assert_eq!(attribute(body, 4), None);
    }

    #[test]
    fn what_is_cut_short_ends_and_does_not_panic() {
        let mut writer = Writer::default();
        writer.begin(5, 0, 7);
        writer.attribute(1, &[9; 13]);
        writer.end();
        for length in 0..writer.len() {
            for message in messages(&writer.bytes()[..length]) {
                assert_eq!(attributes(message.body).count(), 0);
            }
        }
        assert_eq!(attributes(&[0, 0, 0, 0, 1]).count(), 0, "an attribute shorter than itself");
        assert_eq!(messages(&[0; 40]).count(), 0, "a message shorter than itself");
    }
}
