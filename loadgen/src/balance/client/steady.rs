// SPDX-License-Identifier: Apache-2.0
//! Steady traffic while something happens to the balancer: connections that are held and ask every so often, and new ones that come at a
//! fixed rate, ask, linger, ask again and go. Nothing of it may fail; each failure is told with what the system said.

use super::course::{FAILURES_MAX, LOOK, Tally};
use super::talk::{Step, Talk};
use super::{PATIENCE, Target};
use crate::balance::message::Nonces;
use crate::balance::poller::{Interest, Poller, Ready};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Held connections that are being made at once.
const AT_ONCE: usize = 128;
/// The first token of a new connection.
const NEWCOMERS: u64 = 1 << 32;
/// How long a wait lasts at most: what is due is due to the millisecond.
const TICK: Duration = Duration::from_millis(1);

/// Which endpoints are out of the service, in effect: no connection that begins meanwhile may reach one.
#[derive(Debug, Default)]
pub struct Gone([AtomicU64; 8]);

impl Gone {
    /// It is out from now on, or, before it is put back, it is not.
    pub fn mark(&self, endpoint: u32, gone: bool) {
        let slot = usize::try_from(endpoint).ok().and_then(|at| self.0.get(at));
        if let Some(slot) = slot {
            // Odd numbers are out.
            let now = slot.load(Ordering::SeqCst);
            slot.store(now + 1 + u64::from(now.is_multiple_of(2) != gone), Ordering::SeqCst);
        }
    }

    fn seen(&self) -> [u64; 8] {
        std::array::from_fn(|at| self.0[at].load(Ordering::SeqCst))
    }

    /// Whether an endpoint was out then, and has been ever since.
    fn is_out_since(&self, then: &[u64; 8], endpoint: u32) -> bool {
        let Some(at) = usize::try_from(endpoint).ok().filter(|at| *at < then.len()) else {
            return false;
        };
        !then[at].is_multiple_of(2) && self.0[at].load(Ordering::SeqCst) == then[at]
    }
}

/// What is said to the traffic, and heard of it.
#[derive(Debug, Default)]
pub struct Signals {
    /// It shall end.
    pub stop: AtomicBool,
    /// So many connections shall be held.
    pub held: AtomicUsize,
    /// So many are, and were answered.
    pub settled: AtomicUsize,
    /// It has ended by itself.
    pub over: AtomicBool,
    /// Endpoints that are out.
    pub gone: Gone,
}

/// The traffic.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often each held connection asks.
    pub every: Duration,
    /// New connections a second.
    pub per_second: f64,
    /// How long one of them lingers between its two requests.
    pub linger: Duration,
}

#[derive(Debug)]
struct Held {
    talk: Talk,
    dead: bool,
    answered: bool,
}

#[derive(Debug)]
struct Newcomer {
    talk: Talk,
    due: Instant,
    gone: [u64; 8],
    endpoint: Option<u32>,
}

struct Steady<'a> {
    target: &'a Target,
    plan: Plan,
    signals: &'a Signals,
    nonces: Nonces,
    poller: Poller,
    held: Vec<Held>,
    newcomers: Vec<Option<Newcomer>>,
    free: Vec<usize>,
    /// Who asks again, and when.
    lingering: VecDeque<(Instant, usize)>,
    opened: usize,
    growing: usize,
    answers: u64,
    tally: Tally,
}

/// Runs until it is told to stop; gives what became of the new connections, and how many answers the held ones got.
pub fn run(target: &Target, plan: Plan, signals: &Signals) -> io::Result<(Tally, u64)> {
    let mut load = Steady {
        target,
        plan,
        signals,
        nonces: target.nonces(),
        poller: Poller::new()?,
        held: Vec::new(),
        newcomers: Vec::new(),
        free: Vec::new(),
        lingering: VecDeque::new(),
        opened: 0,
        growing: 0,
        answers: 0,
        tally: Tally::default(),
    };
    let began = Instant::now();
    let ran = load.run();
    signals.over.store(true, Ordering::SeqCst);
    ran?;
    load.tally.seconds = began.elapsed().as_secs_f64();
    Ok((load.tally, load.answers))
}

impl Steady<'_> {
    fn run(&mut self) -> io::Result<()> {
        let gap = Duration::from_secs_f64(1.0 / self.plan.per_second.max(1e-3));
        let (mut newcomer, mut turn) = (Instant::now(), Instant::now());
        let (mut next, mut looked) = (0, Instant::now());
        while !self.signals.stop.load(Ordering::SeqCst) && self.tally.failures < FAILURES_MAX {
            let now = Instant::now();
            self.grow()?;
            while newcomer <= now {
                self.begin(newcomer)?;
                newcomer += gap;
            }
            while turn <= now && !self.held.is_empty() {
                next = (next + 1) % self.held.len();
                self.ask(next);
                turn += self.plan.every / u32::try_from(self.held.len()).unwrap_or(u32::MAX);
            }
            self.ask_again(now);
            self.events(TICK);
            if now.duration_since(looked) > LOOK {
                looked = now;
                self.give_up_the_stuck(now, PATIENCE);
            }
        }
        self.settle();
        Ok(())
    }

    /// All that is held asks once more, and all that is new comes to its end.
    fn settle(&mut self) {
        let began = Instant::now();
        (0..self.held.len()).for_each(|at| self.ask(at));
        while self.tally.failures < FAILURES_MAX && began.elapsed() < PATIENCE {
            // Nobody lingers any longer.
            self.ask_again(Instant::now() + self.plan.linger);
            let waits = |held: &Held| held.talk.waits && !held.dead;
            if !self.held.iter().any(waits) && self.newcomers.iter().all(Option::is_none) {
                return;
            }
            self.events(LOOK);
        }
        self.give_up_the_stuck(Instant::now(), Duration::ZERO);
    }

    fn grow(&mut self) -> io::Result<()> {
        while self.held.len() < self.signals.held.load(Ordering::SeqCst) && self.growing < AT_ONCE {
            let at = self.held.len();
            let talk = self.talk(at as u64, Instant::now())?;
            self.held.push(Held { talk, dead: false, answered: false });
            self.growing += 1;
        }
        Ok(())
    }

    fn talk(&mut self, token: u64, since: Instant) -> io::Result<Talk> {
        let socket = self.target.sources.connect(&self.target.address(self.opened))?;
        self.opened += 1;
        self.poller.add(&socket, token, Interest::Edges)?;
        Ok(Talk::new(socket, self.nonces.draw(), since))
    }

    fn begin(&mut self, due: Instant) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.newcomers.push(None);
            self.newcomers.len() - 1
        });
        let gone = self.signals.gone.seen();
        let talk = self.talk(NEWCOMERS + slot as u64, due)?;
        self.newcomers[slot] = Some(Newcomer { talk, due, gone, endpoint: None });
        Ok(())
    }

    fn ask(&mut self, at: usize) {
        let (service, nonce) = (self.target.service, self.nonces.draw());
        let held = &mut self.held[at];
        if held.talk.waits || held.dead {
            return;
        }
        if let Err(error) = held.talk.ask(service, nonce, Instant::now()) {
            held.dead = true;
            self.tally.failed(format!("a held connection broke: {error}"));
        }
    }

    fn ask_again(&mut self, now: Instant) {
        while let Some((due, slot)) = self.lingering.front().copied() {
            if due > now {
                return;
            }
            self.lingering.pop_front();
            let (service, nonce) = (self.target.service, self.nonces.draw());
            // One that broke while it lingered has left its slot, perhaps to another that does not linger yet.
            let Some(Some(newcomer)) = self.newcomers.get_mut(slot) else { continue };
            if newcomer.endpoint.is_none() || newcomer.talk.waits {
                continue;
            }
            if let Err(error) = newcomer.talk.ask(service, nonce, Instant::now()) {
                self.tally.failed(format!("a new connection broke: {error}"));
                self.leave(slot);
            }
        }
    }

    fn leave(&mut self, slot: usize) {
        self.newcomers[slot] = None;
        self.free.push(slot);
    }

    fn events(&mut self, wait: Duration) {
        let found = self.poller.wait(Some(wait)).unwrap_or(0);
        for event in 0..found {
            let ready = self.poller.event(event);
            if ready.token >= NEWCOMERS {
                self.newcomer(usize::try_from(ready.token - NEWCOMERS).unwrap_or(0), ready);
            } else {
                self.held(usize::try_from(ready.token).unwrap_or(usize::MAX), ready);
            }
        }
    }

    fn held(&mut self, at: usize, ready: Ready) {
        let Some(held) = self.held.get_mut(at).filter(|held| !held.dead) else { return };
        match held.talk.step(ready, self.target.service) {
            Step::Waits => return,
            Step::Answered(_) => self.answers += 1,
            Step::Failed(why) => {
                held.dead = true;
                self.tally.failed(format!("a held connection: {why}"));
            }
        }
        if !held.answered {
            held.answered = true;
            self.growing -= 1;
            self.signals.settled.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn newcomer(&mut self, slot: usize, ready: Ready) {
        let Some(Some(newcomer)) = self.newcomers.get_mut(slot) else { return };
        let endpoint = match newcomer.talk.step(ready, self.target.service) {
            Step::Waits => return,
            Step::Answered(endpoint) => endpoint,
            Step::Failed(why) => {
                self.tally.failed(format!("a new connection: {why}"));
                self.leave(slot);
                return;
            }
        };
        let now = Instant::now();
        match newcomer.endpoint {
            None => {
                newcomer.endpoint = Some(endpoint);
                self.tally.record(now.saturating_duration_since(newcomer.due));
                if self.signals.gone.is_out_since(&newcomer.gone, endpoint) {
                    let what =
                        format!("a new connection reached endpoint {endpoint}, which was out");
                    self.tally.failed(what);
                }
                self.lingering.push_back((now + self.plan.linger, slot));
            }
            Some(first) => {
                if first == endpoint {
                    self.tally.operations += 1;
                } else {
                    self.tally.failed(format!("a connection moved from {first} to {endpoint}"));
                }
                self.leave(slot);
            }
        }
    }

    fn give_up_the_stuck(&mut self, now: Instant, patience: Duration) {
        let stuck =
            |talk: &Talk| talk.waits && now.saturating_duration_since(talk.since) > patience;
        for at in 0..self.held.len() {
            let held = &mut self.held[at];
            if !held.dead && stuck(&held.talk) {
                held.dead = true;
                self.tally.unanswered += 1;
                self.tally.failed("a held connection got no answer");
            }
        }
        for slot in 0..self.newcomers.len() {
            if self.newcomers[slot].as_ref().is_some_and(|newcomer| stuck(&newcomer.talk)) {
                self.tally.unanswered += 1;
                self.tally.failed("a new connection got no answer");
                self.leave(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_late_only_while_it_stays_out() {
        let gone = Gone::default();
        let before = gone.seen();
        gone.mark(2, true);
        let out = gone.seen();
        assert!(!gone.is_out_since(&before, 2), "it was there when the connection began");
        assert!(gone.is_out_since(&out, 2) && !gone.is_out_since(&out, 1));
        gone.mark(2, true);
        gone.mark(2, false);
        assert!(!gone.is_out_since(&out, 2), "it has come back");
        assert!(!gone.is_out_since(&gone.seen(), 2));
        assert!(!gone.is_out_since(&out, 99));
    }
}
