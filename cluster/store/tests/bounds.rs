// SPDX-License-Identifier: Apache-2.0
//! A store that is written to for ever takes no more of the disk and of memory for that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stores;

use berth_cluster_store::{Options, Store};
use std::path::Path;
use stores::tier::Row;
use stores::{put, read, txn};

const OBJECTS: u64 = 1_000;
/// Updates between two looks.
const ROUND: u64 = 10_000;
const WRITERS: u64 = 64;

/// Files may go while it is looked.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.flatten().map(|entry| entry.path());
    let own = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    paths.map(|path| if path.is_dir() { size(&path) } else { own(&path) }).sum()
}

async fn update(store: &Store, round: u64) {
    let value = "x".repeat(1_000);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, value) = (store.clone(), value.clone());
            tokio::spawn(async move {
                for number in (writer..ROUND).step_by(usize::try_from(WRITERS).unwrap()) {
                    let key = format!("pods/{}", number % OBJECTS);
                    let ops = vec![put(&key, &format!("{round}-{number}-{value}"))];
                    store.commit(txn(ops)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_do_not_fill_the_disk() {
    let mut row = Row::new("updates of 1,000 objects", 30_000, 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("sled:{}", folder.path().display());
    let log = berth_scheduler_journal::Options { segment_bytes: 1 << 20, floor_bytes: 4 << 20 };
    let window = 1 << 20;
    let options = Options { log, history_bytes: window, history_events: 100, ..Options::default() };
    let store = Store::open(&spec, read(), options).unwrap();
    let mut largest = 0;
    while let Some(round) = row.next_of(ROUND) {
        update(&store, round).await;
        let stats = store.stats();
        assert_eq!(stats.objects as u64, OBJECTS);
        assert!(stats.event_bytes <= window + 100_000, "{} bytes of the past", stats.event_bytes);
        largest = largest.max(size(folder.path()));
        // What the journal promises, and two segments that are allocated or about to be removed.
        let promised = (3 * stats.bytes).max(stats.bytes + log.floor_bytes * 3 / 2);
        let bound = promised + 2 * log.segment_bytes;
        assert!(largest <= bound, "{largest} bytes on disk, {} of objects", stats.bytes);
    }
    assert!(store.stats().log.unwrap().snapshots > 0);
    store.close().await;
    let store = Store::open(&spec, read(), options).unwrap();
    assert_eq!(store.stats().objects as u64, OBJECTS);
    eprintln!("at most {largest} bytes on disk, {} of objects", store.stats().bytes);
}
