// SPDX-License-Identifier: Apache-2.0
//! What a worker on io_uring would reach: `ring-pump LISTEN ENDPOINT`, a pump for small messages with nothing around it. Receives
//! stay armed and take their memory from a common pool when bytes come, so that an idle connection holds none. Measured against the
//! data plane by `ping-pong`; figures are in docs/adr/0009.
#![expect(unsafe_code, reason = "the ring's queues and buffers are raw memory")]

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::collections::VecDeque;
use std::io::{Error, Result};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

/// Buffers, and bytes of each.
const BUFFERS: u16 = 1_024;
const BYTES: usize = 4_096;

/// What a completion is about: upper bits of its word; then the connection, and the lowest bit says which side.
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;

fn word(kind: u64, connection: usize, side: usize) -> u64 {
    kind << 60 | (connection as u64) << 1 | side as u64
}

/// Memory that receives take as bytes come.
struct Pool {
    entries: *mut types::BufRingEntry,
    room: Box<[u8]>,
    tail: u16,
}

impl Pool {
    fn new(ring: &IoUring) -> Result<Self> {
        let length = usize::from(BUFFERS) * size_of::<types::BufRingEntry>();
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, that nothing else knows; it is never unmapped.
        let entries = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
        if entries == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        // SAFETY: the mapping has room for so many entries, and lives as long as the process.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0)? };
        let room = vec![0; usize::from(BUFFERS) * BYTES].into_boxed_slice();
        let mut pool = Self { entries: entries.cast(), room, tail: 0 };
        (0..BUFFERS).for_each(|buffer| pool.give(buffer));
        Ok(pool)
    }

    fn at(&mut self, buffer: u16) -> *mut u8 {
        self.room[usize::from(buffer) * BYTES..].as_mut_ptr()
    }

    /// Lets the kernel fill a buffer.
    fn give(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        // SAFETY: the index is below `BUFFERS`; the kernel reads an entry only when the tail is behind it.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(address);
            entry.set_len(4_096);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = types::BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

/// Bytes on their way: buffer, and which part of it.
#[derive(Clone, Copy)]
struct Piece {
    buffer: u16,
    from: usize,
    upto: usize,
}

struct Side {
    stream: TcpStream,
    sends: bool,
    waiting: VecDeque<Piece>,
}

struct Connection {
    sides: [Side; 2],
    /// Operations that the kernel has.
    open: u32,
}

struct Pump {
    pool: Pool,
    listener: TcpListener,
    to: SocketAddr,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    orders: VecDeque<squeue::Entry>,
}

impl Pump {
    fn accept(&mut self) {
        let listener = types::Fd(self.listener.as_raw_fd());
        let order = opcode::AcceptMulti::new(listener).build().user_data(word(ACCEPT, 0, 0));
        self.orders.push_back(order);
    }

    fn receive(&mut self, at: usize, side: usize) {
        let Some(connection) = &mut self.connections[at] else { return };
        connection.open += 1;
        let socket = types::Fd(connection.sides[side].stream.as_raw_fd());
        let order = opcode::RecvMulti::new(socket, 0).build().user_data(word(RECEIVE, at, side));
        self.orders.push_back(order);
    }

    /// Sends the next piece that waits, if there is one.
    fn send(&mut self, at: usize, side: usize) {
        let Some(connection) = &mut self.connections[at] else { return };
        let to = &mut connection.sides[side];
        let Some(piece) = to.waiting.front().copied() else { return };
        to.sends = true;
        connection.open += 1;
        let socket = types::Fd(to.stream.as_raw_fd());
        let bytes = self.pool.at(piece.buffer).wrapping_add(piece.from);
        let length = u32::try_from(piece.upto - piece.from).unwrap_or(0);
        let order = opcode::Send::new(socket, bytes, length).flags(libc::MSG_NOSIGNAL);
        self.orders.push_back(order.build().user_data(word(SEND, at, side)));
    }

    fn accepted(&mut self, result: i32) -> Result<()> {
        // SAFETY: the kernel gave this descriptor to nobody else.
        let client = unsafe { TcpStream::from_raw_fd(result) };
        let server = TcpStream::connect(self.to)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let side = |stream| Side { stream, sends: false, waiting: VecDeque::new() };
        let connection = Connection { sides: [side(client), side(server)], open: 0 };
        let at = self.free.pop().unwrap_or(self.connections.len());
        if at == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[at] = Some(connection);
        self.receive(at, 0);
        self.receive(at, 1);
        Ok(())
    }

    fn received(&mut self, at: usize, side: usize, result: i32, flags: u32) {
        let Some(connection) = &mut self.connections[at] else { return };
        if !cqueue::more(flags) {
            connection.open -= 1;
        }
        let taken = usize::try_from(result).unwrap_or(0);
        match cqueue::buffer_select(flags) {
            Some(buffer) if taken > 0 => {
                let to = &mut connection.sides[1 - side];
                to.waiting.push_back(Piece { buffer, from: 0, upto: taken });
                if !to.sends {
                    self.send(at, 1 - side);
                }
                if !cqueue::more(flags) {
                    self.receive(at, side);
                }
            }
            _ if result == -libc::ENOBUFS => self.receive(at, side),
            _ => {
                let how = if result == 0 { Shutdown::Write } else { Shutdown::Both };
                let _ = connection.sides[1 - side].stream.shutdown(how);
            }
        }
    }

    fn sent(&mut self, at: usize, side: usize, result: i32) {
        let Some(connection) = &mut self.connections[at] else { return };
        connection.open -= 1;
        let to = &mut connection.sides[side];
        to.sends = false;
        let Ok(sent) = usize::try_from(result) else {
            for piece in std::mem::take(&mut to.waiting) {
                self.pool.give(piece.buffer);
            }
            return;
        };
        if let Some(piece) = to.waiting.front_mut() {
            piece.from += sent;
            if piece.from == piece.upto {
                let buffer = piece.buffer;
                to.waiting.pop_front();
                self.pool.give(buffer);
            }
        }
        self.send(at, side);
    }

    fn run(mut self, mut ring: IoUring) -> Result<()> {
        let mut done = Vec::new();
        self.accept();
        loop {
            while let Some(order) = self.orders.pop_front() {
                // SAFETY: sockets and buffers of an order stay until its completion: `open` counts them.
                if unsafe { ring.submission().push(&order) }.is_err() {
                    self.orders.push_front(order);
                    ring.submit()?;
                }
            }
            ring.submit_and_wait(1)?;
            done.extend(ring.completion().map(|c| (c.user_data(), c.result(), c.flags())));
            for (word, result, flags) in done.drain(..) {
                let at = usize::try_from((word & 0xffff_ffff) >> 1).unwrap_or(0);
                let side = usize::from(word & 1 == 1);
                match word >> 60 {
                    ACCEPT => {
                        if !cqueue::more(flags) {
                            self.accept();
                        }
                        if result >= 0 {
                            self.accepted(result)?;
                        }
                        continue;
                    }
                    RECEIVE => self.received(at, side, result, flags),
                    _ => self.sent(at, side, result),
                }
                if self.connections[at].as_ref().is_some_and(|connection| connection.open == 0) {
                    self.connections[at] = None;
                    self.free.push(at);
                }
            }
        }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, to] = &arguments[..] else { return Err(Error::other("LISTEN ENDPOINT")) };
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(8_192)
        .build(1_024)?;
    let pool = Pool::new(&ring)?;
    let (listener, to) = (TcpListener::bind(listen)?, to.parse().map_err(Error::other)?);
    let (connections, free, orders) = (Vec::new(), Vec::new(), VecDeque::new());
    Pump { pool, listener, to, connections, free, orders }.run(ring)
}
