// SPDX-License-Identifier: Apache-2.0
//! From a request to the protocol that its connection will speak.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Where SPDY's clients name the protocols that they know, and the server the one that it took.
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Where the server tells what it knows.
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Why a request gets no streams; it is the answer, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// What is wrong.
    pub text: String,
    accepted: &'static [&'static str],
}

impl Refused {
    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into(), accepted: &[] }
    }

    /// The answer.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(format!("{}\n", self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        for one in self.accepted {
            headers.append(ACCEPTED, HeaderValue::from_static(one));
        }
        response
    }
}

/// What was agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreed {
    /// A WebSocket with one of its subprotocols; an empty one if the client named none.
    WebSocket(&'static str),
    /// SPDY with one of the protocols above it.
    Spdy(&'static str),
}

/// What a kind of request can be carried by, in no order: the client's counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) websocket: &'static [&'static str],
    pub(crate) spdy: &'static [&'static str],
}

/// Agrees on a protocol.
pub(crate) fn negotiate<B>(
    request: &Request<B>,
    offer: Offer,
) -> Result<(Agreed, Response<Full<Bytes>>), Refused> {
    let headers = request.headers();
    let upgrade = tokens(headers, &UPGRADE);
    let named = |name: &str| upgrade.iter().any(|one| one.eq_ignore_ascii_case(name));
    let asked = tokens(headers, &CONNECTION).iter().any(|one| one.eq_ignore_ascii_case("upgrade"));
    if asked && named("websocket") {
        return websocket(request, offer.websocket);
    }
    if asked && named("spdy/3.1") {
        return spdy(headers, offer.spdy);
    }
    Err(Refused::bad_request(
        "unable to upgrade: missing upgrade headers in request: SPDY/3.1 and websocket are known",
    ))
}

fn websocket<B>(
    request: &Request<B>,
    known: &'static [&'static str],
) -> Result<(Agreed, Response<Full<Bytes>>), Refused> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refused::bad_request("unable to upgrade: a websocket begins with GET"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let text = "unable to upgrade: Sec-WebSocket-Version is not 13".to_owned();
        return Err(Refused { status: StatusCode::UPGRADE_REQUIRED, text, accepted: &[] });
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    // 16 bytes in base64.
    if key.len() != 24 {
        return Err(Refused::bad_request(
            "unable to upgrade: Sec-WebSocket-Key is missing or wrong",
        ));
    }
    let offered = tokens(headers, &SEC_WEBSOCKET_PROTOCOL);
    let taken = if offered.is_empty() && known.contains(&"") {
        ""
    } else {
        pick(&offered, known).ok_or_else(|| Refused::bad_request(disagreement(&offered, known)))?
    };
    let accept = HeaderValue::try_from(derive_accept_key(key))
        .map_err(|_| Refused::bad_request("unable to upgrade: Sec-WebSocket-Key is wrong"))?;
    let mut response = switching("websocket");
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    if !taken.is_empty() {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(taken));
    }
    Ok((Agreed::WebSocket(taken), response))
}

fn spdy(
    headers: &HeaderMap,
    known: &'static [&'static str],
) -> Result<(Agreed, Response<Full<Bytes>>), Refused> {
    let offered = tokens(headers, &PROTOCOL);
    if offered.is_empty() {
        return Err(Refused::bad_request(
            "unable to upgrade: X-Stream-Protocol-Version is required",
        ));
    }
    let taken = pick(&offered, known).ok_or_else(|| Refused {
        status: StatusCode::FORBIDDEN,
        text: disagreement(&offered, known),
        accepted: known,
    })?;
    let mut response = switching("SPDY/3.1");
    response.headers_mut().insert(PROTOCOL, HeaderValue::from_static(taken));
    Ok((Agreed::Spdy(taken), response))
}

/// The first of the client's protocols that is known.
fn pick(offered: &[&str], known: &'static [&'static str]) -> Option<&'static str> {
    offered.iter().find_map(|one| known.iter().copied().find(|have| have == one))
}

fn disagreement(offered: &[&str], known: &[&str]) -> String {
    let (client, server) = (offered.join(" "), known.join(" "));
    format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{client}], server accepts [{server}]"
    )
}

fn switching(protocol: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// The values of a header, each line a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|one| !one.is_empty()).collect()
}

#[cfg(test)]
mod tests;
