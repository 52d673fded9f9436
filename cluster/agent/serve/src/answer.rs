// SPDX-License-Identifier: Apache-2.0
//! Answers: texts with a status, as a kubelet gives them, and bodies that go on.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use std::io;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(crate) type Answer = Response<Body>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A request that is not done; its words are the answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) words: String,
    /// The whole answer, where another crate made it.
    pub(crate) given: Option<Box<berth_cluster_stream::Refused>>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), given: None }
    }

    pub(crate) fn answer(self) -> Answer {
        match self.given {
            Some(given) => given.response().map(full),
            None => text(self.status, self.words),
        }
    }
}

/// A body that is there.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A text.
pub(crate) fn text(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    typed(status, TEXT, whole(words))
}

/// A body of a type.
pub(crate) fn typed(status: StatusCode, kind: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// The body of an answer that another crate made.
pub(crate) fn full(body: Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}
