// SPDX-License-Identifier: Apache-2.0
//! The end of an exec, for which an engine has no call: its processes are found and killed.
//!
//! Where the agent sees the engine's processes and may signal them, it does so itself. Else a container of this crate's `reach` program
//! does: it has the engine's namespace of processes, and may signal them; it is gone afterwards.

use super::{exec_state, tree};
use crate::body::never_restarted;
use crate::engine::{Engine, limited, no_options};
use crate::error::CallError;
use crate::labels;
use crate::limits;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::time::Instant;

const CALL: &str = "kill exec";
const UNCONFINED: [&str; 3] = ["seccomp=unconfined", "apparmor=unconfined", "label=disable"];

/// Who kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killer {
    /// This process.
    Own,
    /// A container.
    Container,
}

impl Engine {
    /// Ends an exec with all that it has started: its session, and all that descends from it. One that has ended may have left processes
    /// behind; those end too. One that is gone has none.
    pub async fn kill_exec(&self, id: &str) -> Result<(), CallError> {
        self.end_exec(id, None).await
    }

    /// The same by a container only, as it is done where the engine's processes are out of this one's reach.
    #[doc(hidden)]
    pub async fn kill_exec_from_within(&self, id: &str) -> Result<(), CallError> {
        self.end_exec(id, Some(Killer::Container)).await
    }

    async fn end_exec(&self, id: &str, by: Option<Killer>) -> Result<(), CallError> {
        let end = Instant::now() + limits::END;
        loop {
            let found = match self.inspect_exec(CALL, id).await {
                Err(error) if error.is_not_found() => return Ok(()),
                found => found?,
            };
            let state = exec_state(&found);
            let container = found.container_id.unwrap_or_default();
            if state.pid > 1 {
                self.kill_below(&container, state.pid, by).await?;
            }
            // Never started, or over. One that is being started has no process yet.
            if !self.exec_state(id).await.is_ok_and(|state| state.running) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(CallError::TimedOut { call: CALL, limit: limits::END });
            }
            tokio::time::sleep(limits::LOOK).await;
        }
    }

    async fn kill_below(
        &self,
        container: &str,
        root: i32,
        by: Option<Killer>,
    ) -> Result<(), CallError> {
        let killer = match by {
            Some(killer) => killer,
            None => self.killer(container).await?,
        };
        if killer == Killer::Own {
            let id = container.to_owned();
            let ended = tokio::task::spawn_blocking(move || tree::end(&id, root, send)).await;
            if matches!(ended, Ok(Ok(_))) {
                return Ok(());
            }
        }
        self.reach(container, root).await
    }

    /// Whether this process sees the engine's processes: then a container's first process has here the number that the engine says.
    async fn killer(&self, container: &str) -> Result<Killer, CallError> {
        let pid = match self.inspect(container).await {
            Err(error) if error.is_not_found() => return Ok(Killer::Own),
            seen => seen?.state.pid,
        };
        let path = PathBuf::from(format!("/proc/{pid}"));
        // Of a container that does not run nothing is left.
        let seen = pid == 0 || tree::is_in(&path, container);
        Ok(if seen { Killer::Own } else { Killer::Container })
    }

    /// Runs the program that kills, in a container with the engine's namespace of processes, and removes it.
    async fn reach(&self, container: &str, root: i32) -> Result<(), CallError> {
        let image = self.ensure_reach().await?;
        let (name, labels) = labels::helper(&self.agent, &format!("reach-{root}"));
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            pid_mode: Some("host".to_owned()),
            userns_mode: Some("host".to_owned()),
            // The usual capabilities have KILL; profiles would keep signals within the container.
            security_opt: Some(UNCONFINED.map(str::to_owned).into()),
            readonly_rootfs: Some(true),
            ..never_restarted()
        };
        let body = ContainerCreateBody {
            image: Some(image),
            cmd: Some(vec![container.to_owned(), root.to_string()]),
            labels: Some(labels.into_iter().collect()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created = Box::pin(self.docker.create_container(Some(options), body));
        let id = match limited(CALL, limits::CREATE, created).await {
            Ok(created) => created.id,
            // Another call is at the same exec, or an earlier one was cut off.
            Err(CallError::Conflict { .. }) => return self.remove_helper(&name).await,
            Err(error) => return Err(error),
        };
        self.note_owned(&id);
        let done = self.run_helper(&id).await;
        self.remove(&id, true).await?;
        done
    }

    async fn run_helper(&self, id: &str) -> Result<(), CallError> {
        let started = self.docker.start_container(id, None::<StartContainerOptions>);
        limited(CALL, limits::START, started).await?;
        let end = Instant::now() + limits::END;
        loop {
            let found = self.docker.inspect_container(id, no_options());
            let state = limited(CALL, limits::ASK, found).await?.state.unwrap_or_default();
            match (state.running, state.exit_code) {
                (Some(false), Some(0)) => return Ok(()),
                (Some(false), code) => {
                    let message =
                        format!("its processes cannot be signalled: reach ended with {code:?}");
                    return Err(CallError::Refused { call: CALL, status: 500, message });
                }
                _ if Instant::now() > end => {
                    return Err(CallError::TimedOut { call: CALL, limit: limits::END });
                }
                _ => tokio::time::sleep(limits::LOOK).await,
            }
        }
    }

    /// Waits for another call's helper to go; one that does not go is a leftover, and removed.
    async fn remove_helper(&self, name: &str) -> Result<(), CallError> {
        let end = Instant::now() + limits::END;
        loop {
            let found = self.docker.inspect_container(name, no_options());
            let found = match limited(CALL, limits::ASK, found).await {
                Err(error) if error.is_not_found() => return Ok(()),
                found => found?,
            };
            let runs = found.state.and_then(|state| state.running).unwrap_or(false);
            if !runs && Instant::now() > end {
                return self.remove(&found.id.unwrap_or_default(), true).await;
            }
            if Instant::now() > end + limits::END {
                return Err(CallError::TimedOut { call: CALL, limit: limits::END });
            }
            tokio::time::sleep(limits::LOOK).await;
        }
    }
}

fn send(pid: i32, what: tree::Send) -> Result<(), i32> {
    let signal = match what {
        tree::Send::Stop => Signal::STOP,
        tree::Send::Kill => Signal::KILL,
    };
    match Pid::from_raw(pid).map(|pid| kill_process(pid, signal)) {
        Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        _ => Err(pid),
    }
}
