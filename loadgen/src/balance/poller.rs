// SPDX-License-Identifier: Apache-2.0
//! One epoll instance: what both the client and the backends wait in.
//!
//! Epoll by its own calls (rustix) and not through mio: here events have to be edge-triggered or not as the load needs it, and
//! a system call more or less per request is what is measured.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events that are taken at once. More only lets the first of them wait.
const BATCH: usize = 256;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Readable, as long as it is.
    Read,
    /// Readable or writable, as long as it is.
    Both,
    /// Readable or writable, each time it becomes so.
    Edges,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::Both => EventFlags::IN | EventFlags::OUT,
            Self::Edges => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
        }
    }
}

/// What happened to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number that it was added with.
    pub token: u64,
    /// There is something to read: bytes, the end, or an error.
    pub readable: bool,
    /// It can be written to.
    pub writable: bool,
    /// The other side has ended, or an error waits: what is readable has to be read to its end, as no further event will tell.
    pub ended: bool,
}

/// An epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poller {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Adds a descriptor; closing it takes it out again.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), interest.flags())?;
        Ok(())
    }

    /// Waits for something else of a descriptor.
    pub fn change(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(token), interest.flags())?;
        Ok(())
    }

    /// Waits for events, `None` for ever; gives how many there are.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, timeout.as_ref()) {
            Ok(_) => Ok(self.events.len()),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The event of this number, of those that [`wait`](Self::wait) found.
    pub fn event(&self, at: usize) -> Ready {
        let event = self.events[at];
        let flags = event.flags;
        let over = EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
        Ready {
            token: event.data.u64(),
            readable: flags.intersects(EventFlags::IN | over),
            writable: flags.contains(EventFlags::OUT),
            ended: flags.intersects(over),
        }
    }
}
