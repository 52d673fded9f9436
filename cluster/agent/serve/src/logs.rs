// SPDX-License-Identifier: Apache-2.0
//! The log of a container: its options, and its lines as they are sent.

use crate::answer::{Answer, Refused, typed};
use crate::limits::PIECE;
use crate::pods::Pod;
use crate::route::Target;
use crate::server::{Inner, told};
use berth_cluster_docker::{LogLine, LogOptions, Logs, Moment, Stream};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::StatusCode;
use http::header::HeaderValue;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, watch};

const SECOND: i64 = 1_000_000_000;

/// What of a log is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    options: LogOptions,
    previous: bool,
    timestamps: bool,
    limit: Option<u64>,
    only: Option<Stream>,
}

/// Answers with a log.
pub(crate) async fn serve(
    inner: &Arc<Inner>,
    pod: &Pod,
    target: &Target,
    query: &str,
) -> Result<Answer, Refused> {
    let name = &target.container;
    if pod.container(name).is_none() {
        let words = format!("container {name:?} not found in pod {:?}", pod.name);
        return Err(Refused::new(StatusCode::NOT_FOUND, words));
    }
    let wanted = read(query, now())?;
    let bad = |words: String| Refused::new(StatusCode::BAD_REQUEST, words);
    let id = pod.log(name, wanted.previous).map_err(bad)?;
    let busy = |_| Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many logs are read");
    let place = Arc::clone(&inner.logs).try_acquire_owned().map_err(busy)?;
    let logs = inner.engine.logs(id, &wanted.options).await.map_err(|error| {
        if error.is_not_found() {
            // Between the agent's word and the engine's it was removed.
            return bad(format!("unable to retrieve container logs for docker://{id}"));
        }
        bad(error.to_string())
    })?;
    let sending =
        Sending { logs, text: Text::new(&wanted), stopping: inner.stopping.clone(), _place: place };
    let pieces = futures_util::stream::unfold(Some(sending), |sending| async move {
        let mut sending = sending?;
        let piece = sending.next().await?;
        let next = piece.is_ok().then_some(sending);
        Some((piece.map(Frame::data), next))
    });
    let body = StreamBody::new(pieces).boxed_unsync();
    Ok(typed(StatusCode::OK, HeaderValue::from_static("text/plain"), body))
}

/// A log that is being sent.
struct Sending {
    logs: Logs,
    text: Text,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Sending {
    /// What is there, up to a piece; waits for the first line.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.text.is_over() {
                return None;
            }
            let line = tokio::select! {
                biased;
                line = self.logs.next() => line,
                () = told(&mut self.stopping) => return None,
            };
            match line {
                Ok(Some(line)) => self.text.put(&line),
                Ok(None) => return None,
                Err(error) => return Some(Err(io::Error::other(error))),
            }
            while self.text.buffer.len() < PIECE {
                match self.logs.next().now_or_never() {
                    Some(Ok(Some(line))) => self.text.put(&line),
                    // An end or an error is met again.
                    _ => break,
                }
            }
            if !self.text.buffer.is_empty() {
                return Some(Ok(self.text.buffer.split().freeze()));
            }
        }
    }
}

/// Lines as they are sent.
#[derive(Debug)]
struct Text {
    timestamps: bool,
    only: Option<Stream>,
    left: Option<u64>,
    /// Whether a line of standard output, or of standard error, has begun and goes on.
    begun: [bool; 2],
    buffer: BytesMut,
}

impl Text {
    fn new(wanted: &Wanted) -> Self {
        let Wanted { timestamps, limit, only, .. } = *wanted;
        Self { timestamps, only, left: limit, begun: [false; 2], buffer: BytesMut::new() }
    }

    fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    fn put(&mut self, line: &LogLine) {
        if self.only.is_some_and(|only| only != line.stream) {
            return;
        }
        let begun = &mut self.begun[usize::from(line.stream == Stream::Stderr)];
        let before = self.buffer.len();
        if self.timestamps && !*begun {
            // Writing into a buffer in memory does not fail.
            let _ = write!((&mut self.buffer).writer(), "{} ", line.time);
        }
        *begun = !line.whole;
        self.buffer.extend_from_slice(&line.bytes);
        if line.whole {
            self.buffer.put_u8(b'\n');
        }
        let Some(left) = &mut self.left else { return };
        let room = usize::try_from(*left).unwrap_or(usize::MAX);
        self.buffer.truncate(before.saturating_add(room));
        *left -= (self.buffer.len() - before) as u64;
    }
}

/// Reads the options of a log, at a moment.
fn read(query: &str, now: Moment) -> Result<Wanted, Refused> {
    let invalid =
        || Refused::new(StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#);
    let undecodable =
        || Refused::new(StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
    let number = |text: &str| text.parse::<i64>().map_err(|_| undecodable());
    let mut wanted = Wanted::default();
    let (mut seconds, mut time) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.is_empty() {
            continue;
        }
        match &*name {
            "follow" => wanted.options.follow = switch(&value),
            "previous" => wanted.previous = switch(&value),
            "timestamps" => wanted.timestamps = switch(&value),
            "tailLines" if value == "all" => wanted.options.tail = None,
            "tailLines" => {
                let lines = u64::try_from(number(&value)?).map_err(|_| invalid())?;
                wanted.options.tail = Some(lines);
            }
            "limitBytes" => {
                let bytes = u64::try_from(number(&value)?).ok().filter(|bytes| *bytes > 0);
                wanted.limit = Some(bytes.ok_or_else(invalid)?);
            }
            "sinceSeconds" => seconds = Some(number(&value)?),
            "sinceTime" => time = Some(Moment::parse(&value).ok_or_else(undecodable)?),
            "stream" => {
                wanted.only = match &*value {
                    "All" => None,
                    "Stdout" => Some(Stream::Stdout),
                    "Stderr" => Some(Stream::Stderr),
                    _ => return Err(invalid()),
                }
            }
            _ => {}
        }
    }
    wanted.options.since = match (seconds, time) {
        (Some(_), Some(_)) => return Err(invalid()),
        (Some(seconds), None) if seconds < 1 => return Err(invalid()),
        (Some(seconds), None) => {
            let before = seconds.saturating_mul(SECOND);
            // Before 1970 nothing was written, and the engine takes no such moment.
            Some(Moment(now.0.saturating_sub(before).max(0)))
        }
        (None, time) => time.map(|time| Moment(time.0.max(0))),
    };
    if wanted.only.is_some() && wanted.options.tail.is_some() {
        return Err(invalid());
    }
    Ok(wanted)
}

/// As upstream reads switches: everything but these two is on.
fn switch(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_upstream_does() {
        let now = Moment(100 * SECOND);
        assert_eq!(read("", now).unwrap(), Wanted::default());
        let all =
            "follow=true&previous=1&timestamps=true&tailLines=7&limitBytes=9&sinceSeconds=40&x=y";
        let wanted = read(all, now).unwrap();
        assert_eq!((wanted.previous, wanted.timestamps, wanted.limit), (true, true, Some(9)));
        let since = Some(Moment(60 * SECOND));
        let options = LogOptions { follow: true, since, tail: Some(7), until: None };
        assert_eq!(wanted.options, options);
        let since = |query: &str| read(query, now).unwrap().options.since;
        assert_eq!(since("sinceTime=1970-01-01T00:00:05Z"), Some(Moment(5 * SECOND)));
        assert_eq!(since("sinceTime=1960-01-01T00:00:05Z"), Some(Moment(0)));
        assert_eq!(since("sinceSeconds=9223372036854775807"), Some(Moment(0)));
        assert_eq!(read("tailLines=0", now).unwrap().options.tail, Some(0));
        assert_eq!(read("stream=Stderr", now).unwrap().only, Some(Stream::Stderr));
        assert_eq!(read("follow=false&tailLines=", now).unwrap(), Wanted::default());
        for (query, status) in [
            ("tailLines=-1", 422),
            ("tailLines=x", 400),
            ("tailLines=99999999999999999999", 400),
            ("limitBytes=0", 422),
            ("limitBytes=-5", 422),
            ("sinceSeconds=0", 422),
            ("sinceSeconds=1&sinceTime=1970-01-01T00:00:05Z", 422),
            ("sinceTime=yesterday", 400),
            ("stream=Both", 422),
            ("stream=Stdout&tailLines=1", 422),
        ] {
            assert_eq!(read(query, now).unwrap_err().status.as_u16(), status, "{query}");
        }
    }

    #[test]
    fn lines_are_written_once_with_their_time_and_cut_at_the_limit() {
        let line = |stream, text: &'static str, whole| LogLine {
            stream,
            time: Moment(SECOND),
            bytes: Bytes::from_static(text.as_bytes()),
            whole,
        };
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let lines = [
            line(out, "a", false),
            line(err, "e", true),
            line(out, "b", true),
            line(out, "", true),
            line(out, "last", false),
        ];
        let said = |wanted: Wanted| {
            let mut text = Text::new(&wanted);
            for line in &lines {
                text.put(line);
            }
            (String::from_utf8(text.buffer.to_vec()).unwrap(), text.is_over())
        };
        assert_eq!(said(Wanted::default()), ("ae\nb\n\nlast".to_owned(), false));
        let time = "1970-01-01T00:00:01.000000000Z";
        let timed = format!("{time} a{time} e\nb\n{time} \n{time} last");
        assert_eq!(said(Wanted { timestamps: true, ..Wanted::default() }).0, timed);
        assert_eq!(said(Wanted { only: Some(err), ..Wanted::default() }).0, "e\n");
        assert_eq!(
            said(Wanted { limit: Some(4), ..Wanted::default() }),
            ("ae\nb".to_owned(), true)
        );
        assert_eq!(said(Wanted { limit: Some(90), ..Wanted::default() }).0, "ae\nb\n\nlast");
    }
}
