// SPDX-License-Identifier: Apache-2.0
//! The whole journal, threads and all, on a disk that dies at any operation.
//!
//! The owner here is a map of numbers: each batch sets a few keys, a snapshot hands out ranges of keys. What a recovery gives
//! back must be the map after *some* number of batches, not below the last one acknowledged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use berth_scheduler_journal::disk::sim::{Fault, SimDisk};
use berth_scheduler_journal::snapshot::Chunk;
use berth_scheduler_journal::store::SnapshotStore;
use berth_scheduler_journal::{Journal, OpenError, Options, Put, Replay, State};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KEYS: u64 = 40;
const OPTIONS: Options = Options { segment_bytes: 4_096, floor_bytes: 12_000 };

/// Batches of a run: enough for several segments and snapshots.
const STEPS: u64 = 150;

type Map = BTreeMap<u64, u64>;

/// A small generator: one seed, one sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Batch number `number` of every run: keys and values. A value of 0 removes the key.
fn batch(number: u64) -> Vec<(u64, u64)> {
    let mut random = Random(number);
    (0..=random.below(6)).map(|_| (random.below(KEYS), random.below(3) * number)).collect()
}

fn encode(pairs: &[(u64, u64)], out: &mut Vec<u8>) {
    for (key, value) in pairs {
        out.extend(key.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
}

fn decode(bytes: &[u8]) -> Vec<(u64, u64)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    bytes.chunks(16).map(|pair| (number(&pair[..8]), number(&pair[8..]))).collect()
}

fn apply(map: &mut Map, pairs: &[(u64, u64)]) {
    for (key, value) in pairs {
        if *value == 0 {
            map.remove(key);
        } else {
            map.insert(*key, *value);
        }
    }
}

fn map_after(batches: u64) -> Map {
    let mut map = Map::new();
    for number in 1..=batches {
        apply(&mut map, &batch(number));
    }
    map
}

#[derive(Default)]
struct Read {
    map: Map,
}

impl Replay for Read {
    fn begin(&mut self) {
        self.map.clear();
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), String> {
        apply(&mut self.map, &decode(bytes));
        Ok(())
    }

    fn batch(&mut self, number: u64, bytes: &[u8]) -> Result<(), String> {
        if decode(bytes) != batch(number) {
            return Err("not what was written".into());
        }
        apply(&mut self.map, &decode(bytes));
        Ok(())
    }
}

struct Run {
    journal: Journal<u64>,
    map: Map,
    acknowledged: Arc<AtomicU64>,
    snapshot: Option<(berth_scheduler_journal::Snapshot, u64)>,
}

impl Run {
    /// Opens, and checks that what is read back is the map after the last batch.
    fn open(disk: &SimDisk) -> Result<Self, OpenError> {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let acks = Arc::clone(&acknowledged);
        let mut read = Read::default();
        let (journal, report) = Journal::open_on(
            Arc::new(disk.clone()),
            Arc::new(disk.store()),
            OPTIONS,
            &mut read,
            Box::new(move |number, result| {
                if result.is_ok() {
                    assert!(acks.swap(number, Ordering::SeqCst) < number, "out of order");
                }
            }),
        )?;
        assert_eq!(read.map, map_after(report.last), "the map after batch {}", report.last);
        assert_eq!(journal.number(), report.last);
        Ok(Self { journal, map: read.map, acknowledged, snapshot: None })
    }

    /// Submits the next batch, and hands out a slice of a snapshot now and then.
    fn step(&mut self, random: &mut Random) {
        let number = self.journal.number() + 1;
        let mut bytes = self.journal.buffer();
        encode(&batch(number), &mut bytes);
        apply(&mut self.map, &batch(number));
        self.journal.submit(bytes, number);
        if random.below(3) == 0 {
            while !self.journal.is_idle() && self.journal.state() == State::Ok {
                std::thread::yield_now();
            }
        }
        if self.snapshot.is_none() && self.journal.snapshot_due(400) {
            self.snapshot = self.journal.begin_snapshot().map(|snapshot| (snapshot, 0));
        }
        if random.below(2) == 0 {
            self.slice();
        }
    }

    fn slice(&mut self) {
        let Some((mut snapshot, from)) = self.snapshot.take() else { return };
        if from >= KEYS {
            if let Err(again) = self.journal.finish_snapshot(snapshot) {
                self.snapshot = Some((again, from));
            }
            return;
        }
        let slice: Vec<_> = self.map.range(from..from + 8).map(|(k, v)| (*k, *v)).collect();
        let mut chunk = Chunk::new();
        encode(&slice, chunk.content());
        match snapshot.put(chunk) {
            Put::Taken => self.snapshot = Some((snapshot, from + 8)),
            Put::Busy(_) => self.snapshot = Some((snapshot, from)),
            Put::Failed => {}
        }
    }

    fn close(self) -> u64 {
        let Self { journal, acknowledged, snapshot, .. } = self;
        drop(snapshot);
        journal.close();
        acknowledged.load(Ordering::SeqCst)
    }
}

/// Runs some steps on a disk; the last number acknowledged, and how many operations that took.
fn run(disk: &SimDisk, steps: u64, seed: u64) -> u64 {
    let mut random = Random(seed);
    let Ok(mut run) = Run::open(disk) else { return 0 };
    for _ in 0..steps {
        if run.journal.state() != State::Ok {
            break;
        }
        run.step(&mut random);
    }
    run.close()
}

/// What must be there after a crash at each operation, and again after a crash during the recovery from it.
/// `BERTH_ROUNDS=100` tries each of them with so many seeds.
fn crash_everywhere(after: impl Fn(&SimDisk, &mut Random) -> SimDisk) {
    let whole = SimDisk::default();
    assert_eq!(run(&whole, STEPS, 1), STEPS);
    let operations = whole.operations();
    // A write and a sync for each group; every third step waits, so that at least so many groups there are.
    assert!(operations > STEPS / 2, "{operations}");
    let rounds = std::env::var("BERTH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for seed in 0..rounds.unwrap_or(1) {
        for at in 1..=operations {
            let mut random = Random(seed << 32 | at);
            let disk = SimDisk::default();
            disk.fault_at(at, Fault::Crash);
            let acknowledged = run(&disk, STEPS, seed);
            let found = after(&disk, &mut random);
            // A recovery that dies itself must not lose anything either.
            found.fault_at(1 + random.below(8), Fault::Crash);
            drop(Run::open(&found));
            let found = after(&found, &mut random);
            let run = Run::open(&found)
                .unwrap_or_else(|error| panic!("seed {seed}, operation {at}: {error}"));
            let last = run.journal.number();
            assert!(last >= acknowledged, "seed {seed}, operation {at}: {last} < {acknowledged}");
            run.close();
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_loss_at_any_operation() {
    crash_everywhere(|disk, random| disk.after_power_loss(|| random.below(2) == 0));
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_operation() {
    crash_everywhere(|disk, _| disk.after_kill());
}

#[test]
fn after_a_failed_operation_nothing_is_acknowledged_that_is_not_there() {
    let whole = SimDisk::default();
    run(&whole, STEPS, 1);
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for at in 1..=whole.operations() {
            let mut random = Random(at);
            let disk = SimDisk::default();
            disk.fault_at(at, Fault::Error(kind));
            let acknowledged = run(&disk, STEPS, at);
            for found in [disk.after_kill(), disk.after_power_loss(|| random.below(2) == 0)] {
                let run = Run::open(&found)
                    .unwrap_or_else(|error| panic!("{kind:?} at operation {at}: {error}"));
                let last = run.journal.number();
                assert!(last >= acknowledged, "{kind:?} at {at}: {last} < {acknowledged}");
                run.close();
            }
        }
    }
}

#[test]
fn the_disk_stays_bounded() {
    let disk = SimDisk::default();
    let mut random = Random(5);
    let mut run = Run::open(&disk).unwrap();
    for _ in 0..20_000 {
        run.step(&mut random);
        // The threads may be behind; but it shrinks by itself.
        let begun = Instant::now();
        while disk.used() > 10 * OPTIONS.segment_bytes {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", disk.used());
            std::thread::yield_now();
            run.slice();
            if run.snapshot.is_none() && run.journal.snapshot_due(400) {
                run.snapshot = run.journal.begin_snapshot().map(|snapshot| (snapshot, 0));
            }
        }
    }
    assert!(run.journal.stats().snapshots > 5);
    assert_eq!(run.close(), 20_000);
}

#[test]
fn a_full_disk_is_said_before_anything_is_lost_and_passes_by_itself() {
    let disk = SimDisk::default();
    disk.set_capacity(Some(14_000));
    let mut random = Random(5);
    let mut run = Run::open(&disk).unwrap();
    // Snapshots would make room; without them the disk fills.
    let mut submitted = 0;
    while run.journal.state() == State::Ok {
        let number = run.journal.number() + 1;
        let mut bytes = run.journal.buffer();
        encode(&batch(number), &mut bytes);
        apply(&mut run.map, &batch(number));
        run.journal.submit(bytes, number);
        while !run.journal.is_idle() && run.journal.state() == State::Ok {
            std::thread::yield_now();
        }
        submitted = number;
    }
    assert_eq!(run.journal.state(), State::Full);
    // What was submitted at the very moment waits for room.
    assert!(run.acknowledged.load(Ordering::SeqCst) + 1 >= submitted);
    assert!(run.journal.trouble().is_some());
    disk.set_capacity(None);
    while run.journal.state() != State::Ok || !run.journal.is_idle() {
        std::thread::yield_now();
    }
    assert_eq!(run.acknowledged.load(Ordering::SeqCst), submitted);
    for _ in 0..100 {
        run.step(&mut random);
    }
    assert_eq!(run.close(), submitted + 100);
    Run::open(&disk.after_power_loss(|| false)).unwrap();
}

#[test]
fn every_damaged_byte_is_refused_or_does_not_matter() {
    let disk = SimDisk::default();
    let mut run = Run::open(&disk).unwrap();
    let mut random = Random(9);
    while run.journal.stats().snapshots == 0 {
        run.step(&mut random);
        run.slice();
    }
    for _ in 0..30 {
        run.step(&mut random);
    }
    let acknowledged = run.close();
    let mut refused = 0;
    for name in berth_scheduler_journal::disk::Disk::list(&disk).unwrap() {
        let len = berth_scheduler_journal::disk::Disk::read(&disk, &name).unwrap().len();
        for at in 0..len {
            let copy = disk.after_kill();
            copy.damage(&name, |bytes| bytes[at] ^= 1 << random.below(8));
            match Run::open(&copy) {
                Ok(run) => {
                    let last = run.journal.number();
                    assert!(last >= acknowledged, "byte {at} of {name}: {last} < {acknowledged}");
                    run.close();
                }
                Err(OpenError::Corrupt { .. } | OpenError::Format { .. }) => refused += 1,
                Err(error) => panic!("byte {at} of {name}: {error}"),
            }
        }
        for cut in [0, 1, len / 2, len.saturating_sub(1)] {
            let copy = disk.after_kill();
            copy.damage(&name, |bytes| bytes.truncate(cut));
            if let Ok(run) = Run::open(&copy) {
                assert!(run.journal.number() >= acknowledged, "{name} cut to {cut}");
                run.close();
            }
        }
    }
    assert!(refused > 100, "{refused}");
    let kept = disk.store().list().unwrap();
    assert_eq!(kept.len(), 1);
    for id in kept {
        for index in 0..8 {
            let copy = disk.after_kill();
            let mut there = false;
            copy.store().damage(id, index, |chunk| {
                there = true;
                let at = usize::try_from(random.below(chunk.len() as u64)).unwrap();
                chunk[at] ^= 1;
            });
            let opened = Run::open(&copy);
            assert!(!there || matches!(opened, Err(OpenError::Corrupt { .. })), "{id} {index}");
        }
    }
}
