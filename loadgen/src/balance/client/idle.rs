// SPDX-License-Identifier: Apache-2.0
//! Connections that are held: each asks once, so that it is known to reach its backend, and is silent from then on. At the end
//! each asks again: none may have been given up.

use super::course::Tally;
use super::{PATIENCE, Target};
use crate::balance::message::{self, MESSAGE, Nonces, Request};
use crate::balance::poller::{Interest, Poller};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Connections that are made at once.
const AT_ONCE: usize = 128;

#[derive(Debug)]
struct Held {
    socket: OwnedFd,
    nonce: u64,
    read: usize,
    bytes: [u8; MESSAGE],
    waits: bool,
    asked: bool,
}

/// The connections.
#[derive(Debug)]
pub struct Idle<'a> {
    target: &'a Target,
    nonces: Nonces,
    poller: Poller,
    held: Vec<Held>,
    waiting: usize,
    /// What was found out.
    pub tally: Tally,
}

impl<'a> Idle<'a> {
    /// None yet.
    pub fn new(target: &'a Target) -> io::Result<Self> {
        let (nonces, poller) = (target.nonces(), Poller::new()?);
        let tally = Tally::default();
        Ok(Self { target, nonces, poller, held: Vec::new(), waiting: 0, tally })
    }

    /// Holds so many, each of which has been answered.
    pub fn grow(&mut self, count: usize) -> io::Result<()> {
        let mut heard = Instant::now();
        while self.held.len() < count || self.waiting > 0 {
            while self.held.len() < count && self.waiting < AT_ONCE {
                self.connect()?;
            }
            if !self.turn(&mut heard)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks all of them, some at a time.
    pub fn ask_all(&mut self) -> io::Result<()> {
        let mut heard = Instant::now();
        let mut next = 0;
        while next < self.held.len() || self.waiting > 0 {
            while next < self.held.len() && self.waiting < AT_ONCE {
                self.ask(next);
                next += 1;
            }
            if !self.turn(&mut heard)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Is silent for so long, and watches for connections that end.
    pub fn rest(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let found = self.poller.wait(Some(left))?;
            self.events(found);
        }
    }

    fn connect(&mut self) -> io::Result<()> {
        let at = self.held.len();
        let socket = self.target.sources.connect(&self.target.address(at))?;
        self.poller.add(&socket, at as u64, Interest::Edges)?;
        let nonce = self.nonces.draw();
        let bytes = [0; MESSAGE];
        self.held.push(Held { socket, nonce, read: 0, bytes, waits: true, asked: false });
        self.waiting += 1;
        Ok(())
    }

    fn ask(&mut self, at: usize) {
        let service = self.target.service;
        let held = &mut self.held[at];
        if held.waits {
            return;
        }
        held.nonce = self.nonces.draw();
        (held.read, held.waits) = (0, true);
        self.waiting += 1;
        if let Err(error) = held.ask(service) {
            self.over(at, Err(format!("a held connection broke: {error}")));
        }
    }

    /// Waits for events once; false if nothing has come for too long.
    fn turn(&mut self, heard: &mut Instant) -> io::Result<bool> {
        let found = self.poller.wait(Some(Duration::from_millis(100)))?;
        if found > 0 {
            *heard = Instant::now();
        } else if heard.elapsed() > PATIENCE {
            let waiting = self.waiting as u64;
            self.tally.unanswered += waiting;
            // One of them by telling it.
            self.tally.failures += waiting.saturating_sub(1);
            self.fail(format!("{waiting} connections got no answer in {} s", PATIENCE.as_secs()));
            return Ok(false);
        }
        self.events(found);
        Ok(self.tally.failures < super::course::FAILURES_MAX)
    }

    fn events(&mut self, found: usize) {
        for event in 0..found {
            let ready = self.poller.event(event);
            let at = usize::try_from(ready.token).unwrap_or(usize::MAX);
            let service = self.target.service;
            let Some(held) = self.held.get_mut(at) else { continue };
            if !held.asked
                && (ready.writable || ready.ended)
                && let Err(error) = held.ask(service)
            {
                self.over(at, Err(format!("cannot connect: {error}")));
                continue;
            }
            if ready.readable
                && let Some(result) = held.read(service)
            {
                self.over(at, result);
            }
        }
    }

    /// A connection was answered, or broke.
    fn over(&mut self, at: usize, result: Result<u32, String>) {
        let held = &mut self.held[at];
        if held.waits {
            self.waiting -= 1;
            held.waits = false;
        }
        match result {
            Ok(_) => self.tally.operations += 1,
            Err(why) => self.fail(why),
        }
    }

    fn fail(&mut self, why: String) {
        self.tally.failed(why);
    }
}

impl Held {
    fn ask(&mut self, service: u32) -> Result<(), Errno> {
        let mut bytes = [0; MESSAGE];
        let request = Request { service, nonce: self.nonce, amount: 0 };
        message::write_request(&mut bytes, &request);
        self.asked = true;
        send(&self.socket, &bytes, SendFlags::NOSIGNAL).map(drop)
    }

    /// The answer or the end, once it is there.
    fn read(&mut self, service: u32) -> Option<Result<u32, String>> {
        if !self.waits {
            // Nothing is due: bytes or an end are wrong, but an event that came with the last answer is none.
            let mut byte = [0; 1];
            return match recv(&self.socket, &mut byte, RecvFlags::empty()) {
                Err(Errno::AGAIN | Errno::INTR) => None,
                Ok((0, _)) => Some(Err("a held connection ended".to_owned())),
                Ok(_) => Some(Err("bytes that nobody asked for".to_owned())),
                Err(error) => Some(Err(format!("a held connection broke: {error}"))),
            };
        }
        while self.read < MESSAGE {
            match recv(&self.socket, &mut self.bytes[self.read..], RecvFlags::empty()) {
                Ok((0, _)) => return Some(Err("a connection ended before its answer".to_owned())),
                Ok((read, _)) => self.read += read,
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(error) => return Some(Err(format!("no answer: {error}"))),
            }
        }
        let answer = message::read_answer(&self.bytes, service, self.nonce);
        Some(answer.map_err(|wrong| wrong.to_string()))
    }
}
