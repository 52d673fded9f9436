// SPDX-License-Identifier: Apache-2.0
//! Questions over TCP (RFC 7766): each with its length before it, several at a time, answered in the order in which answers are there.

use super::core::{Core, Step};
use crate::limits::{PIPELINE_MAX, QUERY_BYTES_MAX, UDP_BYTES_MIN};
use crate::shares::{Share, Shares};
use crate::stats::{Event, Transport};
use bytes::{Buf, Bytes, BytesMut};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A pause after the kernel refused, most often as the process has too many files open.
const PAUSE: Duration = Duration::from_millis(10);

/// Room for connections, on all addresses together.
#[derive(Debug)]
pub(super) struct Doors {
    core: Arc<Core>,
    places: Arc<Semaphore>,
    shares: Arc<Shares>,
}

impl Doors {
    pub(super) fn new(core: Arc<Core>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(core.limits.connections));
        let shares = Shares::new(core.limits.connections_of_one);
        Arc::new(Self { core, places, shares })
    }

    fn enter(&self, who: IpAddr) -> Option<(OwnedSemaphorePermit, Share)> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((place, self.shares.take(who)?))
    }
}

/// Takes connections for ever.
pub(super) async fn serve(doors: Arc<Doors>, listener: TcpListener) {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = select! { biased;
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => match doors.enter(from.ip()) {
                Some(place) => {
                    doors.core.stats.event(Event::Connection);
                    let core = Arc::clone(&doors.core);
                    tasks.spawn(async move {
                        let _place = place;
                        Connection::new(core, stream, from.ip()).run().await;
                    });
                }
                None => doors.core.stats.event(Event::ConnectionRefused),
            },
            Err(error) => {
                tracing::debug!(%error, "a connection was not taken");
                sleep(PAUSE).await;
            }
        }
    }
}

struct Connection {
    core: Arc<Core>,
    stream: TcpStream,
    from: IpAddr,
    /// What was read, and is no whole question yet.
    read: BytesMut,
    /// Questions that upstreams are asked.
    asked: JoinSet<Vec<u8>>,
    /// No more questions will come, but answers are waited for.
    over: bool,
    idle_until: Instant,
}

/// There is nothing more to do for this client.
struct Closed;

impl Connection {
    fn new(core: Arc<Core>, stream: TcpStream, from: IpAddr) -> Self {
        let idle_until = Instant::now() + core.limits.idle;
        let (read, asked) = (BytesMut::with_capacity(UDP_BYTES_MIN), JoinSet::new());
        Self { core, stream, from, read, asked, over: false, idle_until }
    }

    async fn run(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Result<(), Closed> {
        while self.asked.len() < PIPELINE_MAX
            && let Some(packet) = self.question()?
        {
            match self.core.handle(&packet, self.from, Transport::Tcp) {
                // Over a connection nobody sends what is no query but for harm, or by mistake.
                Step::Nothing => return Err(Closed),
                Step::Reply(bytes) => self.write(&bytes).await?,
                Step::Ask(pending) => {
                    let core = Arc::clone(&self.core);
                    self.asked.spawn(async move { core.finish(pending).await });
                }
            }
            self.idle_until = Instant::now() + self.core.limits.idle;
        }
        if self.over && self.asked.is_empty() {
            return Err(Closed);
        }
        let reads = !self.over && self.asked.len() < PIPELINE_MAX;
        select! { biased;
            Some(answer) = self.asked.join_next(), if !self.asked.is_empty() => {
                let answer = answer.map_err(|_| Closed)?;
                self.write(&answer).await?;
                self.idle_until = Instant::now() + self.core.limits.idle;
            }
            count = self.stream.read_buf(&mut self.read), if reads => match count {
                Ok(0) => self.over = true,
                Ok(_) => {}
                Err(_) => return Err(Closed),
            },
            () = sleep_until(self.idle_until), if self.asked.is_empty() => return Err(Closed),
        }
        Ok(())
    }

    /// A question that is there whole.
    fn question(&mut self) -> Result<Option<Bytes>, Closed> {
        let Some(length) = self.read.first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > QUERY_BYTES_MAX {
            return Err(Closed);
        }
        if self.read.len() < 2 + length {
            return Ok(None);
        }
        self.read.advance(2);
        Ok(Some(self.read.split_to(length).freeze()))
    }

    async fn write(&mut self, answer: &[u8]) -> Result<(), Closed> {
        let length = u16::try_from(answer.len()).map_err(|_| Closed)?;
        let mut whole = Vec::with_capacity(2 + answer.len());
        // In one piece, which some clients expect.
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(answer);
        let written = timeout(self.core.limits.idle, self.stream.write_all(&whole)).await;
        if matches!(written, Ok(Ok(()))) { Ok(()) } else { Err(Closed) }
    }
}
