// SPDX-License-Identifier: Apache-2.0
//! ClientIP session affinity: which backend a client's address has.
//!
//! A client is forgotten exactly `timeout` after its last new flow (kube-proxy's iptables mode keeps it for ever while packets
//! flow, ipvs while connections do). The table is bounded: when it is full the client that was away longest is forgotten.
//!
//! Flows of one client reach all workers, so workers share this table, unlike all else: the shell keeps one per lock, chooses it
//! by [`crate::source_hash`], and holds the lock over find, open and assign. That is below a microsecond and no system call.

use crate::hash::{address, bits};
use crate::lru::Lru;
use crate::table::FrontendId;
use crate::worker::{Pick, Prefer};
use core::net::IpAddr;

/// Which backend a client's address has.
#[derive(Debug)]
pub struct Affinity {
    clients: Lru<(FrontendId, u128), Entry>,
    cursor: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    prefer: Prefer,
    /// Nanoseconds.
    expires: u64,
}

impl Affinity {
    /// Bytes that a client takes. The table asks for the memory of all at the beginning; pages come as they are used.
    pub const CLIENT_BYTES: usize = Lru::<(FrontendId, u128), Entry>::ENTRY_BYTES;

    /// A table for at most `clients_max` clients. The seed should be secret: who knows it can choose
    /// addresses that collide.
    #[must_use]
    pub fn new(clients_max: u32, seed: u64) -> Self {
        Self { clients: Lru::new(clients_max, seed), cursor: 0 }
    }

    /// The backend that a client has at `now` (nanoseconds): for [`crate::Request::prefer`].
    #[must_use]
    pub fn find(&self, frontend: FrontendId, source: IpAddr, now: u64) -> Option<Prefer> {
        let slot = self.clients.find(&(frontend, bits(source)))?;
        let (_, entry) = self.clients.item(slot)?;
        (now < entry.expires).then_some(entry.prefer)
    }

    /// A client got a backend at `now`: it has it until `timeout_ns` later, and longer with each new flow.
    pub fn assign(
        &mut self,
        frontend: FrontendId,
        source: IpAddr,
        prefer: Prefer,
        timeout_ns: u64,
        now: u64,
    ) {
        let key = (frontend, bits(source));
        let entry = Entry { prefer, expires: now.saturating_add(timeout_ns) };
        if let Some(slot) = self.clients.find(&key) {
            if let Some(known) = self.clients.value(slot) {
                *known = entry;
            }
            self.clients.touch(slot, 0);
            return;
        }
        if self.clients.is_full()
            && let Some(oldest) = self.clients.oldest(0)
        {
            self.clients.remove(oldest);
        }
        self.clients.insert(0, key, entry);
    }

    /// Shows each client to `visit`, with its backend and when it is forgotten (nanoseconds), those that came last at the end: so
    /// a table that is filled in this order forgets the same ones first.
    pub fn each(&self, mut visit: impl FnMut(FrontendId, IpAddr, Prefer, u64)) {
        for ((frontend, source), entry) in self.clients.iter(0) {
            visit(*frontend, address(*source), entry.prefer, entry.expires);
        }
    }

    /// Frees what expired, in `budget` of the slots: call it again and again. Lookups are exact without it.
    pub fn sweep(&mut self, now: u64, budget: u32) {
        for _ in 0..budget.min(self.clients.slots()) {
            self.cursor = if self.cursor + 1 >= self.clients.slots() { 0 } else { self.cursor + 1 };
            if self.clients.item(self.cursor).is_some_and(|(_, entry)| entry.expires <= now) {
                self.clients.remove(self.cursor);
            }
        }
    }

    /// Clients that are known, expired ones that were not swept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no client is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Pick> for Prefer {
    fn from(pick: Pick) -> Self {
        Self { backend: pick.backend, position: pick.position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::BackendId;
    use core::net::Ipv4Addr;

    const WEB: FrontendId = FrontendId { slot: 1, generation: 1 };
    const SECOND: u64 = 1_000_000_000;

    fn prefer(slot: u32) -> Prefer {
        Prefer { backend: BackendId { slot, generation: 1 }, position: slot }
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_client_is_forgotten_exactly_its_timeout_after_its_last_flow() {
        let mut table = Affinity::new(10, 1);
        table.assign(WEB, client(1), prefer(4), 10 * SECOND, 0);
        assert_eq!(table.find(WEB, client(1), 10 * SECOND - 1), Some(prefer(4)));
        assert_eq!(table.find(WEB, client(1), 10 * SECOND), None);
        table.assign(WEB, client(1), prefer(4), 10 * SECOND, 7 * SECOND);
        assert_eq!(table.find(WEB, client(1), 17 * SECOND - 1), Some(prefer(4)));
        assert_eq!(table.find(WEB, client(1), 17 * SECOND), None);
        assert_eq!(table.find(FrontendId { slot: 2, ..WEB }, client(1), 8 * SECOND), None);
        let mapped = "::ffff:0.0.0.1".parse().unwrap();
        assert_eq!(table.find(WEB, mapped, 8 * SECOND), Some(prefer(4)), "the same client");
    }

    #[test]
    fn a_full_table_forgets_who_was_away_longest() {
        let mut table = Affinity::new(3, 1);
        for number in 1..=3 {
            table.assign(WEB, client(number), prefer(number), SECOND, u64::from(number));
        }
        table.assign(WEB, client(1), prefer(1), SECOND, 4);
        table.assign(WEB, client(9), prefer(9), SECOND, 5);
        assert_eq!(table.len(), 3);
        assert_eq!(table.find(WEB, client(2), 6), None);
        assert!([1, 3, 9].iter().all(|number| table.find(WEB, client(*number), 6).is_some()));
    }

    #[test]
    fn a_table_that_is_filled_from_another_is_the_same() {
        let (mut table, mut copy) = (Affinity::new(3, 1), Affinity::new(3, 2));
        for number in [1, 2, 3, 1] {
            table.assign(WEB, client(number), prefer(number), SECOND, 5);
        }
        table.each(|frontend, source, prefer, expires| {
            copy.assign(frontend, source, prefer, expires - 7, 7);
        });
        copy.assign(WEB, client(9), prefer(9), SECOND, 8);
        assert_eq!(copy.find(WEB, client(2), 9), None, "it was away longest");
        assert_eq!(copy.find(WEB, client(1), SECOND + 4), Some(prefer(1)));
        assert_eq!(copy.find(WEB, client(1), SECOND + 5), None);
    }

    #[test]
    fn sweeping_frees_what_expired_and_nothing_else() {
        let mut table = Affinity::new(1_000, 1);
        for number in 0..1_000 {
            let timeout = if number % 2 == 0 { SECOND } else { 100 * SECOND };
            table.assign(WEB, client(number), prefer(1), timeout, 0);
        }
        for _ in 0..10 {
            table.sweep(SECOND, 100);
        }
        assert_eq!(table.len(), 500);
        assert!((0..1_000).all(|n| table.find(WEB, client(n), SECOND).is_some() == (n % 2 == 1)));
    }
}
