// SPDX-License-Identifier: Apache-2.0
//! Calls: a path, a body, and what came of it.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use std::time::Duration;

/// How long an answer is waited for: an apiserver gives up a request after a minute.
const CALL_TIME: Duration = Duration::from_secs(65);

/// Form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// An object.
    Json,
    /// A JSON merge patch (RFC 7396).
    Merge,
    /// A strategic merge patch.
    Strategic,
    /// A JSON patch (RFC 6902).
    Patch,
}

impl Media {
    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Patch => "application/json-patch+json",
        })
    }
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server's answer.
    #[error("{method} {path}: {message} ({code} {reason})")]
    Refused {
        /// What was asked.
        method: Method,
        /// Of what.
        path: String,
        /// The HTTP status.
        code: u16,
        /// `reason` of the `Status`; empty if it has none.
        reason: String,
        /// Its `message`, or the beginning of the body.
        message: String,
        /// Seconds after which to try again, where the server says so.
        retry_after: Option<u64>,
    },
    /// There was no answer, or not all of it: what was asked may have been done.
    #[error("{method} {path}: no answer")]
    Lost {
        /// What was asked.
        method: Method,
        /// Of what.
        path: String,
        /// What is known.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CallError {
    /// The HTTP status; none if there was no answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Lost { .. } => None,
        }
    }
}

/// `Status` of meta/v1, as far as it is read.
#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// A door to an API, as one user.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    headers: HeaderMap,
    extensions: Extensions,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Api {
    /// Over a client.
    pub fn new(client: kube::Client) -> Self {
        Self { client, headers: HeaderMap::new(), extensions: Extensions::new() }
    }

    pub(crate) fn client(&self) -> &kube::Client {
        &self.client
    }

    /// With a header on each call, such as `Berth-Fence`.
    #[must_use]
    pub fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// As somebody else, before a server in the same process ([`Api::within`]), in the type that it looks for: so one door serves
    /// thousands of users. Over HTTPS this says nothing.
    #[must_use]
    pub fn with_caller<T: Clone + Send + Sync + 'static>(mut self, caller: T) -> Self {
        self.extensions.insert(caller);
        self
    }

    /// Reads. `path` has its query.
    pub async fn get(&self, path: &str) -> Result<Bytes, CallError> {
        self.call(Method::GET, path, None).await
    }

    /// Creates, or does what is done by POST.
    pub async fn post(&self, path: &str, object: Bytes) -> Result<Bytes, CallError> {
        self.call(Method::POST, path, Some((Media::Json, object))).await
    }

    /// Replaces.
    pub async fn put(&self, path: &str, object: Bytes) -> Result<Bytes, CallError> {
        self.call(Method::PUT, path, Some((Media::Json, object))).await
    }

    /// Changes.
    pub async fn patch(&self, path: &str, media: Media, patch: Bytes) -> Result<Bytes, CallError> {
        self.call(Method::PATCH, path, Some((media, patch))).await
    }

    /// Deletes, with `DeleteOptions` where there are any.
    pub async fn delete(&self, path: &str, options: Option<Bytes>) -> Result<Bytes, CallError> {
        self.call(Method::DELETE, path, options.map(|options| (Media::Json, options))).await
    }

    /// The whole answer of a call. One that is not there after 65 s is lost.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(Media, Bytes)>,
    ) -> Result<Bytes, CallError> {
        let whole = async {
            let answer = self.open(method.clone(), path, body).await?;
            let whole = answer.into_body().collect().await;
            let whole = whole.map(http_body_util::Collected::to_bytes);
            whole.map_err(|source| lost(method.clone(), path, source))
        };
        let Ok(answer) = tokio::time::timeout(CALL_TIME, whole).await else {
            return Err(lost(method, path, "no answer in time"));
        };
        answer
    }

    /// An answer whose head is there, and is a success.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<(Media, Bytes)>,
    ) -> Result<Response<Body>, CallError> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = path.parse().map_err(|error| lost(method.clone(), path, error))?;
        request.headers_mut().clone_from(&self.headers);
        request.extensions_mut().clone_from(&self.extensions);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some((media, bytes)) = body {
            request.headers_mut().insert(CONTENT_TYPE, media.name());
            *request.body_mut() = Body::from(bytes);
        }
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| lost(method.clone(), path, error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refused(method, path, answer).await)
    }
}

fn lost(
    method: Method,
    path: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CallError {
    CallError::Lost { method, path: path.to_owned(), source: source.into() }
}

async fn refused(method: Method, path: &str, answer: Response<Body>) -> CallError {
    let code = answer.status().as_u16();
    let after = answer.headers().get(http::header::RETRY_AFTER);
    let retry_after = after.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match answer.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(source) => return lost(method, path, source),
    };
    let status: Status = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let message = String::from_utf8_lossy(&body).chars().take(200).collect();
        Status { message, ..Status::default() }
    });
    let Status { reason, message } = status;
    CallError::Refused { method, path: path.to_owned(), code, reason, message, retry_after }
}
