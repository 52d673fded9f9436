// SPDX-License-Identifier: Apache-2.0
//! The kernel's table of flows, read as a whole: at the start, after events were lost, and when flows that the books had no room for
//! may have lost their endpoint.

use super::decide::UNHEARD_NS;
use super::events::key;
use super::{Engine, Held};
use crate::conntrack::{Entry, Tuple};
use crate::decider;
use crate::rules::FLOW_MASQUERADE;
use berth_balancer_core::FlowKey;
use berth_balancer_core::model::Protocol;
use std::io;
use std::net::SocketAddr;

/// Least time between two readings, in nanoseconds. Where events are lost all the time the table would be read all the time.
const APART: u64 = 1_000_000_000;

/// A reading takes at most this part of the time.
const SHARE: u64 = 8;

/// A flow that was booked so short a time ago may not be in the kernel's table yet.
const YOUNG: u64 = 1_000_000_000;

/// When the table is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Resyncs {
    /// Not before.
    next: u64,
    due: Option<u64>,
}

impl Resyncs {
    /// As soon as may be, but not before `at` (nanoseconds).
    fn want(&mut self, at: u64) {
        let at = at.max(self.next);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// One is over that took so long.
    fn done(&mut self, now: u64, took: u64) {
        self.due = None;
        self.next = now.saturating_add(APART.max(took.saturating_mul(SHARE)));
    }

    fn is_due(&self, now: u64) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

impl Engine {
    /// Events were lost.
    pub(crate) fn on_overflow(&mut self, now: u64) {
        self.counters.overflows.add(1);
        self.resyncs.want(now);
    }

    /// Has the table read anew in a moment: flows that another process began last are in it by then.
    pub(crate) fn resync_soon(&mut self, now: u64) {
        self.resyncs.want(now.saturating_add(APART));
    }

    /// Flows that are in no book may have lost their endpoint.
    pub(super) fn on_backends_removed(&mut self, now: u64) {
        if self.unbooked {
            self.resyncs.want(now);
        }
    }

    pub(super) fn resync_if_due(&mut self, now: u64) {
        if self.resyncs.is_due(now) && self.resync(now).is_err() {
            self.resyncs.want(now);
        }
    }

    /// Reads the kernel's whole table, so that the books are what it says.
    ///
    /// # Errors
    /// What the kernel said; the books are as before.
    pub(crate) fn resync(&mut self, now: u64) -> io::Result<()> {
        let mut entries = Vec::new();
        let begun = decider::now();
        self.outside.conntrack.dump(|entry| entries.push(entry))?;
        self.resyncs.done(now, decider::now().saturating_sub(begun));
        self.counters.resyncs.add(1);
        self.epoch = self.epoch.wrapping_add(1);
        let epoch = self.epoch;
        let mut unknown = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_closed()) {
            self.on_entry(entry, now);
            let key = key(&entry.original);
            match self.flow_table(entry.original.protocol).packet(&key, now) {
                Some(flow) => flow.value.epoch = epoch,
                None => unknown.push((entry, key)),
            }
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            self.forget_stale(protocol, now);
        }
        self.unbooked = false;
        for (entry, key) in unknown {
            self.find_again(entry, &key, now);
        }
        Ok(())
    }

    /// Closes the books of flows that the last reading did not have.
    fn forget_stale(&mut self, protocol: Protocol, now: u64) {
        let (epoch, mut stale) = (self.epoch, Vec::new());
        self.flow_table(protocol).each(|key, flow| {
            let young = now.saturating_sub(flow.value.since) < YOUNG;
            if flow.value.epoch != epoch && (!young || flow.value.connected) {
                stale.push(*key);
            }
        });
        for key in stale {
            if let Some((_, flow)) = self.flow_table(protocol).take(&key) {
                self.close(flow.value, true, now);
            }
        }
    }

    /// A flow that the kernel has and the books have not: from before a restart, or its event was lost, or there was no room.
    fn find_again(&mut self, entry: &Entry, key: &FlowKey, now: u64) {
        let Tuple { protocol, source, destination } = entry.original;
        let endpoint = entry.reply.source;
        let table = self.table.clone();
        let found = table.lookup(protocol, destination);
        let position = found.and_then(|found| {
            found.frontend.backends.iter().position(|backend| backend.address == endpoint)
        });
        let (Some(found), Some(position)) = (found, position) else {
            let drain = found.map_or(0, |found| found.frontend.settings.drain_ns);
            self.end_astray(entry, found.is_some(), now.saturating_add(drain));
            return;
        };
        if self.flow_table(protocol).len() >= self.flows_max as usize {
            self.unbooked = true;
            return;
        }
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let limits = &found.frontend.settings.limits;
        let guest = self.sources.enter(found.frontend.id, limits, source.ip(), now);
        let ticket = self.worker.resume(found.frontend, position, now);
        let held = Held {
            guest: guest.ok().flatten(),
            address: endpoint,
            masquerade: entry.mark & FLOW_MASQUERADE != 0,
            connected: entry.replied,
            since: now,
            epoch: self.epoch,
            ticket: None,
        };
        let backend = ticket.backend;
        self.book(protocol, *key, backend, Held { ticket: Some(ticket), ..held });
        if !entry.replied {
            self.wait_for_word(now.saturating_add(UNHEARD_NS), protocol, *key);
        }
    }

    /// A flow whose endpoint is not in the table: one of UDP ends at once, one of TCP at `end`.
    fn end_astray(&mut self, entry: &Entry, served: bool, end: u64) {
        let Tuple { protocol, destination, .. } = entry.original;
        if !self.is_place(destination, served) {
            return; // another instance's
        }
        match protocol {
            Protocol::Udp => {
                self.counters.ended.add(1);
                drop(self.outside.conntrack.delete(&[entry.original]));
            }
            Protocol::Tcp => {
                if self.orphaned.insert(key(&entry.original)) {
                    self.orphans.entry(end).or_default().push(entry.original);
                }
            }
        }
    }

    fn is_place(&self, destination: SocketAddr, found: bool) -> bool {
        let address = destination.ip();
        found || self.addresses.contains(&address) || self.former.binary_search(&address).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_keep_their_distance() {
        let mut resyncs = Resyncs::default();
        assert!(!resyncs.is_due(u64::MAX));
        resyncs.want(5);
        assert!(resyncs.is_due(5));
        resyncs.done(5, 10);
        // A storm of losses.
        for at in 6..100 {
            resyncs.want(at);
            assert!(!resyncs.is_due(at));
        }
        assert!(resyncs.is_due(5 + APART));
        resyncs.done(5 + APART, APART);
        resyncs.want(5 + APART);
        assert!(!resyncs.is_due(4 + (1 + SHARE) * APART), "a long one has a long distance");
        assert!(resyncs.is_due(5 + (1 + SHARE) * APART));
    }
}
