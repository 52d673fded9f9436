// SPDX-License-Identifier: Apache-2.0
//! Limits per client: connections that are open, and new ones per second.
//!
//! A client is an IPv4 address, or an IPv6 /64, of which one host has all addresses. Memory is bounded: when the table is full
//! the client without open connections that came last the longest ago is forgotten, and has a full bucket when it comes again. So
//! a flood from a million addresses makes limits less strict for idle clients; it does not lock anybody out. Clients with open
//! connections are never forgotten; where they alone fill the table, another client that must be counted is refused.
//!
//! Shared by workers as [`crate::Affinity`] is.

use crate::hash::{address, bits};
use crate::lru::Lru;
use crate::model::Limits;
use crate::rate;
use crate::table::FrontendId;
use crate::worker::Refusal;
use core::net::IpAddr;

/// Open connections and buckets of clients.
#[derive(Debug)]
pub struct Sources {
    clients: Lru<(FrontendId, u128), Client>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Client {
    connections: u32,
    /// Connections that others have, and tell of.
    elsewhere: u32,
    bucket: u64,
}

/// What is known of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Open connections, here and elsewhere.
    pub connections: u32,
    /// Its bucket, as [`crate::rate`] has it.
    pub bucket: u64,
}

/// A client's connection that is counted; it goes back by [`Sources::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a guest that is dropped is counted for ever"]
pub struct Guest(FrontendId, u128);

impl Client {
    fn known(&self) -> Known {
        let connections = self.connections.saturating_add(self.elsewhere);
        Known { connections, bucket: self.bucket }
    }

    fn list(&self) -> u8 {
        if self.connections > 0 || self.elsewhere > 0 { BUSY } else { IDLE }
    }
}

/// List of the clients without open connections, then the one of those with some.
const IDLE: u8 = 0;
const BUSY: u8 = 1;

impl Sources {
    /// Bytes that a client takes. The table asks for the memory of all at the beginning; pages come as they are used.
    pub const CLIENT_BYTES: usize = Lru::<(FrontendId, u128), Client>::ENTRY_BYTES;

    /// A table for at most `clients_max` clients. The seed should be secret: who knows it can choose
    /// addresses that collide.
    #[must_use]
    pub fn new(clients_max: u32, seed: u64) -> Self {
        Self { clients: Lru::new(clients_max, seed) }
    }

    /// Lets a new connection in at `now` (nanoseconds), if its client is below its limits. `None`: no limit has it counted.
    ///
    /// # Errors
    /// The limit that it is at.
    pub fn enter(
        &mut self,
        frontend: FrontendId,
        limits: &Limits,
        source: IpAddr,
        now: u64,
    ) -> Result<Option<Guest>, Refusal> {
        let (most, rate) = (limits.connections_per_source_max, limits.rate_per_source);
        if most.is_none() && rate.is_none() {
            return Ok(None);
        }
        let key = (frontend, network(source));
        let slot = self.slot(key).ok_or(Refusal::SourcesFull)?;
        let client = self.clients.value(slot).ok_or(Refusal::SourcesFull)?;
        if most.is_some_and(|most| client.connections.saturating_add(client.elsewhere) >= most) {
            return Err(Refusal::SourceFull);
        }
        if let Some(rate) = rate {
            client.bucket = rate::take(client.bucket, rate, now).ok_or(Refusal::SourceRate)?;
        }
        if most.is_some() {
            client.connections += 1;
        }
        let list = client.list();
        self.clients.touch(slot, list);
        Ok(most.map(|_| Guest(key.0, key.1)))
    }

    /// A connection that was counted ended.
    pub fn leave(&mut self, guest: Guest) {
        let Some(slot) = self.clients.find(&(guest.0, guest.1)) else { return };
        let Some(client) = self.clients.value(slot) else { return };
        client.connections = client.connections.saturating_sub(1);
        if client.list() == IDLE {
            self.clients.touch(slot, IDLE);
        }
    }

    /// Shows each client to `visit` of whom more is known than that it came once.
    pub fn each(&self, now: u64, mut visit: impl FnMut(FrontendId, IpAddr, Known)) {
        for ((frontend, source), client) in self.clients.iter(IDLE) {
            if !rate::is_full(client.bucket, now) {
                visit(*frontend, address(*source), client.known());
            }
        }
        self.connected(visit);
    }

    /// Shows each client to `visit` that has connections.
    pub fn connected(&self, mut visit: impl FnMut(FrontendId, IpAddr, Known)) {
        for ((frontend, source), client) in self.clients.iter(BUSY) {
            visit(*frontend, address(*source), client.known());
        }
    }

    /// Says how many connections of a client others have: another process that was replaced and keeps them. They count for its
    /// limit, until another number is said. Nothing becomes of it where the table is full of clients with connections.
    pub fn set_elsewhere(&mut self, frontend: FrontendId, source: IpAddr, connections: u32) {
        let key = (frontend, network(source));
        if connections == 0 && self.clients.find(&key).is_none() {
            return;
        }
        let Some(slot) = self.slot(key) else { return };
        let Some(client) = self.clients.value(slot) else { return };
        client.elsewhere = connections;
        let list = client.list();
        self.clients.touch(slot, list);
    }

    /// Says how full a client's bucket is, as [`Self::each`] told.
    pub fn set_bucket(&mut self, frontend: FrontendId, source: IpAddr, bucket: u64) {
        let Some(slot) = self.slot((frontend, network(source))) else { return };
        if let Some(client) = self.clients.value(slot) {
            client.bucket = bucket;
        }
    }

    /// Clients that are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no client is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot of a client; a new one takes that of an idle client if the table is full.
    fn slot(&mut self, key: (FrontendId, u128)) -> Option<u32> {
        if let Some(slot) = self.clients.find(&key) {
            return Some(slot);
        }
        if self.clients.is_full() {
            let idle = self.clients.oldest(IDLE)?;
            self.clients.remove(idle);
        }
        Some(self.clients.insert(IDLE, key, Client::default()))
    }
}

/// What one client has: an IPv4 address, or a /64 of IPv6.
fn network(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(_) => bits(source),
        IpAddr::V6(_) => bits(source) >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rate;
    use alloc::vec::Vec;
    use core::net::{Ipv4Addr, Ipv6Addr};

    const WEB: FrontendId = FrontendId { slot: 1, generation: 1 };

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    fn connections(most: u32) -> Limits {
        Limits { connections_per_source_max: Some(most), ..Limits::default() }
    }

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let mut sources = Sources::new(100, 1);
        let limits = connections(2);
        let first = sources.enter(WEB, &limits, client(1), 0).unwrap().unwrap();
        let second = sources.enter(WEB, &limits, client(1), 0).unwrap();
        assert!(second.is_some());
        assert_eq!(sources.enter(WEB, &limits, client(1), 0), Err(Refusal::SourceFull));
        assert!(sources.enter(WEB, &limits, client(2), 0).is_ok(), "another client");
        sources.leave(first);
        assert!(sources.enter(WEB, &limits, client(1), 0).is_ok());
        assert_eq!(sources.enter(WEB, &Limits::default(), client(1), 0), Ok(None));
    }

    #[test]
    fn one_client_has_the_whole_of_an_ipv6_network_of_64_bits() {
        let mut sources = Sources::new(100, 1);
        let at = |text: &str| text.parse::<Ipv6Addr>().unwrap().into();
        let entered = sources.enter(WEB, &connections(1), at("2001:db8::1"), 0);
        assert!(entered.is_ok());
        let again = sources.enter(WEB, &connections(1), at("2001:db8::ffff:1"), 0);
        assert_eq!(again, Err(Refusal::SourceFull));
        assert!(sources.enter(WEB, &connections(1), at("2001:db8:0:1::1"), 0).is_ok());
    }

    #[test]
    fn a_million_clients_take_bounded_memory_and_push_nobody_out_who_is_connected() {
        let mut sources = Sources::new(10_000, 1);
        let limits = Limits {
            connections_per_source_max: Some(4),
            rate_per_source: Some(Rate { per_second: 10, burst: 2 }),
            ..Limits::default()
        };
        let held: Vec<_> =
            (0..100).map(|n| sources.enter(WEB, &limits, client(n), 0).unwrap().unwrap()).collect();
        for number in 1_000..1_001_000 {
            let guest = sources.enter(WEB, &limits, client(number), u64::from(number)).unwrap();
            sources.leave(guest.unwrap());
            assert!(sources.len() <= 10_000);
        }
        for number in 0..100 {
            let entered = sources.enter(WEB, &limits, client(number), 2_000_000).unwrap();
            assert!(entered.is_some());
            let over = sources.enter(WEB, &limits, client(number), 2_000_000);
            assert_eq!(over, Err(Refusal::SourceRate), "its bucket was kept with it");
        }
        for guest in held {
            sources.leave(guest);
        }
    }

    #[test]
    fn connections_elsewhere_count_until_they_are_gone() {
        let mut old = Sources::new(10, 1);
        let rate = Rate { per_second: 1, burst: 2 };
        let limits = Limits { rate_per_source: Some(rate), ..connections(3) };
        let guests: Vec<_> =
            (0..2).map(|_| old.enter(WEB, &limits, client(1), 0).unwrap()).collect();
        let mut new = Sources::new(3, 2);
        old.each(0, |frontend, source, known| {
            assert_eq!((source, known.connections), (client(1), 2));
            new.set_elsewhere(frontend, source, known.connections);
            new.set_bucket(frontend, source, known.bucket);
        });
        assert_eq!(new.enter(WEB, &limits, client(1), 0), Err(Refusal::SourceRate));
        let third = new.enter(WEB, &connections(3), client(1), 0).unwrap().unwrap();
        assert_eq!(new.enter(WEB, &connections(3), client(1), 0), Err(Refusal::SourceFull));
        new.leave(third);
        for number in 10..20 {
            let guest = new.enter(WEB, &connections(1), client(number), 0).unwrap().unwrap();
            new.leave(guest);
        }
        assert_eq!(
            new.enter(WEB, &connections(2), client(1), 0),
            Err(Refusal::SourceFull),
            "it is kept"
        );
        new.set_elsewhere(WEB, client(1), 0);
        assert!(new.enter(WEB, &connections(1), client(1), 0).is_ok());
        guests.into_iter().flatten().for_each(|guest| old.leave(guest));
    }

    #[test]
    fn a_table_full_of_connected_clients_refuses_another() {
        let mut sources = Sources::new(3, 1);
        let mut guests: Vec<_> =
            (0..3).map(|n| sources.enter(WEB, &connections(1), client(n), 0).unwrap()).collect();
        assert_eq!(sources.enter(WEB, &connections(1), client(7), 0), Err(Refusal::SourcesFull));
        sources.leave(guests.pop().flatten().unwrap());
        assert!(sources.enter(WEB, &connections(1), client(7), 0).is_ok());
    }
}
