// SPDX-License-Identifier: Apache-2.0
//! A server that runs what a test says, and clients of the protocols.

use crate::spdy::tests::{Client, data, frame, numbers};
use crate::{Exec, Forward, Streams, Times, exec, forward};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// No test takes as long; one that hangs ends.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(5), future).await.expect("the test hangs")
}

/// A connection to a server that answers requests so.
pub(crate) fn connect<F>(answer: F) -> DuplexStream
where
    F: Fn(Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let (client, server) = tokio::io::duplex(16 << 10);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let response = answer(request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service);
        let _ = connection.with_upgrades().await;
    });
    client
}

/// A connection to a process: `run` is what it does with its streams.
pub(crate) fn process<F, R>(streams: Streams, times: Times, run: F) -> DuplexStream
where
    F: Fn(Exec) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    connect(move |mut request| match exec(&mut request, streams, times) {
        Err(refused) => refused.response(),
        Ok((response, upgrade)) => {
            let run = run.clone();
            tokio::spawn(async move {
                if let Ok(session) = upgrade.session().await {
                    run(session).await;
                }
            });
            response
        }
    })
}

/// A connection to a pod: `run` is what it does with its connections.
pub(crate) fn pod<F, R>(times: Times, run: F) -> DuplexStream
where
    F: Fn(Forward) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    connect(move |mut request| match forward(&mut request, times) {
        Err(refused) => refused.response(),
        Ok((response, upgrade)) => {
            let run = run.clone();
            tokio::spawn(async move {
                if let Ok(session) = upgrade.session().await {
                    run(session).await;
                }
            });
            response
        }
    })
}

/// Sends a request for an upgrade; the head of the answer.
pub(crate) async fn upgrade(
    socket: &mut DuplexStream,
    method: &str,
    query: &str,
    headers: &[&str],
) -> String {
    let mut head =
        format!("{method} /exec?{query} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\n");
    for header in headers {
        head += header;
        head += "\r\n";
    }
    head += "\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// A WebSocket of somebody else's.
pub(crate) async fn websocket(
    mut socket: DuplexStream,
    query: &str,
    protocol: &str,
) -> WebSocketStream<DuplexStream> {
    let protocols = format!("Sec-WebSocket-Protocol: {protocol}");
    let mut headers = vec![
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    headers.extend((!protocol.is_empty()).then_some(protocols.as_str()));
    let answer = upgrade(&mut socket, "GET", query, &headers).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    WebSocketStream::from_raw_socket(socket, Role::Client, None).await
}

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Reply(u32),
    Data(u32, Vec<u8>, bool),
    Reset(u32, u32),
    Ping(u32),
    Away,
    Window(u32, u32),
}

/// SPDY, by hand.
pub(crate) struct Spdy<S> {
    pub(crate) socket: S,
    pub(crate) frames: Client,
}

impl Spdy<DuplexStream> {
    /// Upgrades a connection.
    pub(crate) async fn begin(mut socket: DuplexStream, protocol: &str) -> Self {
        let protocol = format!("X-Stream-Protocol-Version: {protocol}");
        let headers = ["Upgrade: SPDY/3.1", "Content-Length: 0", &protocol];
        let answer = upgrade(&mut socket, "POST", "", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self { socket, frames: Client::new() }
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Spdy<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn open(&mut self, id: u32, fields: &[(&str, &str)]) {
        let frame = self.frames.open(id, 0, fields);
        self.send(&frame).await;
    }

    pub(crate) async fn data(&mut self, id: u32, bytes: &[u8], end: bool) {
        self.send(&data(id, bytes, end)).await;
    }

    pub(crate) async fn numbers(&mut self, kind: u16, list: &[u32]) {
        self.send(&numbers(kind, list)).await;
    }

    /// The next frame; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        let mut head = [0; 8];
        self.socket.read_exact(&mut head).await.ok()?;
        let [a, b, c, d, flags, x, y, z] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, x, y, z]) as usize];
        self.socket.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes([a & 0x7f, b, c, d]);
        if a & 0x80 == 0 {
            return Some(Seen::Data(id, payload, flags & 1 != 0));
        }
        assert_eq!((a, b, flags), (0x80, 3, 0));
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        Some(match u16::from_be_bytes([c, d]) {
            2 => Seen::Reply(number(0)),
            3 => Seen::Reset(number(0), number(4)),
            6 => Seen::Ping(number(0)),
            7 => Seen::Away,
            9 => Seen::Window(number(0), number(4)),
            kind => panic!("an unexpected frame: {kind}"),
        })
    }

    /// All frames up to the end, data by its stream.
    pub(crate) async fn rest(
        &mut self,
    ) -> (std::collections::BTreeMap<u32, (Vec<u8>, bool)>, Vec<Seen>) {
        let (mut streams, mut others) = (std::collections::BTreeMap::new(), Vec::new());
        while let Some(seen) = self.next().await {
            match seen {
                Seen::Data(id, bytes, end) => {
                    let (all, ended): &mut (Vec<u8>, bool) = streams.entry(id).or_default();
                    assert!(!*ended, "data after the end of {id}");
                    all.extend(bytes);
                    *ended = end;
                }
                other => {
                    let away = other == Seen::Away;
                    others.push(other);
                    if away {
                        break;
                    }
                }
            }
        }
        (streams, others)
    }
}

/// Makes a frame that no client makes.
pub(crate) fn odd_frame(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind, flags, payload)
}

/// Numbers that look like chance and are the same each time.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }
}
