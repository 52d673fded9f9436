// SPDX-License-Identifier: Apache-2.0
//! The engine says what the naive scheduler says, after each of many random events.
//!
//! `BERTH_SIMULATION_EVENTS=1000000` goes on for so many events; `BERTH_SIMULATION_SEED=…` runs that one seed.

use berth_scheduler_simulation::{Coverage, Scenario, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const EVENTS: u64 = 400_000;
const THREADS: usize = 2;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

#[test]
fn the_engine_agrees_with_the_naive_scheduler_after_each_event() {
    if let Some(seed) = variable("BERTH_SIMULATION_SEED") {
        match run(&Scenario::new(seed)) {
            Ok(coverage) => println!("seed {seed}: {coverage}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let events = variable("BERTH_SIMULATION_EVENTS").unwrap_or(EVENTS);
    let start = Instant::now();
    let next = AtomicU64::new(variable("BERTH_SIMULATION_FIRST").unwrap_or(1));
    let state: Mutex<(Coverage, Vec<String>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let result = run(&Scenario::new(seed));
                    let mut state = state.lock().unwrap();
                    match result {
                        Ok(coverage) => {
                            let before = state.0.events;
                            state.0.add(&coverage);
                            if before / 50_000 != state.0.events / 50_000 {
                                eprintln!(
                                    "seed {seed}, {:?}: {} events",
                                    start.elapsed(),
                                    state.0.events
                                );
                            }
                        }
                        Err(failure) => state.1.push(failure.to_string()),
                    }
                    if state.0.events >= events || !state.1.is_empty() {
                        break;
                    }
                }
            });
        }
    });
    let (coverage, failures) = state.into_inner().unwrap();
    println!("{coverage} in {:?}", start.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // What is hardly ever met is not tested.
    let missing = if events < EVENTS { Vec::new() } else { coverage.missing(100) };
    assert!(missing.is_empty(), "too seldom: {missing:?}");
}
