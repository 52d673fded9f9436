// SPDX-License-Identifier: Apache-2.0
//! What a container has written, and is writing, across the files that it was kept in.
//!
//! An engine that follows a log has been seen to end it (Docker 20.10, each time) before a line that was written just before the
//! container's end. So once a followed log has ended, it is read again from the last line on, and what is new there is told too.

mod decode;

pub use decode::LogLine;

use crate::engine::Engine;
use crate::error::CallError;
use crate::limits;
use crate::moment::Moment;
use crate::wire::{self, Ask};
use decode::{DecodeError, Decoder};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::{SystemTime, UNIX_EPOCH};

const CALL: &str = "read a container's log";

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Go on until the container ends.
    pub follow: bool,
    /// From then on.
    pub since: Option<Moment>,
    /// Up to then.
    pub until: Option<Moment>,
    /// Only so many at the end.
    pub tail: Option<u64>,
}

/// Lines of a log, in their order.
#[derive(Debug)]
pub struct Logs {
    engine: Engine,
    id: String,
    tty: bool,
    /// What is being read; none at the end.
    reading: Option<Reading>,
    /// What to read afterwards, when that was followed.
    rest: Option<LogOptions>,
    told: Told,
}

#[derive(Debug)]
struct Reading {
    body: Incoming,
    decoder: Decoder,
    ended: bool,
}

/// What was told already.
#[derive(Debug, Default)]
struct Told {
    /// The latest moment of a line.
    last: Option<Moment>,
    /// Lines of that moment.
    same: usize,
    /// Lines of that moment that come once more.
    skip: usize,
}

impl Told {
    /// Whether a line is new.
    fn is_new(&mut self, time: Moment) -> bool {
        if self.skip > 0 && self.last == Some(time) {
            self.skip -= 1;
            return false;
        }
        if self.last < Some(time) {
            (self.last, self.same) = (Some(time), 0);
        }
        self.same += usize::from(self.last == Some(time));
        true
    }
}

impl Engine {
    /// Reads what a container has written. There is no limit of time but for the beginning: whoever follows waits.
    pub async fn logs(&self, id: &str, options: &LogOptions) -> Result<Logs, CallError> {
        let tty = self.inspect(id).await?.tty;
        let rest = options.follow.then(|| LogOptions {
            follow: false,
            tail: None,
            // Whoever wants nothing of what is there wants nothing of it at the end either.
            since: if options.tail == Some(0) { options.since.max(now()) } else { options.since },
            ..*options
        });
        let reading = Some(self.read_log(id, tty, options).await?);
        let (engine, id) = (self.clone(), id.to_owned());
        Ok(Logs { engine, id, tty, reading, rest, told: Told::default() })
    }

    async fn read_log(
        &self,
        id: &str,
        tty: bool,
        options: &LogOptions,
    ) -> Result<Reading, CallError> {
        let moment = |moment: Option<Moment>| moment.map(Moment::query).unwrap_or_default();
        let (since, until) = (moment(options.since), moment(options.until));
        let tail = options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let follow = if options.follow { "1" } else { "0" };
        // Times are always asked for: they divide the records of a terminal.
        let query = wire::query(&[
            ("stdout", "1"),
            ("stderr", "1"),
            ("timestamps", "1"),
            ("follow", follow),
            ("since", &since),
            ("until", &until),
            ("tail", &tail),
        ]);
        let path = format!("/containers/{id}/logs?{query}");
        let ask = Ask { call: CALL, method: "GET", path, ..Ask::default() };
        let answer = self.wire.send(ask, limits::ASK).await?;
        Ok(Reading { body: answer.into_body(), decoder: Decoder::new(tty), ended: false })
    }
}

impl Logs {
    /// The next line; none at the end. It may be dropped half way, and called again.
    pub async fn next(&mut self) -> Result<Option<LogLine>, CallError> {
        loop {
            if let Some(reading) = &mut self.reading {
                match reading.next().await? {
                    Some(line) if self.told.is_new(line.time) => return Ok(Some(line)),
                    Some(_) => {}
                    None => self.reading = None,
                }
                continue;
            }
            let Some(rest) = &self.rest else { return Ok(None) };
            let from = LogOptions { since: self.told.last.or(rest.since), ..rest.clone() };
            match self.engine.read_log(&self.id, self.tty, &from).await {
                Ok(reading) => self.reading = Some(reading),
                // It was removed when it had ended.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            self.rest = None;
            self.told.skip = self.told.same;
        }
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<LogLine>, CallError> {
        loop {
            if let Some(line) = self.decoder.next().map_err(unreadable)? {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            let Some(frame) = self.body.frame().await else {
                self.ended = true;
                return self.decoder.end().map_err(unreadable);
            };
            let frame = frame.map_err(|error| CallError::gone(CALL, &error))?;
            self.decoder.push(&frame.into_data().unwrap_or_default());
        }
    }
}

fn now() -> Option<Moment> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok().map(Moment)
}

fn unreadable(error: DecodeError) -> CallError {
    match error {
        DecodeError::Engine(message) => CallError::Refused { call: CALL, status: 500, message },
        other => CallError::Unreadable { call: CALL, reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_once_more_is_told_once() {
        let mut told = Told::default();
        let mut news = |times: &[i64]| -> Vec<i64> {
            told.skip = told.same;
            times.iter().copied().filter(|time| told.is_new(Moment(*time))).collect()
        };
        assert_eq!(news(&[1, 2, 2, 5, 5]), [1, 2, 2, 5, 5]);
        assert_eq!(news(&[5, 5, 5, 6]), [5, 6], "the third of that moment is new");
        assert_eq!(news(&[6]), Vec::<i64>::new());
        assert_eq!(news(&[6, 4]), [4], "two pipes have no common order");
        assert_eq!(news(&[6, 7]), [7]);
    }
}
