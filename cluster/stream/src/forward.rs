// SPDX-License-Identifier: Apache-2.0
//! Port-forward: connections to ports of a pod.

use crate::error::{Gone, SetupError};
use crate::limits::{PORTS_MAX, Times};
use crate::link::{Input, Life, Opened, Output, Shared};
use crate::negotiate::{Agreed, Offer, Refused, negotiate};
use crate::session::{Pending, Session};
use crate::spdy::Fields;
use crate::websocket;
use crate::wire::{Channels, Coding, Multiplex, Tunnel, Wire};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep_until};

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const OFFER: Offer = Offer {
    websocket: &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""],
    spdy: &["portforward.k8s.io"],
};

/// Port-forward, agreed upon. The session begins when the answer was sent.
#[derive(Debug)]
pub struct ForwardUpgrade {
    pending: Pending,
    agreed: Agreed,
    ports: Vec<u16>,
}

/// Connections that a client wants to ports of a pod. Dropped before it is finished, it cuts them all.
#[derive(Debug)]
pub struct Forward {
    session: Session,
    life: watch::Receiver<Life>,
    source: Source,
}

/// A connection that a client wants.
#[derive(Debug)]
pub struct Forwarded {
    /// To which port.
    pub port: u16,
    /// Its bytes.
    pub data: Duplex,
    /// Where is told what went wrong, in words. Nothing, if all went well.
    pub error: Output,
}

/// Both directions of a connection.
#[derive(Debug)]
pub struct Duplex {
    /// What the client sends.
    pub input: Input,
    /// What it gets.
    pub output: Output,
}

#[derive(Debug)]
enum Source {
    /// All that there will be.
    Ports(VecDeque<Forwarded>),
    /// Pairs of streams as the client opens them.
    Streams { opens: mpsc::Receiver<Opened>, halves: BTreeMap<String, Half>, creation: Duration },
}

/// A stream whose other one is not there yet. There are never more than streams.
#[derive(Debug)]
struct Half {
    opened: Opened,
    until: Instant,
}

/// Agrees on a protocol for connections to ports; gives the answer to be sent. The ports of a WebSocket with channels are in the query,
/// as `port` or `ports`.
pub fn forward<B>(
    request: &mut Request<B>,
    times: Times,
) -> Result<(Response<Full<Bytes>>, ForwardUpgrade), Refused> {
    let (agreed, response) = negotiate(request, OFFER)?;
    let channels = matches!(agreed, Agreed::WebSocket(protocol) if protocol != TUNNEL);
    let ports =
        if channels { ports(request.uri().query().unwrap_or_default())? } else { Vec::new() };
    let pending = Pending::new(request, times);
    Ok((response, ForwardUpgrade { pending, agreed, ports }))
}

fn ports(query: &str) -> Result<Vec<u16>, Refused> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(name, _)| matches!(*name, "port" | "ports"));
    let mut ports = Vec::new();
    // Commas may come as they are or encoded.
    for text in values.flat_map(|(_, value)| value.split(',').flat_map(|one| one.split("%2C"))) {
        let wrong = || Refused::bad_request(format!("port {text:?} is not a valid port number"));
        ports.push(text.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?);
    }
    if ports.is_empty() {
        return Err(Refused::bad_request("query parameter \"port\" is required"));
    }
    if ports.len() > PORTS_MAX {
        return Err(Refused::bad_request(format!("more than {PORTS_MAX} ports")));
    }
    Ok(ports)
}

impl ForwardUpgrade {
    /// Waits until the connection is upgraded.
    pub async fn session(self) -> Result<Forward, SetupError> {
        let creation = self.pending.times.creation;
        let streams = || Multiplex::new(is_pair);
        let wire = match self.agreed {
            Agreed::Spdy(_) => Wire::Spdy(streams()),
            Agreed::WebSocket(TUNNEL) => Wire::Tunnel(Tunnel::new(streams())),
            Agreed::WebSocket(protocol) => {
                return channels(self.pending, protocol, &self.ports).await;
            }
        };
        let (session, opens) = self.pending.open(wire).await?;
        let life = session.shared.life();
        let source = Source::Streams { opens, halves: BTreeMap::new(), creation };
        Ok(Forward { session, life, source })
    }
}

async fn channels(pending: Pending, protocol: &str, ports: &[u16]) -> Result<Forward, SetupError> {
    let coding = if protocol.contains("base64") { Coding::Base64 } else { Coding::Binary };
    // Port i has 2 i for its data, and 2 i + 1 for what went wrong.
    let readable = (0..ports.len()).filter_map(|at| u8::try_from(2 * at).ok()).collect();
    let wire = Wire::Channels(Channels::new(coding, readable));
    let pairs = |shared: &Arc<Shared>| -> Vec<_> {
        let numbers = (0..).step_by(2).take(ports.len());
        numbers.map(|data| (shared.open(data), shared.open(data + 1).1)).collect()
    };
    let (session, _, pairs) = pending.open_with(wire, pairs).await?;
    let mut all = VecDeque::new();
    for (port, ((input, mut output), mut error)) in ports.iter().zip(pairs) {
        // Which port it is, each channel says first. There is room for two bytes.
        for channel in [&mut output, &mut error] {
            let _ = channel.write_all(&port.to_le_bytes()).await;
        }
        all.push_back(Forwarded { port: *port, data: Duplex { input, output }, error });
    }
    let life = session.shared.life();
    Ok(Forward { session, life, source: Source::Ports(all) })
}

impl Forward {
    /// The next connection that the client wants; `None` when there will be no more: the client is gone, or all that it named are over.
    /// May be dropped and called again.
    pub async fn next(&mut self) -> Option<Forwarded> {
        let (opens, halves, creation) = match &mut self.source {
            Source::Ports(all) => {
                if let Some(next) = all.pop_front() {
                    return Some(next);
                }
                let _ = self.life.wait_for(|life| life.over.is_some() || life.open == 0).await;
                return None;
            }
            Source::Streams { opens, halves, creation } => (opens, halves, *creation),
        };
        loop {
            let oldest = halves.values().map(|half| half.until).min();
            let late = async {
                match oldest {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                opened = opens.recv() => {
                    if let Some(pair) = pair(&self.session, halves, opened?, creation) {
                        return Some(pair);
                    }
                }
                () = late => {
                    let now = Instant::now();
                    let late = halves.extract_if(.., |_, half| half.until <= now);
                    for (_, half) in late {
                        self.session.shared.reset(half.opened.stream);
                    }
                }
                _ = self.life.wait_for(|life| life.over.is_some()) => return None,
            }
        }
    }

    /// Waits until the client is gone.
    pub async fn gone(&self) -> Gone {
        self.session.gone().await
    }

    /// Ends the session: what was written before goes first. Waits until the client has it all or is gone.
    pub async fn finish(self) -> Gone {
        self.session.finish(websocket::NORMAL, None).await
    }
}

/// Puts a stream to its other one, if that is there.
fn pair(
    session: &Session,
    halves: &mut BTreeMap<String, Half>,
    opened: Opened,
    creation: Duration,
) -> Option<Forwarded> {
    let is_error = field(&opened.fields, "streamtype") == "error";
    let key = match field(&opened.fields, "requestid") {
        // Clients before 1.4 open the error stream first, and number no requests.
        "" if is_error => opened.stream.to_string(),
        "" => opened.stream.saturating_sub(2).to_string(),
        id => id.to_owned(),
    };
    let Some(half) = halves.remove(&key) else {
        halves.insert(key, Half { opened, until: Instant::now() + creation });
        return None;
    };
    let other = half.opened;
    if (field(&other.fields, "streamtype") == "error") == is_error {
        // The same one twice: the first stays.
        session.shared.reset(opened.stream);
        halves.insert(key, Half { opened: other, until: half.until });
        return None;
    }
    let (data, error) = if is_error { (other, opened) } else { (opened, other) };
    let port = field(&data.fields, "port").parse().ok()?;
    let Opened { input, output, .. } = data;
    Some(Forwarded { port, data: Duplex { input, output }, error: error.output })
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    let found = fields.iter().find(|(have, _)| have == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

fn is_pair(fields: &Fields) -> bool {
    let port = field(fields, "port").parse::<u16>().is_ok_and(|port| port > 0);
    port && matches!(field(fields, "streamtype"), "data" | "error")
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_read(context, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_shutdown(context)
    }
}
