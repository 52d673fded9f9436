// SPDX-License-Identifier: Apache-2.0
//! The sandbox of a pod.

use super::done;
use super::volumes::words;
use crate::task::{Task, failure};
use crate::view;
use berth_cluster_docker::{CreateError, Made, PodNetwork, SandboxSpec, StartError};
use berth_cluster_files::{Etc, SandboxSettings, sandbox};
use berth_cluster_pod::{Failure, Outcome};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Makes and starts it.
pub(super) async fn create(task: &Arc<Task>, attempt: u32) -> Outcome {
    match Box::pin(try_create(task, attempt)).await {
        Ok((id, addresses)) => {
            let mut known = task.known();
            known.addresses.clone_from(&addresses);
            known.sandbox = Some(id.clone());
            drop(known);
            Outcome::SandboxReady { id, addresses }
        }
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn try_create(task: &Arc<Task>, attempt: u32) -> Result<(String, Vec<String>), Failure> {
    let (pod, shared) = (task.object(), &task.shared);
    let settings = sandbox(&pod, &shared.facts).map_err(|error| match error.reason() {
        "SysctlForbidden" => {
            Failure::Fatal { reason: error.reason().to_owned(), message: error.to_string() }
        }
        _ => Failure::Refused(error.to_string()),
    })?;
    let (network, addresses) = network(task, &settings).await?;
    let etc = Etc::of(&pod, &shared.facts, &addresses);
    let etc = etc.map_err(|error| Failure::Refused(error.to_string()))?;
    for (reason, message) in &etc.warnings {
        shared.tell(&pod, "", true, reason, message.clone());
    }
    let written = task.in_folder(move |folder| folder.write_etc(&etc)).await?;
    written.map_err(|error| Failure::Refused(words(&error)))?;
    let spec = SandboxSpec {
        hostname: settings.hostname,
        network,
        host_ipc: settings.host_ipc,
        sysctls: settings.sysctls,
        binds: Vec::new(),
        cgroup_parent: None,
    };
    // It is closed by nobody.
    let _turn = shared.starts.acquire().await;
    let made = Box::pin(make(task, attempt, &spec, &addresses)).await?;
    match shared.engine.start(&made.id).await {
        Ok(()) => Ok((made.id, addresses)),
        Err(StartError::Call(error)) => Err(failure(error)),
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}

/// The pod's network and addresses. The address is put down on the disk before anything has it.
async fn network(
    task: &Arc<Task>,
    settings: &SandboxSettings,
) -> Result<(PodNetwork, Vec<String>), Failure> {
    if settings.host_network {
        return Ok((PodNetwork::Host, vec![task.shared.settings.address.to_string()]));
    }
    let (shared, uid) = (Arc::clone(&task.shared), task.pod.uid.clone());
    let taken = tokio::task::spawn_blocking(move || shared.book.take(&uid, shared.micros())).await;
    let taken = taken.map_err(|error| Failure::Refused(error.to_string()))?;
    let address: Ipv4Addr = taken.map_err(|error| {
        Failure::Refused(format!("failed to setup network for sandbox: {}", words(&error)))
    })?;
    Ok((PodNetwork::Own { address }, vec![address.to_string()]))
}

async fn make(
    task: &Arc<Task>,
    attempt: u32,
    spec: &SandboxSpec,
    addresses: &[String],
) -> Result<Made, Failure> {
    let (identity, facts) = (task.sandbox(attempt), view::sandbox_facts(addresses));
    let engine = &task.shared.engine;
    let made = match Box::pin(engine.create_sandbox(&identity, spec, &facts)).await {
        // What another version of the agent made of it, and nothing runs in it yet.
        Err(CreateError::Differs { id, .. }) => {
            engine.remove(&id, true).await.map_err(failure)?;
            Box::pin(engine.create_sandbox(&identity, spec, &facts)).await
        }
        made => made,
    };
    made.map_err(|error| match error {
        CreateError::Call(error) => failure(error),
        error => Failure::Refused(error.to_string()),
    })
}

/// Ends and removes it.
pub(super) async fn remove(task: &Arc<Task>, attempt: u32, id: String) -> Outcome {
    task.known().sandbox = None;
    let id = if id.is_empty() {
        match task.id_of(&task.sandbox(attempt)).await {
            Ok(Some(id)) => id,
            Ok(None) => return Outcome::Done,
            Err(error) => return Outcome::Failed(failure(error)),
        }
    } else {
        id
    };
    done(task.shared.engine.remove(&id, true).await)
}
