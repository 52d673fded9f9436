// SPDX-License-Identifier: Apache-2.0
//! The thread that decides. It owns queue, events and books; others send it commands.
//!
//! Packets are read first and decided on last: events that the kernel sent before a packet was queued are taken in between, so that
//! the end of a connection is booked before the next one from the same port.

use crate::conntrack::{self, Events};
use crate::engine::Engine;
use crate::netlink::DATAGRAM;
use crate::queue::{self, Queue};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Packets of one round: their verdicts are sent together.
const PACKETS: usize = 128;
/// Bytes of one queued packet with its attributes: its first 128 and some 100.
const PACKET_BYTES: usize = 512;
/// Events of one round: all that the socket holds, for a packet must not pass the end of the flow that had its port before.
const EVENTS: usize = 65_536;
/// Time between two ticks, in nanoseconds.
const TICK: u64 = 50_000_000;
/// Time between two looks at routes and interfaces.
const REFRESH: u64 = 500_000_000;

/// Events that come closer to each other than this, in nanoseconds, are held,
const CLOSE: u64 = 1_000_000;
/// for so long, or until a packet comes.
const HOLD: u64 = 500_000;

/// Packets are counted for so long, in nanoseconds;
const WINDOW: u64 = 4_000_000;
/// where there are so many in it (4,000 a second),
const MANY: u64 = 16;
/// this thread sleeps after each round until about so many have come, and no waking is spent on each,
const TOGETHER: u64 = 8;
/// but at most so long, in nanoseconds.
const NAP: u64 = 500_000;

/// What there is to do.
#[derive(Debug, Clone, Copy)]
struct Woken {
    packets: bool,
    commands: bool,
    events: bool,
}

/// How this thread waits.
///
/// Whether events wake it: where they are rare they do, and the time to an endpoint's answer is exact; where there are many,
/// they wait for the next packet: to wake for each costs more than to read it.
/// Whether packets do: where few come each does, at once; where many come, several together.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    holds: bool,
    /// When events were the only reason last.
    last: u64,
    /// For how long this thread sleeps after a round, in nanoseconds: packets come so fast that one waking is to serve several.
    nap: u64,
    /// When the window began, and packets in it.
    window: (u64, u64),
}

impl Pace {
    fn woke(&mut self, woken: Woken, any: bool, now: u64) {
        if self.holds {
            // It goes on as long as there are some each time.
            self.holds = any || woken.packets;
        } else if woken.events && !woken.packets {
            self.holds = now.saturating_sub(self.last) < CLOSE;
            self.last = now;
        }
    }

    /// So many packets were read at `now`.
    fn read(&mut self, packets: usize, now: u64) {
        let (begun, count) = &mut self.window;
        *count += packets as u64;
        let took = now.saturating_sub(*begun);
        if took >= WINDOW {
            // A window that nobody ended for long was a quiet one.
            let naps = *count >= MANY && took < 2 * WINDOW;
            self.nap = if naps { NAP.min(took * TOGETHER / *count) } else { 0 };
            self.window = (now, 0);
        }
    }
}

/// What is done with the engine at a time.
type Work = Box<dyn FnOnce(&mut Engine, u64) + Send>;

/// Something for the decider to do.
pub(crate) enum Command {
    Do(Work),
    Stop,
}

/// Sends commands.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
}

impl Handle {
    pub(crate) fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        sent
    }

    /// Does something with the engine, and waits for what comes of it. `None`: the decider has ended.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine, u64) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answers) = bounded(1);
        let work = move |engine: &mut Engine, now: u64| drop(answer.send(work(engine, now)));
        if !self.send(Command::Do(Box::new(work))) {
            return None;
        }
        answers.recv().ok()
    }
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Decider {
    engine: Engine,
    queue: Queue,
    events: Events,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    /// Datagrams of one round, each in its place.
    packets: Vec<u8>,
    buffer: Vec<u8>,
}

/// Commands that wait: callers wait for theirs, so there are as many as threads that call.
const COMMANDS: usize = 64;

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

impl Decider {
    pub(crate) fn new(engine: Engine, queue: Queue, events: Events) -> io::Result<(Handle, Self)> {
        let (sender, commands) = bounded(COMMANDS);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let handle = Handle { commands: sender, wake: wake.clone() };
        let decider = Self {
            engine,
            queue,
            events,
            commands,
            wake,
            packets: vec![0; PACKETS * PACKET_BYTES],
            buffer: vec![0; DATAGRAM],
        };
        Ok((handle, decider))
    }

    /// Decides until it is told to stop. At the usual priority: with a higher one it preempts who sends, reads packets one by one instead of
    /// many at a time, and halves the new flows.
    pub(crate) fn run(mut self) {
        let (mut ticked, mut refreshed) = (0, 0);
        let mut pace = Pace::default();
        let mut packets = Vec::with_capacity(PACKETS);
        loop {
            let woken = self.wait(pace.holds);
            packets.clear();
            if woken.packets {
                self.read_packets(&mut packets);
            }
            let events = self.take_events();
            let time = now();
            pace.woke(woken, events, time);
            pace.read(packets.len(), time);
            self.decide(&packets, time);
            if woken.commands && !self.obey(time) {
                return;
            }
            if time.saturating_sub(ticked) >= TICK {
                ticked = time;
                self.engine.tick(time);
            }
            if time.saturating_sub(refreshed) >= REFRESH {
                refreshed = time;
                self.engine.refresh_ways(&mut self.buffer);
            }
            if pace.nap > 0 && !packets.is_empty() {
                thread::sleep(Duration::from_nanos(pace.nap));
            }
        }
    }

    /// Waits for something to do, and says what there is. `hold`: events alone are no reason.
    fn wait(&self, hold: bool) -> Woken {
        let events = if hold { PollFlags::empty() } else { PollFlags::IN };
        let mut all = [
            PollFd::new(&self.queue, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
            PollFd::new(&self.events, events),
        ];
        let time = if hold { HOLD } else { TICK };
        let time = Timespec { tv_sec: 0, tv_nsec: i64::try_from(time).unwrap_or(0) };
        let _ = poll(&mut all, Some(&time));
        let [packets, commands, events] = all.map(|one| !one.revents().is_empty());
        Woken { packets, commands, events }
    }

    /// Reads the packets that are there: the length of each, in the order of their places.
    fn read_packets(&mut self, lengths: &mut Vec<usize>) {
        for place in self.packets.chunks_mut(PACKET_BYTES) {
            match self.queue.receive(place) {
                Ok(Some(datagram)) => lengths.push(datagram.len()),
                // The socket was full: the kernel counts what it dropped.
                Err(_) => (),
                Ok(None) => break,
            }
        }
    }

    /// Takes the events that are there. False if there was none.
    fn take_events(&mut self) -> bool {
        let mut time = 0;
        for _ in 0..EVENTS {
            let received = self.events.receive(&mut self.buffer);
            if !matches!(received, Ok(None)) && time == 0 {
                time = now();
            }
            match received {
                Ok(Some(datagram)) => {
                    for entry in conntrack::entries(datagram) {
                        self.engine.on_entry(&entry, time);
                    }
                }
                Ok(None) => break,
                Err(_) => self.engine.on_overflow(time),
            }
        }
        time != 0
    }

    fn decide(&mut self, lengths: &[usize], time: u64) {
        for (place, length) in self.packets.chunks(PACKET_BYTES).zip(lengths) {
            for packet in queue::packets(&place[..*length]) {
                let verdict = self.engine.decide(&packet, time);
                self.queue.answer(packet.id, verdict);
            }
        }
        drop(self.queue.flush());
    }

    /// Carries commands out. False: it is time to stop.
    fn obey(&mut self, time: u64) -> bool {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Do(work) => work(&mut self.engine, time),
                Command::Stop => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wake_while_they_are_rare_and_are_held_while_they_are_many() {
        let by = |packets, events| Woken { packets, events, commands: false };
        let mut pace = Pace::default();
        let mut time = 10 * CLOSE;
        for _ in 0..10 {
            time += CLOSE;
            pace.woke(by(false, true), true, time);
            assert!(!pace.holds);
        }
        time += CLOSE / 2;
        pace.woke(by(false, true), true, time);
        assert!(pace.holds);
        pace.woke(by(true, false), false, time);
        pace.woke(by(false, false), true, time + HOLD);
        assert!(pace.holds, "there are still some");
        pace.woke(by(false, false), false, time + 2 * HOLD);
        assert!(!pace.holds);
    }

    #[test]
    fn packets_wake_each_by_itself_while_they_are_few_and_some_together_while_they_are_many() {
        let mut pace = Pace::default();
        let mut time = 10 * WINDOW;
        let mut come = |count: u64, apart: u64| {
            for _ in 0..count {
                time += apart;
                pace.read(1, time);
            }
            pace.nap
        };
        assert_eq!(come(100, 1_000_000), 0, "1,000 a second");
        assert_eq!(come(200, 100_000), NAP, "10,000 a second");
        assert_eq!(come(1_000, 10_000), TOGETHER * 10_000, "100,000 a second");
        assert_eq!(come(1, 3 * WINDOW), 0, "the first one after a silence");
        // A burst in a silence is no stream.
        come(200, 10_000);
        assert_eq!(come(1, 3 * WINDOW), 0);
    }
}
