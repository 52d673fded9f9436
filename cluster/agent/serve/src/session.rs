// SPDX-License-Identifier: Apache-2.0
//! Exec and attach. A command whose client is gone is ended with all that it has started: the engine would let it run for ever.

use crate::answer::{Answer, Refused};
use crate::pods::{Pod, Run};
use crate::pump::{Client, pass};
use crate::route::Target;
use crate::server::{Inner, Place, refused, told};
use berth_cluster_docker::{CallError, Engine, ExecSpec, Streams};
use berth_cluster_stream as stream;
use berth_cluster_stream::{Exec, ExecControl, ExecUpgrade, Outcome, Resizes, Size};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// What a command ends with whose container ended under it: as if by SIGKILL.
const KILLED: i32 = 137;
/// How often the engine is asked whether a command that has closed its output has ended: at first, and at last.
const ASK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// How often a size is told that the engine does not take: a command that has just been started may have no terminal yet.
const TRIES: u32 = 10;

/// A session that was agreed upon.
struct Session {
    engine: Engine,
    upgrade: ExecUpgrade,
    streams: Streams,
    stopping: watch::Receiver<bool>,
    _place: Place,
}

/// Runs a command.
pub(crate) fn exec(
    inner: &Arc<Inner>,
    request: &mut Request<Incoming>,
    pod: &Pod,
    target: &Target,
) -> Result<Answer, Refused> {
    let query = request.uri().query().unwrap_or_default();
    let words = form_urlencoded::parse(query.as_bytes());
    let words = words.filter(|(name, _)| name == "command").map(|(_, word)| word.into_owned());
    let command: Vec<String> = words.collect();
    if command.first().is_none_or(String::is_empty) {
        let words = "you must specify at least one command for the container";
        return Err(Refused::new(StatusCode::BAD_REQUEST, words));
    }
    let run = running(pod, target)?;
    let (answer, session) = begin(inner, request)?;
    tokio::spawn(Box::pin(session.exec(run.id, command)));
    Ok(answer)
}

/// Attaches to a container's own streams.
pub(crate) fn attach(
    inner: &Arc<Inner>,
    request: &mut Request<Incoming>,
    pod: &Pod,
    target: &Target,
) -> Result<Answer, Refused> {
    let run = running(pod, target)?;
    let (answer, session) = begin(inner, request)?;
    tokio::spawn(Box::pin(session.attach(run)));
    Ok(answer)
}

fn running(pod: &Pod, target: &Target) -> Result<Run, Refused> {
    let name = &target.container;
    pod.running(name).cloned().ok_or_else(|| {
        // Upstream's sentence and status; kubectl shows it as "unable to upgrade connection: ...".
        let words = format!("container not found ({name:?})");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, words)
    })
}

fn begin(
    inner: &Arc<Inner>,
    request: &mut Request<Incoming>,
) -> Result<(Answer, Session), Refused> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let wanted = stream::Streams::parse(&query).map_err(refused)?;
    let place = inner.place()?;
    let (answer, upgrade) = stream::exec(request, wanted, inner.times).map_err(refused)?;
    let stream::Streams { stdin, stdout, stderr, tty } = wanted;
    let session = Session {
        engine: inner.engine.clone(),
        upgrade,
        streams: Streams { stdin, stdout, stderr, tty },
        stopping: inner.stopping.clone(),
        _place: place,
    };
    Ok((answer.map(crate::answer::full), session))
}

impl Session {
    async fn exec(self, container: String, command: Vec<String>) {
        let Self { engine, upgrade, streams, mut stopping, _place } = self;
        let Some((client, resizes, control)) = open(upgrade).await else { return };
        let spec = ExecSpec { command, streams, ..ExecSpec::default() };
        // Not given up half way, whoever is gone: what was started has to be known to be ended.
        let id = match engine.create_exec(&container, &spec).await {
            Ok(id) => id,
            Err(error) => return fail(control, "executing command in", &error).await,
        };
        let io = match engine.start_exec(&id, streams.tty).await {
            Ok(io) => io,
            Err(error) => {
                kill(&engine, &id).await;
                return fail(control, "executing command in", &error).await;
            }
        };
        let work = async {
            pass(client, io).await?;
            ended(&engine, &id).await
        };
        let terminal = Terminal { engine: &engine, id: &id, is_exec: true };
        let ended = tokio::select! {
            biased;
            ended = work => ended,
            _ = control.gone() => return kill(&engine, &id).await,
            () = told(&mut stopping) => return kill(&engine, &id).await,
            never = terminal.follow(resizes) => match never {},
        };
        match ended {
            Ok(code) => finish(control, code).await,
            Err(error) => {
                kill(&engine, &id).await;
                fail(control, "executing command in", &error).await;
            }
        }
    }

    async fn attach(self, run: Run) {
        let Self { engine, upgrade, streams, mut stopping, _place } = self;
        let Some((client, resizes, control)) = open(upgrade).await else { return };
        // A container without standard input has none to give.
        let streams = Streams { stdin: streams.stdin && run.stdin, ..streams };
        // A terminal's one stream carries what would be the other.
        let streams = Streams { stderr: streams.stderr && !run.tty, ..streams };
        let io = match engine.attach(&run.id, streams).await {
            Ok(io) => io,
            Err(error) => return fail(control, "attaching to", &error).await,
        };
        let terminal = Terminal { engine: &engine, id: &run.id, is_exec: false };
        let ended = tokio::select! {
            biased;
            ended = pass(client, io) => ended,
            // The container goes on.
            _ = control.gone() => return,
            () = told(&mut stopping) => return,
            never = terminal.follow(resizes) => match never {},
        };
        match ended {
            Ok(()) => finish(control, 0).await,
            Err(error) => fail(control, "attaching to", &error).await,
        }
    }
}

async fn open(upgrade: ExecUpgrade) -> Option<(Client, Option<Resizes>, ExecControl)> {
    match upgrade.session().await {
        Ok(Exec { stdin, stdout, stderr, resizes, control }) => {
            Some((Client { stdin, stdout, stderr }, resizes, control))
        }
        Err(error) => {
            tracing::debug!(%error, "no session");
            None
        }
    }
}

async fn finish(control: ExecControl, code: i32) {
    let _gone = control.finish(Outcome::Exit(code)).await;
}

/// Tells the client, in upstream's words, that it did not work.
async fn fail(control: ExecControl, what: &str, error: &CallError) {
    let outcome = Outcome::Failed(format!("error {what} container: {error}"));
    let _gone = control.finish(outcome).await;
}

async fn kill(engine: &Engine, id: &str) {
    if let Err(error) = engine.kill_exec(id).await {
        tracing::warn!(%error, "a command whose client is gone goes on");
    }
}

/// Waits for a command's end.
async fn ended(engine: &Engine, id: &str) -> Result<i32, CallError> {
    let (mut pause, most) = ASK;
    loop {
        match engine.exec_state(id).await {
            Ok(state) => {
                if let (false, Some(code)) = (state.running, state.exit_code) {
                    return Ok(code);
                }
            }
            // Its container ended and was removed.
            Err(error) if error.is_not_found() => return Ok(KILLED),
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}

/// A terminal of the engine's.
struct Terminal<'a> {
    engine: &'a Engine,
    /// Of an exec, or of a container.
    id: &'a str,
    is_exec: bool,
}

impl Terminal<'_> {
    async fn resize(&self, size: Size) -> Result<(), CallError> {
        if self.is_exec {
            self.engine.resize_exec(self.id, size.height, size.width).await
        } else {
            self.engine.resize(self.id, size.height, size.width).await
        }
    }

    /// Tells it the sizes that the client's takes on.
    async fn follow(&self, resizes: Option<Resizes>) -> Infallible {
        if let Some(mut resizes) = resizes {
            while let Some(size) = resizes.next().await {
                for turn in 1..=TRIES {
                    if self.resize(size).await.is_ok() {
                        break;
                    }
                    sleep(turn * Duration::from_millis(10)).await;
                }
            }
        }
        std::future::pending().await
    }
}
