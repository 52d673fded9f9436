// SPDX-License-Identifier: Apache-2.0
//! Watchers: streams of HTTP/2, many to a connection, whose lines are looked at one by one.

pub mod fan_out;
pub mod routing;

use crate::api::subject::Subject;
use crate::api::wire::{Ask, Protocol, Wire};
use crate::error::Error;
use crate::report::count;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Watches on one connection.
pub const TOGETHER: usize = 50;
/// How long events may be on their way before they count as lost.
const PATIENCE: Duration = Duration::from_mins(1);

/// What all watchers of a row tell.
#[derive(Debug, Default)]
pub struct Told {
    /// Events that came.
    pub events: AtomicU64,
    fault: Mutex<Option<String>>,
}

impl Told {
    /// Something is wrong.
    pub fn fault(&self, what: String) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert(what);
    }

    /// An error if something was wrong.
    pub fn check(&self) -> Result<(), Error> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.clone().map_or(Ok(()), |what| Err(Error::Api(what)))
    }

    /// Events so far.
    pub fn count(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Waits until so many events came.
    pub async fn reaches(&self, events: u64) -> Result<(), Error> {
        let began = Instant::now();
        while self.count() < events {
            self.check()?;
            if began.elapsed() > PATIENCE {
                let came = self.count();
                return Err(Error::Api(format!("{came} events came of {events}")));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// What a watcher does with its lines.
pub trait Reader: Send + 'static {
    /// A line, without its end; what is wrong with it.
    fn line(&mut self, line: &[u8]) -> Result<(), String>;
}

/// Watchers that run; they end when this is dropped.
#[derive(Debug)]
pub struct Watchers {
    running: JoinSet<()>,
    /// How long it took to open them, connections included.
    pub opened: Duration,
}

impl Watchers {
    /// Opens a watch for each path, one after the other on each connection, all connections at once.
    pub async fn open<R: Reader>(
        subject: &Subject,
        paths: Vec<String>,
        told: &Arc<Told>,
        reader: impl Fn(usize) -> R,
    ) -> Result<Self, Error> {
        let began = Instant::now();
        let mut opening = JoinSet::new();
        for (at, paths) in paths.chunks(TOGETHER).enumerate() {
            let (door, paths) = (subject.door.clone(), paths.to_vec());
            let readers: Vec<R> = (0..paths.len()).map(|n| reader(at * TOGETHER + n)).collect();
            opening.spawn(async move {
                let first = door.open(Protocol::Two).await?;
                let mut bodies = Vec::with_capacity(paths.len());
                for (path, reader) in paths.into_iter().zip(readers) {
                    let mut wire = first.again().ok_or_else(no_streams)?;
                    let body = wire.open(&Ask::get(path)).await?.into_body();
                    bodies.push((body, reader, wire));
                }
                Ok::<_, Error>(bodies)
            });
        }
        let mut running = JoinSet::new();
        while let Some(opened) = opening.join_next().await {
            let opened = opened.map_err(|error| Error::Api(format!("a watcher: {error}")))?;
            for (body, reader, wire) in opened? {
                running.spawn(follow(body, reader, Arc::clone(told), wire));
            }
        }
        Ok(Self { running, opened: began.elapsed() })
    }

    /// Watches opened a second.
    pub fn opened_per_second(&self) -> f64 {
        count(self.running.len() as u64) / self.opened.as_secs_f64()
    }
}

fn no_streams() -> Error {
    Error::Api("the connection has no streams".to_owned())
}

/// Reads a watch until it ends, which it should not.
async fn follow(mut body: Incoming, mut reader: impl Reader, told: Arc<Told>, _open: Wire) {
    let mut rest: Vec<u8> = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let mut data = &data[..];
        let mut lines = 0;
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            let read = if rest.is_empty() {
                reader.line(&data[..end])
            } else {
                rest.extend_from_slice(&data[..end]);
                let read = reader.line(&rest);
                rest.clear();
                read
            };
            if let Err(what) = read {
                return told.fault(what);
            }
            lines += 1;
            data = &data[end + 1..];
        }
        rest.extend_from_slice(data);
        told.events.fetch_add(lines, Ordering::Relaxed);
    }
    told.fault("a watch ended before its time".to_owned());
}

/// The revision of a collection as it is now, to watch from there on.
async fn revision(wire: &mut Wire, path: &str) -> Result<String, Error> {
    let answer = wire.send(&Ask::list(format!("{path}?limit=1"))).await?;
    let list: serde_json::Value = serde_json::from_slice(&answer)
        .map_err(|error| Error::Api(format!("a list is not JSON: {error}")))?;
    let revision = list["metadata"]["resourceVersion"].as_str();
    revision
        .map(str::to_owned)
        .ok_or_else(|| Error::Api("a list has no resourceVersion".to_owned()))
}

/// A mark in lines that are alike: it is first looked for where it was last.
#[derive(Debug)]
struct Mark {
    text: Vec<u8>,
    last: usize,
}

impl Mark {
    fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), last: 0 }
    }

    /// What stands behind it.
    fn behind<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        if !line.get(self.last..).is_some_and(|rest| rest.starts_with(&self.text)) {
            self.last = line.windows(self.text.len()).position(|part| part == self.text)?;
        }
        line.get(self.last + self.text.len()..)
    }

    /// The number behind it.
    fn number(&mut self, line: &[u8]) -> Option<usize> {
        let digits = self.behind(line)?.split(|byte| !byte.is_ascii_digit()).next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_wherever_they_are() {
        let mut mark = Mark::new("\"n\":\"");
        assert_eq!(mark.number(b"{\"n\":\"0012\"}"), Some(12));
        assert_eq!(mark.number(b"{\"n\":\"0013\"}"), Some(13));
        assert_eq!(mark.number(b"{\"m\":1,\"n\":\"14\"}"), Some(14));
        assert_eq!(mark.number(b"{\"n\":\"1\"}"), Some(1));
        assert_eq!(mark.number(b"{}"), None);
        assert_eq!(mark.number(b"{\"n\":\"x\"}"), None);
    }
}
