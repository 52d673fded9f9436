// SPDX-License-Identifier: Apache-2.0
//! Follows etcd: the whole state once, then every change.
//!
//! ```text
//! list:    all keys under the prefix, page by page, at one revision; the state begins anew, watches of before end
//! watch:   one stream of changes from the revision after; a group of changes of one revision is published as one
//! trouble: another member, a pause, and the watch again from where it was; where that is compacted: list
//! ```
//! A watch that is resumed from the last revision which was published whole misses nothing and repeats nothing, because etcd sends
//! the changes of a revision in one answer, and answers in order.

use super::link::Link;
use super::wire::{self, Codec, HEAD, OBJECTS, PREFIX, PREFIX_END, RESTORING, number, signed};
use crate::entry::{Entry, Event};
use crate::shared::Shared;
use berth_proto::etcd::event::EventType;
use berth_proto::etcd::watch_request::RequestUnion;
use berth_proto::etcd::{
    Event as Change, KeyValue, RangeRequest, ResponseHeader, WatchCreateRequest, WatchRequest,
    WatchResponse,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

/// Between tries, the first and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long opening tries.
const OPEN: Duration = Duration::from_secs(10);
/// How long a page may take, and a watch to begin.
const PAGE: Duration = OPEN;
const BEGIN: Duration = Duration::from_secs(5);
/// The first page. The next ones are as many objects as make about this many bytes.
const FIRST_PAGE: i64 = 256;
const PAGE_BYTES: usize = 2 << 20;

/// What is wrong; nothing, if it goes well.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// With following.
    following: Mutex<Option<String>>,
    /// With the last transaction, when etcd had no space for it.
    full: Mutex<Option<String>>,
    /// What is in etcd cannot be read, or is not what is in memory: no transaction can be sent for now.
    blind: AtomicBool,
    /// The same for good.
    lost: AtomicBool,
    /// The number of the etcd that was read; 0 before.
    cluster: AtomicU64,
}

impl Trouble {
    /// For the operator.
    pub(crate) fn get(&self) -> Option<String> {
        locked(&self.following).clone().or_else(|| locked(&self.full).clone())
    }

    fn set(&self, trouble: Option<String>) {
        let mut following = locked(&self.following);
        // Tries are many, and the log is for what changes.
        match (&*following, &trouble) {
            (was, Some(trouble)) if was.as_ref() != Some(trouble) => {
                tracing::warn!(trouble, "etcd cannot be followed");
            }
            (Some(_), None) => tracing::info!("etcd is followed again"),
            _ => {}
        }
        *following = trouble;
    }

    pub(crate) fn set_full(&self, trouble: Option<String>) {
        *locked(&self.full) = trouble;
    }

    /// Why nothing can be sent, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refuses = self.lost.load(Ordering::SeqCst) || self.blind.load(Ordering::SeqCst);
        refuses.then(|| self.get().unwrap_or_else(|| "etcd cannot be followed".into()))
    }

    /// Looks whether it is the same etcd, and still has the revisions that were read from it. One that was made anew from a backup may
    /// have lower ones: a watch would then wait silently for what is long past, and new revisions would be taken for old ones.
    pub(crate) fn look(&self, known: u64, header: Option<ResponseHeader>) -> Result<(), String> {
        let header = header.unwrap_or_default();
        let (now, cluster) = (number(header.revision), header.cluster_id);
        let first = self.cluster.compare_exchange(0, cluster, Ordering::SeqCst, Ordering::SeqCst);
        let why = match first {
            Err(known) if known != cluster => {
                "one URL leads to another etcd than the others".into()
            }
            _ if now < known => {
                format!("etcd is at revision {now}, but {known} was read: it has lost its past")
            }
            _ => return Ok(()),
        };
        self.lost.store(true, Ordering::SeqCst);
        Err(format!("{why}; when that is how it shall be, restart this process"))
    }
}

fn locked(text: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task that keeps the state in memory like etcd's.
pub(crate) struct Follower {
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: Arc<Link>,
    pub(crate) codec: Codec,
    pub(crate) trouble: Arc<Trouble>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Told once: the store is filled, or why not.
    pub(crate) opened: Option<SyncSender<Result<(), String>>>,
    /// The last revision that was published; `None` before a list.
    pub(crate) place: Option<u64>,
}

impl Follower {
    /// Until the store is closed, or cannot be opened.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        let begun = Instant::now();
        let mut pause = PAUSE;
        loop {
            let turn = self.link.turn();
            let place = self.place;
            let stopped = stop.wait_for(|stop| *stop);
            let ended = tokio::select! {
                biased;
                _ = stopped => return,
                ended = self.follow() => ended,
            };
            if let Err(trouble) = ended {
                self.trouble.set(Some(trouble.clone()));
                // What cannot be read now cannot be read in a second either.
                if (self.trouble.refusal().is_some() || begun.elapsed() >= OPEN)
                    && let Some(opened) = self.opened.take()
                {
                    // Who waits for it may be gone.
                    let _ = opened.send(Err(trouble));
                    return;
                }
            }
            self.link.leave(turn);
            pause = if self.place == place { (pause * 2).min(PAUSE_MAX) } else { PAUSE };
            let stopped = stop.wait_for(|stop| *stop);
            tokio::select! {
                biased;
                _ = stopped => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Lists if need be, and watches until something fails or another member is to be used.
    async fn follow(&mut self) -> Result<(), String> {
        let mut turns = self.link.turns();
        match self.place {
            Some(place) => {
                let head = self.link.range(wire::get(HEAD.into()), BEGIN).await;
                self.trouble.look(place, head.map_err(|failure| failure.text)?.header)?;
            }
            None => self.list().await?,
        }
        let turn = self.link.turn();
        let (keep, mut stream) = self.watch(turn).await?;
        self.trouble.set(None);
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Ok(()));
        }
        let mut parts = Vec::new();
        let ended = loop {
            tokio::select! {
                biased;
                message = stream.message() => match message {
                    Ok(Some(message)) => self.take(message, &mut parts)?,
                    Ok(None) => break Err("the watch ended".into()),
                    Err(status) => break Err(super::link::Failure::from(status).text),
                },
                // The member was left; the link, which tells it, lives as long as this.
                _ = turns.wait_for(|now| *now != turn) => break Ok(()),
            }
        };
        drop(keep);
        ended
    }

    async fn list(&mut self) -> Result<(), String> {
        let mut pages = Pages::default();
        while let Some(request) = pages.next() {
            let page = self.link.range(request, PAGE).await.map_err(|failure| failure.text)?;
            if pages.at == 0 {
                self.trouble.look(self.shared.state().revision, page.header)?;
                pages.at = page.header.unwrap_or_default().revision;
            }
            let taken = page.kvs.iter().try_for_each(|kv| pages.take(kv, &self.codec));
            if let Err(damage) = taken {
                self.trouble.blind.store(true, Ordering::SeqCst);
                return Err(damage);
            }
            pages.turn(&page.kvs, page.more);
        }
        // The head's, not etcd's own: revisions have to be those of every other process that follows, and etcd's own is moved by
        // whoever else writes to it.
        self.shared.replace(pages.head, pages.entries);
        self.place = Some(number(pages.at));
        self.trouble.blind.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn watch(
        &self,
        turn: usize,
    ) -> Result<(mpsc::Sender<WatchRequest>, Streaming<WatchResponse>), String> {
        let create = WatchCreateRequest {
            key: PREFIX.into(),
            range_end: PREFIX_END.into(),
            start_revision: signed(self.place.map_or(0, |place| place + 1)),
            progress_notify: true,
            fragment: true,
        };
        let (send, requests) = mpsc::channel(1);
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        send.try_send(create).map_err(|error| error.to_string())?;
        let mut request = Request::new(ReceiverStream::new(requests));
        // A member that has lost the others ends the watch, instead of being silent for ever.
        request
            .metadata_mut()
            .insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        let mut client = self.link.watcher(turn);
        let begun = timeout(BEGIN, client.watch(request)).await;
        let answer = begun.map_err(|_| "no watch within 5 s".to_owned())?;
        let answer = answer.map_err(|status| super::link::Failure::from(status).text)?;
        Ok((send, answer.into_inner()))
    }

    /// Takes an answer in. One without changes is a sign of life: what it says of the progress is not used, because servers before
    /// 3.4.31 and 3.5.13 may say it too early, and because the head tells it without (see `Etcd::current`).
    fn take(&mut self, message: WatchResponse, parts: &mut Vec<Change>) -> Result<(), String> {
        if message.canceled {
            if message.compact_revision > 0 {
                self.place = None;
            }
            return Err(format!("etcd ended the watch: {}", message.cancel_reason));
        }
        parts.extend(message.events);
        if message.fragment {
            return Ok(());
        }
        let changes = std::mem::take(parts);
        for group in changes.chunk_by(|one, other| revision(one) == revision(other)) {
            if let Err(damage) = self.publish(group) {
                // A list is what finds out when it is repaired: this change stays as it is.
                self.trouble.blind.store(true, Ordering::SeqCst);
                self.place = None;
                return Err(damage);
            }
        }
        Ok(())
    }

    /// Publishes what one revision changed.
    fn publish(&mut self, changes: &[Change]) -> Result<(), String> {
        let Some(revision) = changes.first().map(revision) else { return Ok(()) };
        if self.place.is_some_and(|place| revision <= place) {
            return Ok(());
        }
        let mut events = Vec::with_capacity(changes.len());
        let mut ours = false;
        for change in changes {
            let Some(kv) = &change.kv else { continue };
            if let Some(key) = wire::object_key(&kv.key) {
                events.extend(self.event(key, kv, change.r#type() == EventType::Delete)?);
            }
            ours |= kv.key == HEAD;
        }
        if ours || !events.is_empty() {
            self.shared.publish(&events, revision);
        }
        self.place = Some(revision);
        Ok(())
    }

    fn event(&self, key: &str, kv: &KeyValue, deleted: bool) -> Result<Option<Arc<Event>>, String> {
        let before = self.shared.latest(key);
        if deleted {
            // What is before is known: the state has every object, so etcd need not send it again.
            let Some(before) = before else { return Ok(None) };
            let entry = Arc::new(before.at(number(kv.mod_revision)));
            return Ok(Some(Arc::new(Event::new(entry, Some(before), true))));
        }
        let key = before.as_ref().map_or_else(|| key.into(), |before| Arc::clone(&before.key));
        let entry = Arc::new(self.codec.decode(key, kv)?);
        Ok(Some(Arc::new(Event::new(entry, before, false))))
    }
}

fn revision(change: &Change) -> u64 {
    change.kv.as_ref().map_or(0, |kv| number(kv.mod_revision))
}

/// A list on its way.
#[derive(Default)]
struct Pages {
    /// The revision of the first page, at which all are read.
    at: i64,
    head: u64,
    entries: Vec<Entry>,
    /// Where the next page begins, and how long it is; `None` before the first.
    from: Option<(Vec<u8>, i64)>,
    done: bool,
}

impl Pages {
    fn next(&mut self) -> Option<RangeRequest> {
        if self.done {
            return None;
        }
        let (key, limit) = self.from.take().unwrap_or((PREFIX.into(), FIRST_PAGE));
        let (key, range_end) = (key.into(), PREFIX_END.into());
        Some(RangeRequest { key, range_end, limit, revision: self.at })
    }

    fn take(&mut self, kv: &KeyValue, codec: &Codec) -> Result<(), String> {
        if kv.key == RESTORING {
            return Err(format!(
                "a restore did not come to its end: delete what is under {PREFIX}, and restore again"
            ));
        }
        if kv.key == HEAD {
            self.head = self.head.max(number(kv.mod_revision));
        }
        if let Some(key) = wire::object_key(&kv.key) {
            self.entries.push(codec.decode(key.into(), kv)?);
            // Somebody may have written with another program, past the head.
            self.head = self.head.max(number(kv.mod_revision));
        } else if kv.key.starts_with(OBJECTS.as_bytes()) {
            return Err(format!("a key under {OBJECTS} is no text"));
        }
        Ok(())
    }

    /// Looks where the next page begins.
    fn turn(&mut self, kvs: &[KeyValue], more: bool) {
        let Some(last) = kvs.last().filter(|_| more) else {
            self.done = true;
            return;
        };
        let bytes: usize = kvs.iter().map(|kv| kv.key.len() + kv.value.len() + 64).sum();
        let each = (bytes / kvs.len()).max(1);
        let limit = i64::try_from(PAGE_BYTES / each).unwrap_or(FIRST_PAGE).clamp(16, 10_000);
        // The least key above it.
        let from = [&last.key[..], &[0]].concat();
        self.from = Some((from, limit));
    }
}
