// SPDX-License-Identifier: Apache-2.0
//! Connections that ask again when they are answered: on the same connection (keep-alive) or, each time, on a new one (short).

use super::course::{Course, LOOK, Meter, Span, Tally};
use super::{PATIENCE, Target};
use crate::balance::message::{Nonces, Request};
use crate::balance::poller::{Interest, Poller, Ready};
use crate::balance::wire::{LONGEST, Wire};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// One connection at a time.
#[derive(Debug)]
struct Slot {
    socket: OwnedFd,
    nonce: u64,
    since: Instant,
    asked: bool,
    /// Nothing more is to come.
    done: bool,
    read: usize,
    bytes: [u8; LONGEST],
}

/// What became of an event.
enum Step {
    /// More has to come.
    Waits,
    /// The answer is there, from this endpoint.
    Answered(u32),
    /// It failed.
    Failed(String),
}

/// The load.
#[derive(Debug)]
pub struct Closed<'a> {
    target: &'a Target,
    wire: Wire,
    short: bool,
    nonces: Nonces,
    poller: Poller,
    slots: Vec<Slot>,
    opened: usize,
    /// Nothing more is asked.
    ending: bool,
}

/// Runs so many connections.
pub fn run(
    target: &Target,
    (connections, wire, short): (usize, Wire, bool),
    span: Span,
    meter: &mut dyn Meter,
) -> io::Result<Tally> {
    let nonces = target.nonces();
    let poller = Poller::new()?;
    let mut load =
        Closed { target, wire, short, nonces, poller, slots: Vec::new(), opened: 0, ending: false };
    for at in 0..connections {
        let slot = load.connect(at)?;
        load.slots.push(slot);
    }
    load.run(Course::new(span, meter))
}

impl Closed<'_> {
    fn connect(&mut self, at: usize) -> io::Result<Slot> {
        let since = Instant::now();
        let socket = self.target.sources.connect(&self.target.address(self.opened))?;
        self.opened += 1;
        self.poller.add(&socket, at as u64, Interest::Edges)?;
        let nonce = self.nonces.draw();
        let bytes = [0; LONGEST];
        Ok(Slot { socket, nonce, since, asked: false, done: false, read: 0, bytes })
    }

    fn run(&mut self, mut course: Course<'_>) -> io::Result<Tally> {
        let mut looked = Instant::now();
        loop {
            let now = Instant::now();
            if !course.goes_on(now) {
                self.settle(&mut course)?;
                return Ok(course.finish());
            }
            let found = self.poller.wait(Some(course.wait(now)))?;
            for event in 0..found {
                let ready = self.poller.event(event);
                self.ready(ready, &mut course)?;
            }
            if now.duration_since(looked) > LOOK {
                looked = now;
                self.look_after_the_stuck(now, &mut course)?;
            }
        }
    }

    /// Waits for what is on its way: who is never answered must not be left out for having been asked last.
    fn settle(&mut self, course: &mut Course<'_>) -> io::Result<()> {
        self.ending = true;
        let ended = Instant::now();
        while course.has_to_settle() && self.slots.iter().any(|slot| !slot.done) {
            if ended.elapsed() > PATIENCE {
                break;
            }
            for event in 0..self.poller.wait(Some(LOOK))? {
                let ready = self.poller.event(event);
                self.ready(ready, course)?;
            }
        }
        if course.has_to_settle() {
            let now = Instant::now();
            let open = self.slots.iter().filter(|slot| !slot.done);
            open.for_each(|slot| course.unanswered(slot.since, now));
        }
        Ok(())
    }

    fn ready(&mut self, ready: Ready, course: &mut Course<'_>) -> io::Result<()> {
        let at = usize::try_from(ready.token).unwrap_or(usize::MAX);
        let (wire, service) = (self.wire, self.target.service);
        let Some(slot) = self.slots.get_mut(at).filter(|slot| !slot.done) else { return Ok(()) };
        match slot.step(ready, wire, service) {
            Step::Waits => return Ok(()),
            Step::Failed(why) => course.failed(why),
            Step::Answered(endpoint) => {
                let now = Instant::now();
                course.answered(slot.since, now, endpoint);
                if !self.short && !self.ending {
                    slot.nonce = self.nonces.draw();
                    slot.since = now;
                    slot.read = 0;
                    match slot.ask(wire, service) {
                        Ok(()) => return Ok(()),
                        Err(error) => course.failed(format!("cannot send: {error}")),
                    }
                }
            }
        }
        if self.ending {
            self.slots[at].done = true;
            return Ok(());
        }
        // A new one in place of that which is done or failed; the old one is closed by being dropped.
        self.slots[at] = self.connect(at)?;
        Ok(())
    }

    fn look_after_the_stuck(&mut self, now: Instant, course: &mut Course<'_>) -> io::Result<()> {
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            if now.saturating_duration_since(slot.since) > PATIENCE {
                course.unanswered(slot.since, now);
                self.slots[at] = self.connect(at)?;
            }
        }
        Ok(())
    }
}

impl Slot {
    /// Sends the request.
    fn ask(&mut self, wire: Wire, service: u32) -> Result<(), Errno> {
        let bytes = &mut self.bytes[..wire.request_bytes()];
        wire.write_request(bytes, &Request { service, nonce: self.nonce, amount: 0 });
        self.asked = true;
        // An empty send buffer takes a request whole.
        send(&self.socket, bytes, SendFlags::NOSIGNAL).map(drop)
    }

    fn step(&mut self, ready: Ready, wire: Wire, service: u32) -> Step {
        if !self.asked {
            if !ready.writable && !ready.ended {
                return Step::Waits;
            }
            if let Err(error) = self.ask(wire, service) {
                return Step::Failed(format!("cannot connect: {error}"));
            }
        }
        if !ready.readable {
            return Step::Waits;
        }
        let whole = wire.answer_bytes();
        while self.read < whole {
            match recv(&self.socket, &mut self.bytes[self.read..whole], RecvFlags::empty()) {
                Ok((0, _)) => return Step::Failed("the connection ended before its answer".into()),
                Ok((read, _)) => self.read += read,
                Err(Errno::AGAIN) => return Step::Waits,
                Err(Errno::INTR) => {}
                Err(error) => return Step::Failed(format!("no answer: {error}")),
            }
        }
        match wire.read_answer(&self.bytes[..whole], service, self.nonce) {
            Ok(endpoint) => Step::Answered(endpoint),
            Err(wrong) => Step::Failed(wrong.to_string()),
        }
    }
}
