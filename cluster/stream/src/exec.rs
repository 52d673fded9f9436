// SPDX-License-Identifier: Apache-2.0
//! Exec and attach: the standard streams of a process.

use crate::error::{Gone, SetupError};
use crate::limits::Times;
use crate::link::{Input, Opened, Output, Shared};
use crate::negotiate::{Agreed, Offer, Refused, negotiate};
use crate::resize::Resizes;
use crate::session::{Pending, Session};
use crate::spdy::Fields;
use crate::status::Outcome;
use crate::websocket;
use crate::wire::{Channels, Coding, Multiplex, Wire};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::timeout;

const OFFER: Offer = Offer {
    websocket: &[
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
        "base64.channel.k8s.io",
        "",
    ],
    spdy: &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"],
};

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const ERROR: u32 = 3;
const RESIZE: u32 = 4;

/// Which streams a process is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// What it reads.
    pub stdin: bool,
    /// What it writes.
    pub stdout: bool,
    /// What it complains.
    pub stderr: bool,
    /// It has a terminal, through which all of these go.
    pub tty: bool,
}

impl Streams {
    /// Reads the query of a kubelet's path: `input`, `output`, `error` and `tty`, each `1` to be on.
    pub fn parse(query: &str) -> Result<Self, Refused> {
        let on = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(have, _)| *have == name).is_some_and(|(_, value)| value == "1")
        };
        let tty = on("tty");
        // A terminal has no second output; upstream passes over the wish.
        let streams =
            Self { stdin: on("input"), stdout: on("output"), stderr: on("error") && !tty, tty };
        if !(streams.stdin || streams.stdout || streams.stderr) {
            return Err(Refused::bad_request(
                "you must specify at least 1 of stdin, stdout, stderr",
            ));
        }
        Ok(streams)
    }
}

/// Exec or attach, agreed upon. The session begins when the answer was sent.
#[derive(Debug)]
pub struct ExecUpgrade {
    pending: Pending,
    agreed: Agreed,
    streams: Streams,
}

/// The streams of a process, open.
#[derive(Debug)]
pub struct Exec {
    /// What the client sends to the process, if it may.
    pub stdin: Option<Input>,
    /// Where the process' output goes.
    pub stdout: Option<Output>,
    /// Where its complaints go.
    pub stderr: Option<Output>,
    /// The sizes of the client's terminal. To be read or dropped, as each input.
    pub resizes: Option<Resizes>,
    /// The connection.
    pub control: ExecControl,
}

/// The connection of an exec or attach. Dropped before it is finished, it cuts the connection.
#[derive(Debug)]
pub struct ExecControl {
    session: Session,
    error: u32,
    structured: bool,
    /// Kept open until the end: the error stream for the last words, and standard input because kubectl stops sending once the server
    /// has ended its own direction of it.
    _kept: Vec<Output>,
}

/// Agrees on a protocol for the standard streams of a process; gives the answer to be sent.
pub fn exec<B>(
    request: &mut Request<B>,
    streams: Streams,
    times: Times,
) -> Result<(Response<Full<Bytes>>, ExecUpgrade), Refused> {
    let (agreed, response) = negotiate(request, OFFER)?;
    let pending = Pending::new(request, times);
    Ok((response, ExecUpgrade { pending, agreed, streams }))
}

impl ExecUpgrade {
    /// Waits until the connection is upgraded and the client has opened its streams.
    pub async fn session(self) -> Result<Exec, SetupError> {
        match self.agreed {
            Agreed::WebSocket(protocol) => websocket(self.pending, protocol, self.streams).await,
            Agreed::Spdy(protocol) => spdy(self.pending, protocol, self.streams).await,
        }
    }
}

impl ExecControl {
    /// Waits until the client is gone.
    pub async fn gone(&self) -> Gone {
        self.session.gone().await
    }

    /// Ends the session: what was written before goes first, then the outcome. Waits until the client has it all or is gone.
    pub async fn finish(self, outcome: Outcome) -> Gone {
        let words = outcome.words(self.structured).map(|words| (self.error, words));
        self.session.finish(websocket::NORMAL, words).await
    }
}

async fn websocket(pending: Pending, protocol: &str, streams: Streams) -> Result<Exec, SetupError> {
    let coding = match protocol {
        "v5.channel.k8s.io" => Coding::Closing,
        base64 if base64.contains("base64") => Coding::Base64,
        _ => Coding::Binary,
    };
    let wire = Wire::Channels(Channels::new(coding, vec![0, 4]));
    let (session, _, opened) =
        pending.open_with(wire, |shared| numbered(shared, coding, streams)).await?;
    let Numbered { stdin, stdout, stderr, resizes, kept } = opened;
    let structured = protocol.starts_with('v');
    let control = ExecControl { session, error: ERROR, structured, _kept: kept };
    Ok(Exec { stdin, stdout, stderr, resizes, control })
}

/// The streams whose numbers everybody knows.
struct Numbered {
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    resizes: Option<Resizes>,
    kept: Vec<Output>,
}

fn numbered(shared: &Arc<Shared>, coding: Coding, streams: Streams) -> Numbered {
    let open = |wanted: bool, stream| wanted.then(|| shared.open(stream));
    let mut kept = vec![shared.open(ERROR).1];
    let mut input = |(input, output)| {
        kept.push(output);
        input
    };
    let stdin = open(streams.stdin, STDIN).map(&mut input);
    let resizes = open(streams.tty, RESIZE).map(&mut input).map(Resizes::new);
    let stdout = open(streams.stdout, STDOUT).map(|(_, output)| output);
    let stderr = open(streams.stderr && !streams.tty, STDERR).map(|(_, output)| output);
    if coding != Coding::Closing {
        let first = if stdout.is_some() {
            STDOUT
        } else if stderr.is_some() {
            STDERR
        } else {
            ERROR
        };
        shared.lock().hello(first);
    }
    Numbered { stdin, stdout, stderr, resizes, kept }
}

async fn spdy(pending: Pending, protocol: &str, streams: Streams) -> Result<Exec, SetupError> {
    let times = pending.times;
    let (session, mut opens) = pending.open(Wire::Spdy(Multiplex::new(is_standard))).await?;
    let resizable = matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let mut wanted = vec!["error"];
    wanted.extend(streams.stdin.then_some("stdin"));
    wanted.extend(streams.stdout.then_some("stdout"));
    wanted.extend((streams.stderr && !streams.tty).then_some("stderr"));
    wanted.extend((streams.tty && resizable).then_some("resize"));
    let collect = collect(&session, &mut opens, &wanted);
    let found = timeout(times.creation, collect).await.map_err(|_| SetupError::Creation)??;
    let (mut kept, mut error) = (Vec::new(), ERROR);
    let mut exec = (None, None, None, None);
    for (name, Opened { stream, input, output, .. }) in found {
        match name {
            "stdout" => exec.1 = Some(output),
            "stderr" => exec.2 = Some(output),
            name => {
                kept.push(output);
                match name {
                    "stdin" => exec.0 = Some(input),
                    "resize" => exec.3 = Some(Resizes::new(input)),
                    _ => error = stream,
                }
            }
        }
    }
    let (stdin, stdout, stderr, resizes) = exec;
    let structured = protocol == "v4.channel.k8s.io";
    let control = ExecControl { session, error, structured, _kept: kept };
    Ok(Exec { stdin, stdout, stderr, resizes, control })
}

/// Waits for these streams. Others that have a meaning are taken and closed.
async fn collect<'a>(
    session: &Session,
    opens: &mut mpsc::Receiver<Opened>,
    wanted: &[&'a str],
) -> Result<Vec<(&'a str, Opened)>, SetupError> {
    let mut found: Vec<(&str, Opened)> = Vec::new();
    while found.len() < wanted.len() {
        let opened = tokio::select! {
            biased;
            opened = opens.recv() => opened,
            gone = session.gone() => return Err(SetupError::Gone(gone)),
        };
        let opened = opened.ok_or(SetupError::Creation)?;
        let kind = kind(&opened.fields);
        let name = wanted.iter().find(|name| **name == kind);
        match name.filter(|name| found.iter().all(|(have, _)| have != *name)) {
            Some(name) => found.push((name, opened)),
            None => session.shared.reset(opened.stream),
        }
    }
    Ok(found)
}

fn kind(fields: &Fields) -> &str {
    let field = fields.iter().find(|(name, _)| name == "streamtype");
    field.map(|(_, value)| value.as_str()).unwrap_or_default()
}

fn is_standard(fields: &Fields) -> bool {
    ["error", "stdin", "stdout", "stderr", "resize"].contains(&kind(fields))
}
