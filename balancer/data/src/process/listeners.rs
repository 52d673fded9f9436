// SPDX-License-Identifier: Apache-2.0
//! Which listeners there must be.
//!
//! A place is listened at if it has a service, and the service an endpoint that may serve by that way. Without one there is no
//! listener, and the kernel refuses for us: connecting itself fails.

use super::fast::Lane;
use crate::limits::OPENED_ALONE_MAX;
use crate::sys;
use crate::worker::Place;
use berth_balancer_core::Table;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::{Diff, Frontend, Served};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

/// The listeners of a place, each with its worker.
pub(crate) type Sockets = Vec<(usize, Arc<OwnedFd>)>;

/// Which workers are to have a listener at a place.
pub(crate) type Wanted = (Place, Range<usize>);

/// All listeners of the process.
///
/// At a place every worker has one, since then no two wait for each other. Ten thousand services on many cores would be a million
/// sockets: once half of the descriptors for listeners are taken, a place has one listener, of one worker, each worker in its turn.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: BTreeMap<Place, Sockets>,
    sockets: usize,
    workers: usize,
    /// Descriptors that listeners may take.
    most: usize,
    turn: usize,
}

impl Listeners {
    pub(super) fn new(workers: usize, most: usize) -> Self {
        Self { all: BTreeMap::new(), sockets: 0, workers, most, turn: 0 }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Sockets)> {
        self.all.iter()
    }

    pub(super) fn has(&self, place: &Place) -> bool {
        self.all.contains_key(place)
    }

    pub(super) fn insert(&mut self, place: Place, sockets: Sockets) {
        self.sockets += sockets.len();
        if let Some(former) = self.all.insert(place, sockets) {
            self.sockets -= former.len();
        }
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.sockets -= self.all.remove(place).map_or(0, |sockets| sockets.len());
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.sockets = 0;
    }

    /// Who is to listen at more places, as far as there are descriptors; the others have to wait.
    pub(super) fn share_out(&mut self, places: Vec<Place>) -> (Vec<Wanted>, Vec<Place>) {
        let mut sockets = self.sockets;
        let (mut wanted, mut without) = (Vec::new(), Vec::new());
        for place in places {
            if sockets + self.workers <= self.most / 2 {
                sockets += self.workers;
                wanted.push((place, 0..self.workers));
            } else if sockets < self.most {
                sockets += 1;
                self.turn = (self.turn + 1) % self.workers;
                wanted.push((place, self.turn..self.turn + 1));
            } else {
                without.push(place);
            }
        }
        (wanted, without)
    }

    /// Why so many places more find no descriptor, for people.
    pub(super) fn full(&self, more: usize) -> String {
        format!(
            "no descriptors left: {} needed for all listeners, {} allowed; raise ulimit -n",
            self.sockets + more,
            self.most
        )
    }

    /// What people should know of it.
    pub(super) fn warning(&self) -> Option<String> {
        let alone = self.all.values().filter(|sockets| sockets.len() < self.workers).count();
        (alone > 0).then(|| {
            format!(
                "{alone} of {} listening addresses have one worker each: {} descriptors would be needed for all workers, {} are allowed; raise ulimit -n",
                self.all.len(),
                self.all.len() * self.workers * 2,
                self.most
            )
        })
    }
}

/// What a table changes about listeners.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    open: Vec<(Place, Sockets)>,
    close: Vec<Place>,
}

impl Fresh {
    pub(super) fn add(&mut self, place: Place, sockets: &Sockets) {
        self.open.push((place, sockets.clone()));
    }

    pub(super) fn close(&mut self, place: Place) {
        self.close.push(place);
    }

    pub(super) fn changes(&self) -> bool {
        !self.open.is_empty() || !self.close.is_empty()
    }

    pub(super) fn closed(&self) -> &[Place] {
        &self.close
    }

    pub(super) fn opened(&self) -> impl Iterator<Item = Place> {
        self.open.iter().map(|(place, _)| *place)
    }

    /// The listeners of one worker.
    pub(super) fn of(&self, worker: usize) -> Vec<(Place, Arc<OwnedFd>)> {
        let own = |(place, sockets): &(Place, Sockets)| {
            let (_, socket) = sockets.iter().find(|(own, _)| *own == worker)?;
            Some((*place, socket.clone()))
        };
        self.open.iter().filter_map(own).collect()
    }
}

/// The places whose listeners may be different in `new`.
pub(crate) fn candidates(old: &Table, new: &Table) -> Vec<Place> {
    let diff = Diff::between(old, new);
    let mut places = Vec::new();
    for id in diff.frontends_removed.iter().chain(&diff.frontends_changed) {
        old.frontend(*id).into_iter().for_each(|frontend| add(old, frontend, &mut places));
    }
    for id in diff.frontends_added.iter().chain(&diff.frontends_changed) {
        new.frontend(*id).into_iter().for_each(|frontend| add(new, frontend, &mut places));
    }
    if old.node_addresses() != new.node_addresses() {
        old.each(|frontend| add(old, frontend, &mut places));
        new.each(|frontend| add(new, frontend, &mut places));
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// Adds the places of a frontend.
fn add(table: &Table, frontend: &Frontend, places: &mut Vec<Place>) {
    for served in &frontend.served {
        match *served {
            Served::At { address, .. } => places.push((frontend.protocol, address)),
            Served::NodePort(port) => {
                let nodes = table.node_addresses().iter();
                places.extend(nodes.map(|ip| (frontend.protocol, SocketAddr::new(*ip, port))));
            }
        }
    }
}

/// Whether a place is to be listened at.
pub(crate) fn is_wanted(table: &Table, lane: &Lane, (protocol, address): &Place) -> bool {
    let found = table.lookup(*protocol, *address);
    found.filter(|found| !lane.is_taken(found.frontend, *address)).is_some_and(|found| {
        // Clients on this node may reach what others may not.
        let serves = |inside| !found.frontend.pool(found.via, inside).members().is_empty();
        serves(false) || serves(true)
    })
}

/// Listeners for many places, each place's outcome in its turn. Opening is the kernel's work, and it does it for several threads at
/// once.
pub(crate) fn listen_all(places: &[Wanted], threads: usize) -> Vec<Opened> {
    let listen = |places: &[Wanted]| -> Vec<Opened> { places.iter().map(listen).collect() };
    let threads = if places.len() <= OPENED_ALONE_MAX { 1 } else { threads.clamp(1, 8) };
    let (own, others) = places.split_at(places.len().div_ceil(threads));
    let parts = others.chunks(own.len().max(1));
    thread::scope(|scope| {
        let threads: Vec<_> = parts
            .map(|part| (part, thread::Builder::new().spawn_scoped(scope, || listen(part))))
            .collect();
        let mut all = listen(own);
        for (part, thread) in threads {
            // Where there is no thread to be had, or it broke, this one does its work.
            all.extend(thread.ok().and_then(|t| t.join().ok()).unwrap_or_else(|| listen(part)));
        }
        all
    })
}

/// The listeners of a place, or why there are none.
pub(crate) type Opened = Result<Sockets, Errno>;

fn listen(((protocol, address), workers): &Wanted) -> Opened {
    let one = || match protocol {
        Protocol::Tcp => sys::listen(address),
        Protocol::Udp => sys::bind_datagrams(address),
    };
    workers.clone().map(|worker| Ok((worker, Arc::new(one()?)))).collect()
}

/// Why a place is not served, for people.
pub(crate) fn reason(error: Errno) -> String {
    match error {
        Errno::ADDRNOTAVAIL => "the address is not local to this host".to_owned(),
        Errno::ADDRINUSE => "another process has the port".to_owned(),
        Errno::ACCESS => "a port below the unprivileged ones needs CAP_NET_BIND_SERVICE".to_owned(),
        Errno::MFILE => "no descriptors left: connections have them; raise ulimit -n".to_owned(),
        Errno::NFILE => "the host has no descriptors left (fs.file-max)".to_owned(),
        other => other.to_string(),
    }
}
