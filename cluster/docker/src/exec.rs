// SPDX-License-Identifier: Apache-2.0
//! Commands in a running container, and what is attached to the container itself.

mod end;
mod tree;

pub(crate) use tree::is_in;

use crate::engine::{Engine, is_id, limited};
use crate::error::CallError;
use crate::limits;
use crate::session::{self, Input, Output};
use crate::wire::{self, Ask};
use bollard::models::{ExecConfig, ExecInspectResponse};
use bollard::query_parameters::{ResizeContainerTTYOptionsBuilder, ResizeExecOptionsBuilder};
use bytes::Bytes;
use serde_json::json;
use std::time::{Duration, Instant};

/// What a terminal's input has to hold for the engine to detach from it, for there is no way to say that it never should. By default it
/// is two keys of which shells use the first, and which the engine keeps back until the next one: nobody types these eight.
const DETACH: &str = "ctrl-@,ctrl-_,ctrl-^,ctrl-@,ctrl-],ctrl-_,ctrl-@,ctrl-^";

/// What to run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecSpec {
    /// The program with its arguments; no shell takes part.
    pub command: Vec<String>,
    /// `NAME=value`, beside the container's.
    pub env: Vec<String>,
    /// As whom; empty for the container's user.
    pub user: String,
    /// Where; empty for the container's folder.
    pub working_dir: String,
    /// Which of its streams there are.
    pub streams: Streams,
}

/// Which streams of a program are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams {
    /// Standard input. Without it the program finds its end at once.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error. A terminal has it within standard output.
    pub stderr: bool,
    /// Whether it has a terminal.
    pub tty: bool,
}

/// A command that was started.
#[derive(Debug)]
pub struct Exec {
    /// The engine's id of it.
    pub id: String,
    /// What goes in. Where no standard input was asked for, nothing is read of it.
    pub input: Input,
    /// What comes out. Its end does not mean that the program has ended; see [`Engine::exec_exit`].
    pub output: Output,
}

/// How a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecState {
    /// Whether it runs.
    pub running: bool,
    /// What it ended with; 126 or 127 if it could not be started.
    pub exit_code: Option<i32>,
    /// Its process, as the engine's host numbers them; 0 if there is none yet.
    pub pid: i32,
}

impl Engine {
    /// Starts a command in a container that runs. If it cannot be executed, the engine says why in its output, and it ends with 126 or 127.
    ///
    /// Nothing ends it but itself and [`Engine::kill_exec`]: not the end of its connection either.
    pub async fn exec(&self, container: &str, spec: &ExecSpec) -> Result<Exec, CallError> {
        let id = self.create_exec(container, spec).await?;
        let (input, output) = self.start_exec(&id, spec.streams.tty).await?;
        Ok(Exec { id, input, output })
    }

    /// Makes a command ready, and gives its id. It does not run before [`Engine::start_exec`].
    pub async fn create_exec(&self, container: &str, spec: &ExecSpec) -> Result<String, CallError> {
        const CALL: &str = "create exec";
        self.check_owned(CALL, container).await?;
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let config = ExecConfig {
            attach_stdin: Some(spec.streams.stdin),
            attach_stdout: Some(spec.streams.stdout),
            attach_stderr: Some(spec.streams.stderr && !spec.streams.tty),
            tty: Some(spec.streams.tty),
            detach_keys: Some(DETACH.to_owned()),
            cmd: Some(spec.command.clone()),
            env: Some(spec.env.clone()),
            user: text(&spec.user),
            working_dir: text(&spec.working_dir),
            ..ExecConfig::default()
        };
        let created = self.docker.create_exec(container, config);
        Ok(limited(CALL, limits::ASK, created).await?.id)
    }

    /// Starts what [`Engine::create_exec`] made. Not twice: if the answer is lost, kill it and make another.
    pub async fn start_exec(&self, id: &str, tty: bool) -> Result<(Input, Output), CallError> {
        const CALL: &str = "start exec";
        check_exec_id(CALL, id)?;
        let body = Bytes::from(json!({"Detach": false, "Tty": tty}).to_string());
        let path = format!("/exec/{id}/start");
        let ask = Ask { call: CALL, method: "POST", path, body, ..Ask::default() };
        let upgraded = self.wire.upgrade(ask, limits::START).await?;
        Ok(session::open(CALL, upgraded, tty))
    }

    /// How a command is.
    pub async fn exec_state(&self, id: &str) -> Result<ExecState, CallError> {
        self.inspect_exec("inspect exec", id).await.map(|found| exec_state(&found))
    }

    /// Waits until a command has ended, and gives what it ended with. To be called once its output has ended, for it asks again and again.
    pub async fn exec_exit(&self, id: &str, limit: Duration) -> Result<i32, CallError> {
        let end = Instant::now() + limit;
        loop {
            let state = self.exec_state(id).await?;
            if let (false, Some(code)) = (state.running, state.exit_code) {
                return Ok(code);
            }
            if Instant::now() > end {
                return Err(CallError::TimedOut { call: "wait for an exec's end", limit });
            }
            tokio::time::sleep(limits::LOOK).await;
        }
    }

    /// Tells a command's terminal its size.
    pub async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> Result<(), CallError> {
        const CALL: &str = "resize exec";
        self.inspect_exec(CALL, id).await?;
        let options = ResizeExecOptionsBuilder::new().h(rows.into()).w(columns.into()).build();
        limited(CALL, limits::ASK, self.docker.resize_exec(id, options)).await
    }

    /// Attaches to a container's own streams. Output from before is in its log.
    pub async fn attach(
        &self,
        container: &str,
        streams: Streams,
    ) -> Result<(Input, Output), CallError> {
        const CALL: &str = "attach to a container";
        let seen = self.inspect(container).await?;
        let said = |yes: bool| if yes { "1" } else { "0" };
        let query = wire::query(&[
            ("stream", "1"),
            ("stdin", said(streams.stdin)),
            ("stdout", said(streams.stdout)),
            ("stderr", said(streams.stderr)),
            ("detachKeys", DETACH),
        ]);
        let path = format!("/containers/{container}/attach?{query}");
        let ask = Ask { call: CALL, method: "POST", path, ..Ask::default() };
        let upgraded = self.wire.upgrade(ask, limits::START).await?;
        Ok(session::open(CALL, upgraded, seen.tty))
    }

    /// Tells a container's terminal its size.
    pub async fn resize(&self, container: &str, rows: u16, columns: u16) -> Result<(), CallError> {
        const CALL: &str = "resize container";
        self.check_owned(CALL, container).await?;
        let options =
            ResizeContainerTTYOptionsBuilder::new().h(rows.into()).w(columns.into()).build();
        limited(CALL, limits::ASK, self.docker.resize_container_tty(container, options)).await
    }

    /// What the engine tells of a command in one of this agent's containers.
    async fn inspect_exec(
        &self,
        call: &'static str,
        id: &str,
    ) -> Result<ExecInspectResponse, CallError> {
        check_exec_id(call, id)?;
        let found = limited(call, limits::ASK, self.docker.inspect_exec(id)).await?;
        self.check_owned(call, found.container_id.as_deref().unwrap_or_default()).await?;
        Ok(found)
    }
}

fn check_exec_id(call: &'static str, id: &str) -> Result<(), CallError> {
    let message = format!("{id:?} is no id of an exec");
    is_id(id).then_some(()).ok_or(CallError::Refused { call, status: 400, message })
}

fn exec_state(found: &ExecInspectResponse) -> ExecState {
    let small = |number: Option<i64>| number.and_then(|n| i32::try_from(n).ok());
    ExecState {
        running: found.running.unwrap_or(false),
        exit_code: small(found.exit_code),
        pid: small(found.pid).unwrap_or(0),
    }
}
