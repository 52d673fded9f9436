// SPDX-License-Identifier: Apache-2.0
//! What the hot paths take from the allocator: nothing, once a worker has adopted its table.
#![expect(unsafe_code, reason = "counts what the system's allocator is asked for")]

mod fixture;

use berth_balancer_core::model::{Algorithm, HashKey, Limits, Protocol, Rate, Settings, Timeouts};
use berth_balancer_core::{Affinity, Compiler, FlowKey, FlowTable, Sources, Table, Worker};
use fixture::{compiled, endpoints, from_client, frontend};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

thread_local! {
    /// Calls, and bytes held, of this thread: tests of one binary run side by side.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn note(calls: u64, more: usize, less: usize) {
    let change = i64::try_from(more).unwrap_or(0) - i64::try_from(less).unwrap_or(0);
    CALLS.with(|c| c.set(c.get() + calls));
    HELD.with(|h| h.set(h.get() + change));
}

struct Counting;

// SAFETY: everything goes to the system's allocator as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), 0);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(0, 0, layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size, layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator while `run` runs.
fn calls(run: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    run();
    CALLS.get() - before
}

#[test]
fn a_connection_allocates_nothing() {
    for algorithm in [
        Algorithm::PeakEwma,
        Algorithm::PowerOfTwo,
        Algorithm::LeastConnections,
        Algorithm::RoundRobin,
        Algorithm::SmoothWeighted,
        Algorithm::Maglev(HashKey::Flow),
        Algorithm::RingHash(HashKey::Flow),
        Algorithm::Random,
    ] {
        let limits = Limits {
            connections_max: Some(1_000),
            connections_per_endpoint_max: Some(100),
            rate_per_endpoint: Some(Rate { per_second: 1_000_000, burst: 1_000_000 }),
            ..Limits::default()
        };
        let compiler =
            compiled(Settings { algorithm, limits, ..Settings::default() }, endpoints(100));
        let table = compiler.table();
        let mut worker = Worker::new(1);
        worker.adopt(&Table::default(), table, 0);
        let address: SocketAddr = "10.96.0.1:80".parse().unwrap();
        let calls = calls(|| {
            for client in 0..1_000 {
                let now = u64::from(client) * 1_000_000;
                let found = table.lookup(Protocol::Tcp, address).unwrap();
                let mut ticket = worker.open(found.frontend, &from_client(client, now)).unwrap();
                worker.on_connected(&mut ticket, now + 1_000);
                worker.on_first_byte(&ticket, 1_000, now + 2_000);
                if client % 7 == 0 {
                    worker.on_failed(table, ticket, now + 3_000);
                } else {
                    worker.on_close(ticket);
                }
            }
        });
        assert_eq!(calls, 0, "{algorithm:?}");
    }
}

#[test]
fn tables_of_sources_allocate_nothing_from_empty_to_full_and_on() {
    let compiler = compiled(Settings::default(), endpoints(4));
    let frontend = frontend(&compiler);
    let service: SocketAddr = "10.96.0.1:53".parse().unwrap();
    let pick = Worker::new(1).pick(&frontend, &from_client(0, 0)).unwrap();
    let mut flows = FlowTable::new(1_000, 1);
    let mut affinity = Affinity::new(1_000, 1);
    let mut sources = Sources::new(1_000, 1);
    let limits = Limits { connections_per_source_max: Some(3), ..Limits::default() };
    let mut client = 0;
    let mut turn = || {
        client += 1;
        let source = from_client(client, 0).source;
        let key = FlowKey::new(source, service);
        drop(flows.insert(key, pick.backend, client, &Timeouts::default(), 0));
        assert!(flows.packet(&key, 1).is_some() && flows.reply(&key, 2).is_some());
        affinity.assign(frontend.id, source.ip(), pick.into(), 1_000, 0);
        assert!(affinity.find(frontend.id, source.ip(), 1).is_some());
        let guest = sources.enter(frontend.id, &limits, source.ip(), 0).unwrap();
        sources.leave(guest.unwrap());
    };
    // The first flow of a backend makes room for its slot.
    turn();
    assert_eq!(calls(|| (0..10_000).for_each(|_| turn())), 0);
}

#[test]
fn ten_thousand_services_of_ten_endpoints_take_bounded_memory() {
    let start = HELD.get();
    let held = || (HELD.get() - start) / (1 << 20);
    let whole = |number: u32| {
        let service = fixture::service(&format!("namespace/service-{number}"), number);
        let mut endpoints = endpoints(10);
        for endpoint in &mut endpoints {
            endpoint.node = Some("node-1".into());
        }
        (service, endpoints)
    };
    let config = fixture::config((0..10_000).map(whole).collect());
    let mut compiler = Compiler::new();
    compiler.replace(config, 0).expect("it is right");
    let with_compiler = held();
    let table = compiler.table().clone();
    drop(compiler);
    let alone = held();
    let mut worker = Worker::new(1);
    worker.adopt(&Table::default(), &table, 0);
    let with_worker = held() - alone;
    println!(
        "{with_compiler} MiB with what is wanted, {alone} MiB table alone, {with_worker} MiB a worker"
    );
    assert!(with_compiler <= 80 && alone <= 30 && with_worker <= 6);
    drop((table, worker));
    assert_eq!(held(), 0, "nothing stays behind");
}
