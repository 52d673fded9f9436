// SPDX-License-Identifier: Apache-2.0
//! Many watchers from random revisions, through random interests, beside writers, compaction and restarts: what each is told is the log
//! of the store from where it began, without a gap, a repetition or an event out of its place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stores;

use berth_cluster_store::{Ended, Event, Interest, Options, Store, Watch, WatchError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use stores::etcd::Etcd;
use stores::tier::Row;
use stores::{Random, delete, put, read, small, txn};
use tokio::task::JoinHandle;

const WATCHERS: u64 = 100;
const WRITERS: u64 = 4;
/// Transactions of each writer in a life of the store.
const WRITES: u64 = 250;

/// Everything that is to tell two events apart.
type Told = (u64, String, bool, Option<String>, Option<u64>);

fn told(event: &Event) -> Told {
    let node = event.entry.meta.field("spec.nodeName").map(str::to_owned);
    let before = event.before.as_ref().map(|entry| entry.revision);
    (event.revision, event.entry.key.to_string(), event.deleted, node, before)
}

/// What one watcher was told.
struct Seen {
    interest: Interest,
    after: u64,
    events: Vec<Told>,
    /// Everything of interest up to here was told.
    progress: u64,
}

fn interest(random: &mut Random) -> Interest {
    let group = random.below(3);
    let prefix = format!("pods/{group}/");
    match random.below(4) {
        0 => Interest::default(),
        1 => Interest { prefix, ..Interest::default() },
        2 => Interest { key: Some(format!("{prefix}{}", random.below(5))), ..Interest::default() },
        _ => {
            let field = Some(("spec.nodeName".into(), format!("n{}", random.below(4))));
            Interest { prefix: "pods/".into(), field, key: None }
        }
    }
}

/// Tries one revision after the other, up to 100 before the present one and up to 100 after it.
async fn watcher(store: Store, mut random: Random, stop: Arc<AtomicBool>) -> Vec<Seen> {
    let mut all = Vec::new();
    while !stop.load(SeqCst) {
        let after = (store.revision() + random.below(201)).saturating_sub(100);
        let interest = interest(&mut random);
        let budget = if random.below(4) == 0 { 4_000 } else { 64 << 20 };
        let watch = match store.watch(interest.clone(), after, budget) {
            Ok(watch) => watch,
            Err(WatchError::Compacted { oldest }) => {
                assert!(after < oldest, "{after} is within the window from {oldest}");
                tokio::task::yield_now().await;
                continue;
            }
            Err(WatchError::Future { revision }) => {
                assert!(after > revision, "{after} has come: it is {revision}");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let most = random.below(400);
        all.push(follow(watch, interest, after, most, &stop).await);
    }
    all
}

async fn follow(
    mut watch: Watch,
    interest: Interest,
    after: u64,
    most: u64,
    stop: &AtomicBool,
) -> Seen {
    let mut events = Vec::new();
    let mut ended = false;
    while (events.len() as u64) < most && !ended {
        let due = tokio::time::Duration::from_millis(20);
        match tokio::time::timeout(due, watch.next()).await {
            Ok(Ok(event)) => events.push(told(&event)),
            Ok(Err(Ended::Overflow | Ended::Closed)) => ended = true,
            Err(_) => ended = stop.load(SeqCst),
        }
    }
    let progress = watch.progress();
    Seen { interest, after, events, progress }
}

/// Random writes; the revisions that were acknowledged.
async fn writer(store: Store, mut random: Random) -> Vec<u64> {
    let mut done = Vec::new();
    for _ in 0..WRITES {
        let mut key = || format!("pods/{}/{}", random.below(3), random.below(5));
        let (first, second) = (key(), key());
        let value = format!("n{}", random.below(4));
        let mut ops = vec![put(&first, &value)];
        if first != second {
            let there = store.latest(&second).is_some() && random.below(3) == 0;
            ops.push(if there { delete(&second) } else { put(&second, &value) });
        }
        // Where somebody else has deleted it, nothing is done.
        done.extend(store.commit(txn(ops)).await.ok().map(|done| done.revision));
        if random.below(10) == 0 {
            store.compact(store.revision().saturating_sub(random.below(150)));
        }
        tokio::task::yield_now().await;
    }
    done
}

/// The whole log, and those of interest to a watcher.
fn judge(log: &[Arc<Event>], seen: &Seen) {
    let wanted = log.iter().filter(|event| event.revision > seen.after);
    let wanted: Vec<_> = wanted.filter(|event| seen.interest.wants(event)).collect();
    let what = format!("{:?} after {}", seen.interest, seen.after);
    let count = seen.events.len();
    assert!(count <= wanted.len(), "{what}: {count} of {}", wanted.len());
    for (got, wanted) in seen.events.iter().zip(&wanted) {
        assert_eq!(got, &told(wanted), "{what}");
    }
    let rest = wanted.get(count).map(|event| event.revision);
    assert!(rest.is_none_or(|next| next > seen.progress), "{what}: {rest:?}, {}", seen.progress);
}

/// One life of a store; how many events its watchers were told of.
async fn life(store: Store, seed: u64) -> u64 {
    let begun = store.revision();
    let mut truth = store.watch(Interest::default(), begun, usize::MAX).unwrap();
    let stop = Arc::<AtomicBool>::default();
    let random = |number: u64| Random((seed << 16) | number);
    let writers: Vec<JoinHandle<_>> =
        (0..WRITERS).map(|one| tokio::spawn(writer(store.clone(), random(one)))).collect();
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|one| tokio::spawn(watcher(store.clone(), random(1_000 + one), Arc::clone(&stop))))
        .collect();
    let mut acknowledged = Vec::new();
    for one in writers {
        acknowledged.extend(one.await.unwrap());
    }
    stop.store(true, SeqCst);
    let mut seen = Vec::new();
    for one in watchers {
        seen.extend(one.await.unwrap());
    }
    let last = store.current().await.unwrap();
    let mut log = Vec::new();
    while let Some(event) = truth.try_next() {
        log.push(event);
    }
    assert_eq!(log.last().map(|event| event.revision), Some(last));
    acknowledged.sort_unstable();
    let mut revisions: Vec<u64> = log.iter().map(|event| event.revision).collect();
    assert!(revisions.is_sorted() && revisions[0] > begun);
    revisions.dedup();
    assert_eq!(revisions, acknowledged, "each write is in the log, and nothing else");
    for one in &seen {
        // What was before this life cannot be watched any more.
        assert!(one.after >= begun);
        judge(&log, one);
    }
    seen.iter().map(|one| one.events.len() as u64).sum()
}

/// A window of 60 events, so that many begin at its edge.
fn narrow() -> Options {
    Options { history_events: 60, history_bytes: 1, ..small() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_each_is_told_the_log() {
    let mut row = Row::new("events told from memory", 10_000, 10_000_000);
    while let Some(seed) = row.next_open() {
        row.add(life(Store::memory(narrow()), seed).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_disk_each_is_told_the_log() {
    let mut row = Row::new("events told from a disk", 10_000, 10_000_000);
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("sled:{}", folder.path().display());
    while let Some(seed) = row.next_open() {
        let store = Store::open(&spec, read(), narrow()).unwrap();
        row.add(life(store.clone(), seed).await);
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_etcd_each_is_told_the_log() {
    let Some(etcd) = Etcd::start() else { return };
    let mut row = Row::new("events told from an etcd", 10_000, 1_000_000);
    while let Some(seed) = row.next_open() {
        let store = Store::connect(&etcd.spec(), read(), narrow()).await.unwrap();
        row.add(life(store.clone(), seed).await);
        store.close().await;
    }
}
