// SPDX-License-Identifier: Apache-2.0
//! A command in a container, of probes and hooks: with an end, whatever it does.

use crate::task::Task;
use berth_cluster_docker::{CallError, Engine, ExecSpec, Streams};
use std::time::Duration;

/// Bytes of output that are kept (upstream's `maxRespBodyLength`).
const OUTPUT: usize = 10 << 10;
/// How long the engine may take to say what a command ended with whose output has ended.
const EXIT: Duration = Duration::from_secs(10);

/// What a command came to.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) output: String,
}

/// Why it came to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// The engine refused, or is away.
    Call(CallError),
    /// It took too long, and was ended with all that it started.
    Late,
}

/// Ends a command that nobody waits for any more: nothing else does.
struct Guard {
    engine: Engine,
    id: Option<String>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let engine = self.engine.clone();
        tokio::spawn(async move {
            if let Err(error) = Box::pin(engine.kill_exec(&id)).await {
                tracing::warn!(%error, exec = id, "a command that took too long was not ended");
            }
        });
    }
}

/// Runs a command, for so long at most. If this future is dropped, the command ends.
pub(super) async fn run(
    task: &Task,
    container: &str,
    command: &[String],
    limit: Option<Duration>,
) -> Result<Ran, Failed> {
    let engine = task.shared.engine.clone();
    let mut guard = Guard { engine: engine.clone(), id: None };
    let work = async {
        let streams = Streams { stdout: true, stderr: true, ..Streams::default() };
        let spec = ExecSpec { command: command.to_vec(), streams, ..ExecSpec::default() };
        let id = engine.create_exec(container, &spec).await?;
        guard.id = Some(id.clone());
        let (_input, mut output) = engine.start_exec(&id, false).await?;
        let mut bytes = Vec::new();
        while let Some((_, piece)) = output.next().await? {
            let room = OUTPUT.saturating_sub(bytes.len()).min(piece.len());
            bytes.extend_from_slice(&piece[..room]);
        }
        let code = engine.exec_exit(&id, EXIT).await?;
        guard.id = None;
        Ok(Ran { code, output: String::from_utf8_lossy(&bytes).into_owned() })
    };
    let ran = match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| Failed::Late)?,
        None => work.await,
    };
    ran.map_err(Failed::Call)
}
