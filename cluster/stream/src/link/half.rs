// SPDX-License-Identifier: Apache-2.0
//! The two halves of a stream.

use super::Shared;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the client sends on a stream. It ends when the client ends the stream, and fails when the client is lost.
///
/// Dropped, what the client sends is thrown away. One that is kept must be read: a full one stops the whole connection.
#[derive(Debug)]
pub struct Input {
    shared: Arc<Shared>,
    stream: u32,
}

/// What the client gets on a stream. A write that is done lies in a buffer; dropping this ends the stream behind what was written.
#[derive(Debug)]
pub struct Output {
    shared: Arc<Shared>,
    stream: u32,
}

pub(super) fn pair(shared: &Arc<Shared>, stream: u32) -> (Input, Output) {
    let input = Input { shared: Arc::clone(shared), stream };
    (input, Output { shared: Arc::clone(shared), stream })
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.lock().read(self.stream, context, buffer)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.lock().write(self.stream, context, bytes)
    }

    /// Bytes go out as soon as the client takes them; there is nothing to push.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().shut(self.stream);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.shared.lock().drop_input(self.stream);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().drop_output(self.stream);
    }
}
