// SPDX-License-Identifier: Apache-2.0
//! A connection's way through the books.

use super::{Request, Worker};
use crate::table::{Backend, BackendId, Frontend, FrontendId, Shared, Table, backend_leave};
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::AtomicU32;

/// Why a flow gets no backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The service has no endpoint that serves: refuse the connection at once.
    NoEndpoint,
    /// This node has none, and the traffic policy is Local: kube-proxy drops, so that the client tries another node.
    NoLocalEndpoint,
    /// The source is outside the service's ranges: drop.
    Source,
    /// Every endpoint was tried for this flow.
    AllTried,
    /// Every endpoint that may serve is at a limit.
    EndpointsFull,
    /// The service is at its limit of connections.
    ServiceFull,
    /// The source is at its limit of connections.
    SourceFull,
    /// The source makes new connections faster than it may.
    SourceRate,
    /// There is no room to count another source with open connections.
    SourcesFull,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEndpoint => "the service has no endpoint that serves",
            Self::NoLocalEndpoint => {
                "the service has no endpoint on this node, and its policy is Local"
            }
            Self::Source => "the source is outside the service's ranges",
            Self::AllTried => "every endpoint of the service was tried",
            Self::EndpointsFull => "every endpoint of the service is at a limit",
            Self::ServiceFull => "the service is at its limit of connections",
            Self::SourceFull => "the source is at its limit of connections",
            Self::SourceRate => "the source makes new connections faster than it may",
            Self::SourcesFull => "too many sources have open connections",
        })
    }
}

impl core::error::Error for Refusal {}

/// A connection that is counted. It goes back by [`Worker::on_close`] or [`Worker::on_failed`] of the worker that gave it.
#[derive(Debug)]
#[must_use = "a ticket that is dropped leaves its backend loaded for ever"]
pub struct Ticket {
    /// Frontend.
    pub frontend: FrontendId,
    /// Backend.
    pub backend: BackendId,
    /// Where the backend listens.
    pub address: SocketAddr,
    /// When it was opened, in nanoseconds.
    pub opened_ns: u64,
    connected: bool,
    /// Where it is counted for all workers, if a limit asked for it when it was opened.
    of_endpoint: Option<Arc<Shared>>,
    of_service: Option<Arc<AtomicU32>>,
}

impl Drop for Ticket {
    /// What all workers count must not leak, whatever becomes of a worker.
    fn drop(&mut self) {
        if let Some(shared) = &self.of_endpoint {
            shared.leave();
        }
        if let Some(count) = &self.of_service {
            backend_leave(count);
        }
    }
}

/// Choices before a race for the last place of an endpoint is given up.
const RACES: u32 = 4;

impl Worker {
    /// Chooses a backend for a connection and counts it. Call it when connecting begins: connections that are not yet through
    /// are load too.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(&mut self, frontend: &Frontend, request: &Request<'_>) -> Result<Ticket, Refusal> {
        let of_service = match frontend.settings.limits.connections_max {
            Some(most) if !frontend.enter(most) => return Err(Refusal::ServiceFull),
            most => most.map(|_| frontend.connections.clone()),
        };
        let mut ticket = Ticket {
            frontend: frontend.id,
            backend: BackendId { slot: 0, generation: 0 },
            address: request.source,
            opened_ns: request.now,
            connected: false,
            of_endpoint: None,
            of_service,
        };
        for _ in 0..RACES {
            let pick = self.pick(frontend, request)?;
            let backend = &frontend.backends[pick.position as usize];
            // Another worker may have taken the last place in between: choose again.
            let Ok(of_endpoint) = enter(frontend, backend, request.now) else { continue };
            // From here on it is known, so that what is observed has a place.
            self.frontends.of(frontend.id);
            let state = self.states.of(pick.backend);
            state.active = state.active.saturating_add(1);
            ticket.backend = pick.backend;
            ticket.address = pick.address;
            ticket.of_endpoint = of_endpoint;
            return Ok(ticket);
        }
        Err(Refusal::EndpointsFull)
    }

    /// Counts a connection that is there already at the backend in `position` of the frontend's, whatever its limits and health say:
    /// one from before a restart, or one that another worker hands over.
    ///
    /// # Panics
    /// If the frontend has no such position.
    pub fn resume(&mut self, frontend: &Frontend, position: u32, now: u64) -> Ticket {
        let backend = &frontend.backends[position as usize];
        let limits = &frontend.settings.limits;
        let of_service = limits.connections_max.map(|_| {
            frontend.enter(u32::MAX);
            frontend.connections.clone()
        });
        let of_endpoint = limits.connections_per_endpoint_max.map(|_| {
            backend.shared.enter(u32::MAX);
            backend.shared.clone()
        });
        self.frontends.of(frontend.id);
        let state = self.states.of(backend.id);
        state.active = state.active.saturating_add(1);
        Ticket {
            frontend: frontend.id,
            backend: backend.id,
            address: backend.address,
            opened_ns: now,
            connected: true,
            of_endpoint,
            of_service,
        }
    }

    /// The endpoint accepted the connection.
    pub fn on_connected(&mut self, ticket: &mut Ticket, now: u64) {
        ticket.connected = true;
        self.observe(ticket, now.saturating_sub(ticket.opened_ns), now);
    }

    /// The endpoint answered: its first byte came `waited_ns` after the client's. For protocols of request and response, call it
    /// for each.
    pub fn on_first_byte(&mut self, ticket: &Ticket, waited_ns: u64, now: u64) {
        self.observe(ticket, waited_ns, now);
        if let Some(state) = self.states.known(ticket.backend) {
            state.failures = 0;
        }
    }

    fn observe(&mut self, ticket: &Ticket, latency: u64, now: u64) {
        if let Some(state) = self.states.known(ticket.backend) {
            state.latency.observe(latency, now);
            if let Some(frontend) = self.frontends.known(ticket.frontend) {
                frontend.mean.observe(latency);
            }
        }
    }

    /// The connection ended. It counts as a success of an endpoint that had accepted it. True if it was the last one of a
    /// backend that drains.
    pub fn on_close(&mut self, ticket: Ticket) -> bool {
        match self.states.known(ticket.backend) {
            Some(state) => {
                state.active = state.active.saturating_sub(1);
                if ticket.connected {
                    state.failures = 0;
                }
                false
            }
            None => self.drains.closed(ticket.backend),
        }
    }

    /// The endpoint failed: it refused or reset the connection, or did not answer in time. Counts against it; the caller may
    /// open again with this backend among those tried. True if it was the last connection of a backend that drains.
    pub fn on_failed(&mut self, table: &Table, ticket: Ticket, now: u64) -> bool {
        let Some(state) = self.states.known(ticket.backend) else {
            return self.drains.closed(ticket.backend);
        };
        state.active = state.active.saturating_sub(1);
        state.failures = state.failures.saturating_add(1);
        if let Some(frontend) = table.frontend(ticket.frontend) {
            // An endpoint that refuses at once would be the quickest of all. It counts as slow as one that does not answer.
            let waited = now.saturating_sub(ticket.opened_ns);
            state.latency.observe(waited.max(frontend.settings.timeouts.connect_ns), now);
            self.judge(frontend, ticket.backend, now);
        }
        false
    }
}

/// Counts a connection for all workers, where a limit asks for it.
fn enter(frontend: &Frontend, backend: &Backend, now: u64) -> Result<Option<Arc<Shared>>, ()> {
    let limits = &frontend.settings.limits;
    let most = limits.connections_per_endpoint_max;
    if most.is_some_and(|most| !backend.shared.enter(most)) {
        return Err(());
    }
    if limits.rate_per_endpoint.is_some_and(|rate| !backend.shared.take_token(rate, now)) {
        if most.is_some() {
            backend.shared.leave();
        }
        return Err(());
    }
    Ok(most.map(|_| backend.shared.clone()))
}
