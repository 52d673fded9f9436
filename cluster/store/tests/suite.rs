// SPDX-License-Identifier: Apache-2.0
//! What every back end does alike, and a random comparison with a model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stores;

use berth_cluster_store::{
    Body, CommitError, Ended, Interest, Meta, Op, OpenError, Options, Store, WatchError,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use stores::tier::Row;
use stores::{Random, body, delete, guarded, on, put, read, small, txn, written};

fn keys(store: &Store, prefix: &str, at: Option<u64>) -> Vec<String> {
    let listing = store.list(prefix, None, at, 0, &|_| true).unwrap();
    listing.entries.iter().map(|entry| entry.key.to_string()).collect()
}

async fn suite(store: Store) {
    writes(&store).await;
    lists(&store).await;
    watches(&store).await;
    expires(&store).await;
    let mut last = store.watch(Interest::default(), store.revision(), 1_000).unwrap();
    let reader = store.clone();
    store.close().await;
    assert_eq!(last.next().await.unwrap_err(), Ended::Closed);
    assert!(matches!(reader.commit(txn(vec![put("a/b", "x")])).await, Err(CommitError::Failed(_))));
    assert!(reader.get("pods/a/1").is_some(), "reads go on");
}

async fn writes(store: &Store) {
    let key = "pods/a/1";
    let made = store.commit(guarded(key, 0, put(key, "x"))).await.unwrap();
    assert_eq!(made.entries[0].bytes, written("x", made.revision));
    assert_eq!(store.get(key).unwrap().bytes, written("x", made.revision));
    let again = store.commit(guarded(key, 0, put(key, "y"))).await;
    let Err(CommitError::Conflict { current: Some(current), .. }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(current.revision, made.revision);
    let second = store.commit(guarded(key, made.revision, put(key, "y"))).await.unwrap();
    assert!(second.revision > made.revision);
    assert_eq!(second.entries[0].created, made.revision);
    assert_eq!(second.entries[0].at(7).bytes, written("y", 7));
    let gone = store.commit(txn(vec![delete(key)])).await.unwrap();
    assert_eq!(gone.entries[0].bytes, written("y", gone.revision), "the last state");
    assert!(store.get(key).is_none() && store.latest(key).is_none());
    let missing = store.commit(txn(vec![put("pods/a/2", "x"), delete(key)])).await;
    assert!(matches!(missing, Err(CommitError::Conflict { current: None, .. })));
    assert!(store.latest("pods/a/2").is_none(), "all or nothing");
    let twice = store.commit(txn(vec![put(key, "x"), put(key, "y")])).await;
    assert!(matches!(twice, Err(CommitError::Failed(_))));
    let outside = Body { bytes: Bytes::from_static(b"{}"), hole: 3 };
    let op = Op::Put { key: key.into(), body: outside, meta: Meta::default() };
    assert!(matches!(store.commit(txn(vec![op])).await, Err(CommitError::Failed(_))));
    let nothing = store.commit(txn(Vec::new())).await.unwrap();
    assert_eq!(nothing.revision, gone.revision, "conditions alone take no revision");
    assert_eq!(store.current().await.unwrap(), gone.revision);
    assert!(!store.reached(gone.revision + 1, Duration::from_millis(1)).await);
}

async fn lists(store: &Store) {
    let all = ["pods/a/1", "pods/a/2", "pods/ab/1", "podsx/1"].map(|key| put(key, "n1"));
    let first = store.commit(txn(all.into())).await.unwrap().revision;
    store.commit(txn(vec![delete("pods/a/2"), put("pods/a/3", "n2")])).await.unwrap();
    assert_eq!(keys(store, "pods/", None), ["pods/a/1", "pods/a/3", "pods/ab/1"]);
    assert_eq!(keys(store, "pods/a/", Some(first)), ["pods/a/1", "pods/a/2"]);
    assert_eq!(keys(store, "pods/", Some(first - 1)), Vec::<String>::new());
    let page = store.list("pods/", None, None, 1, &|_| true).unwrap();
    assert_eq!((page.entries.len(), page.more, page.remaining), (1, true, 2));
    let after = page.entries[0].key.clone();
    let page = store.list("pods/", Some(&after), Some(page.revision), 2, &|_| true).unwrap();
    assert_eq!((page.entries.len(), page.more, page.remaining), (2, false, 0));
}

async fn watches(store: &Store) {
    let start = store.revision();
    let field = Some(("spec.nodeName".to_owned(), "n9".to_owned()));
    let prefix = "pods/".to_owned();
    let by_field = Interest { prefix: prefix.clone(), field, key: None };
    let by_key = Interest { key: Some("pods/a/9".into()), ..Interest::default() };
    let mut early = store.watch(by_field.clone(), start, 1 << 20).unwrap();
    let mut other = store
        .watch(Interest { prefix: "nodes/".into(), ..Interest::default() }, start, 1 << 20)
        .unwrap();
    store.commit(txn(vec![put("pods/a/9", "n9")])).await.unwrap();
    store.commit(txn(vec![put("pods/a/9", "n8")])).await.unwrap();
    let last = store.commit(txn(vec![put("pods/a/9", "n7")])).await.unwrap().revision;
    let mut late = store.watch(by_field, start, 1 << 20).unwrap();
    let mut key = store.watch(by_key, start, 1 << 20).unwrap();
    store.reached(last, Duration::from_secs(5)).await;
    for watch in [&mut early, &mut late] {
        assert!(watch.progress() <= start);
        let first = watch.next().await.unwrap();
        assert!(first.before.is_none() && !first.deleted);
        assert_eq!(first.form(0, || "made".into()), first.form(0, || "again".into()));
        let second = watch.next().await.unwrap();
        assert_eq!(second.entry.meta.field("spec.nodeName"), Some("n8"), "it had it before");
        assert!(watch.try_next().is_none());
        assert_eq!(watch.progress(), last);
    }
    for _ in 0..3 {
        key.next().await.unwrap();
    }
    assert!(key.try_next().is_none() && other.try_next().is_none());
    assert_eq!(store.stats().watchers, 4);
    drop((early, late, key, other));
    assert_eq!(store.stats().watchers, 0);
    let future = store.watch(Interest::default(), last + 1, 1_000).unwrap_err();
    assert_eq!(future, WatchError::Future { revision: last });
    let mut slow = store.watch(Interest::default(), last, 1_000).unwrap();
    for _ in 0..9 {
        store.commit(txn(vec![put("pods/a/9", "n7")])).await.unwrap();
    }
    assert_eq!(slow.next().await.unwrap_err(), Ended::Overflow);
    store.compact(last);
    assert_eq!(store.oldest(), last);
    let old = store.watch(Interest::default(), last - 1, 1_000).unwrap_err();
    assert_eq!(old, WatchError::Compacted { oldest: last });
    assert_eq!(store.list("", None, Some(last - 1), 0, &|_| true).unwrap_err().oldest, last);
}

async fn expires(store: &Store) {
    let meta = |expires| Meta { expires, ..on("n") };
    let leased = |expires| Op::Put { key: "leases/1".into(), body: body("l"), meta: meta(expires) };
    store.commit(txn(vec![leased(Some(10))])).await.unwrap();
    store.commit(txn(vec![leased(Some(20))])).await.unwrap();
    assert_eq!(store.expire(19).await, 0);
    assert_eq!(store.expire(20).await, 1);
    assert!(store.get("leases/1").is_none());
    store.commit(txn(vec![leased(Some(10))])).await.unwrap();
    store.commit(txn(vec![leased(None)])).await.unwrap();
    assert_eq!(store.expire(99).await, 0);
}

#[tokio::test]
async fn memory() {
    suite(Store::memory(Options::default())).await;
    suite(Store::connect("memory", read(), Options::default()).await.unwrap()).await;
}

#[tokio::test]
async fn log() {
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("sled:{}", folder.path().display());
    suite(Store::open(&spec, read(), small()).unwrap()).await;
    let store = Store::open(&spec, read(), small()).unwrap();
    assert_eq!(store.oldest(), store.revision());
    let all = store.list("", None, None, 0, &|_| true).unwrap().entries;
    let gone = all.iter().map(|entry| delete(&entry.key)).collect();
    let last = store.commit(txn(gone)).await.unwrap().revision;
    store.close().await;
    let store = Store::open(&spec, read(), small()).unwrap();
    assert_eq!(store.revision(), last, "also with nothing left");
    assert!(matches!(Store::open("sled:", read(), small()), Err(OpenError::Spec(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd() {
    let Some(etcd) = stores::etcd::Etcd::start() else { return };
    suite(Store::connect(&etcd.spec(), read(), small()).await.unwrap()).await;
    let store = Store::connect(&etcd.spec(), read(), small()).await.unwrap();
    assert_eq!(store.oldest(), store.revision());
    let all = store.list("", None, None, 0, &|_| true).unwrap().entries;
    let gone = all.iter().map(|entry| delete(&entry.key)).collect();
    let last = store.commit(txn(gone)).await.unwrap().revision;
    store.close().await;
    let store = Store::connect(&etcd.spec(), read(), small()).await.unwrap();
    assert_eq!((store.revision(), store.stats().objects), (last, 0), "also with nothing left");
}

/// States by revision.
type Model = Vec<BTreeMap<String, (u64, String)>>;

fn compare(store: &Store, model: &Model, at: u64) {
    let Ok(listing) = store.list("", None, Some(at), 0, &|_| true) else {
        assert!(at < store.oldest());
        return;
    };
    let want = &model[usize::try_from(at).unwrap()];
    let got: BTreeMap<_, _> = listing
        .entries
        .iter()
        .map(|entry| (entry.key.to_string(), (entry.revision, entry.bytes.clone())))
        .collect();
    let want: BTreeMap<_, _> = want
        .iter()
        .map(|(key, (revision, value))| {
            (key.clone(), (*revision, written(value, *revision).into()))
        })
        .collect();
    assert_eq!(got, want, "at {at}");
}

/// A watch from a random revision tells exactly how one state became the next, up to the present one.
fn replay(store: &Store, model: &Model, after: u64) {
    let Ok(mut watch) = store.watch(Interest::default(), after, 1 << 20) else {
        assert!(after < store.oldest());
        return;
    };
    let mut state = model[usize::try_from(after).unwrap()].clone();
    let mut last = after;
    while let Some(event) = watch.try_next() {
        assert!(event.revision >= last);
        last = event.revision;
        let key = event.entry.key.to_string();
        let before = state.get(&key).map(|(revision, _)| *revision);
        assert_eq!(before, event.before.as_ref().map(|entry| entry.revision));
        if event.deleted {
            state.remove(&key);
        } else {
            let value = event.entry.meta.field("spec.nodeName").unwrap().to_owned();
            state.insert(key, (event.revision, value));
        }
    }
    assert_eq!(&state, model.last().unwrap());
}

#[tokio::test]
async fn a_random_run_is_the_models() {
    let mut row = Row::new("memory and log beside a model", 2_400, 100_000);
    while let Some(seed) = row.next_of(400) {
        let folder = tempfile::tempdir().unwrap();
        let spec = format!("sled:{}", folder.path().display());
        let mut log = Store::open(&spec, read(), small()).unwrap();
        let memory = Store::memory(Options { history_events: 50, history_bytes: 1, ..small() });
        let mut model: Model = vec![BTreeMap::new()];
        let mut random = Random(seed);
        for step in 0..400 {
            let mut ops = BTreeMap::new();
            for _ in 0..=random.below(3) {
                let key = format!("pods/{}/{}", random.below(3), random.below(6));
                let value = format!("v{step}");
                ops.insert(
                    key.clone(),
                    if random.below(4) == 0 { delete(&key) } else { put(&key, &value) },
                );
            }
            let now = model.last().unwrap().clone();
            let revision = model.len() as u64;
            let possible =
                ops.iter().all(|(key, op)| matches!(op, Op::Put { .. }) || now.contains_key(key));
            let mut next = now;
            for (key, op) in &ops {
                match op {
                    Op::Put { .. } => next.insert(key.clone(), (revision, format!("v{step}"))),
                    Op::Delete { .. } => next.remove(key),
                };
            }
            for store in [&log, &memory] {
                let done = store.commit(txn(ops.values().cloned().collect())).await;
                assert_eq!(done.ok().map(|done| done.revision), possible.then_some(revision));
            }
            if possible {
                model.push(next);
            }
            // Revision 0 stands for the present one.
            let at = random.below(model.len() as u64).max(1);
            for store in [&log, &memory].into_iter().filter(|_| model.len() > 1) {
                compare(store, &model, at);
                replay(store, &model, at);
            }
            if random.below(60) == 0 {
                log.close().await;
                log = Store::open(&spec, read(), small()).unwrap();
                compare(&log, &model, model.len() as u64 - 1);
            }
            if random.below(60) == 0 {
                log.compact(random.below(model.len() as u64));
            }
        }
    }
}

/// Each transaction changes one key, so the revisions have no gaps.
async fn events_in_order(store: Store) {
    let first = store.commit(txn(vec![put("pods/0/0", "n")])).await.unwrap().revision;
    let last = first + 800;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for step in 0..100 {
                    let key = format!("pods/{}/{}", writer % 2, step % 5);
                    store.commit(txn(vec![put(&key, "n")])).await.unwrap();
                    if step % 20 == 0 {
                        store.compact(store.revision().saturating_sub(50));
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                let from = store.revision();
                let Ok(mut watch) = store.watch(Interest::default(), from, 8 << 20) else { return };
                for revision in from + 1..=last {
                    assert_eq!(watch.next().await.unwrap().revision, revision);
                }
                assert!(watch.try_next().is_none());
            })
        })
        .collect();
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    assert_eq!(store.revision(), last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_comes_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("sled:{}", folder.path().display());
    events_in_order(Store::open(&spec, read(), small()).unwrap()).await;
    events_in_order(Store::memory(small())).await;
    let Some(etcd) = stores::etcd::Etcd::start() else { return };
    events_in_order(Store::connect(&etcd.spec(), read(), small()).await.unwrap()).await;
}

#[test]
fn a_backup_comes_back_with_higher_revisions() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::memory(Options::default());
    for number in 0..50 {
        let op = put(&format!("pods/a/{number}"), "n1");
        runtime.block_on(store.commit(txn(vec![op]))).unwrap();
    }
    let mut backup = Vec::new();
    assert_eq!(store.snapshot(&mut backup).unwrap(), 50);
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("sled:{}", folder.path().display());
    drop(Store::restore(&mut &backup[..], &spec, read(), small()).unwrap());
    let store = Store::open(&spec, read(), small()).unwrap();
    assert_eq!(store.revision(), 1_000_000_050);
    assert_eq!(store.get("pods/a/7").unwrap().bytes, written("n1", 8));
    assert_eq!(store.get("pods/a/7").unwrap().meta.field("spec.nodeName"), Some("n1"));
    drop(store);
    let twice = Store::restore(&mut &backup[..], &spec, read(), small());
    assert!(matches!(twice, Err(OpenError::NotEmpty)));
    for at in (0..backup.len()).step_by(37) {
        let mut bad = backup.clone();
        bad[at] ^= 4;
        assert!(Store::restore(&mut &bad[..], "memory", read(), small()).is_err(), "{at}");
        assert!(Store::restore(&mut &backup[..at], "memory", read(), small()).is_err(), "{at}");
    }
}
