// SPDX-License-Identifier: Apache-2.0
//! What the engine takes from the allocator: nothing per placement once it is warm, and no more for the ten-millionth class
//! than for the first thousand.
//!
//! `BERTH_LONG=1` runs the number of classes that SPECIFICATION.md promises.
#![expect(unsafe_code, reason = "counts what the system's allocator is asked for")]

use berth_benches::Bench;
use berth_scheduler_workload::Row;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Calls, and bytes held, of this thread: tests of one binary run side by side.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn note(calls: u64, more: usize, less: usize) {
    let change = i64::try_from(more).unwrap_or(0) - i64::try_from(less).unwrap_or(0);
    CALLS.with(|c| c.set(c.get() + calls));
    HELD.with(|h| h.set(h.get() + change));
}

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

/// Rows whose pods are of classes that come again.
fn steady(row: &Row) -> bool {
    !matches!(row, Row::NeverSeenLabels | Row::NeverSeenRequests)
}

const PLACEMENTS: u64 = 20_000;
/// A table may still grow when a node takes more pods of one class than any node had before: rare, and never per placement.
const GROWTH_MAX: u64 = PLACEMENTS / 50;

#[test]
fn a_warm_engine_places_without_allocating() {
    let mut problems = Vec::new();
    for row in Row::ALL.into_iter().chain([Row::Unschedulable]).filter(steady) {
        let mut bench = Bench::new(row, 500, 70, 7);
        for _ in 0..20_000 + 200 * bench.classes() {
            bench.turn();
        }
        let before = CALLS.get();
        for _ in 0..PLACEMENTS {
            bench.turn();
        }
        let calls = CALLS.get() - before;
        println!("{:24} {calls} allocations in {PLACEMENTS} placements", row.name());
        if calls > GROWTH_MAX {
            problems
                .push(format!("{}: {calls} allocations in {PLACEMENTS} placements", row.name()));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn classes_that_come_once_leave_memory_flat() {
    let long = std::env::var_os("BERTH_LONG").is_some_and(|value| value != "0");
    let classes = if long { 10_000_000 } else { 200_000 };
    for row in [Row::NeverSeenLabels, Row::NeverSeenRequests] {
        let mut bench = Bench::new(row, 200, 70, 7);
        for _ in 0..20_000 {
            bench.turn();
        }
        let before = HELD.get();
        let mut most = 0;
        for turn in 0..classes {
            bench.turn();
            if turn % 1_000 == 0 {
                most = most.max(HELD.get());
            }
            // Whether it grows on or has come to rest.
            if [10_000, 100_000, 1_000_000, 3_000_000].contains(&turn) {
                println!("{}: {most} bytes at most over {turn} classes", row.name());
            }
        }
        println!("{}: {before} bytes before, {most} at most over {classes} classes", row.name());
        assert!(most <= before + before / 20, "{}: {before} bytes grew to {most}", row.name());
    }
}
