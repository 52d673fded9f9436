// SPDX-License-Identifier: Apache-2.0
//! Questions to upstreams: a socket and an id of its own for each, one upstream after the other, TCP where the answer did not fit.

pub(crate) mod order;
pub(crate) mod resolv;

use crate::cache::Said;
use crate::limits::LIES_MAX;
use crate::server::Limits;
use crate::stats::{Event, Stats};
use crate::wire::{self, Asked, Heard};
use hickory_proto::op::{Message, ResponseCode};
use order::Order;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// How often each upstream is asked: the second time without EDNS, which old ones do not know.
const ROUNDS: usize = 2;

/// Asks upstreams.
#[derive(Debug)]
pub(crate) struct Forwarder {
    upstreams: Vec<SocketAddr>,
    order: Mutex<Order>,
    stats: Arc<Stats>,
    begun: Instant,
    limits: Limits,
}

/// Why an attempt gave nothing.
#[derive(Debug)]
enum Failed {
    /// Nothing of use came.
    Silent,
    /// The upstream answered that it cannot answer; of it as such that says nothing.
    Unable,
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Silent
    }
}

impl Forwarder {
    /// Of upstreams; none if there are none.
    pub(crate) fn new(
        upstreams: Vec<SocketAddr>,
        stats: Arc<Stats>,
        limits: Limits,
    ) -> Option<Self> {
        let order = Mutex::new(Order::new(upstreams.len()));
        let some = !upstreams.is_empty();
        some.then(|| Self { upstreams, order, stats, begun: Instant::now(), limits })
    }

    fn order<T>(&self, with: impl FnOnce(&mut Order, Duration) -> T) -> T {
        let now = self.begun.elapsed();
        with(&mut self.order.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// The answer to a question, and how long its message was; none if no upstream gave one in time.
    pub(crate) async fn ask(&self, mut asked: Asked) -> Option<(Said, usize)> {
        self.stats.event(Event::Forwarded);
        let end = Instant::now() + self.limits.patience;
        for round in 0..ROUNDS {
            asked.edns = round == 0;
            for index in self.order(|order, now| order.list(now)) {
                let Some(upstream) = self.upstreams.get(index) else { continue };
                let until = end.min(Instant::now() + self.limits.attempt);
                match self.attempt(*upstream, &mut asked, until).await {
                    Ok(answer) => {
                        self.order(|order, _| order.worked(index));
                        return Some(answer);
                    }
                    Err(failed) => {
                        self.stats.event(Event::UpstreamSilent);
                        if matches!(failed, Failed::Silent) {
                            self.order(|order, now| order.failed(index, now));
                        }
                    }
                }
                if Instant::now() >= end {
                    self.stats.event(Event::ForwardFailed);
                    return None;
                }
            }
        }
        self.stats.event(Event::ForwardFailed);
        None
    }

    async fn attempt(
        &self,
        upstream: SocketAddr,
        asked: &mut Asked,
        until: Instant,
    ) -> Result<(Said, usize), Failed> {
        let number = getrandom::u32().map_err(|_| Failed::Silent)?;
        asked.id = u16::try_from(number & 0xffff).unwrap_or(0);
        let packet = wire::ask(asked, self.limits.udp_bytes);
        let heard = timeout_at(until, self.over_udp(upstream, asked, &packet));
        let (message, bytes) = match heard.await.map_err(|_| Failed::Silent)?? {
            Some(heard) => heard,
            None => {
                self.stats.event(Event::UpstreamTcp);
                let heard = timeout_at(until, self.over_tcp(upstream, asked, &packet));
                heard.await.map_err(|_| Failed::Silent)??
            }
        };
        match message.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok((Said::of(message), bytes)),
            _ => Err(Failed::Unable),
        }
    }

    /// The answer; none if it was truncated.
    async fn over_udp(
        &self,
        upstream: SocketAddr,
        asked: &Asked,
        packet: &[u8],
    ) -> Result<Option<(Message, usize)>, Failed> {
        // The kernel chooses a port that nobody can guess, and lets nobody else's packets through.
        let socket = if upstream.is_ipv4() {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?
        } else {
            UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?
        };
        socket.connect(upstream).await?;
        socket.send(packet).await?;
        let mut buffer = vec![0; self.limits.udp_bytes];
        for _ in 0..LIES_MAX {
            let count = socket.recv(&mut buffer).await?;
            match wire::heard(&buffer[..count], asked) {
                Heard::Answer(message) => return Ok(Some((*message, count))),
                Heard::Truncated => return Ok(None),
                Heard::Lie => self.stats.event(Event::UpstreamLied),
            }
        }
        Err(Failed::Silent)
    }

    async fn over_tcp(
        &self,
        upstream: SocketAddr,
        asked: &Asked,
        packet: &[u8],
    ) -> Result<(Message, usize), Failed> {
        let mut stream = TcpStream::connect(upstream).await?;
        let length = u16::try_from(packet.len()).map_err(|_| Failed::Silent)?;
        let mut whole = length.to_be_bytes().to_vec();
        whole.extend_from_slice(packet);
        stream.write_all(&whole).await?;
        let count = usize::from(stream.read_u16().await?);
        let mut buffer = vec![0; count];
        stream.read_exact(&mut buffer).await?;
        match wire::heard(&buffer, asked) {
            Heard::Answer(message) => Ok((*message, count)),
            // Over TCP there is no more than this.
            Heard::Truncated => Err(Failed::Unable),
            Heard::Lie => {
                self.stats.event(Event::UpstreamLied);
                Err(Failed::Silent)
            }
        }
    }
}
