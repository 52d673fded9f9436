// SPDX-License-Identifier: Apache-2.0
//! Answers on their way out: whole, in pieces, or without an end.

use crate::render::List;
use berth_cluster_api::Refusal;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use http_body::Frame;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// A list that is put together as it is read.
    List(Box<List>),
    /// Pieces as they come.
    Stream(BoxStream<'static, Bytes>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::List(list) => list.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => None,
            Self::Whole(bytes) => Some(std::mem::take(bytes)),
            Self::List(list) => list.next(),
            Self::Stream(stream) => match stream.poll_next_unpin(context) {
                Poll::Ready(piece) => piece,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.len() as u64),
            _ => http_body::SizeHint::default(),
        }
    }
}

/// An answer.
pub type Answer = Response<Body>;

/// One in JSON.
pub(crate) fn json(status: StatusCode, body: Body) -> Answer {
    typed(status, "application/json", body)
}

/// One of a media type.
pub(crate) fn typed(status: StatusCode, media: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// A plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", Body::Whole(body.into()))
}

/// The `Status` of something that was done and has no object to show.
pub(crate) fn done() -> Answer {
    let body = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"code\":201}\n";
    json(StatusCode::CREATED, Body::Whole(body.into()))
}

/// What a client is told that does not get what it asked for.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(status, Body::Whole(refusal.to_json().into()));
    if let Some(seconds) = refusal.details.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Adds warnings (RFC 7234, section 5.5; upstream's code is 299).
pub(crate) fn warn<Text: AsRef<str>>(answer: &mut Answer, warnings: &[Text]) {
    for text in warnings {
        let mut quoted = String::from("299 - \"");
        for letter in text.as_ref().chars().filter(|letter| !letter.is_control()) {
            if matches!(letter, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        quoted.push('"');
        if let Ok(value) = HeaderValue::from_bytes(quoted.as_bytes()) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}
