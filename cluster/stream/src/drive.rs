// SPDX-License-Identifier: Apache-2.0
//! The task that moves bytes between a socket and the streams of its connection.

use crate::error::Gone;
use crate::limits::{OUT_MAX, PIECE, Times};
use crate::link::Shared;
use crate::websocket;
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// How long a socket may take to say that it is closed.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Moves bytes until the connection is over.
pub(crate) async fn drive<S>(socket: S, shared: Arc<Shared>, times: Times)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut driver = Driver::new(socket, Arc::clone(&shared), times);
    let (gone, clean) = poll_fn(|context| driver.poll(context)).await;
    tracing::debug!(%gone, "a stream's connection is over");
    shared.over(gone, clean);
    if matches!(gone, Gone::Wire(_) | Gone::Idle) {
        driver.part(gone);
    }
    let _ = timeout(SHUTDOWN, async {
        let _ = driver.socket.write_all(&driver.sending).await;
        driver.socket.shutdown().await
    })
    .await;
}

struct Driver<S> {
    socket: S,
    shared: Arc<Shared>,
    times: Times,
    /// What has come and is not understood yet: a part of a frame, or what waits for a reader.
    input: BytesMut,
    piece: Box<[u8]>,
    sending: BytesMut,
    /// Something was written since the last flush.
    unflushed: bool,
    /// When the client last gave a sign of life that it was not asked for, and when it was last sent something.
    heard: Instant,
    sent: Instant,
    idle: Pin<Box<Sleep>>,
    /// When it was last asked for a sign of life.
    asked: Instant,
    ping: Pin<Box<Sleep>>,
    /// How long the client may still take what was sent last.
    linger: Option<Pin<Box<Sleep>>>,
}

type Step = Result<bool, (Gone, bool)>;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn new(socket: S, shared: Arc<Shared>, times: Times) -> Self {
        let now = Instant::now();
        Self {
            socket,
            shared,
            times,
            input: BytesMut::new(),
            piece: vec![0; PIECE].into(),
            sending: BytesMut::new(),
            unflushed: false,
            heard: now,
            sent: now,
            idle: Box::pin(sleep(times.idle)),
            asked: now,
            ping: Box::pin(sleep(times.ping)),
            linger: None,
        }
    }

    /// Why it is over, and whether the client ended it in due form.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Gone, bool)> {
        self.shared.lock().watch(context.waker());
        loop {
            match self.step(context) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(over) => return Poll::Ready(over),
            }
        }
    }

    /// Does what can be done; whether there may be more.
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        let standing = self.shared.lock().standing();
        if standing.dropped {
            return Err((Gone::Dropped, false));
        }
        let moved = self.send(context)? | self.receive(context)?;
        let standing = self.shared.lock().standing();
        if standing.closed {
            return Err((if standing.done { Gone::Finished } else { Gone::Closed }, true));
        }
        if standing.done && self.sending.is_empty() && !self.unflushed {
            let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(self.times.linger)));
            if linger.as_mut().poll(context).is_ready() {
                return Err((Gone::Finished, true));
            }
        }
        Ok(moved | self.clocks(context)?)
    }

    fn send(&mut self, context: &mut Context<'_>) -> Step {
        let lost = |error: io::Error| (Gone::Lost(error.kind()), false);
        let mut moved = false;
        loop {
            if self.sending.is_empty() && self.shared.fill(&mut self.sending) {
                self.sent = Instant::now();
            }
            if self.sending.is_empty() {
                break;
            }
            match Pin::new(&mut self.socket).poll_write(context, &self.sending) {
                Poll::Ready(Ok(0)) => return Err((Gone::Lost(io::ErrorKind::WriteZero), false)),
                Poll::Ready(Ok(count)) => self.sending.advance(count),
                Poll::Ready(Err(error)) => return Err(lost(error)),
                Poll::Pending => return Ok(moved),
            }
            (moved, self.unflushed) = (true, true);
        }
        if self.unflushed {
            match Pin::new(&mut self.socket).poll_flush(context) {
                Poll::Ready(Ok(())) => (moved, self.unflushed) = (true, false),
                Poll::Ready(Err(error)) => return Err(lost(error)),
                Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    fn receive(&mut self, context: &mut Context<'_>) -> Step {
        let before = self.input.len();
        let alive = self.shared.receive(&mut self.input).map_err(|error| (error.into(), false))?;
        let mut moved = self.input.len() < before;
        let standing = self.shared.lock().standing();
        if !standing.blocked && !standing.closed && self.sending.len() < OUT_MAX {
            let mut buffer = ReadBuf::new(&mut self.piece);
            match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    let gone = if standing.done { Gone::Finished } else { Gone::Closed };
                    return Err((gone, standing.done));
                }
                Poll::Ready(Ok(())) => {
                    self.input.extend_from_slice(buffer.filled());
                    moved = true;
                }
                Poll::Ready(Err(_)) if standing.done => return Err((Gone::Finished, true)),
                Poll::Ready(Err(error)) => return Err((Gone::Lost(error.kind()), false)),
                Poll::Pending => {}
            }
        }
        if alive {
            self.heard = Instant::now();
        }
        Ok(moved)
    }

    /// Ends what is idle, and asks the silent for a sign of life. A client whose bytes are not read may be gone unseen: its system
    /// answers what is sent to it by a reset.
    fn clocks(&mut self, context: &mut Context<'_>) -> Step {
        if self.idle.as_mut().poll(context).is_ready() {
            let until = self.heard.max(self.sent) + self.times.idle;
            if until <= Instant::now() {
                return Err((Gone::Idle, false));
            }
            self.idle.as_mut().reset(until);
            return Ok(true);
        }
        if self.ping.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.heard.max(self.asked) + self.times.ping <= now {
                self.asked = now;
                self.shared.lock().ping();
            }
            self.ping.as_mut().reset(self.heard.max(self.asked) + self.times.ping);
            return Ok(true);
        }
        Ok(false)
    }

    /// Tells the client why it is cut off, as far as its protocol has words for it.
    fn part(&mut self, gone: Gone) {
        let code = if gone == Gone::Idle { websocket::AWAY } else { websocket::PROTOCOL };
        if self.sending.is_empty() {
            self.shared.lock().close(code);
            self.shared.fill(&mut self.sending);
        }
    }
}
