// SPDX-License-Identifier: Apache-2.0
//! The health service of gRPC (`grpc.health.v1.Health/Check`). Its two messages have one field each, so they are written out here.

use super::http::Driver;
use super::probe::authority;
use berth_cluster_pod::Answer;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes of an answer, which has seven.
const ANSWER: usize = 4_096;
const UNIMPLEMENTED: &str = "12";
const SERVING: u8 = 1;

/// Asks how a service is.
pub(super) async fn check(host: &str, port: u16, service: &str, limit: Duration) -> Answer {
    let place = authority(host, port);
    let late = format!(
        "timeout: failed to connect service {place:?} within {limit:?}: context deadline exceeded"
    );
    let ask = async {
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| format!("error: failed to connect service {place:?}: {error}"))?;
        Box::pin(talk(&place, service, stream)).await
    };
    match timeout(limit, Box::pin(ask)).await {
        Ok(Ok(())) => Answer::Good,
        Ok(Err(why)) => Answer::Bad(why),
        Err(_) => Answer::Bad(late),
    }
}

async fn talk(place: &str, service: &str, stream: TcpStream) -> Result<(), String> {
    let failed = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(failed)?;
    let _driver = Driver(tokio::spawn(connection));
    let mut request = Request::new(Full::new(question(service)));
    *request.method_mut() = Method::POST;
    let uri = format!("http://{place}/grpc.health.v1.Health/Check").parse();
    *request.uri_mut() = uri.map_err(|error| format!("error: {error}"))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe/1.33"));
    let answer = sender.send_request(request).await.map_err(failed)?;
    judge_status(answer.headers())?;
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
    if let Some(trailers) = body.trailers() {
        judge_status(trailers)?;
    }
    judge(&body.to_bytes())
}

fn judge_status(headers: &HeaderMap) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(UNIMPLEMENTED) => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            text("grpc-message").unwrap_or_default()
        )),
        Some(code) => Err(format!(
            "error: health rpc probe failed: rpc error: code = {} desc = {}",
            name(code),
            text("grpc-message").unwrap_or_default()
        )),
    }
}

/// What gRPC calls its codes.
fn name(code: &str) -> &str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    code.parse::<usize>().ok().and_then(|code| NAMES.get(code).copied()).unwrap_or(code)
}

/// `HealthCheckRequest { service = 1 }`, with gRPC's head.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.put_u8(u8::try_from(length).unwrap_or(0));
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

/// `HealthCheckResponse { status = 1 }`.
fn judge(answer: &[u8]) -> Result<(), String> {
    let status = match answer {
        [0, _, _, _, 2, 0x08, status] => *status,
        [0, 0, 0, 0, 0] => 0,
        _ => return Err("error: health rpc probe failed: the answer is none".to_owned()),
    };
    let name = match status {
        SERVING => return Ok(()),
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    };
    Err(format!("service unhealthy (responded with {name:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        assert_eq!(question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"x".repeat(300));
        assert_eq!((long.len(), &long[..8]), (308, &[0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02][..]));
        assert_eq!(judge(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        let bad = |status| judge(&[0, 0, 0, 0, 2, 8, status]).unwrap_err();
        assert_eq!(bad(2), "service unhealthy (responded with \"NOT_SERVING\")");
        assert!(bad(3).contains("SERVICE_UNKNOWN") && bad(9).contains("UNKNOWN"));
        for answer in [&[0, 0, 0, 0, 0][..], &[], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 2, 8]] {
            assert!(judge(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn a_server_without_the_service_is_named_so() {
        let mut headers = HeaderMap::new();
        assert_eq!(judge_status(&headers), Ok(()));
        headers.insert("grpc-status", HeaderValue::from_static("12"));
        assert!(judge_status(&headers).unwrap_err().contains("does not implement"));
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        assert!(judge_status(&headers).unwrap_err().contains("code = Unavailable"));
    }
}
