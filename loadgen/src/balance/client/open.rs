// SPDX-License-Identifier: Apache-2.0
//! Requests at fixed times, whatever became of those before: a balancer that stalls cannot hide it, because the latency of a
//! request counts from when it was due, not from when there was room to send it.

use super::course::{Course, LOOK, Meter, Span, Tally};
use super::{PATIENCE, Target};
use crate::balance::message::{self, MESSAGE, Nonces, Request};
use crate::balance::poller::{Interest, Poller, Ready};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The token of the timer.
const TIMER: u64 = u64::MAX;
/// Answers that are read at once.
const ROOM: usize = 64 * MESSAGE;
/// Requests that may wait on one connection: an open loop that is this far behind has failed.
const WAITING_MAX: usize = 100_000;

/// A request on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    nonce: u64,
    due: Instant,
}

/// A connection and what was asked on it, in order.
#[derive(Debug)]
struct Lane {
    socket: OwnedFd,
    asked: VecDeque<Asked>,
    /// Bytes that found no room yet.
    unsent: Vec<u8>,
    /// The beginning of an answer.
    begun: Vec<u8>,
    connected: bool,
}

/// The load.
#[derive(Debug)]
struct Open<'a> {
    target: &'a Target,
    nonces: Nonces,
    poller: Poller,
    lanes: Vec<Lane>,
    timer: OwnedFd,
    interval: Duration,
    first: Instant,
    sent: u64,
    opened: usize,
}

/// Sends `rate` requests a second over so many connections.
pub fn run(
    target: &Target,
    (connections, rate): (usize, f64),
    span: Span,
    meter: &mut dyn Meter,
) -> io::Result<Tally> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let poller = Poller::new()?;
    poller.add(&timer, TIMER, Interest::Edges)?;
    let mut load = Open {
        target,
        nonces: target.nonces(),
        poller,
        lanes: Vec::new(),
        timer,
        interval: Duration::from_secs_f64(1.0 / rate),
        first: Instant::now(),
        sent: 0,
        opened: 0,
    };
    for at in 0..connections {
        let lane = load.connect(at)?;
        load.lanes.push(lane);
    }
    let mut course = Course::new(span, meter);
    load.wait_for_connections(&mut course)?;
    load.first = Instant::now() + load.interval;
    load.run(course)
}

impl Open<'_> {
    fn connect(&mut self, at: usize) -> io::Result<Lane> {
        let socket = self.target.sources.connect(&self.target.address(self.opened))?;
        self.opened += 1;
        // A second request that is due before the first is answered goes out at once.
        sockopt::set_tcp_nodelay(&socket, true)?;
        self.poller.add(&socket, at as u64, Interest::Edges)?;
        let (unsent, begun) = (Vec::new(), Vec::new());
        Ok(Lane { socket, asked: VecDeque::new(), unsent, begun, connected: false })
    }

    fn wait_for_connections(&mut self, course: &mut Course<'_>) -> io::Result<()> {
        let began = Instant::now();
        while self.lanes.iter().any(|lane| !lane.connected) {
            if began.elapsed() > PATIENCE {
                course.failed(format!("no connection within {} s", PATIENCE.as_secs()));
                return Ok(());
            }
            for event in 0..self.poller.wait(Some(LOOK))? {
                let ready = self.poller.event(event);
                self.ready(ready, course)?;
            }
        }
        Ok(())
    }

    fn run(&mut self, mut course: Course<'_>) -> io::Result<Tally> {
        loop {
            let now = Instant::now();
            if !course.goes_on(now) {
                self.settle(&mut course)?;
                return Ok(course.finish());
            }
            self.send_what_is_due(now, &mut course);
            self.wake_at(self.due())?;
            let found = self.poller.wait(Some(course.wait(now)))?;
            for event in 0..found {
                let ready = self.poller.event(event);
                if ready.token != TIMER {
                    self.ready(ready, &mut course)?;
                }
            }
        }
    }

    /// Waits for all that was asked. What was due within the measured time counts, however late its answer is.
    fn settle(&mut self, course: &mut Course<'_>) -> io::Result<()> {
        let ended = Instant::now();
        while course.has_to_settle() && self.lanes.iter().any(|lane| !lane.asked.is_empty()) {
            let now = Instant::now();
            if now.duration_since(ended) > PATIENCE {
                self.lanes.iter_mut().for_each(|lane| lane.give_up(now, course));
                break;
            }
            for event in 0..self.poller.wait(Some(LOOK))? {
                let ready = self.poller.event(event);
                if ready.token != TIMER {
                    self.ready(ready, course)?;
                }
            }
        }
        Ok(())
    }

    /// When the next request is due.
    fn due(&self) -> Instant {
        let nanos = self.interval.as_nanos() * u128::from(self.sent);
        self.first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn send_what_is_due(&mut self, now: Instant, course: &mut Course<'_>) {
        loop {
            let due = self.due();
            if due > now {
                return;
            }
            let count = self.lanes.len() as u64;
            let lane = usize::try_from(self.sent % count).unwrap_or(0);
            self.sent += 1;
            if self.lanes[lane].asked.len() >= WAITING_MAX {
                course.unanswered(due, now);
                continue;
            }
            let nonce = self.nonces.draw();
            if let Err(why) = self.lanes[lane].ask(self.target.service, Asked { nonce, due }) {
                course.failed(why);
            }
        }
    }

    fn wake_at(&self, then: Instant) -> io::Result<()> {
        // At least a nanosecond: zero would switch the timer off.
        let left = then.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec, tv_nsec: i64::from(left.subsec_nanos()) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    fn ready(&mut self, ready: Ready, course: &mut Course<'_>) -> io::Result<()> {
        let at = usize::try_from(ready.token).unwrap_or(usize::MAX);
        let service = self.target.service;
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
        lane.connected |= ready.writable;
        let mut result = lane.flush();
        if result.is_ok() && ready.readable {
            result = lane.read(service, ready.ended, course);
        }
        if let Err(why) = result {
            course.failed(why);
            lane.give_up(Instant::now(), course);
            self.lanes[at] = self.connect(at)?;
        }
        Ok(())
    }
}

impl Lane {
    /// What was asked here gets no answer.
    fn give_up(&mut self, now: Instant, course: &mut Course<'_>) {
        self.asked.drain(..).for_each(|asked| course.unanswered(asked.due, now));
    }

    fn ask(&mut self, service: u32, asked: Asked) -> Result<(), String> {
        let mut bytes = [0; MESSAGE];
        message::write_request(&mut bytes, &Request { service, nonce: asked.nonce, amount: 0 });
        self.asked.push_back(asked);
        self.unsent.extend_from_slice(&bytes);
        if self.connected { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            match send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(format!("cannot send: {error}")),
            }
        }
        Ok(())
    }

    fn read(&mut self, service: u32, ended: bool, course: &mut Course<'_>) -> Result<(), String> {
        let mut room = [0; ROOM];
        loop {
            let read = match recv(&self.socket, room.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) => return Err("the connection ended".to_owned()),
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(format!("no answer: {error}")),
            };
            let now = Instant::now();
            self.begun.extend_from_slice(&room[..read]);
            let whole = self.begun.len() / MESSAGE * MESSAGE;
            for answer in self.begun[..whole].chunks_exact(MESSAGE) {
                let Some(asked) = self.asked.pop_front() else {
                    return Err("an answer that nobody asked for".to_owned());
                };
                let endpoint = message::read_answer(answer, service, asked.nonce);
                let endpoint = endpoint.map_err(|wrong| wrong.to_string())?;
                course.answered_due(asked.due, now, endpoint);
            }
            self.begun.drain(..whole);
            if read < ROOM && !ended {
                return Ok(());
            }
        }
    }
}
