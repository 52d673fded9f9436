// SPDX-License-Identifier: Apache-2.0
//! The store on a disk that dies, fails or runs full or damages, and in a process that is killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stores;

use berth_cluster_store::{CommitError, Store};
use berth_scheduler_journal::State;
use berth_scheduler_journal::disk::sim::{Fault, SimDisk};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use stores::tier::Row;
use stores::{Random, delete, put, read, small, txn, written};

fn open(disk: &SimDisk) -> Result<Store, berth_cluster_store::OpenError> {
    Store::open_on(Arc::new(disk.clone()), Arc::new(disk.store()), read(), small())
}

/// Transaction number `number` of every run: two keys that change together, and one that comes and goes.
fn step(number: u64) -> berth_cluster_store::Txn {
    let value = format!("{number}{}", "x".repeat(300));
    let (a, b) = (format!("pods/a/{}", number % 7), format!("pods/b/{}", number % 7));
    let third = if number.is_multiple_of(2) { delete("pods/c/0") } else { put("pods/c/0", "c") };
    txn(vec![put(&a, &value), put(&b, &value), third])
}

/// The state after so many transactions.
fn after(count: u64) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    // Seven of them write every key.
    for number in count.saturating_sub(7) + 1..=count {
        let value = written(&format!("{number}{}", "x".repeat(300)), number);
        state.insert(format!("pods/a/{}", number % 7), value.clone());
        state.insert(format!("pods/b/{}", number % 7), value);
        if number.is_multiple_of(2) {
            state.remove("pods/c/0");
        } else {
            state.insert("pods/c/0".into(), written("c", number));
        }
    }
    state
}

fn state(store: &Store) -> BTreeMap<String, String> {
    let entries = store.list("", None, None, 0, &|_| true).unwrap().entries;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    entries.iter().map(|entry| (entry.key.to_string(), text(&entry.bytes))).collect()
}

/// Writes until something fails; the last revision that was acknowledged. Nothing may be acknowledged after a failure.
async fn write(store: &Store, to: u64) -> u64 {
    let mut last = store.revision();
    for number in last + 1..=to {
        match store.commit(step(number)).await {
            Ok(done) => last = done.revision,
            Err(_) => {
                // A disk that has no room may have some again; one that failed is done with.
                let failed = store.stats().log.is_none_or(|log| log.state == State::Failed);
                if failed {
                    let more = store.commit(txn(vec![put("pods/z/0", "z")])).await;
                    assert!(more.is_err(), "acknowledged after a failure");
                }
                break;
            }
        }
    }
    last
}

/// Transactions of a run whose disk fails.
fn length(row: &Row) -> u64 {
    if row.goal() > 1_000 { 1_500 } else { 150 }
}

/// How many operations of the disk such a run has: the places where it may fail.
async fn operations(transactions: u64) -> u64 {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    assert_eq!(write(&store, transactions).await, transactions);
    store.close().await;
    disk.operations()
}

/// A run on a disk that fails at an operation, by a machine that dies or by an error. Whether it was broken off, and its snapshots.
async fn broken_off(number: u64, cut: u64, length: u64) -> (bool, u64) {
    let mut random = Random(number);
    let disk = SimDisk::default();
    let fault =
        if number.is_multiple_of(2) { Fault::Crash } else { Fault::Error(ErrorKind::Other) };
    disk.fault_at(cut, fault);
    let Ok(store) = open(&disk) else { return (false, 0) };
    let acknowledged = write(&store, length).await;
    let snapshots = store.stats().log.map_or(0, |log| log.snapshots);
    assert_eq!(state(&store), after(store.revision()), "reads go on");
    drop(store);
    let found = disk.after_power_loss(|| random.below(2) == 0);
    let store = open(&found).unwrap();
    let revision = store.revision();
    assert!(revision >= acknowledged, "cut {cut}: {acknowledged} acknowledged, {revision} found");
    assert_eq!(state(&store), after(revision), "cut {cut}");
    assert_eq!(write(&store, revision + 5).await, revision + 5, "it goes on");
    (acknowledged < length, snapshots)
}

/// One after the other, but many beside each other: a disk that fails is mostly waited for.
#[test]
fn a_power_loss_takes_nothing_that_was_acknowledged() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut row = Row::new("power loss and failed writes", 330, 2_000);
    let length = length(&row);
    let all = runtime().block_on(operations(length));
    let (mut snapshots, mut tried, mut broken) = (0, 0, 0);
    while let Some(first) = row.next_of(16) {
        std::thread::scope(|scope| {
            let runs = (first * 16..).take(16).map(|number| {
                // All over the run, each place once; there once by a machine that dies, once by a disk that fails.
                let cut = 1 + number / 2 * 7_919 % all;
                scope.spawn(move || runtime().block_on(broken_off(number, cut, length)))
            });
            for run in runs.collect::<Vec<_>>() {
                let (broken_off, more) = run.join().unwrap();
                tried += 1;
                broken += u64::from(broken_off);
                snapshots += more;
            }
        });
    }
    assert!(snapshots > 0, "no snapshot was taken: the test tests too little");
    assert!(broken * 2 > tried, "only {broken} of {tried} runs were broken off");
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_space() {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    write(&store, 20).await;
    disk.set_capacity(Some(disk.used()));
    let mut number = 20;
    let full = loop {
        number += 1;
        match store.commit(step(number)).await {
            Ok(_) => assert!(number < 1_000, "it never runs full"),
            // It waits in the journal for space, and is written when there is some.
            Err(CommitError::Unknown(_)) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, CommitError::Full(_)), "{full:?}");
    assert!(store.get("pods/a/1").is_some(), "reads go on");
    disk.set_capacity(None);
    let mut tries = 0;
    while store.commit(txn(vec![put("pods/d/0", "d")])).await.is_err() {
        tries += 1;
        assert!(tries < 1_000, "it does not recover");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, revision) = (state(&store), store.revision());
    drop(store);
    let store = open(&disk.after_power_loss(|| false)).unwrap();
    assert_eq!((state(&store), store.revision()), (before, revision));
}

/// One bit, a part that is missing, or a page of zeros.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = usize::try_from(random.below(bytes.len().max(1) as u64)).unwrap();
    match random.below(3) {
        0 => bytes.truncate(at),
        1 => bytes.iter_mut().skip(at & !4_095).take(4_096).for_each(|byte| *byte = 0),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
    }
}

#[tokio::test]
async fn damage_is_never_served() {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    let last = write(&store, 60).await;
    drop(store);
    let mut row = Row::new("damaged files", 600, 10_000);
    let mut refused = 0;
    while let Some(number) = row.next() {
        let mut random = Random(number);
        let bad = disk.after_kill();
        let names = berth_scheduler_journal::disk::Disk::list(&bad).unwrap();
        let name = &names[usize::try_from(random.below(names.len() as u64)).unwrap()];
        bad.damage(name, |bytes| damage(bytes, &mut random));
        // What was never acknowledged as far as is known may be cut; what is served is a state that was.
        match open(&bad) {
            Ok(store) => {
                assert!(store.revision() <= last);
                assert_eq!(state(&store), after(store.revision()));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "no damage was noticed: the test tests too little");
}

const CHILD: &str = "BERTH_STORE_CRASH_FOLDER";

/// Not a test of its own: what the killed process runs.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::open(&format!("sled:{folder}"), read(), small()).unwrap();
    runtime.block_on(async {
        for number in store.revision() + 1.. {
            let done = store.commit(step(number)).await.unwrap();
            println!("\nack {}", done.revision);
        }
    });
}

#[test]
fn a_kill_takes_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut row = Row::new("kills of a writing process", 50, 1_000);
    let (mut acknowledged, mut useful) = (0, 0);
    while let Some(number) = row.next() {
        let mut random = Random(number);
        let before = acknowledged;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + random.below(60)));
        child.kill().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines().map_while(Result::ok) {
            // The last line may be cut, but then it is a smaller number.
            if let Some(number) = line.strip_prefix("ack ").and_then(|text| text.parse().ok()) {
                acknowledged = u64::max(acknowledged, number);
            }
        }
        child.wait().unwrap();
        useful += u64::from(acknowledged > before);
        let store =
            Store::open(&format!("sled:{}", folder.path().display()), read(), small()).unwrap();
        let revision = store.revision();
        assert!(revision >= acknowledged, "{acknowledged} acknowledged, {revision} found");
        let last = store.get(&format!("pods/a/{}", revision % 7));
        if revision > 0 {
            let value = format!("{revision}{}", "x".repeat(300));
            assert_eq!(last.unwrap().bytes, written(&value, revision));
            assert_eq!(state(&store), after(revision));
        }
    }
    assert!(useful >= 10, "only {useful} children came to write");
}
