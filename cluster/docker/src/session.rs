// SPDX-License-Identifier: Apache-2.0
//! A connection that has become a stream of bytes: of an exec, or attached to a container.

use crate::error::CallError;
use crate::streams::{Divider, Stream, StreamError};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};

/// Bytes of output that are read at a time: what an engine copies at a time.
const PIECE: usize = 32 * 1024;

/// What goes in. Its end (`shutdown`) is the end of the program's standard input; output goes on.
#[derive(Debug)]
pub struct Input(WriteHalf<TokioIo<Upgraded>>);

impl AsyncWrite for Input {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// What comes out.
#[derive(Debug)]
pub struct Output {
    call: &'static str,
    stream: ReadHalf<TokioIo<Upgraded>>,
    divider: Divider,
    ended: bool,
}

impl Output {
    /// The next piece; none at the end. It may be dropped half way, and called again.
    pub async fn next(&mut self) -> Result<Option<(Stream, Bytes)>, CallError> {
        let call = self.call;
        loop {
            if let Some(piece) = self.divider.next().map_err(|error| unreadable(call, error))? {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            let buffer = self.divider.buffer();
            buffer.reserve(PIECE);
            match self.stream.read_buf(buffer).await {
                Ok(0) => {
                    self.ended = true;
                    self.divider.end().map_err(|error| unreadable(call, error))?;
                }
                Ok(_) => {}
                Err(error) => return Err(CallError::gone(call, &error)),
            }
        }
    }
}

fn unreadable(call: &'static str, error: StreamError) -> CallError {
    match error {
        StreamError::Engine(message) => CallError::Refused { call, status: 500, message },
        StreamError::Short => CallError::Gone { call, reason: error.to_string() },
        StreamError::Number(_) => CallError::Unreadable { call, reason: error.to_string() },
    }
}

/// Both ends of an upgraded connection.
pub(crate) fn open(call: &'static str, upgraded: Upgraded, tty: bool) -> (Input, Output) {
    let (stream, input) = tokio::io::split(TokioIo::new(upgraded));
    (Input(input), Output { call, stream, divider: Divider::new(tty), ended: false })
}
