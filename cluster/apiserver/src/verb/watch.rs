// SPDX-License-Identifier: Apache-2.0
//! Watching: events of a collection, one line each, until the client or the time is over.

use crate::answer::{Answer, Body, json};
use crate::ask::Ask;
use crate::limits::Counted;
use crate::listener::told;
use crate::listing::{AsOf, ListOptions};
use crate::render::{self, Seen};
use crate::server::Inner;
use crate::shape::Shaper;
use crate::verb::get::{Selection, current, expired, reach, shaper};
use berth_cluster_api::Refusal;
use berth_cluster_json::json;
use berth_cluster_store::{Entry, Event, Interest, Watch, WatchError};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How often a watcher that wants them gets bookmarks.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// Seconds that a watch lasts at most: a day, whatever its client says.
const LONGEST: i64 = 86_400;
/// What is sent at a time, at most a little more.
const PIECE: usize = 16 << 10;

/// Where a watch begins.
struct Start {
    /// What is there, to be told as added.
    initial: Vec<Arc<Entry>>,
    revision: u64,
    /// The end of what was there is to be told.
    marked: bool,
}

/// GET of a collection with `watch`.
pub(crate) async fn serve(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let options = ListOptions::new(&ask.query)?;
    let selection = Selection::new(ask)?;
    let seconds = ask.query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let seconds = seconds.map(|seconds| seconds.min(LONGEST));
    let lasting = seconds
        .map_or_else(|| server.watch_time(), |seconds| Duration::from_secs(seconds.unsigned_abs()));
    shaper(ask)?;
    let counted = server.limits.watch(&ask.user)?;
    let start = start(server, ask, &options, &selection).await?;
    let watch =
        server.store.watch(interest(ask, &selection), start.revision, server.options.watch_bytes);
    let watch = match watch {
        Ok(watch) => watch,
        // An event, as upstream has it: kube-rs lists again after an event, and asks for the same revision again after a refusal.
        Err(WatchError::Compacted { oldest }) => {
            return Ok(gone(format!("too old resource version: {} ({oldest})", start.revision)));
        }
        Err(WatchError::Future { revision }) => return Err(future(revision)),
    };
    let state = Watching {
        server: Arc::clone(server),
        ask: Arc::new(ask.for_watch()),
        selection,
        watch,
        initial: start.initial.into_iter(),
        marked: start.marked.then_some(start.revision),
        first: true,
        told: start.revision,
        bookmarks: ask.query.flag("allowWatchBookmarks"),
        next_bookmark: Instant::now() + BOOKMARKS,
        end: Box::pin(sleep_until(Instant::now() + lasting)),
        stopping: server.stopping(),
        over: false,
        _counted: counted,
    };
    let lines = unfold(state, Watching::next);
    Ok(json(StatusCode::OK, Body::Stream(lines.boxed())))
}

async fn start(
    server: &Inner,
    ask: &Ask,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Start, Refusal> {
    let store = &server.store;
    let send = ask.query.get("sendInitialEvents").map(|_| ask.query.flag("sendInitialEvents"));
    let from = match options.as_of {
        AsOf::Now | AsOf::Any => None,
        AsOf::NotOlderThan(revision) | AsOf::Exactly(revision) => Some(revision),
    };
    if let Some(revision) = from {
        reach(store, revision).await?;
    } else {
        current(store).await?;
    }
    match (send, from) {
        // Told without what is there: from now on.
        (Some(false), None) => {
            Ok(Start { initial: Vec::new(), revision: store.revision(), marked: false })
        }
        (None | Some(false), Some(revision)) => {
            Ok(Start { initial: Vec::new(), revision, marked: false })
        }
        (marked, _) => {
            let found = store.list(&ask.prefix(), None, None, 0, &|entry| selection.takes(entry));
            let found = found.map_err(|_| expired("too old resource version"))?;
            let marked = marked == Some(true);
            Ok(Start { initial: found.entries, revision: found.revision, marked })
        }
    }
}

fn interest(ask: &Ask, selection: &Selection) -> Interest {
    let placed = !ask.kind.namespaced || !ask.namespace().is_empty();
    let key = selection.name().filter(|_| placed).map(|name| format!("{}{name}", ask.prefix()));
    let indexed = ["spec.nodeName", "metadata.namespace"];
    let field = indexed.iter().find_map(|field| {
        let value = selection.fields.equal(field)?;
        Some(((*field).to_owned(), value.to_owned()))
    });
    Interest { prefix: ask.prefix(), key, field }
}

/// A watch that ends at once, with 410.
fn gone(why: String) -> Answer {
    json(StatusCode::OK, Body::Whole(error(&expired(why))))
}

fn future(revision: u64) -> Refusal {
    Refusal::new(504, "Timeout", format!("Too large resource version, current: {revision}"))
}

struct Watching {
    server: Arc<Inner>,
    ask: Arc<Ask>,
    selection: Selection,
    watch: Watch,
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// The revision of what was there, until its end is told.
    marked: Option<u64>,
    first: bool,
    /// All events up to here were told, or did not concern the client.
    told: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    end: std::pin::Pin<Box<Sleep>>,
    stopping: tokio::sync::watch::Receiver<bool>,
    over: bool,
    _counted: Counted,
}

/// What is sent at a time. A line that is alone goes as it is: all watchers of it share its bytes.
#[derive(Default)]
struct Piece {
    alone: Bytes,
    lines: BytesMut,
}

impl Piece {
    fn len(&self) -> usize {
        self.alone.len() + self.lines.len()
    }

    fn add(&mut self, line: Bytes) {
        if self.len() == 0 {
            self.alone = line;
            return;
        }
        if !self.alone.is_empty() {
            self.lines.reserve(PIECE + PIECE / 4);
            self.lines.extend_from_slice(&std::mem::take(&mut self.alone));
        }
        self.lines.extend_from_slice(&line);
    }

    fn bytes(self) -> Bytes {
        if self.alone.is_empty() { self.lines.freeze() } else { self.alone }
    }
}

enum Next {
    Event(Arc<Event>),
    Failed,
    Bookmark,
    End,
}

impl Watching {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.over {
            return None;
        }
        let mut piece = Piece::default();
        self.beginning(&mut piece);
        while piece.len() == 0 {
            match self.wait().await {
                Next::Event(event) => self.take(&event, &mut piece),
                Next::Failed => {
                    // The client has to list again: it may have missed something.
                    self.over = true;
                    piece.add(error(&expired(
                        "too old resource version: events came faster than they were read",
                    )));
                    break;
                }
                Next::Bookmark => self.bookmark(&mut piece),
                Next::End => return None,
            }
        }
        while piece.len() < PIECE && self.initial.len() == 0 {
            let Some(event) = self.watch.try_next() else { break };
            self.take(&event, &mut piece);
        }
        Some((piece.bytes(), self))
    }

    /// What was there, and its end.
    fn beginning(&mut self, piece: &mut Piece) {
        while piece.len() < PIECE
            && let Some(entry) = self.initial.next()
        {
            let line = if self.ask.is_plain() {
                render::initial(&entry)
            } else {
                self.shaped("ADDED", &entry.bytes)
            };
            piece.add(line);
        }
        if self.initial.len() == 0
            && let Some(revision) = self.marked.take()
        {
            let mark = self.mark(revision, true);
            piece.add(mark);
        }
    }

    async fn wait(&mut self) -> Next {
        tokio::select! {
            biased;
            event = self.watch.next() => event.map_or(Next::Failed, Next::Event),
            () = sleep_until(self.next_bookmark), if self.bookmarks => Next::Bookmark,
            () = self.end.as_mut() => Next::End,
            () = told(&mut self.stopping) => Next::End,
        }
    }

    fn take(&mut self, event: &Arc<Event>, piece: &mut Piece) {
        let Some(seen) = Seen::new(event, |entry| self.selection.takes(entry)) else { return };
        self.told = event.revision;
        let line = if self.ask.is_plain() {
            render::line(event, seen)
        } else {
            self.shaped(seen.word(), &render::shown(event, seen))
        };
        piece.add(line);
    }

    fn bookmark(&mut self, piece: &mut Piece) {
        self.next_bookmark = Instant::now() + BOOKMARKS;
        let revision = self.watch.progress();
        if revision > self.told {
            self.told = revision;
            let mark = self.mark(revision, false);
            piece.add(mark);
        }
    }

    fn mark(&mut self, revision: u64, initial_end: bool) -> Bytes {
        let plain = render::bookmark_object(&self.ask.kind, revision, initial_end);
        if self.ask.is_plain() {
            return render::event_line("BOOKMARK", &plain);
        }
        self.shaped("BOOKMARK", plain.to_string().as_bytes())
    }

    fn shaped(&mut self, word: &str, object: &[u8]) -> Bytes {
        let ask = Arc::clone(&self.ask);
        let include = crate::shape::Include::new(ask.query.text("includeObject"));
        let shaper = Shaper {
            kind: &ask.kind,
            form: ask.form,
            include: include.unwrap_or(crate::shape::Include::Metadata),
            now: self.server.environment.now().seconds,
        };
        let object = shaper.in_event(object, self.first);
        self.first = false;
        match object {
            Ok(object) => render::event_line(word, &object),
            Err(refusal) => error(&refusal),
        }
    }
}

/// The line of an error, after which a watch ends.
fn error(refusal: &Refusal) -> Bytes {
    let status: berth_cluster_json::Value =
        serde_json::from_str(&refusal.to_json()).unwrap_or_default();
    format!("{}\n", json!({ "type": "ERROR", "object": status })).into()
}
