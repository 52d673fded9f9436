// SPDX-License-Identifier: Apache-2.0
//! The kernel's rings (`io_uring(7)`), for sockets that say little and often: a receive that stays armed takes memory from a common
//! pool when bytes come, and what is to be sent goes to the kernel with the next wait. So a message costs no system call of its own.
//!
//! What is handed to the kernel here names sockets by number, and is handed over by [`Ring::turn`] or [`Ring::flush`]: until then
//! nobody may close one of them.
#![expect(unsafe_code, reason = "the kernel reads and writes the queues and the pool's memory")]

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

/// Orders that are handed over at once.
const ORDERS: u32 = 512;
/// Completions that the kernel keeps before it has to remember them otherwise.
const COMPLETIONS: u32 = 4_096;
/// Pieces of memory that receives take from: 1 MiB in all.
const PIECES: u16 = 256;
/// Bytes of one.
pub(crate) const PIECE_BYTES: usize = 4_096;

/// Bytes that were received, in a piece of the pool: given back with [`Ring::give_back`], or with what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    number: u16,
    length: u16,
}

impl Piece {
    /// How many bytes there are.
    pub(crate) fn len(self) -> usize {
        usize::from(self.length)
    }
}

/// What the kernel is done with.
#[derive(Debug)]
pub(crate) enum Done {
    /// A receive has bytes.
    Received { word: u64, piece: Piece },
    /// A receive is not armed any more.
    Disarmed { word: u64, why: End },
    /// A piece was sent, or a part of it.
    Sent { word: u64, piece: Piece, sent: Result<usize, Errno> },
    /// What was watched is readable.
    Readable,
}

/// Why a receive is not armed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The end of the stream.
    Stream,
    /// There was no piece left, or no room to tell of it: it may be armed again.
    Room,
    /// It was cancelled.
    Cancelled,
    /// The connection broke.
    Broke,
}

impl End {
    fn of(error: Errno) -> Self {
        match error {
            Errno::NOBUFS | Errno::AGAIN | Errno::INTR => Self::Room,
            Errno::CANCELED => Self::Cancelled,
            _ => Self::Broke,
        }
    }
}

/// The upper byte of words that are the ring's own.
const KIND: u32 = 56;
const WATCH: u64 = 0xff << KIND;
const CANCEL: u64 = 0xfe << KIND;
const SEND: u64 = 0xfd << KIND;

/// Rings with their pool.
pub(crate) struct Ring {
    // In this order: the kernel lets go of the pool's memory with the rings.
    ring: IoUring,
    pool: Pool,
    /// What is sent from each piece: the caller's word, and how much.
    sends: Box<[(u64, u16)]>,
    /// Receives and sends that the kernel has.
    open: u32,
    done: Vec<(u64, i32, u32)>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Ring {
    /// Rings of this thread's own. Fails where the kernel does not have them or does not allow them.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(ORDERS)?;
        let pool = Pool::new(&ring)?;
        let sends = vec![(0, 0); usize::from(PIECES)].into_boxed_slice();
        Ok(Self { ring, pool, sends, open: 0, done: Vec::new() })
    }

    /// Whether the kernel has something of which it will tell.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.open == 0 && self.ring.submission().is_empty()
    }

    /// Receives from a socket from now on, until it is told that it does not.
    pub(crate) fn receive(&mut self, socket: impl AsFd, word: u64) {
        let socket = types::Fd(socket.as_fd().as_raw_fd());
        self.open += 1;
        self.order(&opcode::RecvMulti::new(socket, 0).build().user_data(word));
    }

    /// Receives no more; what was received is still told, and at the end that it is not armed.
    pub(crate) fn cancel(&mut self, word: u64) {
        self.order(&opcode::AsyncCancel::new(word).build().user_data(CANCEL));
    }

    /// Sends a piece, as far as there is room at once.
    pub(crate) fn send(&mut self, socket: impl AsFd, word: u64, piece: Piece) {
        let socket = types::Fd(socket.as_fd().as_raw_fd());
        let bytes = self.pool.at(piece.number).cast_const();
        let order = opcode::Send::new(socket, bytes, u32::from(piece.length))
            .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        self.sends[usize::from(piece.number)] = (word, piece.length);
        self.open += 1;
        self.order(&order.build().user_data(SEND | u64::from(piece.number)));
    }

    /// Tells once when this descriptor is readable.
    pub(crate) fn watch(&mut self, descriptor: impl AsFd) {
        let descriptor = types::Fd(descriptor.as_fd().as_raw_fd());
        let events = u32::from(libc::POLLIN.cast_unsigned());
        self.order(&opcode::PollAdd::new(descriptor, events).build().user_data(WATCH));
    }

    fn order(&mut self, order: &squeue::Entry) {
        // SAFETY: the only memory that an order names are pieces of the pool, which live as long as the rings; one that is sent is
        // given to nobody else until the kernel has told that it was.
        while unsafe { self.ring.submission().push(order) }.is_err() {
            self.flush();
        }
    }

    /// Hands all orders over.
    pub(crate) fn flush(&mut self) {
        while !self.ring.submission().is_empty() {
            match self.ring.submit() {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => self.collect(),
                _ => {}
            }
        }
    }

    /// Hands all orders over, waits until the kernel is done with something, and gives all it is done with.
    pub(crate) fn turn(
        &mut self,
        wait: Option<Timespec>,
        all: &mut Vec<Done>,
    ) -> Result<(), Errno> {
        let time = wait.map(|wait| {
            types::Timespec::new()
                .sec(wait.tv_sec.unsigned_abs())
                .nsec(u32::try_from(wait.tv_nsec).unwrap_or(0))
        });
        let mut arguments = types::SubmitArgs::new();
        if let Some(time) = &time {
            arguments = arguments.timespec(time);
        }
        let wanted = usize::from(self.done.is_empty());
        match self.ring.submitter().submit_with_args(wanted, &arguments) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // With the last two memory was lacking, and the kernel could not tell of something: whose it was waits for its
                // timeout, and others go on.
                Some(
                    libc::ETIME
                    | libc::EINTR
                    | libc::EBUSY
                    | libc::EAGAIN
                    | libc::EBADR
                    | libc::ENOMEM,
                ) => {}
                _ => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            },
        }
        self.collect();
        let mut done = std::mem::take(&mut self.done);
        for (word, result, flags) in done.drain(..) {
            self.tell(word, result, flags, all);
        }
        self.done = done;
        Ok(())
    }

    fn collect(&mut self) {
        let done = self.ring.completion();
        self.done.extend(done.map(|done| (done.user_data(), done.result(), done.flags())));
    }

    fn tell(&mut self, word: u64, result: i32, flags: u32, all: &mut Vec<Done>) {
        let failed = (result < 0).then(|| Errno::from_raw_os_error(-result));
        if word == WATCH {
            return all.push(Done::Readable);
        }
        if word == CANCEL {
            return;
        }
        if word >> KIND == SEND >> KIND {
            self.open -= 1;
            let number = u16::try_from(word & 0xffff).unwrap_or(0);
            let (word, length) = self.sends[usize::from(number)];
            let sent = failed.map_or(Ok(usize::try_from(result).unwrap_or(0)), Err);
            return all.push(Done::Sent { word, piece: Piece { number, length }, sent });
        }
        let length = u16::try_from(result).unwrap_or(0);
        match cqueue::buffer_select(flags) {
            Some(number) if length > 0 => {
                all.push(Done::Received { word, piece: Piece { number, length } });
            }
            Some(number) => self.pool.give(number),
            None => {}
        }
        if !cqueue::more(flags) {
            self.open -= 1;
            let ends = length == 0 && failed.is_none();
            let why = if ends { End::Stream } else { failed.map_or(End::Room, End::of) };
            all.push(Done::Disarmed { word, why });
        }
    }

    /// The bytes of a piece.
    pub(crate) fn bytes(&self, piece: Piece) -> &[u8] {
        let length = usize::from(piece.length).min(PIECE_BYTES);
        // SAFETY: the memory lives as long as the pool; the kernel writes to a piece only while it has been given it.
        unsafe { std::slice::from_raw_parts(self.pool.at(piece.number), length) }
    }

    /// Gives a piece back that was not sent.
    pub(crate) fn give_back(&mut self, piece: Piece) {
        self.pool.give(piece.number);
    }
}

/// The pieces' memory, and the queue by which the kernel is given them.
struct Pool {
    entries: *mut types::BufRingEntry,
    room: *mut u8,
    tail: u16,
}

// SAFETY: the memory is this pool's own, and nothing of it belongs to a thread.
unsafe impl Send for Pool {}

const ENTRIES_BYTES: usize = PIECES as usize * size_of::<types::BufRingEntry>();
const ROOM_BYTES: usize = PIECES as usize * PIECE_BYTES;

impl Pool {
    fn new(ring: &IoUring) -> io::Result<Self> {
        let map = |length| {
            // SAFETY: a new mapping, that nothing else knows.
            unsafe {
                mmap_anonymous(
                    ptr::null_mut(),
                    length,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE,
                )
            }
        };
        let entries = map(ENTRIES_BYTES)?;
        let room = map(ROOM_BYTES).inspect_err(|_| {
            // SAFETY: mapped above, and nothing else knows it.
            let _ = unsafe { munmap(entries, ENTRIES_BYTES) };
        })?;
        let mut pool = Self { entries: entries.cast(), room: room.cast(), tail: 0 };
        let submitter = ring.submitter();
        // SAFETY: the mapping has room for so many entries, and lives longer than the rings (see `Ring`).
        unsafe { submitter.register_buf_ring_with_flags(entries as u64, PIECES, 0, 0)? };
        (0..PIECES).for_each(|number| pool.give(number));
        Ok(pool)
    }

    fn at(&self, number: u16) -> *mut u8 {
        self.room.wrapping_add(usize::from(number % PIECES) * PIECE_BYTES)
    }

    /// Lets the kernel fill a piece.
    fn give(&mut self, number: u16) {
        let address = self.at(number) as u64;
        // SAFETY: the index is below `PIECES`; the kernel reads an entry only when the tail is behind it.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail & (PIECES - 1)));
            entry.set_addr(address);
            entry.set_len(u32::try_from(PIECE_BYTES).unwrap_or(0));
            entry.set_bid(number);
            self.tail = self.tail.wrapping_add(1);
            let tail = types::BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: both were mapped by `new`, and the rings that knew them are gone.
        unsafe {
            let _ = munmap(self.entries.cast(), ENTRIES_BYTES);
            let _ = munmap(self.room.cast(), ROOM_BYTES);
        }
    }
}
