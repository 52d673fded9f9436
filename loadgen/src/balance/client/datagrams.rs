// SPDX-License-Identifier: Apache-2.0
//! Pairs of datagrams: from fixed sources with some unanswered ones each, or each pair from a source of its own.
//!
//! A datagram may be lost; it is counted, and another is sent in its place. A wrong answer is a failure.

use super::Target;
use super::course::{Course, LOOK, Meter, Span, Tally};
use crate::balance::message::{self, DATAGRAM, Nonces, Request};
use crate::balance::poller::{Interest, Poller};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// After so long a datagram counts as lost. Longer than any queue on one machine.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// Most unanswered datagrams of a flow: the nonce's low byte says which one is answered.
pub const WINDOW_MAX: usize = 256;

/// A datagram on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    nonce: u64,
    since: Instant,
    /// It is answered, and nothing was sent in its place.
    done: bool,
}

#[derive(Debug)]
struct Flow {
    socket: OwnedFd,
    asked: Vec<Asked>,
}

struct Datagrams<'a> {
    target: &'a Target,
    nonces: Nonces,
    poller: Poller,
    flows: Vec<Flow>,
    /// A source for each pair.
    renew: bool,
    opened: usize,
    /// Nothing more is sent.
    ending: bool,
}

/// Runs `flows` sources with `window` unanswered datagrams each; with `renew`, each pair has a source of its own.
pub fn run(
    target: &Target,
    (flows, window, renew): (usize, usize, bool),
    span: Span,
    meter: &mut dyn Meter,
) -> io::Result<Tally> {
    let window = window.clamp(1, WINDOW_MAX);
    let mut load = Datagrams {
        target,
        nonces: target.nonces(),
        poller: Poller::new()?,
        flows: Vec::new(),
        renew,
        opened: 0,
        ending: false,
    };
    for at in 0..flows {
        let flow = load.open(at, window)?;
        load.flows.push(flow);
    }
    load.run(Course::new(span, meter))
}

impl Datagrams<'_> {
    /// A flow, with all its datagrams sent.
    fn open(&mut self, at: usize, window: usize) -> io::Result<Flow> {
        let socket = self.target.sources.flow(&self.target.address(self.opened))?;
        self.opened += 1;
        self.poller.add(&socket, at as u64, Interest::Edges)?;
        let mut flow = Flow { socket, asked: Vec::with_capacity(window) };
        for slot in 0..window {
            flow.asked.push(Asked { nonce: 0, since: Instant::now(), done: false });
            flow.ask(slot, self.target.service, &mut self.nonces);
        }
        Ok(flow)
    }

    fn run(&mut self, mut course: Course<'_>) -> io::Result<Tally> {
        let mut looked = Instant::now();
        loop {
            let now = Instant::now();
            if !course.goes_on(now) {
                self.settle(now, &mut course)?;
                return Ok(course.finish());
            }
            for event in 0..self.poller.wait(Some(course.wait(now)))? {
                let ready = self.poller.event(event);
                let at = usize::try_from(ready.token).unwrap_or(usize::MAX);
                if ready.readable && at < self.flows.len() {
                    self.read(at, &mut course)?;
                }
            }
            if now.duration_since(looked) > LOOK {
                looked = now;
                self.replace_the_lost(now, &mut course)?;
            }
        }
    }

    /// Those that are on their way get their time; who has no answer then is lost.
    fn settle(&mut self, ended: Instant, course: &mut Course<'_>) -> io::Result<()> {
        self.ending = true;
        let open = |flows: &[Flow]| -> usize {
            flows.iter().map(|flow| flow.asked.iter().filter(|asked| !asked.done).count()).sum()
        };
        while course.has_to_settle() && open(&self.flows) > 0 {
            if ended.elapsed() > LOST_AFTER {
                (0..open(&self.flows)).for_each(|_| course.lost());
                break;
            }
            for event in 0..self.poller.wait(Some(LOOK))? {
                let ready = self.poller.event(event);
                let at = usize::try_from(ready.token).unwrap_or(usize::MAX);
                if ready.readable && at < self.flows.len() {
                    self.read(at, course)?;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, at: usize, course: &mut Course<'_>) -> io::Result<()> {
        let service = self.target.service;
        let mut bytes = [0_u8; 2 * DATAGRAM];
        // What was unanswered when the event came, at most: more would be answers to what is sent meanwhile, which have an
        // event of their own, and one call that finds nothing is saved.
        for _ in 0..self.flows[at].asked.len() {
            let flow = &mut self.flows[at];
            let length = match recv(&flow.socket, bytes.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    course.failed(format!("no answer to a datagram: {error}"));
                    return Ok(());
                }
            };
            let now = Instant::now();
            let nonce = message::nonce(&bytes);
            let slot = usize::try_from(nonce % WINDOW_MAX as u64).unwrap_or(0);
            let asked = flow.asked.get(slot).filter(|asked| asked.nonce == nonce).copied();
            let answer = message::read_answer(&bytes[..length], service, nonce);
            match (answer, asked) {
                (Err(wrong), _) => course.failed(wrong),
                (Ok(_), _) if length != DATAGRAM => course.failed("a datagram of another length"),
                // The answer to one that counted as lost.
                (Ok(_), None) => continue,
                (Ok(endpoint), Some(asked)) => course.answered(asked.since, now, endpoint),
            }
            if self.ending {
                if let Some(asked) = flow.asked.get_mut(slot) {
                    asked.done = true;
                }
                continue;
            }
            if self.renew {
                self.flows[at] = self.open(at, 1)?;
                return Ok(());
            }
            flow.ask(slot, service, &mut self.nonces);
        }
        Ok(())
    }

    fn replace_the_lost(&mut self, now: Instant, course: &mut Course<'_>) -> io::Result<()> {
        for at in 0..self.flows.len() {
            for slot in 0..self.flows[at].asked.len() {
                let flow = &mut self.flows[at];
                if now.saturating_duration_since(flow.asked[slot].since) < LOST_AFTER {
                    continue;
                }
                course.lost();
                if self.renew {
                    self.flows[at] = self.open(at, 1)?;
                } else {
                    flow.ask(slot, self.target.service, &mut self.nonces);
                }
            }
        }
        Ok(())
    }
}

impl Flow {
    /// Sends a datagram in this place of the window. One that finds no room is found to be lost.
    fn ask(&mut self, slot: usize, service: u32, nonces: &mut Nonces) {
        let nonce = nonces.draw() / WINDOW_MAX as u64 * WINDOW_MAX as u64 + slot as u64;
        let mut bytes = [0; DATAGRAM];
        message::write_request(&mut bytes, &Request { service, nonce, amount: 0 });
        self.asked[slot] = Asked { nonce, since: Instant::now(), done: false };
        let _ = send(&self.socket, &bytes, SendFlags::NOSIGNAL);
    }
}
