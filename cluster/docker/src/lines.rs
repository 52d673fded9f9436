// SPDX-License-Identifier: Apache-2.0
//! An answer that is a line after the other.

use crate::error::CallError;
use crate::limits;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The lines of an answer's body.
#[derive(Debug)]
pub(crate) struct Lines {
    call: &'static str,
    body: Incoming,
    buffer: BytesMut,
}

impl Lines {
    pub(crate) fn new(call: &'static str, body: Incoming) -> Self {
        Self { call, body, buffer: BytesMut::new() }
    }

    /// The next line that is not empty; none at the end. It may be dropped half way, and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<BytesMut>, CallError> {
        let call = self.call;
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > limits::LINE_MAX {
                let reason = "a line does not end".to_owned();
                return Err(CallError::Unreadable { call, reason });
            }
            let Some(frame) = self.body.frame().await else {
                let rest = std::mem::take(&mut self.buffer);
                return Ok(Some(rest).filter(|rest| !rest.trim_ascii().is_empty()));
            };
            let frame = frame.map_err(|error| CallError::gone(call, &error))?;
            self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}
