// SPDX-License-Identifier: Apache-2.0
//! One connection of messages: it connects, asks, and is answered, one request at a time.

use crate::balance::message::{self, MESSAGE, Request};
use crate::balance::poller::Ready;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// What became of an event.
#[derive(Debug)]
pub enum Step {
    /// More has to come.
    Waits,
    /// The answer is there, from this endpoint.
    Answered(u32),
    /// It failed.
    Failed(String),
}

/// The connection.
#[derive(Debug)]
pub struct Talk {
    socket: OwnedFd,
    nonce: u64,
    read: usize,
    bytes: [u8; MESSAGE],
    connected: bool,
    /// An answer is due.
    pub waits: bool,
    /// Since when.
    pub since: Instant,
}

impl Talk {
    /// One that is being connected, and asks when it is.
    pub fn new(socket: OwnedFd, nonce: u64, since: Instant) -> Self {
        Self { socket, nonce, read: 0, bytes: [0; MESSAGE], connected: false, waits: true, since }
    }

    /// Asks again.
    pub fn ask(&mut self, service: u32, nonce: u64, now: Instant) -> Result<(), Errno> {
        (self.nonce, self.read, self.waits, self.since) = (nonce, 0, true, now);
        self.send(service)
    }

    fn send(&mut self, service: u32) -> Result<(), Errno> {
        let request = Request { service, nonce: self.nonce, amount: 0 };
        message::write_request(&mut self.bytes, &request);
        // An empty send buffer takes a request whole.
        send(&self.socket, &self.bytes, SendFlags::NOSIGNAL).map(drop)
    }

    /// Goes on by an event.
    pub fn step(&mut self, ready: Ready, service: u32) -> Step {
        if !self.connected {
            if !ready.writable && !ready.ended {
                return Step::Waits;
            }
            self.connected = true;
            if let Err(error) = self.send(service) {
                return Step::Failed(format!("cannot connect: {error}"));
            }
        }
        if !ready.readable {
            return Step::Waits;
        }
        if !self.waits {
            return self.watch();
        }
        while self.read < MESSAGE {
            match recv(&self.socket, &mut self.bytes[self.read..], RecvFlags::empty()) {
                Ok((0, _)) => return Step::Failed("it ended before its answer".to_owned()),
                Ok((read, _)) => self.read += read,
                Err(Errno::AGAIN) => return Step::Waits,
                Err(Errno::INTR) => {}
                Err(error) => return Step::Failed(format!("no answer: {error}")),
            }
        }
        self.waits = false;
        match message::read_answer(&self.bytes, service, self.nonce) {
            Ok(endpoint) => Step::Answered(endpoint),
            Err(wrong) => Step::Failed(wrong.to_string()),
        }
    }

    /// Nothing is due: bytes or an end are wrong, but an event that came with the last answer is none.
    fn watch(&self) -> Step {
        let mut byte = [0; 1];
        match recv(&self.socket, &mut byte, RecvFlags::empty()) {
            Err(Errno::AGAIN | Errno::INTR) => Step::Waits,
            Ok((0, _)) => Step::Failed("it ended while it was silent".to_owned()),
            Ok(_) => Step::Failed("bytes that nobody asked for".to_owned()),
            Err(error) => Step::Failed(format!("it broke while it was silent: {error}")),
        }
    }
}
