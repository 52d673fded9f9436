// SPDX-License-Identifier: Apache-2.0
//! Cutting connections of clients that do not read.
//!
//! A stream whose client reads nothing is blocked by flow control: nothing polls it, so it cannot end itself. Each connection
//! has a switch therefore, and a task looks now and then for streams that have had answers ready for too long.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch as signal;

/// The switch of one connection.
#[derive(Debug, Default)]
pub(super) struct Switch {
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Switch {
    /// Cuts the connection.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        let waker = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client reads nothing",
            ));
        }
        Ok(())
    }

    fn watch(&self, waker: &Waker) {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *reader {
            Some(known) if known.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }
}

/// A connection that can be cut.
#[derive(Debug)]
pub(super) struct Cuttable<S> {
    inner: S,
    switch: Arc<Switch>,
}

impl<S> Cuttable<S> {
    pub(super) fn new(inner: S, switch: Arc<Switch>) -> Self {
        Self { inner, switch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.switch.check()?;
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if read.is_pending() {
            self.switch.watch(context.waker());
            self.switch.check()?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.switch.check()?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.switch.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// Something that may be left unread.
pub(super) trait Readable: std::fmt::Debug + Send + Sync {
    /// Since when something is ready that is not read; `None`: nothing is.
    fn unread_since(&self) -> Option<Instant>;
    /// Gives it up.
    fn cut(&self);
}

/// Looks for what is left unread.
#[derive(Debug, Clone, Default)]
pub(super) struct Cutter(Arc<Mutex<Vec<Weak<dyn Readable>>>>);

impl Cutter {
    /// Looks after this from now on.
    pub(super) fn add(&self, readable: Weak<dyn Readable>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(readable);
    }

    /// Looks now and then.
    pub(super) async fn run(self, patience: Duration, mut stopping: signal::Receiver<bool>) {
        let mut interval = tokio::time::interval((patience / 4).max(Duration::from_millis(10)));
        loop {
            tokio::select! {
                biased;
                () = super::stopped(&mut stopping) => return,
                _ = interval.tick() => {}
            }
            let mut late = Vec::new();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|readable| {
                let Some(readable) = readable.upgrade() else { return false };
                if readable.unread_since().is_some_and(|since| since.elapsed() > patience) {
                    late.push(readable);
                }
                true
            });
            for readable in late {
                readable.cut();
            }
        }
    }
}
