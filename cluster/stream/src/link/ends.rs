// SPDX-License-Identifier: Apache-2.0
//! What the two halves of a stream do to its connection.

use super::{Link, Side};
use crate::limits::{INBOUND_MAX, OUTBOUND_MAX};
use bytes::Buf;
use std::io;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;

impl Link {
    pub(super) fn read(
        &mut self,
        id: u32,
        context: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Ok(())) };
        let count = stream.inbound.len().min(buffer.remaining());
        if count == 0 && buffer.remaining() > 0 {
            return match stream.client {
                Side::Open => {
                    stream.reader = Some(context.waker().clone());
                    Poll::Pending
                }
                Side::Ended => Poll::Ready(Ok(())),
                Side::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        let was_full = stream.inbound.len() >= INBOUND_MAX;
        buffer.put_slice(&stream.inbound[..count]);
        stream.inbound.advance(count);
        self.emptied(id, count, was_full);
        Poll::Ready(Ok(()))
    }

    /// A stream's inbound has less than before.
    fn emptied(&mut self, id: u32, count: usize, was_full: bool) {
        let (blocked, before) = (self.is_blocked(), self.out.len());
        self.inbound = self.inbound.saturating_sub(count);
        let full = self.streams.get(&id).is_some_and(|stream| stream.inbound.len() >= INBOUND_MAX);
        if was_full && !full {
            self.full = self.full.saturating_sub(1);
        }
        if !self.over && !self.done {
            self.wire.taken(id, count, &mut self.out);
        }
        if blocked || self.out.len() > before {
            self.wake();
        }
    }

    pub(super) fn write(
        &mut self,
        id: u32,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let broken = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        let Some(stream) = self.streams.get_mut(&id) else { return broken() };
        if stream.end {
            return broken();
        }
        let count = OUTBOUND_MAX.saturating_sub(stream.outbound.len()).min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            stream.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        stream.outbound.extend_from_slice(&bytes[..count]);
        self.queue(id);
        self.wake();
        Poll::Ready(Ok(count))
    }

    /// Nothing more will be written on a stream.
    pub(super) fn shut(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !std::mem::replace(&mut stream.end, true)
        {
            self.queue(id);
            self.wake();
        }
    }

    pub(super) fn drop_input(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.unread = true;
        let was_full = stream.inbound.len() >= INBOUND_MAX;
        let count = std::mem::take(&mut stream.inbound).len();
        self.emptied(id, count, was_full);
        self.clear(id);
    }

    pub(super) fn drop_output(&mut self, id: u32) {
        self.shut(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.unwritten = true;
        }
        self.clear(id);
    }
}
