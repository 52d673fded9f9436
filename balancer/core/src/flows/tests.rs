// SPDX-License-Identifier: Apache-2.0
//! The flow table against a naive one, and its bounds.

use super::*;
use crate::random::Random;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

const SECOND: u64 = 1_000 * MILLISECOND;

fn key(client: u32) -> FlowKey {
    let source = SocketAddr::new(Ipv4Addr::from_bits(client).into(), 4_000);
    FlowKey::new(source, "10.96.0.10:53".parse().unwrap())
}

fn backend(slot: u32) -> BackendId {
    BackendId { slot, generation: 1 }
}

fn times(unreplied: u64, replied: u64) -> Timeouts {
    Timeouts { udp_unreplied_ns: unreplied, udp_replied_ns: replied, ..Timeouts::default() }
}

#[test]
fn a_key_gives_its_addresses_back() {
    let (client, service) = ("[2001:db8::1]:1".parse().unwrap(), "10.0.0.1:65535".parse().unwrap());
    let key = FlowKey::new(client, service);
    assert_eq!((key.source(), key.destination()), (client, service));
    let mapped = FlowKey::new("[::ffff:10.0.0.9]:7".parse().unwrap(), service);
    assert_eq!(mapped, FlowKey::new("10.0.0.9:7".parse().unwrap(), service));
    assert_eq!(mapped.source().ip(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)));
}

#[test]
fn a_million_flows_take_what_is_planned_for() {
    assert_eq!(FlowTable::<u32>::FLOW_BYTES, 120);
    assert_eq!(crate::Affinity::CLIENT_BYTES, 104);
    assert_eq!(crate::Sources::CLIENT_BYTES, 88);
}

#[test]
fn a_flow_lives_from_packet_to_packet() {
    let mut table = FlowTable::new(10, 1);
    assert!(table.insert(key(1), backend(3), 'a', &times(30 * SECOND, 120 * SECOND), 0).is_none());
    assert_eq!(table.packet(&key(1), 30 * SECOND - 1).unwrap().backend, backend(3));
    assert!(table.packet(&key(1), 60 * SECOND - 2).is_some(), "its time began anew");
    assert!(table.packet(&key(1), 90 * SECOND - 2).is_none());
    assert!(table.reply(&key(1), 90 * SECOND - 3).unwrap().is_replied());
    assert!(table.packet(&key(1), 200 * SECOND).is_some(), "replied flows live longer");
    assert!(table.packet(&key(1), 320 * SECOND).is_none());
    assert!(table.packet(&key(2), 0).is_none());
    // The next flow of the client takes the place of the one that expired.
    let before = table.insert(key(1), backend(4), 'b', &times(SECOND, SECOND), 320 * SECOND);
    assert_eq!(before.unwrap().1.value, 'a');
    assert_eq!(table.len(), 1);
}

#[test]
fn a_million_made_up_sources_push_out_no_conversation() {
    let mut table = FlowTable::new(20_000, 1);
    let times = Timeouts::default();
    for client in 0..10_000 {
        assert!(table.insert(key(client), backend(client % 7), (), &times, 0).is_none());
        assert!(table.reply(&key(client), 1).is_some());
    }
    for client in 1_000_000..2_000_000 {
        let _ = table.insert(key(client), backend(client % 7), (), &times, u64::from(client));
        assert!(table.len() <= 20_000);
    }
    assert!((0..10_000).all(|client| table.packet(&key(client), SECOND).is_some()));
    assert!(table.packet(&key(1_999_999), SECOND).is_some(), "the newest is there");
    assert!(table.packet(&key(1_000_000), SECOND).is_none());
    assert!(table.flows.slots() <= 20_000);
}

#[test]
fn where_all_are_conversations_the_most_silent_goes() {
    let mut table = FlowTable::new(3, 1);
    let times = times(10 * SECOND, 100 * SECOND);
    for client in 1..=3 {
        assert!(table.insert(key(client), backend(1), client, &times, 0).is_none());
        assert!(table.reply(&key(client), 0).is_some());
    }
    assert!(table.packet(&key(1), 2 * SECOND).is_some());
    let evicted = table.insert(key(4), backend(1), 4, &times, 3 * SECOND).unwrap();
    assert_eq!(evicted.1.value, 2);
    let evicted = table.insert(key(5), backend(1), 5, &times, 3 * SECOND).unwrap();
    assert_eq!(evicted.1.value, 4, "of so few an unreplied one goes first, however new");
}

#[test]
fn a_new_flow_that_waits_for_its_reply_stays_where_all_others_are_conversations() {
    let mut table = FlowTable::new(800, 1);
    let times = Timeouts::default();
    for client in 0..800 {
        assert!(table.insert(key(client), backend(1), client, &times, 0).is_none());
        assert!(table.reply(&key(client), 0).is_some());
    }
    // A hundred at a time wait, and each gets its reply before it could go.
    for client in 800..8_000 {
        let (_, evicted) = table.insert(key(client), backend(1), client, &times, SECOND).unwrap();
        assert!(evicted.is_replied(), "{client}");
        if client >= 900 {
            assert!(table.reply(&key(client - 100), SECOND).is_some());
        }
    }
    // One more that waits than may: they go.
    let (_, evicted) = table.insert(key(9_000), backend(1), 0, &times, SECOND).unwrap();
    assert!(evicted.is_replied());
    let (_, evicted) = table.insert(key(9_001), backend(1), 0, &times, SECOND).unwrap();
    assert_eq!((evicted.value, evicted.is_replied()), (7_900, false));
}

#[test]
fn another_generation_of_a_backend_keeps_its_flows() {
    let mut table = FlowTable::new(10, 1);
    let next = BackendId { slot: 1, generation: 2 };
    for client in 0..6 {
        let backend = if client % 2 == 0 { backend(1) } else { next };
        let _ = table.insert(key(client), backend, client, &Timeouts::default(), 0);
    }
    let mut gone = Vec::new();
    table.remove_backend(backend(1), |_, flow| gone.push(flow.value));
    gone.sort_unstable();
    assert_eq!(gone, [0, 2, 4]);
    assert!([1, 3, 5].iter().all(|client| table.packet(&key(*client), 1).is_some()));
    table.remove_backend(backend(77), |_, _| unreachable!("it has none"));
}

/// What a flow table must say, without any structure.
#[derive(Default)]
struct Naive(BTreeMap<u32, (BackendId, u64, bool)>);

const UNREPLIED: u64 = 3 * SECOND;
const REPLIED: u64 = 8 * SECOND;

impl Naive {
    fn alive(&self, client: u32, now: u64) -> Option<BackendId> {
        let (backend, last, replied) = *self.0.get(&client)?;
        (last + if replied { REPLIED } else { UNREPLIED } > now).then_some(backend)
    }
}

#[test]
fn the_table_says_what_a_naive_one_says() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut table = FlowTable::new(1_000, seed);
        let mut naive = Naive::default();
        let mut now = 0;
        for _ in 0..5_000 {
            now += u64::from(random.below(50)) * MILLISECOND;
            let client = random.below(200);
            match random.below(20) {
                0 => {
                    let backend = backend(random.below(10));
                    let mut gone = 0;
                    let expected = naive.0.values().filter(|flow| flow.0 == backend).count();
                    table.remove_backend(backend, |_, flow| {
                        assert_eq!(flow.backend, backend);
                        gone += 1;
                    });
                    assert_eq!(gone, expected, "seed {seed}");
                    naive.0.retain(|_, flow| flow.0 != backend);
                }
                1 => {
                    let before = table.len();
                    let mut gone = 0;
                    table.sweep(now, 1_000, |key, _| {
                        gone += 1;
                        let IpAddr::V4(client) = key.source().ip() else { unreachable!() };
                        assert_eq!(naive.alive(client.to_bits(), now), None, "seed {seed}");
                        naive.0.remove(&client.to_bits());
                    });
                    assert_eq!(table.len(), before - gone);
                    assert!(naive.0.keys().all(|client| naive.alive(*client, now).is_some()));
                }
                2..8 => {
                    let known = naive.alive(client, now);
                    let found = table.reply(&key(client), now).map(|flow| flow.backend);
                    assert_eq!(found, known, "seed {seed}");
                    if let Some(flow) = naive.0.get_mut(&client).filter(|_| known.is_some()) {
                        *flow = (flow.0, now, true);
                    }
                }
                _ => {
                    let known = naive.alive(client, now);
                    let found = table.packet(&key(client), now).map(|flow| flow.backend);
                    assert_eq!(found, known, "seed {seed}");
                    if let Some(backend) = known {
                        let replied = naive.0[&client].2;
                        naive.0.insert(client, (backend, now, replied));
                    } else {
                        let backend = backend(random.below(10));
                        let before = naive.0.insert(client, (backend, now, false));
                        let times = times(UNREPLIED, REPLIED);
                        let evicted = table.insert(key(client), backend, (), &times, now);
                        assert_eq!(evicted.is_some(), before.is_some(), "seed {seed}");
                    }
                }
            }
            assert_eq!(table.len(), naive.0.len(), "seed {seed}");
        }
    }
}

#[test]
fn each_shows_every_flow_once() {
    let mut table = FlowTable::new(10, 1);
    for client in 0..5 {
        assert!(table.insert(key(client), backend(client), client, &times(1, 1), 0).is_none());
    }
    drop(table.take(&key(2)));
    let mut shown = Vec::new();
    table.each(|key, flow| shown.push((*key, flow.value)));
    shown.sort_unstable_by_key(|(_, value)| *value);
    assert_eq!(shown, [0, 1, 3, 4].map(|client| (key(client), client)));
}
