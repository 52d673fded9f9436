// SPDX-License-Identifier: Apache-2.0
//! What waits for the sequencer: bounded in number and bytes.

use super::Limits;
use super::round::Answer;
use super::run::Desk;
use super::status;
use super::stream::Stream;
use crate::sequencer::{Millis, Sequencer};
use berth_proto::raw;
use berth_proto::raw::request::Parts;
use berth_proto::v1;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::oneshot;
use tonic::Status;

/// Whom an answer to one call goes to.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Status>>;

/// The sequencer as it runs: streams are told of later decisions.
pub(super) type Core = Sequencer<Arc<Stream>>;

/// Does something with the sequencer, and gives back the answer to be sent.
pub(super) type Call = Box<dyn FnOnce(&mut Core, Millis) -> Answer + Send>;

/// A piece of work.
pub(super) enum Work {
    /// A unary Schedule.
    Schedule {
        message: raw::ScheduleRequest,
        parts: Box<Parts>,
        reply: Reply<raw::ScheduleResponse>,
        deadline: Option<Instant>,
    },
    /// A message of a stream.
    Stream { message: raw::StreamRequest, parts: Box<Parts>, stream: Arc<Stream> },
    /// Anything else.
    Call(Call),
    /// See whether something is due.
    Look,
    /// End.
    Stop,
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Schedule { message, .. } => message.0.len(),
            Self::Stream { message, .. } => message.0.len(),
            Self::Call(_) | Self::Look | Self::Stop => 0,
        }
    }
}

/// The sending side.
#[derive(Clone)]
pub(super) struct Inbox {
    send: Sender<Work>,
    shared: Arc<Shared>,
    bytes_max: usize,
    desk: Arc<Desk>,
}

/// What takes so long that others should not wait for it on this thread, and what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// About so many pods at most: [`Size::of`].
    Small,
    Large,
}

impl Size {
    /// That of work about so many pods.
    pub(super) fn of(pods: usize) -> Self {
        if pods <= 16 { Self::Small } else { Self::Large }
    }
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    overloaded: AtomicUsize,
}

/// The receiving side.
pub(super) struct Outlet {
    pub(super) receive: Receiver<Work>,
    shared: Arc<Shared>,
}

pub(super) fn channel(limits: &Limits, desk: Arc<Desk>) -> (Inbox, Outlet) {
    let (send, receive) = crossbeam_channel::bounded(limits.inbox_messages);
    let shared = Arc::new(Shared::default());
    let inbox = Inbox { send, shared: Arc::clone(&shared), bytes_max: limits.inbox_bytes, desk };
    (inbox, Outlet { receive, shared })
}

impl Inbox {
    /// Puts work in, or says why it is not taken. Small work is done here and now, if it can be.
    pub(super) fn put(&self, work: Work, size: Size) -> Result<(), v1::NotAccepted> {
        match size {
            Size::Small => {
                self.desk.at_once(work, &self.send).map_or(Ok(()), |work| self.wait(work))
            }
            Size::Large => self.wait(work),
        }
    }

    fn wait(&self, work: Work) -> Result<(), v1::NotAccepted> {
        let bytes = work.bytes();
        let before = self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        let full = before > 0 && before + bytes > self.bytes_max;
        let sent = if full { Err(TrySendError::Full(work)) } else { self.send.try_send(work) };
        sent.map_err(|error| {
            self.shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
            match error {
                TrySendError::Full(_) => {
                    self.shared.overloaded.fetch_add(1, Ordering::Relaxed);
                    status::overloaded()
                }
                TrySendError::Disconnected(_) => status::stopping(),
            }
        })
    }

    /// Has the sequencer do something, and waits for what it says.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        size: Size,
        work: impl FnOnce(&mut Core, Millis) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        let call: Call = Box::new(move |core, now| {
            let said = work(core, now);
            Answer::Call(Box::new(move |failed| {
                let said = match failed {
                    None => said,
                    Some(why) => Err(status::not_accepted(why)),
                };
                // Who has gone away is not told.
                drop(reply.send(said));
            }))
        });
        self.put(Work::Call(call), size).map_err(|why| status::not_accepted(&why))?;
        answer.await.unwrap_or_else(|_| Err(status::not_accepted(&status::stopping())))
    }

    /// How often work was not taken.
    pub(super) fn overloaded(&self) -> usize {
        self.shared.overloaded.load(Ordering::Relaxed)
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.send.len()
    }

    /// Ends the sequencer after what waits.
    pub(super) fn stop(&self) {
        // One that has ended already needs no telling.
        drop(self.send.send(Work::Stop));
    }
}

impl Outlet {
    /// Work was taken out.
    pub(super) fn took(&self, work: &Work) {
        self.shared.bytes.fetch_sub(work.bytes(), Ordering::AcqRel);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("len", &self.len()).finish_non_exhaustive()
    }
}
