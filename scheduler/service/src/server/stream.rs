// SPDX-License-Identifier: Apache-2.0
//! One ScheduleStream: messages in, answers out, both in the task of the call.
//!
//! The task reads a message only while fewer than a window of them are unanswered, and it runs only while the client takes what
//! is sent: so a client that does not read is not read either.

use super::cut::Readable;
use super::gauge::Open;
use super::inbox::{Inbox, Size, Work};
use super::status;
use berth_proto::raw::request::Parts;
use berth_proto::raw::result::ResponseWriter;
use berth_proto::raw::{StreamRequest, StreamResponse};
use berth_proto::v1;
use berth_proto_serve::{Switch, oversized, stopped};
use bytes::Bytes;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::sync::watch as signal;
use tonic::Status;

/// The sequencer's end of a stream. When the last one is gone, the stream ends.
#[derive(Debug)]
pub(super) struct Stream {
    send: mpsc::UnboundedSender<Sent>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Sent {
    /// The answer to a message.
    Answer(Bytes),
    /// A decision about a pod that was queued.
    Later(Bytes),
    /// The end.
    End(Status),
}

#[derive(Debug)]
struct State {
    /// Messages that are not answered, or whose answers are not taken.
    open: AtomicUsize,
    /// Things that are ready to be taken.
    ready: AtomicUsize,
    later_bytes: AtomicUsize,
    later_bytes_max: usize,
    too_slow: AtomicBool,
    since: Mutex<Option<Instant>>,
    switch: Option<Arc<Switch>>,
}

impl State {
    fn becomes_ready(&self) {
        if self.ready.fetch_add(1, Ordering::AcqRel) == 0 {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    fn is_taken(&self) {
        self.ready.fetch_sub(1, Ordering::AcqRel);
        // The client takes things: patience begins anew.
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Readable for State {
    fn unread_since(&self) -> Option<Instant> {
        if self.ready.load(Ordering::Acquire) == 0 {
            return None;
        }
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        if let Some(switch) = &self.switch {
            switch.cut();
        }
    }
}

impl Stream {
    fn send(&self, sent: Sent) {
        self.state.becomes_ready();
        // Who has gone away is not told.
        drop(self.send.send(sent));
    }

    /// Answers a message.
    pub(super) fn answer(&self, bytes: Bytes) {
        self.send(Sent::Answer(bytes));
    }

    /// Tells a decision about a pod that was queued.
    pub(super) fn later(&self, result: &v1::PodResult) {
        if self.state.too_slow.load(Ordering::Acquire) {
            return;
        }
        let mut writer = ResponseWriter::stream(0);
        writer.later(result);
        let bytes = writer.finish(result.revision);
        let before = self.state.later_bytes.fetch_add(bytes.len(), Ordering::AcqRel);
        if before + bytes.len() > self.state.later_bytes_max {
            self.state.too_slow.store(true, Ordering::Release);
            self.send(Sent::End(status::reads_too_slowly()));
        } else {
            self.send(Sent::Later(bytes));
        }
    }

    /// Ends the stream.
    pub(super) fn end(&self, status: Status) {
        self.send(Sent::End(status));
    }
}

/// The call's end of a stream.
pub(super) struct Duplex {
    inbound: Option<tonic::Streaming<StreamRequest>>,
    outbound: mpsc::UnboundedReceiver<Sent>,
    /// Kept while messages come in.
    stream: Option<Arc<Stream>>,
    state: Arc<State>,
    inbox: Inbox,
    window: usize,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    stopped: bool,
    ended: bool,
    _open: Open,
}

impl Duplex {
    pub(super) fn new(
        inbound: tonic::Streaming<StreamRequest>,
        inbox: Inbox,
        limits: &super::Limits,
        switch: Option<Arc<Switch>>,
        mut stopping: signal::Receiver<bool>,
        open: Open,
    ) -> (Self, Arc<dyn Readable>) {
        let (send, outbound) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            open: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
            later_bytes: AtomicUsize::new(0),
            later_bytes_max: limits.stream_unread_bytes,
            too_slow: AtomicBool::new(false),
            since: Mutex::new(None),
            switch,
        });
        let readable: Arc<dyn Readable> = Arc::clone(&state) as Arc<dyn Readable>;
        let stream = Arc::new(Stream { send, state: Arc::clone(&state) });
        let duplex = Self {
            inbound: Some(inbound),
            outbound,
            stream: Some(stream),
            state,
            inbox,
            window: limits.stream_messages,
            stopping: Box::pin(async move { stopped(&mut stopping).await }),
            stopped: false,
            ended: false,
            _open: open,
        };
        (duplex, readable)
    }

    /// Reads what has come, as far as the window goes.
    fn read(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        while self.state.open.load(Ordering::Acquire) < self.window {
            let (Some(inbound), Some(stream)) = (&mut self.inbound, &self.stream) else { break };
            match tokio_stream::Stream::poll_next(Pin::new(inbound), context) {
                Poll::Pending => break,
                Poll::Ready(None) => {
                    self.inbound = None;
                    self.stream = None;
                }
                Poll::Ready(Some(Err(status))) => return Err(oversized(status)),
                Poll::Ready(Some(Ok(message))) => {
                    let stream = Arc::clone(stream);
                    self.take(message, stream)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, message: StreamRequest, stream: Arc<Stream>) -> Result<(), Status> {
        let mut parts = Box::<Parts>::default();
        message.read(&mut parts).map_err(status::malformed)?;
        self.state.open.fetch_add(1, Ordering::AcqRel);
        let (id, pods) = (parts.id, parts.pods.len());
        let (release, confirm, cancel) = (&parts.release, &parts.confirm, &parts.cancel);
        let others = !(release.is_empty() && confirm.is_empty() && cancel.is_empty());
        let work = Work::Stream { message, parts, stream: Arc::clone(&stream) };
        if let Err(why) = self.inbox.put(work, Size::Large) {
            stream.answer(refusal(id, pods, others, &why));
        }
        Ok(())
    }
}

/// The answer to a message that is not taken up.
pub(super) fn refusal(id: u64, pods: usize, others: bool, why: &v1::NotAccepted) -> Bytes {
    let mut writer = ResponseWriter::stream(id);
    let outcome = v1::pod_result::Outcome::NotAccepted(why.clone());
    let result = v1::PodResult { outcome: Some(outcome), ..v1::PodResult::default() };
    for _ in 0..pods {
        writer.result(&result);
    }
    if others {
        writer.not_accepted(why);
    }
    writer.finish(0)
}

impl tokio_stream::Stream for Duplex {
    type Item = Result<StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if !self.stopped && self.stopping.as_mut().poll(context).is_ready() {
            // Nothing more is read; what was is answered.
            self.stopped = true;
            self.inbound = None;
            self.stream = None;
        }
        if let Err(status) = self.read(context) {
            self.ended = true;
            return Poll::Ready(Some(Err(status)));
        }
        if self.stopped && self.state.open.load(Ordering::Acquire) == 0 {
            self.ended = true;
            let status = status::not_accepted(&status::stopping());
            return Poll::Ready(Some(Err(status)));
        }
        match self.outbound.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(sent)) => {
                self.state.is_taken();
                Poll::Ready(Some(match sent {
                    Sent::Answer(bytes) => {
                        self.state.open.fetch_sub(1, Ordering::AcqRel);
                        Ok(StreamResponse(bytes))
                    }
                    Sent::Later(bytes) => {
                        self.state.later_bytes.fetch_sub(bytes.len(), Ordering::AcqRel);
                        Ok(StreamResponse(bytes))
                    }
                    Sent::End(status) => {
                        self.ended = true;
                        Err(status)
                    }
                }))
            }
        }
    }
}
