// SPDX-License-Identifier: Apache-2.0
//! The back end in etcd: a transaction is one of etcd's, and part of the state once the watch has brought it.
//!
//! Several processes may use one etcd. Each keeps the whole state, follows all changes ([`follow`]), and sees them in etcd's order with
//! etcd's revisions. Connections and the follower live on a thread of their own, so a store does not depend on the runtime that
//! opened it.
//!
//! **The head.** Every transaction also writes the key `/berth/head`. Its revision, read linearizably, is the last one of any
//! transaction, whoever made it; a process that has published it lacks nothing. etcd's own revision cannot serve: other users of the
//! same etcd move it, and nothing then says that no change of ours lies between. Progress that is asked for would say it, but
//! servers before 3.4.31 and 3.5.13 may say it too early, and Debian's is one of them.
//!
//! **Limits of etcd's** that the other back ends do not have: 1.5 MiB and 128 operations in a transaction (of which one is the head),
//! unless it is started with `--max-request-bytes` and `--max-txn-ops`. Beyond them a commit fails; nothing is written. An etcd that
//! has reached its quota takes no transaction at all, deletions included, until its operator has made room and lifted the alarm.

mod address;
mod compact;
mod follow;
mod link;
mod wire;

use crate::entry::Entry;
use crate::shared::{Shared, once_each};
use crate::state::State;
use crate::txn::{CommitError, Committed, Op, Txn};
use crate::{Error, OpenError, Options, ReadMeta};
use berth_proto::etcd::{Compare, RequestOp, ResponseOp, TxnRequest};
use follow::{Follower, Trouble};
use link::{Failure, Link};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::timeout;
use tonic::Code;
use wire::{Codec, HEAD, OBJECTS, Outgoing, RESTORING, number};

/// Transactions that may be under way. Each is a few round trips of etcd's disk, which takes them together.
const UNDER_WAY: u32 = 1_024;
/// How long the watch may take to bring what is known to be there.
const SEEN: Duration = Duration::from_secs(5);
/// The same, for what a refused transaction was refused for.
const SEEN_BY_REFUSED: Duration = Duration::from_secs(1);
/// Objects of a restore that go in one transaction: below etcd's limits.
const RESTORE_OPS: usize = 100;
const RESTORE_BYTES: usize = 1 << 20;

/// The connection to etcd. Its thread ends when it is stopped.
#[derive(Debug)]
pub(crate) struct Etcd {
    shared: Arc<Shared>,
    link: Arc<Link>,
    codec: Codec,
    trouble: Arc<Trouble>,
    thread: Handle,
    room: Semaphore,
    stop: watch::Sender<bool>,
    heads: Heads,
}

/// Reads of the head, which many callers share.
#[derive(Debug)]
struct Heads {
    begun: AtomicU64,
    /// Which read was the last, and what it said.
    last: Mutex<(u64, Result<u64, String>)>,
}

impl Etcd {
    /// Opens the store, and waits until it is filled.
    pub(crate) fn open(
        address: &str,
        read: &ReadMeta,
        options: &Options,
    ) -> Result<(Arc<Self>, Arc<Shared>), OpenError> {
        let endpoints = address::endpoints(address).map_err(OpenError::Address)?;
        let failed = |error: std::io::Error| OpenError::Etcd(error.to_string());
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let link = {
            let _entered = runtime.enter();
            Arc::new(Link::new(&endpoints))
        };
        let codec = Codec { read: Arc::clone(read), version: options.meta_version };
        let shared = Shared::new(State::new(options.window()));
        let (stop, stopped) = watch::channel(false);
        let trouble = Arc::<Trouble>::default();
        let (opened, filled) = mpsc::sync_channel(1);
        let follower = Follower {
            shared: Arc::clone(&shared),
            link: Arc::clone(&link),
            codec: codec.clone(),
            trouble: Arc::clone(&trouble),
            stop: stopped,
            opened: Some(opened),
            place: None,
        };
        let handle = runtime.handle().clone();
        handle.spawn(compact::run(Arc::clone(&link), options.history_age));
        let thread = thread::Builder::new().name("store-etcd".into());
        thread.spawn(move || serve(runtime, follower)).map_err(failed)?;
        match filled.recv() {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => return Err(OpenError::Etcd(trouble)),
            Err(_) => return Err(OpenError::Etcd("its thread ended".into())),
        }
        let room = Semaphore::new(UNDER_WAY as usize);
        let heads = Heads { begun: AtomicU64::new(0), last: Mutex::new((0, Ok(0))) };
        let etcd = Self {
            shared: Arc::clone(&shared),
            link,
            codec,
            trouble,
            thread: handle,
            room,
            stop,
            heads,
        };
        Ok((Arc::new(etcd), shared))
    }

    /// What is wrong, if something is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.get().or_else(|| self.link.trouble())
    }

    /// Commits a transaction.
    pub(crate) async fn commit(self: &Arc<Self>, txn: Txn) -> Result<Committed, CommitError> {
        let etcd = Arc::clone(self);
        // On its own thread it comes to its end also when the caller stops waiting.
        let task = self.thread.spawn(async move { etcd.run(txn).await });
        match task.await {
            Ok(done) => done,
            // Closing waits for what is under way.
            Err(_) if self.room.is_closed() => Err(closed()),
            Err(_) => Err(CommitError::Unknown("the thread that talks to etcd ended".into())),
        }
    }

    async fn run(&self, txn: Txn) -> Result<Committed, CommitError> {
        let Ok(_room) = self.room.acquire().await else { return Err(closed()) };
        once_each(&txn.ops)?;
        let outgoing = Outgoing::new(&txn, &self.codec)?;
        if let Some(why) = self.trouble.refusal() {
            return Err(CommitError::Failed(why));
        }
        let known = self.shared.state().revision;
        let answer = self.link.txn(outgoing.request.clone()).await.map_err(failed);
        self.trouble.set_full(match &answer {
            Err(full @ CommitError::Full(_)) => Some(full.to_string()),
            _ => None,
        });
        let answer = answer?;
        self.trouble.look(known, answer.header).map_err(CommitError::Unknown)?;
        if !answer.succeeded {
            let (head, refusal) = outgoing.refusal(&answer.responses, &self.codec);
            // Who tries again builds on the state in memory: it should know by then why this did not go.
            let _ = timeout(SEEN_BY_REFUSED, self.seen(head)).await;
            return Err(refusal);
        }
        let revision = if txn.ops.is_empty() {
            answer.responses.first().and_then(wire::first).map_or(0, |kv| number(kv.mod_revision))
        } else {
            number(answer.header.unwrap_or_default().revision)
        };
        let turn = self.link.turn();
        if timeout(SEEN, self.seen(revision)).await.is_err() {
            self.link.leave(turn);
            let why = "it was written, but etcd's watch does not bring it";
            return Err(CommitError::Unknown(why.into()));
        }
        self.committed(txn, revision, &answer.responses)
    }

    /// Until the state has what was written at this revision.
    async fn seen(&self, revision: u64) {
        let mut published = self.shared.published();
        // The sender lives as long as the state does.
        let _ = published.wait_for(|reached| *reached >= revision).await;
    }

    /// The answer to a transaction that took place.
    fn committed(
        &self,
        txn: Txn,
        revision: u64,
        responses: &[ResponseOp],
    ) -> Result<Committed, CommitError> {
        let entries = self.shared.state().written_at(revision);
        let mut answer = Vec::with_capacity(txn.ops.len());
        for (op, response) in txn.ops.into_iter().zip(responses) {
            let known = entries.iter().find(|entry| *entry.key == *op.key());
            let entry = match known {
                Some(entry) => Arc::clone(entry),
                // The past is gone already: there were very many changes since, or a new list.
                None => Arc::new(self.rebuilt(op, revision, response)?),
            };
            answer.push(entry);
        }
        Ok(Committed { revision, entries: answer })
    }

    fn rebuilt(&self, op: Op, revision: u64, was: &ResponseOp) -> Result<Entry, CommitError> {
        let unknown = || CommitError::Unknown("it was written, and is not known any more".into());
        match op {
            Op::Put { key, body, meta } => {
                let present = self.shared.latest(&key).map(|entry| entry.created);
                let created = present.filter(|created| *created <= revision).unwrap_or(revision);
                let bytes = body.finish(revision).ok_or_else(unknown)?;
                let (hole, meta) = (body.hole, Arc::new(meta));
                Ok(Entry { key: key.into(), revision, created, bytes, hole, meta })
            }
            Op::Delete { key } => {
                let kv = wire::first(was).ok_or_else(unknown)?;
                let entry = self.codec.decode(key.into(), kv);
                entry.map(|entry| entry.at(revision)).map_err(CommitError::Unknown)
            }
        }
    }

    /// Waits until the state has everything that was acknowledged by anybody.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<(), Error> {
        let etcd = Arc::clone(self);
        let task = self.thread.spawn(async move {
            if let Some(why) = etcd.trouble.refusal() {
                return Err(Error(why));
            }
            let head = etcd.head().await.map_err(Error)?;
            let turn = etcd.link.turn();
            if timeout(SEEN, etcd.seen(head)).await.is_ok() {
                return Ok(());
            }
            etcd.link.leave(turn);
            let trouble = etcd.trouble.get();
            Err(Error(trouble.unwrap_or_else(|| "etcd's watch lags behind".into())))
        });
        task.await.unwrap_or_else(|_| Err(Error("the store is closed".into())))
    }

    /// The head, by a read that began after this call. Callers who wait for the same read share it.
    async fn head(&self) -> Result<u64, String> {
        let asked = self.heads.begun.load(Ordering::SeqCst);
        let mut last = self.heads.last.lock().await;
        if last.0 > asked {
            return last.1.clone();
        }
        let this = self.heads.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let head = self.read_head().await;
        *last = (this, head.clone());
        head
    }

    async fn read_head(&self) -> Result<u64, String> {
        let known = self.shared.state().revision;
        let answer = self.link.range(wire::get(HEAD.into()), link::READ).await;
        let answer = answer.map_err(|failure| failure.text)?;
        self.trouble.look(known, answer.header)?;
        Ok(answer.kvs.first().map_or(0, |kv| number(kv.mod_revision)))
    }

    /// Writes objects into an empty etcd, one part after the other; what is read before the last is refused. Blocks.
    pub(crate) fn restore(self: &Arc<Self>, entries: &[Entry]) -> Result<(), OpenError> {
        let mut parts = vec![(vec![wire::is_at(RESTORING, 0)], vec![wire::put(RESTORING, "")])];
        let (mut part, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            let value = self.codec.encode(&entry.key, &entry.meta, entry.hole, entry.parts());
            if part.len() == RESTORE_OPS || (bytes > 0 && bytes + value.len() > RESTORE_BYTES) {
                parts.push((Vec::new(), std::mem::take(&mut part)));
                bytes = 0;
            }
            bytes += value.len() + entry.key.len();
            part.push(wire::put(&format!("{OBJECTS}{}", entry.key), value));
        }
        parts.push((Vec::new(), part));
        parts.push((Vec::new(), vec![wire::delete(RESTORING.into()), wire::put(HEAD, "")]));
        let etcd = Arc::clone(self);
        self.wait(async move {
            let mut last = 0;
            for (compare, success) in parts {
                last = etcd.restore_part(compare, success).await?;
            }
            match timeout(SEEN, etcd.seen(last)).await {
                Ok(()) => Ok(()),
                Err(_) => Err(OpenError::Etcd("its watch lags behind".into())),
            }
        })
    }

    async fn restore_part(
        &self,
        mut compare: Vec<Compare>,
        success: Vec<RequestOp>,
    ) -> Result<u64, OpenError> {
        // Nobody has written meanwhile: the head is written with the last part.
        compare.push(wire::is_at(HEAD, 0));
        let request = TxnRequest { compare, success, failure: Vec::new() };
        let answer = self.link.txn(request).await.map_err(failed)?;
        if answer.succeeded {
            Ok(number(answer.header.unwrap_or_default().revision))
        } else {
            Err(OpenError::NotEmpty)
        }
    }

    /// Runs something on the store's thread while this one waits.
    fn wait<T: Send + 'static>(
        &self,
        what: impl Future<Output = Result<T, OpenError>> + Send + 'static,
    ) -> Result<T, OpenError> {
        let (send, receive) = mpsc::sync_channel(1);
        self.thread.spawn(async move { send.send(what.await) });
        receive.recv().unwrap_or_else(|_| Err(OpenError::Etcd("its thread ended".into())))
    }

    /// Completes what is under way, and ends the thread.
    pub(crate) async fn close(&self) {
        // Every transaction ends by itself within a bounded time.
        if let Ok(all) = self.room.acquire_many(UNDER_WAY).await {
            all.forget();
            self.room.close();
        }
        self.stop();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

fn serve(runtime: Runtime, follower: Follower) {
    runtime.block_on(follower.run());
    // Connections have nothing to complete.
    runtime.shutdown_background();
}

fn closed() -> CommitError {
    CommitError::Failed("the store is closed".into())
}

/// What a call that failed says of the transaction.
fn failed(failure: Failure) -> CommitError {
    let unknown = failure.sent && failure.elsewhere();
    let text = failure.text;
    if unknown {
        CommitError::Unknown(text)
    } else if failure.code == Code::ResourceExhausted && text.contains("database space exceeded") {
        CommitError::Full(text)
    } else {
        CommitError::Failed(text)
    }
}
