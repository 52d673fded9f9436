// SPDX-License-Identifier: Apache-2.0
//! The streams of a connection between those who use them and the task that moves bytes ([`crate::drive`]). No IO, no clock.
//!
//! ```text
//! socket -> receive -> inbound of a stream  -> Input            a full inbound stops the reading of the connection
//! socket <- fill    <- outbound of a stream <- Output           a full outbound stops its writer
//! ```

mod ends;
mod half;

use crate::error::{Gone, WireError};
use crate::limits::{INBOUND_MAX, INBOUND_TOTAL_MAX, OUT_MAX, PIECE, STREAMS_MAX};
use crate::spdy::Fields;
use crate::wire::{Event, Wire};
use bytes::{Buf, BytesMut};
pub use half::{Input, Output};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tokio::sync::{mpsc, watch};

/// A stream that the client opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: u32,
    pub(crate) fields: Fields,
    pub(crate) input: Input,
    pub(crate) output: Output,
}

/// What users of a connection can wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) over: Option<Gone>,
    /// Streams on which this side has not said that it is done.
    pub(crate) open: usize,
}

/// A connection, shared by its users and its task.
#[derive(Debug)]
pub(crate) struct Shared {
    link: Mutex<Link>,
    life: watch::Sender<Life>,
}

impl Shared {
    /// A connection, and where the streams come out that the client opens.
    pub(crate) fn new(wire: Wire) -> (Arc<Self>, mpsc::Receiver<Opened>) {
        let (opened, opens) = mpsc::channel(STREAMS_MAX);
        let link = Mutex::new(Link::new(wire, opened));
        (Arc::new(Self { link, life: watch::Sender::new(Life::default()) }), opens)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Opens a stream by its number, where numbers are agreed upon.
    pub(crate) fn open(self: &Arc<Self>, stream: u32) -> (Input, Output) {
        self.lock().streams.insert(stream, Stream::default());
        self.tell();
        half::pair(self, stream)
    }

    /// Takes what has come; streams that it opens are handed on.
    pub(crate) fn receive(self: &Arc<Self>, input: &mut BytesMut) -> Result<bool, WireError> {
        let mut alive = false;
        loop {
            let mut link = self.lock();
            let event = link.receive(input)?;
            let Some((event, living)) = event else { break };
            alive |= living;
            let Some((stream, fields)) = event else { continue };
            let opens = link.opens.clone();
            drop(link);
            self.tell();
            let (input, output) = half::pair(self, stream);
            // The channel has room for all streams that there may be; without a receiver nobody wants them.
            if let Err(error) = opens.try_send(Opened { stream, fields, input, output }) {
                drop(error);
                self.reset(stream);
            }
        }
        self.tell();
        Ok(alive)
    }

    /// Ends a stream both ways.
    pub(crate) fn reset(&self, stream: u32) {
        let mut link = self.lock();
        let link = &mut *link;
        link.wire.reset(stream, &mut link.out);
        link.broken(stream);
        link.wake();
    }

    /// The connection is over. `clean`: its client said so, and what it sent was all.
    pub(crate) fn over(&self, gone: Gone, clean: bool) {
        self.lock().over(clean);
        self.life.send_modify(|life| life.over = life.over.or(Some(gone)));
    }

    /// Lets those know who wait for streams to end.
    fn tell(&self) {
        let open = self.lock().streams.values().filter(|stream| !stream.sent_end).count();
        self.life.send_if_modified(|life| std::mem::replace(&mut life.open, open) != open);
    }

    /// Fills `out`, which is empty, with what is to be sent. Whether streams had something to say.
    pub(crate) fn fill(&self, out: &mut BytesMut) -> bool {
        let mut link = self.lock();
        let said = link.fill();
        std::mem::swap(&mut link.out, out);
        drop(link);
        if said {
            self.tell();
        }
        said
    }
}

/// What comes from one side of a stream.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Side {
    #[default]
    Open,
    Ended,
    Broken,
}

/// A stream.
#[derive(Debug, Default)]
struct Stream {
    inbound: BytesMut,
    client: Side,
    reader: Option<Waker>,
    /// Nobody reads: what comes is dropped.
    unread: bool,
    outbound: BytesMut,
    writer: Option<Waker>,
    /// No more will be written.
    end: bool,
    /// And the client knows.
    sent_end: bool,
    /// The writing half is gone.
    unwritten: bool,
    /// It waits for its turn to send.
    queued: bool,
}

impl Stream {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        let both = self.client == Side::Ended && self.sent_end;
        self.unread && self.unwritten && (both || self.client == Side::Broken)
    }
}

/// The streams of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    wire: Wire,
    streams: BTreeMap<u32, Stream>,
    opens: mpsc::Sender<Opened>,
    /// Streams that have something to send, each once.
    turn: VecDeque<u32>,
    /// Bytes of all inbounds.
    inbound: usize,
    /// Streams whose inbound is full.
    full: usize,
    out: BytesMut,
    ending: Option<Ending>,
    /// Everything was said, and what comes does not matter any more.
    done: bool,
    /// The client closed in due form.
    closed: bool,
    /// The session was dropped.
    dropped: bool,
    over: bool,
    driver: Option<Waker>,
}

/// What is said when all streams have sent what they hold.
#[derive(Debug)]
struct Ending {
    code: u16,
    /// The last words, on their stream.
    words: Option<(u32, Vec<u8>)>,
}

/// What the task of a connection has to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) done: bool,
    pub(crate) closed: bool,
    pub(crate) dropped: bool,
    /// Nothing may be read.
    pub(crate) blocked: bool,
}

type Received = Option<(Option<(u32, Fields)>, bool)>;

impl Link {
    fn new(wire: Wire, opens: mpsc::Sender<Opened>) -> Self {
        Self {
            wire,
            streams: BTreeMap::new(),
            opens,
            turn: VecDeque::new(),
            inbound: 0,
            full: 0,
            out: BytesMut::new(),
            ending: None,
            done: false,
            closed: false,
            dropped: false,
            over: false,
            driver: None,
        }
    }

    /// Remembers the task that moves bytes.
    pub(crate) fn watch(&mut self, waker: &Waker) {
        self.driver = Some(waker.clone());
    }

    pub(crate) fn standing(&self) -> Standing {
        let Self { done, closed, dropped, .. } = *self;
        Standing { done, closed, dropped, blocked: self.is_blocked() }
    }

    fn is_blocked(&self) -> bool {
        let full = self.full > 0 || self.inbound >= INBOUND_TOTAL_MAX;
        (full && !self.done) || self.out.len() >= OUT_MAX
    }

    pub(crate) fn wake(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self) {
        if !self.done {
            self.wire.ping(&mut self.out);
        }
    }

    /// Says the last thing that WebSocket has a word for.
    pub(crate) fn close(&mut self, code: u16) {
        self.wire.close(code, &mut self.out);
    }

    /// Sends an empty message, by which older protocols tell that the stream is there.
    pub(crate) fn hello(&mut self, stream: u32) {
        self.wire.data(stream, &[], false, &mut self.out);
    }

    /// Takes one thing that the client did: the stream that it opened, if it did, and whether it was a sign of life.
    fn receive(&mut self, input: &mut BytesMut) -> Result<Received, WireError> {
        if self.is_blocked() || self.closed {
            return Ok(None);
        }
        let Some(event) = self.wire.next(input, &mut self.out)? else { return Ok(None) };
        let mut alive = true;
        match event {
            Event::Opened { stream, fields, ended } => {
                if self.done || self.ending.is_some() {
                    self.wire.reset(stream, &mut self.out);
                    return Ok(Some((None, true)));
                }
                let client = if ended { Side::Ended } else { Side::Open };
                self.streams.insert(stream, Stream { client, ..Stream::default() });
                return Ok(Some((Some((stream, fields)), true)));
            }
            Event::Data { stream, bytes } => self.came(stream, &bytes),
            Event::Ended { stream } => self.side(stream, Side::Ended),
            Event::Reset { stream } => self.broken(stream),
            Event::Room { stream } => self.room(stream),
            Event::Closed => self.closed = true,
            Event::Pong => alive = false,
            Event::Alive => {}
        }
        Ok(Some((None, alive)))
    }

    fn came(&mut self, id: u32, bytes: &[u8]) {
        match self.streams.get_mut(&id) {
            Some(stream) if stream.client == Side::Open && !stream.unread && !self.done => {
                let was_full = stream.inbound.len() >= INBOUND_MAX;
                stream.inbound.extend_from_slice(bytes);
                self.inbound += bytes.len();
                if !was_full && stream.inbound.len() >= INBOUND_MAX {
                    self.full += 1;
                }
                if let Some(reader) = stream.reader.take() {
                    reader.wake();
                }
            }
            // Whoever keeps windows has to be told that there is room again, although nobody reads.
            _ => self.wire.taken(id, bytes.len(), &mut self.out),
        }
    }

    fn side(&mut self, id: u32, side: Side) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.client == Side::Open
        {
            stream.client = side;
            stream.wake();
        }
        self.clear(id);
    }

    /// A stream is over, whatever it holds to be sent.
    fn broken(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.client = Side::Broken;
            stream.outbound.clear();
            (stream.end, stream.sent_end) = (true, true);
            stream.wake();
        }
        self.clear(id);
    }

    fn room(&mut self, id: Option<u32>) {
        let which = id.map_or(0..=u32::MAX, |id| id..=id);
        let waiting: Vec<u32> = self.streams.range(which).map(|(id, _)| *id).collect();
        for id in waiting {
            self.queue(id);
        }
    }

    /// Puts a stream in the queue of those that send.
    fn queue(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let has = !stream.outbound.is_empty() || (stream.end && !stream.sent_end);
        if has && !std::mem::replace(&mut stream.queued, true) {
            self.turn.push_back(id);
        }
    }

    /// Forgets a stream that is over.
    fn clear(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            self.streams.remove(&id);
            self.wire.forget(id);
        }
    }

    /// Frames what streams have to send, each in its turn, and then the end. Whether any had.
    fn fill(&mut self) -> bool {
        let mut said = false;
        while self.out.len() < OUT_MAX {
            let Some(id) = self.turn.pop_front() else { break };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.queued = false;
            let count = self.wire.room(id).min(PIECE).min(stream.outbound.len());
            if count == 0 && !stream.outbound.is_empty() {
                // Its window is shut; opening it brings the stream back.
                continue;
            }
            let end = stream.end && count == stream.outbound.len();
            self.wire.data(id, &stream.outbound[..count], end, &mut self.out);
            stream.outbound.advance(count);
            stream.sent_end = end;
            if let Some(writer) = stream.writer.take() {
                writer.wake();
            }
            said = true;
            self.queue(id);
            self.clear(id);
        }
        self.end();
        said
    }

    /// Says the last words once everything else is said.
    fn end(&mut self) {
        let Some(ending) = &self.ending else { return };
        let last = ending.words.as_ref().map(|(id, _)| *id);
        let mut others = self.streams.iter().filter(|(id, _)| Some(**id) != last);
        if others.any(|(_, stream)| !stream.sent_end) {
            return;
        }
        let Some(ending) = self.ending.take() else { return };
        if let Some((id, words)) = ending.words
            && self.streams.get(&id).is_some_and(|stream| !stream.sent_end)
        {
            self.wire.data(id, &words, true, &mut self.out);
        }
        self.wire.close(ending.code, &mut self.out);
        self.finish();
    }

    /// From here on nothing is sent, and nobody reads.
    fn finish(&mut self) {
        self.done = true;
        self.inbound = 0;
        self.full = 0;
        for stream in self.streams.values_mut() {
            stream.inbound = BytesMut::new();
            if stream.client == Side::Open {
                stream.client = Side::Ended;
            }
            (stream.end, stream.sent_end) = (true, true);
            stream.wake();
        }
    }

    /// Lets all streams send what they hold, and then the connection end.
    pub(crate) fn finish_with(&mut self, code: u16, words: Option<(u32, Vec<u8>)>) {
        let last = words.as_ref().map(|(id, _)| *id);
        let others: Vec<u32> =
            self.streams.keys().copied().filter(|id| Some(*id) != last).collect();
        self.ending = Some(Ending { code, words });
        for id in others {
            self.shut(id);
        }
        self.wake();
    }

    /// The session is gone; the connection goes, too.
    pub(crate) fn drop_all(&mut self) {
        self.dropped = true;
        self.wake();
    }

    fn over(&mut self, clean: bool) {
        self.over = true;
        for stream in self.streams.values_mut() {
            if stream.client == Side::Open {
                stream.client = if clean { Side::Ended } else { Side::Broken };
            }
            stream.outbound = BytesMut::new();
            (stream.end, stream.sent_end) = (true, true);
            stream.wake();
        }
    }
}
