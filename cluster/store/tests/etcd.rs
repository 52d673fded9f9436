// SPDX-License-Identifier: Apache-2.0
//! The store over a real etcd: several processes, lost connections, lost servers, compaction, restores, and a comparison with memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod stores;

use berth_cluster_store::{
    CommitError, Committed, Ended, Event, Interest, OpenError, Options, Store, Watch,
};
use berth_proto::etcd::kv_client::KvClient;
use berth_proto::etcd::request_op::Request;
use berth_proto::etcd::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stores::etcd::{Etcd, Wire};
use stores::tier::Row;
use stores::{Random, delete, guarded, put, read, small, txn, written};
use tonic::transport::Endpoint;

async fn open(spec: &str) -> Store {
    Store::connect(spec, read(), small()).await.unwrap()
}

fn all(store: &Store) -> BTreeMap<String, (u64, u64, Vec<u8>)> {
    let entries = store.list("", None, None, 0, &|_| true).unwrap().entries;
    let pairs = entries.iter().map(|entry| {
        (entry.key.to_string(), (entry.created, entry.revision, entry.bytes.to_vec()))
    });
    pairs.collect()
}

/// What another program than Berth does to the etcd.
async fn outside(etcd: &Etcd, request: Request) -> TxnResponse {
    let channel = Endpoint::from_shared(format!("http://{}", etcd.address())).unwrap();
    let mut client = KvClient::new(channel.connect().await.unwrap());
    let success = vec![RequestOp { request: Some(request) }];
    let request = TxnRequest { success, ..TxnRequest::default() };
    client.txn(request).await.unwrap().into_inner()
}

async fn write(etcd: &Etcd, key: &'static str, value: &'static str) {
    let put = PutRequest { key: key.into(), value: value.into() };
    outside(etcd, Request::RequestPut(put)).await;
}

/// Removes a key, or all that begin so.
async fn remove(etcd: &Etcd, key: &'static str, range_end: &'static str) {
    let (key, range_end) = (key.into(), range_end.into());
    let delete = DeleteRangeRequest { key, range_end, prev_kv: false };
    outside(etcd, Request::RequestDeleteRange(delete)).await;
}

/// Whether etcd still knows what was at a revision.
async fn knows(etcd: &Etcd, revision: u64) -> bool {
    let channel = Endpoint::from_shared(format!("http://{}", etcd.address())).unwrap();
    let mut client = KvClient::new(channel.connect().await.unwrap());
    let revision = i64::try_from(revision).unwrap();
    let request = RangeRequest { key: "/berth/head".into(), revision, ..RangeRequest::default() };
    client.range(request).await.is_ok()
}

/// Until something holds, or far too long.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

type Seen = Vec<(u64, String, bool, Option<u64>)>;

fn note(event: &Event) -> (u64, String, bool, Option<u64>) {
    let before = event.before.as_ref().map(|entry| entry.revision);
    (event.revision, event.entry.key.to_string(), event.deleted, before)
}

/// What a watch tells, up to a revision.
async fn seen(mut watch: Watch, to: u64) -> Seen {
    let mut seen = Vec::new();
    while watch.progress() < to {
        let next = tokio::time::timeout(Duration::from_millis(50), watch.next()).await;
        seen.extend(next.into_iter().map(|event| note(&event.unwrap())));
    }
    while let Some(event) = watch.try_next() {
        seen.push(note(&event));
    }
    seen
}

/// Adds one to a number in an object, however often that takes.
async fn add_one(store: &Store, key: &str) -> Committed {
    loop {
        let there = store.latest(key);
        let revision = there.as_ref().map_or(0, |entry| entry.revision);
        let value: u64 = there.map_or(0, |entry| value(&entry).parse().unwrap());
        match store.commit(guarded(key, revision, put(key, &(value + 1).to_string()))).await {
            Ok(done) => return done,
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn value(entry: &berth_cluster_store::Entry) -> String {
    entry.meta.field("spec.nodeName").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_see_one_order_and_lose_no_write() {
    let Some(etcd) = Etcd::start() else { return };
    let stores = [open(&etcd.spec()).await, open(&etcd.spec()).await];
    let watches: Vec<_> =
        stores.iter().map(|store| store.watch(Interest::default(), 0, 64 << 20).unwrap()).collect();
    let mut tasks = Vec::new();
    for (number, store) in stores.iter().enumerate().flat_map(|at| [at, at, at]) {
        let (store, other) = (store.clone(), stores[1 - number].clone());
        tasks.push(tokio::spawn(async move {
            for step in 0..60 {
                let done = add_one(&store, &format!("numbers/{}", step % 2)).await;
                assert!(store.revision() >= done.revision, "reads see what is acknowledged");
                if step % 10 == 0 {
                    assert!(other.current().await.unwrap() >= done.revision, "also elsewhere");
                    let there = other.get(&format!("numbers/{}", step % 2)).unwrap();
                    assert!(there.revision >= done.revision);
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let last = stores[0].current().await.unwrap();
    assert_eq!(stores[1].current().await.unwrap(), last);
    for number in 0..2 {
        let entry = stores[0].get(&format!("numbers/{number}")).unwrap();
        assert_eq!(value(&entry), "180", "each of 6 writers added 30 times");
    }
    assert_eq!(all(&stores[0]), all(&stores[1]));
    let mut told = Vec::new();
    for watch in watches {
        told.push(seen(watch, last).await);
    }
    assert_eq!(told[0].len(), 360);
    assert!(told[0].is_sorted());
    assert_eq!(told[0], told[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_users_of_the_etcd_are_in_nobodys_way() {
    let Some(etcd) = Etcd::start() else { return };
    let store = open(&etcd.spec()).await;
    let first = store.commit(txn(vec![put("pods/a", "1")])).await.unwrap().revision;
    write(&etcd, "/registry/pods/x", "theirs").await;
    write(&etcd, "/berth0", "theirs").await;
    assert_eq!(store.current().await.unwrap(), first);
    let second = open(&etcd.spec()).await;
    assert_eq!(second.revision(), first, "the same revision in each process");
    let done = store.commit(txn(vec![put("pods/a", "2")])).await.unwrap().revision;
    assert_eq!(done, first + 3);
    // Somebody repairs by hand.
    remove(&etcd, "/berth/objects/pods/a", "").await;
    until("a deletion by hand", || store.get("pods/a").is_none()).await;
    assert_eq!(store.revision(), done + 1);
    // And somebody breaks.
    write(&etcd, "/berth/objects/pods/b", "no object").await;
    until("trouble is told", || store.stats().trouble.is_some()).await;
    assert!(store.stats().trouble.unwrap().contains("pods/b"));
    let refused = store.commit(txn(vec![put("pods/c", "1")])).await;
    assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
    assert!(store.current().await.is_err());
    let refused = Store::connect(&etcd.spec(), read(), small()).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Etcd(why) if why.contains("pods/b")), "{refused}");
    remove(&etcd, "/berth/objects/pods/b", "").await;
    until("it is repaired", || store.stats().trouble.is_none()).await;
    store.commit(txn(vec![put("pods/b", "1")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_large_objects_come_whole() {
    let Some(etcd) = Etcd::start() else { return };
    let wire = Wire::to(etcd.address());
    let store = open(&etcd.spec()).await;
    let behind = open(&wire.spec()).await;
    let watch = behind.watch(Interest::default(), 0, 64 << 20).unwrap();
    wire.cut();
    for part in 0..12 {
        let ops = (0..100).map(|number| put(&format!("small/{part}/{number}"), "s")).collect();
        store.commit(txn(ops)).await.unwrap();
    }
    // The watch that is resumed gets these in one answer, which is far above what etcd puts in one message.
    let large = "x".repeat(300_000);
    for number in 0..8 {
        let ops = vec![put(&format!("large/{number}/a"), &large), put("large/b", &large)];
        store.commit(txn(ops)).await.unwrap();
    }
    let last = store.revision();
    assert!(behind.revision() < last);
    wire.mend();
    assert_eq!(behind.current().await.unwrap(), last);
    assert_eq!(all(&store), all(&behind));
    assert_eq!(seen(watch, last).await.len(), 1_216);
    assert_eq!(all(&store), all(&open(&etcd.spec()).await));
    let much = "x".repeat(2_000_000);
    let refused = store.commit(txn(vec![put("pods/a", &much)])).await.unwrap_err();
    assert!(matches!(refused, CommitError::Failed(_)), "{refused}");
    let ops = (0..128).map(|number| put(&format!("pods/{number}"), "x")).collect();
    let refused = store.commit(txn(ops)).await.unwrap_err();
    assert!(matches!(refused, CommitError::Failed(_)), "{refused}");
    assert!(store.stats().trouble.is_none(), "neither is etcd's fault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_leave_it_open() {
    let Some(etcd) = Etcd::start() else { return };
    let wire = Wire::to(etcd.address());
    let store = open(&wire.spec()).await;
    let mut watch = store.watch(Interest::default(), 0, 1 << 20).unwrap();
    store.commit(txn(vec![put("pods/a", "1")])).await.unwrap();
    wire.deafen();
    let lost = store.commit(txn(vec![put("pods/a", "2")]));
    let cut = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        wire.cut();
    };
    let (lost, ()) = tokio::join!(lost, cut);
    assert!(matches!(lost, Err(CommitError::Unknown(_))), "{lost:?}");
    let begun = Instant::now();
    let refused = store.commit(txn(vec![put("pods/a", "3")])).await;
    assert!(refused.is_err());
    assert!(store.current().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(12));
    assert!(store.stats().trouble.is_some());
    assert_eq!(value(&store.get("pods/a").unwrap()), "1", "reads go on");
    wire.mend();
    until("it comes back", || store.revision() >= 3).await;
    store.current().await.unwrap();
    until("trouble is over", || store.stats().trouble.is_none()).await;
    assert_eq!(value(&store.get("pods/a").unwrap()), "2", "it took place");
    for wanted in ["1", "2"] {
        assert_eq!(value(&watch.next().await.unwrap().entry), wanted);
    }
    store.commit(txn(vec![put("pods/a", "4")])).await.unwrap();
    assert_eq!(value(&watch.next().await.unwrap().entry), "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_fails_has_a_successor() {
    let Some(etcd) = Etcd::start() else { return };
    let wires = [Wire::to(etcd.address()), Wire::to(etcd.address())];
    let [one, two] = wires.each_ref().map(Wire::address);
    let store = open(&format!("etcd:{one},{two}")).await;
    let mut watch = store.watch(Interest::default(), 0, 1 << 20).unwrap();
    for round in 0..6 {
        let (now, next) = (&wires[round % 2], &wires[(round + 1) % 2]);
        next.mend();
        now.cut();
        // What was under way is lost; the next one goes to the other member.
        let mut tries = 0;
        while let Err(error) = store.commit(txn(vec![put("pods/a", &round.to_string())])).await {
            assert!(!matches!(error, CommitError::Conflict { .. }));
            tries += 1;
            assert!(tries < 3, "{error}");
        }
        assert!(store.current().await.is_ok());
        loop {
            if value(&watch.next().await.unwrap().entry) == round.to_string() {
                break;
            }
        }
    }
    // A member that is there and says nothing.
    wires.iter().for_each(Wire::mend);
    while store.current().await.is_err() {}
    wires.iter().for_each(Wire::deafen);
    let begun = Instant::now();
    assert!(store.current().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

/// Writers that count up, each in its own key, while something happens to the server. Each number that was acknowledged is there,
/// and every one was written once.
async fn disturbed(store: &Store, other: &Store, disturb: impl Future<Output = ()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let watch = other.watch(Interest::default(), other.revision(), 64 << 20).unwrap();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let key = format!("writers/{writer}");
                let (mut acknowledged, mut number) = (Vec::new(), 0_u64);
                while !stop.load(Ordering::SeqCst) {
                    number += 1;
                    let done = store.commit(txn(vec![put(&key, &number.to_string())])).await;
                    match done {
                        Ok(done) => acknowledged.push((done.revision, number)),
                        Err(CommitError::Conflict { .. } | CommitError::Full(_)) => panic!(),
                        Err(CommitError::Failed(_) | CommitError::Unknown(_)) => {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                }
                (key, acknowledged)
            })
        })
        .collect();
    disturb.await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeMap::new();
    for writer in writers {
        let (key, numbers) = writer.await.unwrap();
        assert!(numbers.len() > 3, "{}", numbers.len());
        acknowledged.extend(numbers.into_iter().map(|(at, number)| (at, (key.clone(), number))));
    }
    let last = loop {
        let last = other.current().await.unwrap();
        if store.current().await.unwrap() == last {
            break last;
        }
    };
    assert_eq!(all(store), all(other));
    let mut written = BTreeMap::new();
    let mut watch = watch;
    while watch.progress() < last {
        let event = watch.next().await.unwrap();
        let number: u64 = value(&event.entry).parse().unwrap();
        let twice = written.insert(event.revision, (event.entry.key.to_string(), number));
        assert!(twice.is_none());
    }
    while let Some(event) = watch.try_next() {
        let number = value(&event.entry).parse().unwrap();
        written.insert(event.revision, (event.entry.key.to_string(), number));
    }
    for (revision, what) in acknowledged {
        assert_eq!(written.get(&revision), Some(&what), "acknowledged at {revision}");
    }
    // What was not acknowledged may come late, also after what the writer did next; but nothing comes twice.
    let count = written.len();
    assert_eq!(written.into_values().collect::<BTreeSet<_>>().len(), count);
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_or_dies_loses_nothing() {
    let Some(mut etcd) = Etcd::start() else { return };
    let (store, other) = (open(&etcd.spec()).await, open(&etcd.spec()).await);
    disturbed(&store, &other, async {
        pause(200).await;
        etcd.pause();
        pause(1_000).await;
        etcd.resume();
        pause(300).await;
    })
    .await;
    disturbed(&store, &other, async {
        for _ in 0..4 {
            pause(200).await;
            etcd.kill();
            pause(300).await;
            etcd.restart();
            let begun = store.revision();
            until("it goes on", || store.revision() > begun + 20).await;
        }
    })
    .await;
    etcd.pause();
    let begun = Instant::now();
    let lost = store.commit(txn(vec![put("pods/a", "x")])).await.unwrap_err();
    assert!(matches!(lost, CommitError::Unknown(_)), "{lost}");
    assert!(store.current().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(12));
    assert!(store.stats().trouble.is_some());
    assert!(store.get("writers/0").is_some());
    etcd.resume();
    until("trouble is over", || store.stats().trouble.is_none()).await;
    store.commit(txn(vec![put("pods/b", "x")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_its_members_one_after_the_other() {
    let Some(mut members) = Etcd::cluster(3) else { return };
    let at: Vec<_> = members.iter().map(|member| member.address().to_string()).collect();
    let store = open(&format!("etcd:{}", at.join(","))).await;
    let other = open(&format!("etcd:{},{},{}", at[2], at[0], at[1])).await;
    disturbed(&store, &other, async {
        for round in 0..6 {
            let member = &mut members[round % 3];
            if round < 3 {
                member.kill();
            } else {
                member.pause();
            }
            let begun = store.revision();
            until("two of three go on", || store.revision() > begun + 20).await;
            if round < 3 {
                member.restart();
            } else {
                member.resume();
            }
            pause(300).await;
        }
    })
    .await;
    // One of three has nobody to agree with.
    members[0].kill();
    members[1].kill();
    let begun = Instant::now();
    assert!(store.commit(txn(vec![put("pods/a", "x")])).await.is_err());
    assert!(store.current().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(store.get("writers/0").is_some());
    members[0].restart();
    let well = || store.stats().trouble.is_none() && other.stats().trouble.is_none();
    until("trouble is over", well).await;
    store.commit(txn(vec![put("pods/b", "x")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_says_so() {
    let Some(etcd) = Etcd::start_with(&["--quota-backend-bytes=3000000".into()]) else { return };
    let store = open(&etcd.spec()).await;
    let large = "x".repeat(100_000);
    let mut number = 0;
    let refused = loop {
        match store.commit(txn(vec![put(&format!("pods/{number}"), &large)])).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
        assert!(number < 100);
    };
    assert!(matches!(refused, CommitError::Full(_)), "{refused}");
    assert!(number > 3);
    store.current().await.unwrap();
    assert_eq!(store.stats().objects, number);
    assert!(store.stats().trouble.unwrap().contains("space"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_opened_amid_writes_has_them_all() {
    let Some(etcd) = Etcd::start() else { return };
    let store = open(&etcd.spec()).await;
    // Several pages.
    for part in 0..10 {
        let ops = (0..100).map(|number| put(&format!("pods/{part}/{number}"), "x")).collect();
        store.commit(txn(ops)).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        async move {
            let mut random = Random(3);
            while !stop.load(Ordering::SeqCst) {
                let key = format!("pods/{}/{}", random.below(10), random.below(110));
                let op = if store.get(&key).is_some() { delete(&key) } else { put(&key, "y") };
                store.commit(txn(vec![op, put("pods/z", "z")])).await.unwrap();
            }
        }
    });
    let mut opened = Vec::new();
    for _ in 0..12 {
        opened.push(open(&etcd.spec()).await);
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    for late in opened {
        assert!(late.current().await.unwrap() > late.oldest());
        assert_eq!(all(&late), all(&store));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_lost_its_past_is_not_followed() {
    let Some(mut etcd) = Etcd::start() else { return };
    let store = open(&etcd.spec()).await;
    for _ in 0..20 {
        store.commit(txn(vec![put("pods/a", "x")])).await.unwrap();
    }
    etcd.kill();
    etcd.forget();
    etcd.restart();
    let told = || store.stats().trouble.is_some_and(|trouble| trouble.contains("lost its past"));
    until("it is told", told).await;
    let refused = store.commit(txn(vec![put("pods/a", "y")])).await;
    assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
    assert!(store.current().await.is_err());
    assert!(store.get("pods/a").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_compacted_by_one() {
    let Some(etcd) = Etcd::start() else { return };
    let wire = Wire::to(etcd.address());
    let short = Options { history_age: Duration::from_secs(1), ..small() };
    let store = Store::connect(&etcd.spec(), read(), short).await.unwrap();
    let second = Store::connect(&etcd.spec(), read(), short).await.unwrap();
    let away = open(&wire.spec()).await;
    let mut watch = away.watch(Interest::default(), 0, 1 << 20).unwrap();
    let first = store.commit(txn(vec![put("pods/a", "1")])).await.unwrap().revision;
    assert_eq!(away.current().await.unwrap(), first);
    watch.next().await.unwrap();
    wire.cut();
    let then = store.commit(txn(vec![put("pods/a", "2")])).await.unwrap().revision;
    let begun = Instant::now();
    while knows(&etcd, first).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is compacted");
        pause(100).await;
    }
    assert_eq!(store.revision(), then, "whoever compacts moves no revision");
    assert_eq!(second.revision(), then);
    // Who was away for longer begins anew, and says so to who watches.
    wire.mend();
    assert_eq!(away.current().await.unwrap(), then);
    assert_eq!(watch.next().await.unwrap_err(), Ended::Closed);
    assert_eq!(away.oldest(), then);
    assert_eq!(all(&away), all(&store));
    let made = away.commit(guarded("pods/a", then, put("pods/a", "3"))).await.unwrap();
    assert_eq!(made.entries[0].created, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_comes_back_in_an_empty_etcd() {
    let Some(etcd) = Etcd::start() else { return };
    let source = Store::memory(Options::default());
    for number in 0..250 {
        source.commit(txn(vec![put(&format!("pods/{number}"), "n")])).await.unwrap();
    }
    let mut backup = Vec::new();
    source.snapshot(&mut backup).unwrap();
    let early = open(&etcd.spec()).await;
    let spec = etcd.spec();
    let restored = backup.clone();
    let restore = |backup: Vec<u8>, spec: String| {
        tokio::task::spawn_blocking(move || {
            Store::restore(&mut &backup[..], &spec, read(), small())
        })
    };
    let store = restore(restored, spec.clone()).await.unwrap().unwrap();
    assert_eq!(store.stats().objects, 250);
    let entry = store.get("pods/7").unwrap();
    assert_eq!(entry.bytes, written("n", entry.revision));
    assert_eq!(value(&entry), "n");
    // A store that was open meanwhile has it too.
    early.current().await.unwrap();
    assert_eq!(all(&early), all(&store));
    let next = early.commit(guarded("pods/7", entry.revision, put("pods/7", "m"))).await.unwrap();
    let mut again = Vec::new();
    early.snapshot(&mut again).unwrap();
    assert!(matches!(restore(backup, spec.clone()).await.unwrap(), Err(OpenError::NotEmpty)));
    // In the same etcd no revision comes again.
    drop((store, early));
    remove(&etcd, "/berth/", "/berth0").await;
    let store = restore(again, spec.clone()).await.unwrap().unwrap();
    assert!(
        store
            .list("", None, None, 0, &|entry| entry.revision <= next.revision)
            .unwrap()
            .entries
            .is_empty()
    );
    assert_eq!(value(&store.get("pods/7").unwrap()), "m");
    // One that was broken off serves nobody.
    write(&etcd, "/berth/restoring", "").await;
    let refused = store.commit(txn(vec![put("pods/7", "x")])).await;
    assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
    let refused = Store::connect(&spec, read(), small()).await;
    assert!(matches!(refused, Err(OpenError::Etcd(_))));
}

#[tokio::test]
async fn what_cannot_be_opened_says_so_in_time() {
    for spec in ["etcd:", "etcd:http://a?x=y", "etcd:https://127.0.0.1:1"] {
        let refused = Store::connect(spec, read(), small()).await;
        assert!(matches!(refused, Err(OpenError::Address(_))), "{spec}: {refused:?}");
    }
    let begun = Instant::now();
    let refused = Store::connect("etcd:127.0.0.1:1,127.0.0.1:2", read(), small()).await;
    assert!(matches!(refused, Err(OpenError::Etcd(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

fn ops(random: &mut Random, step: usize) -> Vec<berth_cluster_store::Op> {
    let mut ops = BTreeMap::new();
    for _ in 0..=random.below(3) {
        let key = format!("pods/{}/{}", random.below(3), random.below(6));
        let op = if random.below(4) == 0 { delete(&key) } else { put(&key, &format!("v{step}")) };
        ops.insert(key, op);
    }
    ops.into_values().collect()
}

/// Objects at a revision, and events after it, with the model's revisions in the place of etcd's.
fn view(store: &Store, at: u64, names: &BTreeMap<u64, u64>) -> (Vec<String>, Vec<String>) {
    let name = |revision: u64| names.get(&revision).copied().unwrap_or(revision);
    let listing = store.list("", None, Some(at), 0, &|_| true).unwrap();
    let objects = listing.entries.iter().map(|entry| {
        assert_eq!(entry.bytes, written(&value(entry), entry.revision));
        format!("{} {} {} {}", entry.key, name(entry.created), name(entry.revision), value(entry))
    });
    let objects = objects.collect();
    let mut watch = store.watch(Interest::default(), at, 1 << 20).unwrap();
    let mut events = Vec::new();
    while let Some(event) = watch.try_next() {
        let before = event.before.as_ref().map(|entry| (name(entry.revision), value(entry)));
        let (key, now) = (&event.entry.key, value(&event.entry));
        events.push(format!("{} {key} {now} {} {before:?}", name(event.revision), event.deleted));
    }
    (objects, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_random_run_is_that_of_memory() {
    let Some(etcd) = Etcd::start() else { return };
    let mut row = Row::new("two stores on an etcd beside one in memory", 1_000, 100_000);
    while let Some(seed) = row.next_of(250) {
        remove(&etcd, "/berth/", "/berth0").await;
        let spec = etcd.spec();
        let mut stores = [open(&spec).await, open(&spec).await];
        let memory = Store::memory(small());
        let mut random = Random(seed);
        let mut names = BTreeMap::new();
        for step in 0..250 {
            let at = usize::try_from(random.below(2)).unwrap();
            let ops = ops(&mut random, step);
            let compares = (random.below(2) == 0).then(|| {
                let key = ops[0].key().to_owned();
                // Right, wrong, or that it must not be there.
                let revision = memory.get(&key).map_or(0, |entry| entry.revision);
                let revision = if random.below(4) == 0 { 0 } else { revision };
                (key, revision)
            });
            let back: BTreeMap<u64, u64> =
                names.iter().map(|(etcds, ours)| (*ours, *etcds)).collect();
            let with = |revision: Option<u64>| {
                let compares = compares.iter().zip(revision);
                let compares = compares.map(|((key, _), revision)| berth_cluster_store::Compare {
                    key: key.clone(),
                    revision,
                });
                berth_cluster_store::Txn { compares: compares.collect(), ops: ops.clone() }
            };
            let wanted = compares.as_ref().map(|(_, revision)| *revision);
            let theirs = wanted.map(|wanted| back.get(&wanted).copied().unwrap_or(wanted));
            let model = memory.commit(with(wanted)).await;
            let done = stores[at].commit(with(theirs)).await;
            match (&model, &done) {
                (Ok(model), Ok(done)) => {
                    names.insert(done.revision, model.revision);
                    for (one, other) in model.entries.iter().zip(&done.entries) {
                        assert_eq!(one.created, names[&other.created]);
                        assert_eq!((&one.key, &one.meta), (&other.key, &other.meta));
                        assert_eq!(other.bytes, written(&value(one), other.revision));
                    }
                }
                (
                    Err(CommitError::Conflict { key: one, current: there }),
                    Err(CommitError::Conflict { key: other, current: here }),
                ) => {
                    assert_eq!(one, other);
                    let here = here.as_ref().map(|entry| names[&entry.revision]);
                    assert_eq!(there.as_ref().map(|entry| entry.revision), here);
                }
                other => panic!("seed {seed}, step {step}: {other:?}"),
            }
            let other = &stores[1 - at];
            other.current().await.unwrap();
            let some = random.below(names.len().max(1) as u64);
            let Some((etcds, ours)) = names.iter().nth(usize::try_from(some).unwrap()) else {
                continue;
            };
            for store in stores.iter().filter(|store| store.oldest() <= *etcds) {
                assert_eq!(view(store, *etcds, &names), view(&memory, *ours, &BTreeMap::new()));
            }
            if random.below(40) == 0 {
                stores[at] = open(&spec).await;
                assert_eq!(all(&stores[at]), all(&stores[1 - at]));
            }
        }
    }
}

/// One CA, a server's certificate and a client's, as files.
fn certificates(folder: &std::path::Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for name in ["server", "client"] {
        let params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_and_demanded() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        "--client-cert-auth".to_owned(),
        format!("--trusted-ca-file={}", file("ca.pem")),
        format!("--cert-file={}", file("server.pem")),
        format!("--key-file={}", file("server.key")),
    ];
    let Some(etcd) = Etcd::start_with(&flags) else { return };
    let base = format!("etcd:https://{}?ca={}", etcd.address(), file("ca.pem"));
    let spec = format!("{base}&cert={}&key={}", file("client.pem"), file("client.key"));
    let store = open(&spec).await;
    store.commit(txn(vec![put("pods/a", "1")])).await.unwrap();
    assert_eq!(open(&spec).await.stats().objects, 1);
    let refused = Store::connect(&base, read(), small()).await;
    assert!(matches!(refused, Err(OpenError::Etcd(_))), "{refused:?}");
}
