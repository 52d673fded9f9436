// SPDX-License-Identifier: Apache-2.0
//! From a packet to its answer, whatever it came by.

use super::Limits;
use crate::answer::{Answer, Choice, Reply, answer};
use crate::cache::{Cache, Key, Said};
use crate::forward::Forwarder;
use crate::limits::{MESSAGE_BYTES_MAX, RECORD_BYTES_MIN};
use crate::shares::{Share, Shares};
use crate::stats::{Event, Stats, Transport};
use crate::wire::{self, Asked, Request, Unread};
use crate::zone::Live;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What all sockets of a server have in common.
#[derive(Debug)]
pub(super) struct Core {
    live: Arc<Live>,
    forwarder: Option<Forwarder>,
    cache: Mutex<Cache>,
    pub(super) stats: Arc<Stats>,
    pub(super) limits: Limits,
    asked: Arc<Semaphore>,
    shares: Arc<Shares>,
    /// Counts questions: which of several records comes first goes round.
    turn: AtomicU64,
    begun: Instant,
}

/// What comes of a packet.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// This answer.
    Reply(Vec<u8>),
    /// An upstream has to be asked.
    Ask(Box<Pending>),
}

/// A question that waits for an upstream.
#[derive(Debug)]
pub(super) struct Pending {
    request: Request,
    limit: usize,
    before: Vec<Record>,
    asked: Asked,
    _place: OwnedSemaphorePermit,
    _share: Share,
}

impl Core {
    pub(super) fn new(
        live: Arc<Live>,
        forwarder: Option<Forwarder>,
        stats: Arc<Stats>,
        limits: Limits,
    ) -> Self {
        Self {
            live,
            forwarder,
            cache: Mutex::default(),
            stats,
            limits,
            asked: Arc::new(Semaphore::new(limits.asked)),
            shares: Shares::new(limits.asked_by_one),
            turn: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a packet, or says what it takes.
    pub(super) fn handle(&self, packet: &[u8], source: IpAddr, transport: Transport) -> Step {
        let request = match wire::read(packet) {
            Ok(request) => request,
            Err(Unread::Silent) => {
                self.stats.event(Event::Ignored);
                return Step::Nothing;
            }
            Err(Unread::Header(code)) => {
                self.stats.event(Event::Malformed);
                self.stats.answer(code);
                return Step::Reply(wire::header(packet, code));
            }
            Err(Unread::Question(code, request)) => {
                self.stats.query(transport, request.query.query_type);
                return self.reply(&request, &Reply::of(code), self.limit(&request, transport));
            }
        };
        self.stats.query(transport, request.query.query_type);
        let limit = self.limit(&request, transport);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let choice = Choice { turn, most: limit / RECORD_BYTES_MIN + 1 };
        match self.live.read(|zone| answer(&request.query, zone, choice)) {
            Answer::Whole(reply) => self.reply(&request, &reply, limit),
            Answer::Elsewhere { before, name } => {
                let asked = Asked {
                    id: 0,
                    name,
                    kind: request.query.query_type,
                    checking_disabled: request.checking_disabled,
                    dnssec_ok: request.edns.is_some_and(|edns| edns.dnssec_ok),
                    edns: true,
                };
                self.elsewhere(request, limit, before, asked, source)
            }
        }
    }

    fn limit(&self, request: &Request, transport: Transport) -> usize {
        match transport {
            Transport::Udp => wire::datagram_bytes(request, self.limits.udp_bytes),
            Transport::Tcp => MESSAGE_BYTES_MAX,
        }
    }

    fn reply(&self, request: &Request, reply: &Reply, limit: usize) -> Step {
        Step::Reply(self.write(request, reply, limit))
    }

    fn write(&self, request: &Request, reply: &Reply, limit: usize) -> Vec<u8> {
        let written = wire::write(request, reply, limit, self.limits.udp_bytes);
        self.stats.answer(reply.code);
        if written.truncated {
            self.stats.event(Event::Truncated);
        }
        written.bytes
    }

    fn elsewhere(
        &self,
        request: Request,
        limit: usize,
        before: Vec<Record>,
        asked: Asked,
        source: IpAddr,
    ) -> Step {
        if self.forwarder.is_none() {
            return self.reply(&request, &Reply::of(ResponseCode::Refused), limit);
        }
        let known = self.cache().get(&Key::of(&asked), self.begun.elapsed());
        if let Some(said) = known {
            self.stats.event(Event::CacheHit);
            return self.reply(&request, &joined(before, said), limit);
        }
        self.stats.event(Event::CacheMiss);
        let place = Arc::clone(&self.asked).try_acquire_owned().ok();
        match place.and_then(|place| Some((place, self.shares.take(source)?))) {
            Some((place, share)) => Step::Ask(Box::new(Pending {
                request,
                limit,
                before,
                asked,
                _place: place,
                _share: share,
            })),
            None => {
                self.stats.event(Event::ForwardRefused);
                self.reply(&request, &Reply::of(ResponseCode::ServFail), limit)
            }
        }
    }

    /// The answer of a question that waits, once an upstream has answered or none will.
    pub(super) async fn finish(&self, pending: Box<Pending>) -> Vec<u8> {
        let Pending { request, limit, before, asked, .. } = *pending;
        let key = Key::of(&asked);
        let said = match &self.forwarder {
            Some(forwarder) => forwarder.ask(asked).await,
            None => None,
        };
        let reply = match said {
            Some((said, bytes)) => {
                self.cache().put(key, &said, bytes, self.begun.elapsed());
                joined(before, said)
            }
            None => Reply::of(ResponseCode::ServFail),
        };
        self.write(&request, &reply, limit)
    }
}

/// Aliases of the zone, and what others say of their last target.
fn joined(mut before: Vec<Record>, said: Said) -> Reply {
    let authoritative = !before.is_empty();
    before.extend(said.answers);
    Reply { authoritative, answers: before, authorities: said.authorities, ..Reply::of(said.code) }
}

#[cfg(test)]
mod tests;
