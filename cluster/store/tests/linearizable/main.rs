// SPDX-License-Identifier: Apache-2.0
//! Histories of clients that read and write the same keys while disk, network and server fail: each key is as if one client after the
//! other had it, and no revision is given to two writes, over all restarts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod check;
#[path = "../stores/mod.rs"]
mod stores;

use berth_cluster_store::{CommitError, Committed, Entry, Store};
use berth_scheduler_journal::disk::sim::{Fault, SimDisk};
use check::{Call, Do, Got, check};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stores::etcd::{Etcd, Wire};
use stores::tier::Row;
use stores::{Random, delete, guarded, put, read, small, txn};
use tokio::task::JoinHandle;

/// Calls of a history, over all its clients; and over a network.
const CALLS: u64 = 2_000;
const FAR_CALLS: u64 = 600;
const KEYS: u64 = 10;

/// What all clients of a history did.
#[derive(Default)]
struct History {
    clock: AtomicU64,
    values: AtomicU32,
    /// The newest revision that anybody was told of.
    newest: AtomicU64,
    calls: Mutex<BTreeMap<u64, Vec<Call>>>,
    /// Key and value of each revision; value 0 is a deletion.
    revisions: Mutex<BTreeMap<u64, (u64, u32)>>,
    /// What was last seen of a key: its value, and the revision.
    last: Mutex<BTreeMap<u64, (u32, u64)>>,
}

fn value(entry: &Entry) -> u32 {
    entry.meta.field("spec.nodeName").unwrap().parse().unwrap()
}

impl History {
    fn time(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    fn made(&self) -> u64 {
        self.calls.lock().unwrap().values().map(|calls| calls.len() as u64).sum()
    }

    /// A revision was told of; it is that of one write.
    fn told(&self, key: u64, revision: u64, value: u32) {
        let mut revisions = self.revisions.lock().unwrap();
        let known = *revisions.entry(revision).or_insert((key, value));
        assert_eq!(known, (key, value), "revision {revision} is that of two writes");
        self.newest.fetch_max(revision, SeqCst);
    }

    fn saw(&self, key: u64, entry: Option<&Entry>) -> u32 {
        let seen = entry.map_or((0, 0), |entry| (value(entry), entry.revision));
        if let Some(entry) = entry {
            self.told(key, entry.revision, value(entry));
        }
        self.last.lock().unwrap().insert(key, seen);
        seen.0
    }

    fn note(&self, key: u64, from: u64, what: Do, got: Got, at: u64) {
        let to = if got == Got::Unknown { u64::MAX } else { self.time() };
        self.calls.lock().unwrap().entry(key).or_default().push(Call { from, to, what, got, at });
    }

    /// The same calls with the revisions of values that somebody was told of.
    fn placed(&self, calls: &[Call]) -> Vec<Call> {
        let revisions = self.revisions.lock().unwrap();
        let known: BTreeMap<u32, u64> =
            revisions.iter().map(|(at, (_, value))| (*value, *at)).collect();
        let at = |call: &Call| match call.what {
            Do::Put(value) | Do::Swap(_, value) if value > 0 => known.get(&value).copied(),
            _ => None,
        };
        calls.iter().map(|call| Call { at: at(call).unwrap_or(call.at), ..*call }).collect()
    }

    fn judge(&self) {
        for (key, calls) in self.calls.lock().unwrap().iter() {
            if let Err(why) = check(self.placed(calls)) {
                panic!("key {key}: {why}");
            }
        }
    }
}

/// One call of a client. Whether the store is of use.
async fn call(history: &History, store: &Store, random: &mut Random) -> bool {
    // Half of all calls fight for one key.
    let key = random.below(2) * random.below(KEYS);
    let name = format!("keys/{key}");
    let fresh = || history.values.fetch_add(1, SeqCst) + 1;
    let (wanted, seen_at) = history.last.lock().unwrap().get(&key).copied().unwrap_or((0, 0));
    let (what, txn) = match random.below(8) {
        0..3 => {
            let from = history.time();
            if store.current().await.is_err() {
                return false;
            }
            let seen = history.saw(key, store.get(&name).as_deref());
            history.note(key, from, Do::Get, Got::Saw(seen), 0);
            return true;
        }
        3 => {
            let value = fresh();
            (Do::Put(value), txn(vec![put(&name, &value.to_string())]))
        }
        4 => (Do::Delete, txn(vec![delete(&name)])),
        _ => {
            let value = fresh();
            (Do::Swap(wanted, value), guarded(&name, seen_at, put(&name, &value.to_string())))
        }
    };
    let (from, newest) = (history.time(), history.newest.load(SeqCst));
    let mut at = 0;
    let got = match store.commit(txn).await {
        Ok(Committed { revision, entries }) => {
            at = revision;
            assert!(revision > newest, "{revision} after {newest}");
            let gone = what == Do::Delete;
            history.told(key, revision, if gone { 0 } else { value(&entries[0]) });
            if !gone {
                history.saw(key, Some(&entries[0]));
            }
            Got::Done
        }
        Err(CommitError::Conflict { current, .. }) => {
            Got::Refused(history.saw(key, current.as_deref()))
        }
        Err(CommitError::Unknown(_)) => Got::Unknown,
        // It says that nothing was written.
        Err(CommitError::Failed(_) | CommitError::Full(_)) => return false,
    };
    history.note(key, from, what, got, at);
    got != Got::Unknown
}

/// Clients of these stores, until all calls are made or, if they are to give up, their store is of no use.
fn clients(
    history: &Arc<History>,
    stores: &[Store],
    seed: u64,
    (calls, give_up): (u64, bool),
) -> Vec<JoinHandle<()>> {
    let client = |number: u64| {
        let store = stores[usize::try_from(number).unwrap() % stores.len()].clone();
        let (history, mut random) = (Arc::clone(history), Random((seed << 16) | (number << 8)));
        tokio::spawn(async move {
            while history.made() < calls {
                let useful = call(&history, &store, &mut random).await;
                if !useful && give_up {
                    break;
                }
                // A store in memory does not let others in by itself.
                tokio::task::yield_now().await;
            }
        })
    };
    (0..8 + seed % 3 * 12).map(client).collect()
}

async fn all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    let mut row = Row::new("histories in memory", 10, 1_000);
    while let Some(seed) = row.next() {
        let history = Arc::<History>::default();
        all(clients(&history, &[Store::memory(small())], seed, (CALLS, true))).await;
        history.judge();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_fails() {
    let mut row = Row::new("lives on a disk that fails", 60, 6_000);
    while let Some(seed) = row.next_open() {
        let (history, mut random) = (Arc::<History>::default(), Random(seed));
        let (mut disk, mut lives) = (SimDisk::default(), 0);
        while history.made() < CALLS {
            lives += 1;
            let opened =
                Store::open_on(Arc::new(disk.clone()), Arc::new(disk.store()), read(), small());
            let store = opened.unwrap();
            let fault =
                if random.below(2) == 0 { Fault::Crash } else { Fault::Error(ErrorKind::Other) };
            disk.fault_at(disk.operations() + 1 + random.below(300), fault);
            let seed = (seed << 8) | (lives % 256);
            all(clients(&history, &[store], seed, (CALLS, true))).await;
            disk = disk.after_power_loss(|| random.below(2) == 0);
        }
        history.judge();
        // How many calls a life has depends on how busy the machine is.
        row.add(lives);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_etcd_that_is_cut_off_and_stands_still() {
    let Some(mut etcd) = Etcd::start() else { return };
    let mut row = Row::new("histories on an etcd that fails", 3, 1_000);
    while let Some(seed) = row.next() {
        // Each history has an etcd of its own, which is a second's work; keys of the last one are in nobody's way otherwise.
        etcd.kill();
        etcd.forget();
        etcd.restart();
        let (history, mut random) = (Arc::<History>::default(), Random(seed));
        let wire = Wire::to(etcd.address());
        let stores = [
            Store::connect(&etcd.spec(), read(), small()).await.unwrap(),
            Store::connect(&wire.spec(), read(), small()).await.unwrap(),
        ];
        let clients = clients(&history, &stores, seed, (FAR_CALLS, false));
        while history.made() < FAR_CALLS {
            tokio::time::sleep(Duration::from_millis(50 + random.below(200))).await;
            match random.below(4) {
                0 => wire.cut(),
                1 => wire.deafen(),
                2 => {
                    etcd.kill();
                    etcd.restart();
                }
                _ => etcd.pause(),
            }
            tokio::time::sleep(Duration::from_millis(20 + random.below(80))).await;
            etcd.resume();
            wire.mend();
        }
        all(clients).await;
        history.judge();
        for store in stores {
            store.close().await;
        }
    }
}
