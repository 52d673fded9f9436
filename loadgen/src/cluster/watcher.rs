// SPDX-License-Identifier: Apache-2.0
//! The watch of the load generator's own: all pods, over TLS, into the books.

use super::books::{Books, Seen};
use crate::api::wire::{Ask, Door, Protocol, Wire};
use crate::error::Error;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use indicatif::ProgressBar;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const PODS: &str = "/api/v1/pods";
/// How often the books are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long nothing may happen before a wait is given up.
const STALL: Duration = Duration::from_mins(2);

/// A watch that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    books: Arc<Mutex<Books>>,
    ended: Arc<Mutex<Option<String>>>,
    /// What times are counted from.
    pub began: Instant,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Watches all pods from now on.
    pub async fn open(door: &Door) -> Result<Self, Error> {
        let mut wire = door.open(Protocol::One).await?;
        let list = parsed(&wire.send(&Ask::list(format!("{PODS}?limit=1"))).await?)?;
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        // An hour is longer than any row takes: the server would end it sooner by itself.
        let path = format!("{PODS}?watch=true&timeoutSeconds=3600&resourceVersion={revision}");
        let body = wire.open(&Ask::get(path)).await?.into_body();
        let (books, ended) = (Arc::default(), Arc::default());
        let began = Instant::now();
        let follower =
            Follower { books: Arc::clone(&books), ended: Arc::clone(&ended), began, _open: wire };
        let task = tokio::spawn(follower.follow(body));
        Ok(Self { books, ended, began, task })
    }

    /// The books.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the books say `want` of `value`, with its progress on the bar. Gives up when nothing changes for a while.
    pub async fn reaches(
        &self,
        what: &str,
        want: u64,
        bar: &ProgressBar,
        value: impl Fn(&Books) -> u64,
    ) -> Result<(), Error> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let now = value(&self.books());
            bar.set_position(now);
            if now >= want {
                return Ok(());
            }
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(why) = ended {
                return Err(Error::Api(format!("the watch of pods ended: {why}")));
            }
            if now != last {
                (last, changed) = (now, Instant::now());
            }
            if changed.elapsed() > STALL {
                let stall = STALL.as_secs();
                return Err(Error::Api(format!(
                    "{now} of {want} pods are {what}, and for {stall} s none more; `kubectl describe` one of them with the \
                     same load on a cluster of your own says why"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Follower {
    books: Arc<Mutex<Books>>,
    ended: Arc<Mutex<Option<String>>>,
    began: Instant,
    _open: Wire,
}

impl Follower {
    async fn follow(self, mut body: Incoming) {
        let mut rest: Vec<u8> = Vec::new();
        let why = loop {
            let frame = match body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => break error.to_string(),
                None => break "the server closed it".to_owned(),
            };
            // When the bytes came counts, not when they are read.
            let at = self.began.elapsed();
            let Ok(data) = frame.into_data() else { continue };
            rest.extend_from_slice(&data);
            let mut from = 0;
            let mut wrong = None;
            while let Some(end) = rest[from..].iter().position(|byte| *byte == b'\n') {
                if let Err(why) = self.line(at, &rest[from..from + end]) {
                    wrong.get_or_insert(why);
                }
                from += end + 1;
            }
            rest.drain(..from);
            if let Some(why) = wrong {
                break why;
            }
        };
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    fn line(&self, at: Duration, line: &[u8]) -> Result<(), String> {
        let event: Value =
            serde_json::from_slice(line).map_err(|e| format!("a line is no JSON: {e}"))?;
        let gone = match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => false,
            Some("DELETED") => true,
            Some("BOOKMARK") => return Ok(()),
            _ => return Err(format!("it said {}", event["object"]["message"])),
        };
        let seen = Seen::read(&event["object"], gone);
        self.books.lock().unwrap_or_else(PoisonError::into_inner).event(at, seen);
        Ok(())
    }
}

/// Reads JSON.
pub fn parsed(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Api(format!("an answer is not JSON: {error}")))
}

/// Lists a collection page by page.
pub async fn each(wire: &mut Wire, path: &str, mut item: impl FnMut(&Value)) -> Result<u64, Error> {
    let (mut next, mut count) = (String::new(), 0);
    loop {
        let also = if path.contains('?') { '&' } else { '?' };
        let page = format!("{path}{also}limit=1000{next}");
        let list = parsed(&wire.send(&Ask::list(page)).await?)?;
        for one in list["items"].as_array().into_iter().flatten() {
            count += 1;
            item(one);
        }
        match list["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => next = format!("&continue={}", escaped(token)),
            None => return Ok(count),
        }
    }
}

/// A value as a query has it: tokens may have characters that mean something there.
fn escaped(token: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    token.bytes().map(escape).collect()
}
