// SPDX-License-Identifier: Apache-2.0
//! Requests whose bytes matter: streams of logs, execs and pulls.
//!
//! bollard reads those line by line, with a guess at what is a header: a terminal's bytes 0 to 2 are lost to it, and a line without an end
//! is kept whole. And a password whose base64 has a `+` does not arrive, for an engine wants the alphabet for URLs.

use crate::address::Address;
use crate::error::CallError;
use crate::limits;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How requests reach an engine.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) address: Address,
    /// Such as `1.41`.
    pub(crate) version: String,
}

/// One request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    /// What for, for errors.
    pub(crate) call: &'static str,
    pub(crate) method: &'static str,
    /// Below the version, with its query.
    pub(crate) path: String,
    /// JSON, or empty.
    pub(crate) body: Bytes,
    /// Credentials for a registry.
    pub(crate) credentials: Option<String>,
    /// Whether the connection becomes a stream of bytes.
    pub(crate) upgrade: bool,
}

/// A query out of pairs.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    query.finish()
}

impl Wire {
    /// Sends a request, and gives the answer's head once it is there; its body follows. What is no success is an error.
    pub(crate) async fn send(
        &self,
        ask: Ask,
        limit: Duration,
    ) -> Result<Response<Incoming>, CallError> {
        let call = ask.call;
        let sent = tokio::time::timeout(limit, self.send_unlimited(ask)).await;
        sent.unwrap_or(Err(CallError::TimedOut { call, limit }))
    }

    /// The same, for an answer in JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        ask: Ask,
        limit: Duration,
    ) -> Result<T, CallError> {
        let call = ask.call;
        let whole = async {
            let answer = self.send_unlimited(ask).await?;
            let body = whole(call, answer).await?;
            let reason = |error: serde_json::Error| error.to_string();
            serde_json::from_slice(&body)
                .map_err(|error| CallError::Unreadable { call, reason: reason(error) })
        };
        let done = tokio::time::timeout(limit, whole).await;
        done.unwrap_or(Err(CallError::TimedOut { call, limit }))
    }

    /// Sends a request whose connection becomes a stream.
    pub(crate) async fn upgrade(&self, ask: Ask, limit: Duration) -> Result<Upgraded, CallError> {
        let call = ask.call;
        let upgraded = async {
            let answer = self.send_unlimited(Ask { upgrade: true, ..ask }).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                let reason = format!("it does not upgrade the connection: {}", answer.status());
                return Err(CallError::Unreadable { call, reason });
            }
            hyper::upgrade::on(answer).await.map_err(|error| CallError::gone(call, &error))
        };
        let done = tokio::time::timeout(limit, upgraded).await;
        done.unwrap_or(Err(CallError::TimedOut { call, limit }))
    }

    async fn send_unlimited(&self, ask: Ask) -> Result<Response<Incoming>, CallError> {
        let call = ask.call;
        match &self.address {
            Address::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                self.talk(stream.map_err(|error| CallError::gone(call, &error))?, ask).await
            }
            Address::Tcp(host) => {
                let stream = TcpStream::connect(host).await;
                self.talk(stream.map_err(|error| CallError::gone(call, &error))?, ask).await
            }
        }
    }

    async fn talk<S>(&self, stream: S, ask: Ask) -> Result<Response<Incoming>, CallError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let call = ask.call;
        let gone = |error: hyper::Error| CallError::gone(call, &error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(gone)?;
        // It ends with the answer's body, or when that is dropped.
        tokio::spawn(connection.with_upgrades());
        let answer = sender.send_request(self.request(ask)?).await.map_err(gone)?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let body = whole(call, answer).await?;
        Err(CallError::status(call, status.as_u16(), message(&body)))
    }

    fn request(&self, ask: Ask) -> Result<Request<Full<Bytes>>, CallError> {
        let call = ask.call;
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("/v{}{}", self.version, ask.path))
            .header(header::HOST, "docker")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(credentials) = ask.credentials {
            request = request.header("X-Registry-Auth", credentials);
        }
        if ask.upgrade {
            request = request.header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "tcp");
        }
        let request = request.body(Full::new(ask.body));
        request.map_err(|error| CallError::Refused {
            call,
            status: 400,
            message: error.to_string(),
        })
    }
}

async fn whole(call: &'static str, answer: Response<Incoming>) -> Result<Bytes, CallError> {
    let body = Limited::new(answer.into_body(), limits::ANSWER_MAX).collect().await;
    let body = body.map_err(|error| CallError::Gone { call, reason: error.to_string() })?;
    Ok(body.to_bytes())
}

/// The words of an engine's error.
fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(|json| json.get("message")?.as_str());
    said.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned)
}
