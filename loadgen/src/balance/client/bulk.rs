// SPDX-License-Identifier: Apache-2.0
//! Downloads: streams that read as fast as they can.

use super::course::{Course, LOOK, Meter, Span, Tally};
use super::{PATIENCE, Target};
use crate::balance::message::{self, MESSAGE, Nonces, Request};
use crate::balance::pattern::{CHUNK, Pattern, Place};
use crate::balance::poller::{Interest, Poller, Ready};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// More than any run reads.
const ENDLESS: u64 = u64::MAX / 2;
/// Reads of one stream before others get their turn.
const READS_AT_ONCE: usize = 4;

#[derive(Debug)]
struct Stream {
    socket: OwnedFd,
    nonce: u64,
    place: Place,
    chunks: u64,
    asked: bool,
    since: Instant,
}

struct Bulk<'a> {
    target: &'a Target,
    nonces: Nonces,
    poller: Poller,
    streams: Vec<Stream>,
    pattern: Pattern,
    room: Vec<u8>,
    opened: usize,
}

/// Reads so many streams.
pub fn run(
    target: &Target,
    streams: usize,
    span: Span,
    meter: &mut dyn Meter,
) -> io::Result<Tally> {
    let mut load = Bulk {
        target,
        nonces: target.nonces(),
        poller: Poller::new()?,
        streams: Vec::new(),
        pattern: Pattern::new(),
        room: vec![0; CHUNK],
        opened: 0,
    };
    for at in 0..streams {
        let stream = load.connect(at)?;
        load.streams.push(stream);
    }
    load.run(Course::new(span, meter))
}

impl Bulk<'_> {
    fn connect(&mut self, at: usize) -> io::Result<Stream> {
        let socket = self.target.sources.connect(&self.target.address(self.opened))?;
        self.opened += 1;
        self.poller.add(&socket, at as u64, Interest::Both)?;
        let nonce = self.nonces.draw();
        let (place, since) = (Place::of(nonce), Instant::now());
        Ok(Stream { socket, nonce, place, chunks: 0, asked: false, since })
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
                if let Err(why) = self.ready(at, ready, now, &mut course)? {
                    course.failed(why);
                    self.streams[at] = self.connect(at)?;
                }
            }
            if now.duration_since(looked) > LOOK {
                looked = now;
                for at in 0..self.streams.len() {
                    if now.saturating_duration_since(self.streams[at].since) > PATIENCE {
                        course.unanswered(self.streams[at].since, now);
                        self.streams[at] = self.connect(at)?;
                    }
                }
            }
        }
    }

    /// Each stream has to move once more: one that stands still must not be hidden by the others.
    fn settle(&mut self, ended: Instant, course: &mut Course<'_>) -> io::Result<()> {
        while course.has_to_settle() && self.streams.iter().any(|stream| stream.since <= ended) {
            let now = Instant::now();
            if now.saturating_duration_since(ended) > PATIENCE {
                let still = self.streams.iter().filter(|stream| stream.since <= ended);
                still.for_each(|stream| course.unanswered(stream.since, now));
                return Ok(());
            }
            for event in 0..self.poller.wait(Some(LOOK))? {
                let ready = self.poller.event(event);
                let at = usize::try_from(ready.token).unwrap_or(usize::MAX);
                if let Err(why) = self.ready(at, ready, now, course)? {
                    course.failed(why);
                    self.streams[at].since = now;
                }
            }
        }
        Ok(())
    }

    fn ready(
        &mut self,
        at: usize,
        ready: Ready,
        now: Instant,
        course: &mut Course<'_>,
    ) -> io::Result<Result<(), String>> {
        let Some(stream) = self.streams.get_mut(at) else { return Ok(Ok(())) };
        if !stream.asked {
            if !ready.writable && !ready.ended {
                return Ok(Ok(()));
            }
            if let Err(error) = stream.ask(self.target.service) {
                return Ok(Err(format!("cannot connect: {error}")));
            }
            // What comes from here on is bytes.
            self.poller.change(&stream.socket, ready.token, Interest::Read)?;
        }
        if !ready.readable {
            return Ok(Ok(()));
        }
        stream.since = now;
        for _ in 0..READS_AT_ONCE {
            let read = match recv(&stream.socket, self.room.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) => return Ok(Err("the download ended early".to_owned())),
                Ok((read, _)) => read,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Ok(())),
                Err(error) => return Ok(Err(format!("the download broke off: {error}"))),
            };
            if !self.pattern.matches(stream.place, &self.room[..read], stream.chunks) {
                return Ok(Err("bytes of the download are wrong".to_owned()));
            }
            stream.place.advance(read);
            stream.chunks += 1;
            course.received(read);
            if read < CHUNK {
                break;
            }
        }
        Ok(Ok(()))
    }
}

impl Stream {
    fn ask(&mut self, service: u32) -> Result<(), Errno> {
        let mut bytes = [0; MESSAGE];
        let request = Request { service, nonce: self.nonce, amount: ENDLESS };
        message::write_request(&mut bytes, &request);
        self.asked = true;
        send(&self.socket, &bytes, SendFlags::NOSIGNAL).map(drop)
    }
}
