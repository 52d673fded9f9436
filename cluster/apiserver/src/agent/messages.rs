// SPDX-License-Identifier: Apache-2.0
//! A log as messages of a WebSocket, as upstream's server sends it to browsers and to old clients. The agent knows nothing of it.
//!
//! Each piece is one message: bytes, or text in base64 where the client asked for `base64.binary.k8s.io`. What the client sends is
//! thrown away; once it is gone, so is the log.

use crate::answer::{Answer, Body};
use crate::guard::Lasting;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_cluster_api::Refusal;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";
/// What a client's key is followed by before it is digested (RFC 6455, 1.3).
const SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// First bytes of frames that are whole messages.
const TEXT_MESSAGE: u8 = 0x81;
const BINARY_MESSAGE: u8 = 0x82;
/// The last frame: a close with the code 1000.
const CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xe8];
/// How long a client has to take what changes its protocol, and the last frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was agreed upon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    accept: String,
    protocol: Option<&'static str>,
}

/// What a client's headers come to.
pub(super) fn agree(headers: &HeaderMap) -> Result<Agreed, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let key = text(SEC_WEBSOCKET_KEY).filter(|_| text(SEC_WEBSOCKET_VERSION) == Some("13"));
    let key = key.ok_or_else(|| Refusal::bad_request("not a WebSocket of version 13"))?;
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered = offered
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .peekable();
    let none = offered.peek().is_none();
    let protocol = offered.find_map(|one| [BINARY, BASE64].into_iter().find(|ours| *ours == one));
    if protocol.is_none() && !none {
        let text = format!("the subprotocols of a log are {BINARY} and {BASE64}");
        return Err(Refusal::bad_request(text));
    }
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{SUFFIX}").as_bytes());
    Ok(Agreed { accept: STANDARD.encode(sum), protocol })
}

/// Changes the client's protocol, and sends the pieces.
pub(super) fn serve(
    agreed: Agreed,
    client: OnUpgrade,
    pieces: BoxStream<'static, Bytes>,
    parts: &Parts,
) -> Answer {
    let base64 = agreed.protocol == Some(BASE64);
    let lasting = parts.extensions.get::<Lasting>().cloned();
    tokio::spawn(async move {
        let Ok(Ok(client)) = timeout(PATIENCE, client).await else { return };
        if let Some(lasting) = lasting {
            lasting.begin();
        }
        if let Err(error) = send(TokioIo::new(client), pieces, base64).await {
            tracing::debug!(%error, "a log over a WebSocket ended");
        }
    });
    let mut answer = Response::new(Body::Whole(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.extend(
        agreed
            .protocol
            .map(|protocol| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol))),
    );
    headers.extend(
        HeaderValue::try_from(agreed.accept).ok().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)),
    );
    answer
}

/// Sends the pieces until they end, or the client goes.
async fn send<S: AsyncRead + AsyncWrite>(
    client: S,
    mut pieces: BoxStream<'static, Bytes>,
    base64: bool,
) -> io::Result<()> {
    let (mut from, mut to) = split(client);
    let gone = async {
        let mut thrown = vec![0; 1 << 10];
        while from.read(&mut thrown).await.is_ok_and(|count| count > 0) {}
    };
    let sending = async {
        while let Some(piece) = pieces.next().await {
            to.write_all(&frame(&piece, base64)).await?;
            to.flush().await?;
        }
        let end = async {
            to.write_all(&CLOSE).await?;
            to.shutdown().await
        };
        timeout(PATIENCE, end).await.unwrap_or(Ok(()))
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = gone => Ok(()),
    }
}

/// One message.
fn frame(piece: &[u8], base64: bool) -> Bytes {
    let text;
    let (kind, payload) = if base64 {
        text = STANDARD.encode(piece);
        (TEXT_MESSAGE, text.as_bytes())
    } else {
        (BINARY_MESSAGE, piece)
    };
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(kind);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => frame.put_u8(short),
        (_, Ok(middle)) => {
            frame.put_u8(126);
            frame.put_u16(middle);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(payload.len() as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(protocol: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        headers
    }

    #[test]
    fn what_is_offered_is_taken_or_refused() {
        // The key and its answer are the RFC's.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        for (offered, protocol) in [
            ("binary.k8s.io", Some(BINARY)),
            ("v4, base64.binary.k8s.io", Some(BASE64)),
            ("", None),
        ] {
            let wanted = Agreed { accept: accept.clone(), protocol };
            assert_eq!(agree(&asked(offered)).unwrap(), wanted, "{offered}");
        }
        assert!(agree(&asked("v5.channel.k8s.io")).is_err());
        let mut old = asked("");
        old.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert!(agree(&old).is_err());
    }

    #[test]
    fn sizes_stand_in_as_many_bytes_as_they_need() {
        assert_eq!(frame(b"ab", false)[..], [0x82, 2, b'a', b'b']);
        assert_eq!(frame(b"ab", true)[..], *b"\x81\x04YWI=");
        assert_eq!(frame(&[7; 126], false)[..5], [0x82, 126, 0, 126, 7]);
        assert_eq!(frame(&vec![7; 65_536], false)[..11], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, 7]);
    }
}
