// SPDX-License-Identifier: Apache-2.0
//! Decides on first packets, and keeps the books of flows that the kernel forwards.
//!
//! | event | what is done |
//! |---|---|
//! | first packet, flow not known | an endpoint is chosen; the flow is booked, not yet connected |
//! | first packet again, before the entry is there | the same endpoint |
//! | packet in the middle of TCP | the endpoint that it had, if it is known; else RST |
//! | the entry says that the endpoint answered | connected; the time taken is observed |
//! | the entry is closed, or gone | the books are closed: a success if it was connected, else a failure |
//! | events were lost | `resync`: the kernel's table is read, and books and table are equal again |
//!
//! `decide` has the choices, `events` the entries, `resync` the readings of the whole table, `drain` the flows of endpoints that are
//! gone.

mod decide;
mod drain;
mod events;
mod resync;
mod tally;

pub(crate) use drain::Prepared;
use resync::Resyncs;

use tally::{Leavers, Tallies};

use crate::conntrack::{Conntrack, Tuple};
use crate::counters::Counters;
use crate::end::Probes;
use crate::notes::Notes;
use crate::owner::Turn;
use crate::ways::Ways;
use berth_balancer_core::model::{Protocol, Timeouts};
use berth_balancer_core::table::{BackendId, Frontend, FrontendId};
use berth_balancer_core::{
    Affinity, Flow, FlowKey, FlowTable, Guest, Sources, Table, Ticket, Worker,
};
use decide::UNHEARD_MAX;
use hashbrown::HashSet;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Which frontends the fast path serves.
pub type Takes = fn(&Frontend) -> bool;

/// What is known of a flow.
#[derive(Debug)]
struct Held {
    /// Its place in the worker's books; none if its endpoint was gone when it was found again.
    ticket: Option<Ticket>,
    guest: Option<Guest>,
    /// The endpoint.
    address: SocketAddr,
    masquerade: bool,
    connected: bool,
    /// When it was booked, in nanoseconds.
    since: u64,
    /// The reading of the kernel's table in which it was seen last.
    epoch: u32,
}

/// Where a lost flow went.
#[derive(Debug, Clone, Copy)]
struct Lost {
    address: SocketAddr,
    masquerade: bool,
}

/// Time for which a TCP flow whose entry was lost is remembered: TCP sends again within it, or gives up.
const LOST_NS: u64 = 120_000_000_000;
/// Lost flows that are remembered.
const LOST_MAX: u32 = 1 << 16;
/// Clients with affinity, and clients that are counted.
const CLIENTS_MAX: u32 = 1 << 17;

/// Entries of TCP end by events, not by time: forty days, which the table can hold.
const NO_END: u64 = 40 * 86_400 * 1_000_000_000;

/// Sizes of an engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) flows_max: u32,
    pub(crate) seed: u64,
    pub(crate) takes: Takes,
}

/// The sockets that an engine uses itself.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) conntrack: Conntrack,
    pub(crate) ways: Ways,
    pub(crate) probes: Probes,
    pub(crate) notes: Notes,
}

/// Decides, and keeps the books.
#[derive(Debug)]
pub(crate) struct Engine {
    table: Table,
    worker: Worker,
    tcp: FlowTable<Held>,
    udp: FlowTable<Held>,
    lost: FlowTable<Lost>,
    affinity: Affinity,
    sources: Sources,
    outside: Outside,
    takes: Takes,
    /// Addresses of services that the fast path took.
    addresses: HashSet<IpAddr, foldhash::fast::FixedState>,
    /// Flows to look at if nothing was heard of them until then.
    unheard: VecDeque<(u64, Protocol, FlowKey)>,
    /// TCP flows whose endpoint is in no table, by the time at which they end.
    orphans: BTreeMap<u64, Vec<Tuple>>,
    /// The same, by who they are.
    orphaned: HashSet<FlowKey, foldhash::fast::RandomState>,
    /// Flows in each table.
    flows_max: u32,
    /// The kernel may have flows for which the books had no room.
    unbooked: bool,
    /// Addresses that an earlier run had taken.
    former: Vec<IpAddr>,
    /// Backends as the kernel's map has them.
    slots: Vec<Option<(BackendId, SocketAddr)>>,
    epoch: u32,
    /// Whose verdicts they are.
    turn: Turn,
    /// Another process has the flows: nothing of the kernel's is changed.
    resting: bool,
    resyncs: Resyncs,
    tallies: Tallies,
    leavers: Leavers,
    counters: Arc<Counters>,
}

impl Engine {
    pub(crate) fn new(sizes: Sizes, outside: Outside, counters: Arc<Counters>) -> Self {
        let Sizes { flows_max, seed, takes } = sizes;
        Self {
            table: Table::default(),
            worker: Worker::new(seed),
            tcp: FlowTable::new(flows_max, seed ^ 1),
            udp: FlowTable::new(flows_max, seed ^ 2),
            lost: FlowTable::new(LOST_MAX, seed ^ 3),
            affinity: Affinity::new(CLIENTS_MAX, seed ^ 4),
            sources: Sources::new(CLIENTS_MAX, seed ^ 5),
            outside,
            takes,
            addresses: HashSet::with_hasher(foldhash::fast::FixedState::default()),
            unheard: VecDeque::new(),
            orphans: BTreeMap::new(),
            orphaned: HashSet::default(),
            flows_max,
            unbooked: false,
            former: Vec::new(),
            slots: Vec::new(),
            epoch: 0,
            turn: Turn::default(),
            resting: false,
            resyncs: Resyncs::default(),
            tallies: Tallies::default(),
            leavers: Leavers::default(),
            counters,
        }
    }

    /// From now on this process owns the rules, and verdicts are of this turn.
    pub(crate) fn serve(&mut self, turn: Turn) {
        self.turn = turn;
        self.resting = false;
    }

    /// Another process owns the rules, or is about to.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
    }

    /// Flows of TCP and UDP that are booked.
    pub(crate) fn flows(&self) -> (usize, usize) {
        (self.tcp.len(), self.udp.len())
    }

    /// Flows of a backend.
    pub(crate) fn active(&self, frontend: &Frontend, backend: BackendId, now: u64) -> u32 {
        self.worker.seen(frontend, backend, now).active
    }

    /// Until when a backend is passed over; in the past if it is not.
    pub(crate) fn ejected_until(&self, frontend: &Frontend, backend: BackendId, now: u64) -> u64 {
        self.worker.seen(frontend, backend, now).ejected_until_ns
    }

    fn flow_table(&mut self, protocol: Protocol) -> &mut FlowTable<Held> {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        }
    }

    /// Books a flow; one that had to go for it is closed.
    fn book(&mut self, protocol: Protocol, key: FlowKey, backend: BackendId, held: Held) {
        let now = held.since;
        let times =
            Timeouts { udp_unreplied_ns: NO_END, udp_replied_ns: NO_END, ..Timeouts::default() };
        if let Some((gone, flow)) =
            self.flow_table(protocol).insert(key, backend, held, &times, now)
        {
            // One that had to go for it goes on in the kernel.
            self.unbooked |= gone != key;
            self.close(flow.value, true, now);
        }
    }

    /// Has a flow looked up at `due` if nothing was heard of it by then.
    fn wait_for_word(&mut self, due: u64, protocol: Protocol, key: FlowKey) {
        if self.unheard.len() >= UNHEARD_MAX {
            self.unheard.pop_front();
        }
        self.unheard.push_back((due, protocol, key));
    }

    /// Closes a flow's books. `fair`: whatever it was that ended it, it is not held against the endpoint.
    fn close(&mut self, held: Held, fair: bool, now: u64) {
        if let Some(guest) = held.guest {
            self.sources.leave(guest);
        }
        let Some(ticket) = held.ticket else { return };
        let (frontend, backend) = (ticket.frontend, ticket.backend);
        self.tallies.endpoint(backend).end();
        if held.connected || fair {
            self.worker.on_close(ticket);
            return;
        }
        self.counters.failed.add(1);
        let before = self.ejection(frontend, backend, now);
        self.worker.on_failed(&self.table, ticket, now);
        let ejected = self.ejection(frontend, backend, now) > before;
        self.tallies.endpoint(backend).fail(ejected);
    }

    fn ejection(&self, frontend: FrontendId, backend: BackendId, now: u64) -> Option<u64> {
        let frontend = self.table.frontend(frontend)?;
        Some(self.worker.seen(frontend, backend, now).ejected_until_ns)
    }

    /// Remembers where a flow went whose entry was lost.
    fn remember(&mut self, key: FlowKey, flow: &Flow<Held>, now: u64) {
        let times =
            Timeouts { udp_unreplied_ns: LOST_NS, udp_replied_ns: LOST_NS, ..Timeouts::default() };
        let lost = Lost { address: flow.value.address, masquerade: flow.value.masquerade };
        drop(self.lost.insert(key, flow.backend, lost, &times, now));
    }
}
