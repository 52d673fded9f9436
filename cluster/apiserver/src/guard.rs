// SPDX-License-Identifier: Apache-2.0
//! A connection's bytes, watched for clients that only cost: frames of HTTP/2 that carry nothing, heads that never end, answers that
//! nobody reads. The HTTP library bounds what one request may take, not these.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Frames that carry nothing, that may come at once.
const BURST: u32 = 2_000;
/// How many more of them may come in a second. A client that gives up each of its 100 requests five times a second stays below.
const PER_SECOND: u32 = 500;
/// Bytes of an answer for which a client may widen the window once without being charged.
const WINDOW: u64 = 1_024;

/// Bytes of an answer that a client takes at least in its time, if so many wait: more than what buffers on the way hide.
const TAKEN: u64 = 128 << 10;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the head of a request, or another frame that is no body.
    pub(crate) head: Duration,
    /// For a frame of a body, and for taking 128 KiB of an answer.
    pub(crate) body: Duration,
}

/// Tells that a connection has changed its protocol. Whoever looks at a paused terminal takes nothing for an hour, and may: from then on
/// there are other bounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lasting(Arc<AtomicBool>);

impl Lasting {
    /// It has changed.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that is watched.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    patience: Patience,
    frames: Option<Frames>,
    reading: Alarm,
    writing: Alarm,
    /// Bytes that went out while something waited.
    taken: u64,
    lasting: Lasting,
}

impl<S> Guarded<S> {
    /// Watches a connection; with `frames` it is one of HTTP/2.
    pub(crate) fn new(stream: S, patience: Patience, frames: bool) -> Self {
        let frames = frames.then(|| Frames::new(Instant::now()));
        let lasting = Lasting::default();
        let (reading, writing) = (Alarm(None), Alarm(None));
        Self { stream, patience, frames, reading, writing, taken: 0, lasting }
    }

    /// Where it can be told that the connection has changed its protocol.
    pub(crate) fn lasting(&self) -> Lasting {
        self.lasting.clone()
    }

    /// Notes how a write went, and fails if the client takes next to nothing of what waits for it.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        result: &Poll<io::Result<T>>,
        count: impl Fn(&T) -> u64,
    ) -> io::Result<()> {
        if let Poll::Ready(result) = result {
            let count = result.as_ref().map_or(0, count);
            self.taken += count;
            if let Some(frames) = &mut self.frames {
                frames.written += count;
            }
            return Ok(());
        }
        if self.lasting.0.load(Ordering::Relaxed) {
            self.writing.off();
            return Ok(());
        }
        match self.writing.check(context, None, self.patience.body) {
            Err(_) if self.taken >= TAKEN => {
                self.taken = 0;
                self.writing.off();
                self.writing.check(context, None, self.patience.body)
            }
            checked => checked,
        }
    }

    /// The same for a flush: when it is done, nothing waits.
    fn flushed(
        &mut self,
        context: &mut Context<'_>,
        result: &Poll<io::Result<()>>,
    ) -> io::Result<()> {
        self.wrote(context, result, |()| 0)?;
        if result.is_ready() {
            self.taken = 0;
            self.writing.off();
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(frames) = &mut this.frames else { return read };
        if let Poll::Ready(result) = read {
            let seen =
                frames.see(buffer.filled().get(before..).unwrap_or_default(), Instant::now());
            return Poll::Ready(result.and(seen));
        }
        match frames.begun {
            None => this.reading.off(),
            Some(begun) => {
                let most = if frames.of_body() { this.patience.body } else { this.patience.head };
                this.reading.check(context, Some(begun), most)?;
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, &written, |count| *count as u64)?;
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.flushed(context, &flushed)?;
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.flushed(context, &shut)?;
        shut
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(context, &written, |count| *count as u64)?;
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A time that may run out; it costs nothing while nobody waits.
#[derive(Debug)]
struct Alarm(Option<(Instant, Pin<Box<Sleep>>)>);

impl Alarm {
    fn off(&mut self) {
        self.0 = None;
    }

    /// Fails if it has been too long since `begun`; without it, since the first of these calls. Wakes the task when it will have.
    fn check(
        &mut self,
        context: &mut Context<'_>,
        begun: Option<Instant>,
        most: Duration,
    ) -> io::Result<()> {
        let known = self.0.as_ref().map(|(begun, _)| *begun);
        let begun = begun.or(known).unwrap_or_else(Instant::now);
        if known != Some(begun) {
            self.0 = Some((begun, Box::pin(sleep_until(begun + most))));
        }
        let over = match &mut self.0 {
            Some((_, sleep)) => sleep.as_mut().poll(context).is_ready(),
            None => false,
        };
        if over {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too long"));
        }
        Ok(())
    }
}

/// Frames of HTTP/2 (RFC 9113) as they come: where one begins, and which carry nothing.
#[derive(Debug)]
struct Frames {
    head: [u8; 9],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes that are still to come before the next head.
    rest: usize,
    /// The head of a request goes on in the next frame.
    open: bool,
    /// When what is not whole began.
    begun: Option<Instant>,
    allowed: u32,
    counted: Instant,
    /// Bytes that went out, since the window was last widened.
    written: u64,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// What a client begins with: `PRI * HTTP/2.0` and so on.
const PREFACE: usize = 24;

impl Frames {
    fn new(now: Instant) -> Self {
        Self {
            head: [0; 9],
            have: 0,
            rest: PREFACE,
            open: false,
            begun: Some(now),
            allowed: BURST,
            counted: now,
            written: 0,
        }
    }

    /// Whether a frame of a body is under way.
    fn of_body(&self) -> bool {
        self.have == self.head.len() && self.head[3] == DATA && !self.open
    }

    /// Looks at bytes; an error if there were too many frames for nothing.
    fn see(&mut self, mut bytes: &[u8], now: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let count = self.rest.min(bytes.len());
                self.rest -= count;
                bytes = &bytes[count..];
            } else {
                if self.have == self.head.len() {
                    self.have = 0;
                }
                if self.begun.is_none() {
                    self.begun = Some(now);
                }
                let count = (self.head.len() - self.have).min(bytes.len());
                self.head[self.have..self.have + count].copy_from_slice(&bytes[..count]);
                self.have += count;
                bytes = &bytes[count..];
                if self.have < self.head.len() {
                    break;
                }
                self.frame(now)?;
            }
            if self.rest == 0 && !self.open {
                self.begun = None;
            }
        }
        Ok(())
    }

    /// A head is whole.
    fn frame(&mut self, now: Instant) -> io::Result<()> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.rest = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let is = |flag: u8| flags & flag != 0;
        if [HEADERS, CONTINUATION].contains(&kind) {
            self.open = !is(END_HEADERS);
        }
        let idle = match kind {
            // Padding is no content; up to 255 bytes of it and their number.
            DATA => !is(END_STREAM) && (self.rest == 0 || (is(PADDED) && self.rest <= 256)),
            HEADERS => false,
            CONTINUATION => self.rest == 0,
            WINDOW_UPDATE => {
                let paid = self.written >= WINDOW;
                self.written = self.written.saturating_sub(WINDOW).min(1 << 20);
                !paid
            }
            // RST_STREAM, PRIORITY, SETTINGS, PING and what nobody knows.
            _ => true,
        };
        if idle { self.charge(now) } else { Ok(()) }
    }

    fn charge(&mut self, now: Instant) -> io::Result<()> {
        let passed = now.duration_since(self.counted).as_millis();
        let more = passed * u128::from(PER_SECOND) / 1_000;
        // What is less than one is kept for later.
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(BURST);
            self.allowed = self.allowed.saturating_add(more).min(BURST);
            self.counted = now;
        }
        if self.allowed == 0 {
            return Err(io::Error::other("too many frames that carry nothing"));
        }
        self.allowed -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut all = length[1..].to_vec();
        all.extend([kind, flags, 0, 0, 0, 1]);
        all.extend_from_slice(payload);
        all
    }

    /// How many frames of a kind are taken at once, in pieces of any size.
    fn taken(kind: u8, flags: u8, payload: &[u8], piece: usize) -> u32 {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        frames.see(&[b'P'; PREFACE], now).unwrap();
        for count in 0..3 * BURST {
            for part in frame(kind, flags, payload).chunks(piece) {
                if frames.see(part, now).is_err() {
                    return count;
                }
            }
        }
        3 * BURST
    }

    #[test]
    fn only_frames_that_carry_nothing_are_charged() {
        for piece in [1, 4, 9, 1_000] {
            for (kind, flags, payload) in [
                (3, 0, &[0; 4][..]),
                (2, 0, &[0; 5]),
                (4, 0, &[]),
                (4, 0, &[0; 600]),
                (6, 0, &[0; 8]),
                (0x77, 0, &[]),
                (DATA, 0, &[]),
                (DATA, PADDED, &[200; 201]),
                (CONTINUATION, 0, &[]),
                (WINDOW_UPDATE, 0, &[0; 4]),
            ] {
                assert_eq!(taken(kind, flags, payload, piece), BURST, "{kind} {flags}");
            }
            for (kind, flags, payload) in [
                (DATA, 0, &[1][..]),
                (DATA, END_STREAM, &[]),
                (DATA, PADDED, &[9; 900]),
                (HEADERS, END_HEADERS, &[1; 30]),
            ] {
                assert_eq!(taken(kind, flags, payload, piece), 3 * BURST, "{kind} {flags}");
            }
        }
    }

    #[test]
    fn time_and_answers_earn_more() {
        let now = Instant::now();
        let ping = frame(6, 0, &[0; 8]);
        for (seconds, more) in [(1, PER_SECOND), (2, 2 * PER_SECOND), (3_600, BURST)] {
            let mut frames = Frames::new(now);
            frames.see(&[b'P'; PREFACE], now).unwrap();
            for _ in 0..BURST {
                frames.see(&ping, now).unwrap();
            }
            let later = now + Duration::from_secs(seconds);
            let taken = (0..=BURST).take_while(|_| frames.see(&ping, later).is_ok()).count();
            assert_eq!(taken, more as usize, "after {seconds} s");
        }
        // Widening the window is paid for by what was sent.
        let mut frames = Frames::new(now);
        frames.see(&[b'P'; PREFACE], now).unwrap();
        for _ in 0..3 * BURST {
            frames.written += WINDOW;
            frames.see(&frame(WINDOW_UPDATE, 0, &[0; 4]), now).unwrap();
        }
    }

    #[test]
    fn what_is_not_whole_has_a_beginning() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut frames = Frames::new(start);
        frames.see(b"PRI", at(1)).unwrap();
        assert_eq!(frames.begun, Some(start), "the preface");
        frames.see(&[0; 21], at(2)).unwrap();
        assert_eq!(frames.begun, None);
        let whole = frame(HEADERS, 0, b"abc");
        frames.see(&whole[..1], at(3)).unwrap();
        assert_eq!((frames.begun, frames.of_body()), (Some(at(3)), false));
        frames.see(&whole[1..], at(4)).unwrap();
        assert_eq!(frames.begun, Some(at(3)), "the head of the request goes on");
        frames.see(&frame(CONTINUATION, END_HEADERS, b"d"), at(5)).unwrap();
        assert_eq!(frames.begun, None);
        frames.see(&frame(DATA, 0, b"abc")[..10], at(6)).unwrap();
        assert_eq!((frames.begun, frames.of_body()), (Some(at(6)), true));
        // The end of one and the beginning of the next.
        frames.see(b"bc\0", at(7)).unwrap();
        assert_eq!((frames.begun, frames.of_body()), (Some(at(7)), false));
    }
}
