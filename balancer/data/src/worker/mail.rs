// SPDX-License-Identifier: Apache-2.0
//! What the process tells a worker.

use super::accept::Listener;
use super::slab::Id;
use super::{Kind, Worker, word};
use crate::control::{FlowFilter, Handed};
use crate::stats::{Draining, FlowInfo};
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::{BackendId, FrontendId};
use berth_balancer_core::{Record, Table};
use rustix::event::epoll::EventFlags;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Where a listener is.
pub(crate) type Place = (Protocol, SocketAddr);

/// A message. Where a sender comes with it the worker answers through it when all is done.
#[derive(Debug)]
pub(crate) enum Command {
    /// Another table, with the listeners that are new and those that are not needed any more.
    Adopt { table: Table, open: Vec<(Place, Arc<OwnedFd>)>, close: Vec<Place>, done: Sender<()> },
    /// List flows.
    Flows { filter: FlowFilter, reply: Sender<Vec<FlowInfo>> },
    /// List endpoints that left the table, each with its connections.
    Drains { reply: Sender<Vec<Draining>> },
    /// Take nothing new: another process does. Gives UDP flows away with their sockets, and what was found out.
    Retire { reply: Sender<Left> },
    /// The process before takes nothing new any more: take over its UDP flows and what it found out, and begin.
    Import { flows: Vec<(Handed, OwnedFd)>, found: Vec<Found>, done: Sender<()> },
    /// End.
    Stop,
}

/// What speaks against an endpoint.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) frontend: FrontendId,
    pub(crate) backend: BackendId,
    pub(crate) record: Record,
}

/// What a worker leaves to a successor.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) worker: u32,
    pub(crate) flows: Vec<(Handed, OwnedFd)>,
    pub(crate) found: Vec<Found>,
}

/// A worker's box, seen from outside.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) sender: Sender<Command>,
    pub(crate) bell: Arc<OwnedFd>,
}

impl Mailbox {
    /// Sends a message. A worker that ended gets none, and its senders say so to who waits.
    pub(crate) fn send(&self, command: Command) {
        if self.sender.send(command).is_ok() {
            // The bell is full only if it was rung already.
            let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        }
    }
}

impl Worker {
    pub(super) fn on_bell(&mut self) {
        let mut rung = [0; 8];
        let _ = rustix::io::read(&*self.bell, &mut rung);
        while let Ok(command) = self.mail.try_recv() {
            match command {
                Command::Adopt { table, open, close, done } => {
                    self.adopt(table);
                    self.close_listeners(&close);
                    self.open_listeners(open);
                    let _ = done.send(());
                }
                Command::Flows { filter, reply } => {
                    let _ = reply.send(self.list_flows(&filter));
                }
                Command::Drains { reply } => {
                    let _ = reply.send(self.list_drains());
                }
                Command::Retire { reply } => {
                    let _ = reply.send(self.retire());
                }
                Command::Import { flows, found, done } => {
                    self.now = crate::sys::now();
                    for Found { backend, record, .. } in found {
                        self.core.restore(backend, record);
                    }
                    self.import_flows(flows);
                    self.begin();
                    let _ = done.send(());
                }
                Command::Stop => self.stops = true,
            }
        }
    }

    /// Uses another table from here on.
    fn adopt(&mut self, table: Table) {
        self.now = crate::sys::now();
        let old = std::mem::replace(&mut self.table, table);
        let diff = self.core.adopt(&old, &self.table, self.now);
        self.end_flows(&old, &diff);
        self.note_leaving(&old, &diff);
        let mut gone: Vec<BackendId> =
            diff.backends_removed.iter().map(|(_, gone)| *gone).collect();
        gone.sort_unstable();
        self.redirect(&gone);
        // Where the drain time is 0, it is over.
        self.end_drained();
    }

    fn open_listeners(&mut self, open: Vec<(Place, Arc<OwnedFd>)>) {
        for ((protocol, place), socket) in open {
            match protocol {
                Protocol::Tcp => {
                    let id = self.listeners.insert(Listener::new(socket.clone(), place));
                    let paused = self.paused_until.is_some() || self.waits;
                    let flags = if paused { EventFlags::empty() } else { EventFlags::IN };
                    if let Some(listener) = self.listeners.get(id) {
                        listener.is_off = paused;
                    }
                    let _ = self.watch(&*socket, word(Kind::Listener, id), flags);
                    self.places.insert((protocol, place), id);
                }
                Protocol::Udp => self.open_datagrams(place, socket),
            }
        }
    }

    fn close_listeners(&mut self, close: &[Place]) {
        for place in close {
            match (place.0, self.places.remove(place)) {
                (Protocol::Tcp, Some(id)) => {
                    // The process may hold the socket for a successor, and events of it would come for ever.
                    if let Some(listener) = self.listeners.remove(id) {
                        let _ = rustix::event::epoll::delete(&self.epoll, &*listener.socket);
                    }
                }
                (Protocol::Udp, Some(id)) => self.close_datagrams(id),
                (_, None) => {}
            }
        }
    }

    /// Takes nothing new from here on.
    fn retire(&mut self) -> Left {
        self.now = crate::sys::now();
        // Replies that were read go out while their way is open.
        self.flush_datagrams();
        let found = self.found();
        let flows = self.export_flows();
        let all: Vec<Place> = self.places.keys().copied().collect();
        self.close_listeners(&all);
        Left { worker: self.number, flows, found }
    }

    /// What speaks against endpoints.
    fn found(&self) -> Vec<Found> {
        let mut found = Vec::new();
        self.table.each(|frontend| {
            let all = frontend.backends.iter();
            let known = all.filter_map(|backend| {
                let record = self.core.record(backend.id)?;
                Some(Found { frontend: frontend.id, backend: backend.id, record })
            });
            found.extend(known);
        });
        found
    }

    /// Takes what waited for this process to take over.
    fn begin(&mut self) {
        if !std::mem::take(&mut self.waits) {
            return;
        }
        self.watch_datagrams();
        if self.paused_until.is_none() {
            self.turn_on();
        }
    }

    /// The number of a listener, by its place.
    pub(super) fn place(&self, place: &Place) -> Option<Id> {
        self.places.get(place).copied()
    }
}
