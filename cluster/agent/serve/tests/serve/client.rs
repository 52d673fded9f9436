// SPDX-License-Identifier: Apache-2.0
//! A client of the server: plain requests, and WebSockets of another's making.

use crate::lab::World;
use berth_cluster_auth::pki::Pair;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) type Secure = TlsStream<TcpStream>;
pub(crate) type Socket = WebSocketStream<Secure>;

/// How a client shows who it is.
#[derive(Clone, Copy)]
pub(crate) enum As<'a> {
    Admin,
    Holder(&'a Pair),
    Header(&'a str),
    Nobody,
}

impl World {
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.serving.lock().unwrap().as_ref().unwrap().address()
    }

    pub(crate) async fn connect(&self, who: As<'_>) -> std::io::Result<Secure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let pair = match who {
            As::Admin => Some(&self.admin),
            As::Holder(pair) => Some(pair),
            As::Header(_) | As::Nobody => None,
        };
        let tls = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address()).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await
    }

    /// The head of an answer, and its body still to come.
    pub(crate) async fn open(&self, who: As<'_>, method: Method, path: &str) -> Response<Incoming> {
        let stream = self.connect(who).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "node");
        if let As::Header(header) = who {
            request = request.header("authorization", header);
        }
        sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
    }

    /// Status and body.
    pub(crate) async fn ask(&self, who: As<'_>, path: &str) -> (u16, String) {
        let answer = self.open(who, Method::GET, path).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.ask(As::Admin, path).await
    }

    /// Asks for a WebSocket; the head of the answer, and what follows it.
    pub(crate) async fn upgrade(&self, path: &str, protocol: &str) -> (String, Secure) {
        let mut stream = self.connect(As::Admin).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(answer).unwrap(), stream)
    }

    pub(crate) async fn socket(&self, path: &str, protocol: &str) -> Socket {
        let (head, stream) = self.upgrade(path, protocol).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }
}

/// What came of a session.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: Value,
}

/// Reads a session of exec or attach to its end.
pub(crate) async fn rest(socket: &mut Socket) -> Said {
    let mut said = Said::default();
    while let Some(message) = socket.next().await {
        let Ok(message) = message else { break };
        let Message::Binary(bytes) = message else { continue };
        let Some((channel, bytes)) = bytes.split_first() else { continue };
        let text = String::from_utf8_lossy(bytes);
        match channel {
            1 => said.out += &text,
            2 => said.err += &text,
            3 if !bytes.is_empty() => said.status = serde_json::from_slice(bytes).unwrap(),
            _ => {}
        }
    }
    said
}

/// Reads standard output until it has a text.
pub(crate) async fn until(socket: &mut Socket, text: &str) -> String {
    let mut out = String::new();
    while !out.contains(text) {
        let message = socket.next().await.expect("it goes on").unwrap();
        if let Message::Binary(bytes) = message
            && let Some((1, bytes)) = bytes.split_first()
        {
            out += &String::from_utf8_lossy(bytes);
        }
    }
    out
}

pub(crate) async fn send(socket: &mut Socket, channel: u8, bytes: &[u8]) {
    let message = [&[channel], bytes].concat();
    socket.send(Message::Binary(message.into())).await.unwrap();
}
