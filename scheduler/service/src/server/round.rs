// SPDX-License-Identifier: Apache-2.0
//! The answers of one round, which wait together until its records are safe.

use super::history::History;
use super::inbox::Reply;
use super::stream::Stream;
use crate::sequencer::{Later, Span};
use berth_proto::raw;
use berth_proto::v1;
use bytes::Bytes;
use std::sync::Arc;

/// Sends the answer to a call, or why there is none.
pub(super) type Send = Box<dyn FnOnce(Option<&v1::NotAccepted>) + std::marker::Send>;

/// An answer.
pub(super) enum Answer {
    /// To a unary Schedule.
    Schedule(Reply<raw::ScheduleResponse>, Bytes),
    /// To a message of a stream.
    Stream(Arc<Stream>, Bytes),
    /// To anything else.
    Call(Send),
}

/// What is to be delivered once the round's records are safe.
#[derive(Default)]
pub(super) struct Round {
    pub(super) answers: Vec<Answer>,
    pub(super) later: Vec<Later<Arc<Stream>>>,
    /// Its records for watches, if there are any.
    pub(super) changes: Option<(Span, Bytes)>,
}

impl Round {
    /// Sends everything; or, when the records did not get safe, that.
    pub(super) fn deliver(&mut self, history: &History, failed: Option<&v1::NotAccepted>) {
        if let Some((span, records)) = self.changes.take()
            && failed.is_none()
        {
            history.publish(span, records);
        }
        for answer in self.answers.drain(..) {
            match (answer, failed) {
                // Who has gone away is not told.
                (Answer::Schedule(reply, bytes), None) => {
                    drop(reply.send(Ok(raw::ScheduleResponse(bytes))));
                }
                (Answer::Schedule(reply, _), Some(why)) => {
                    drop(reply.send(Err(super::status::not_accepted(why))));
                }
                (Answer::Stream(stream, bytes), None) => stream.answer(bytes),
                (Answer::Stream(stream, _), Some(why)) => {
                    stream.end(super::status::not_accepted(why));
                }
                (Answer::Call(send), failed) => send(failed),
            }
        }
        for later in self.later.drain(..) {
            if failed.is_none() {
                later.stream.later(&later.result);
            }
        }
    }
}
