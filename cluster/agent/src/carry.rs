// SPDX-License-Identifier: Apache-2.0
//! Carrying out what a pod's machine asks for. Each can be carried out again.

mod container;
mod exec;
mod grpc;
mod hook;
mod http;
mod image;
mod probe;
mod sandbox;
mod tls;
mod volumes;

pub(crate) use volumes::refresh;

pub(crate) use volumes::words;

use crate::settings::Leaving;
use crate::task::{Task, failure};
use berth_cluster_docker::CallError;
use berth_cluster_pod::{Action, Failure, Instance, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// Carries out a command that has a result.
pub(crate) async fn run(task: &Arc<Task>, action: Action) -> Outcome {
    match action {
        Action::PrepareVolumes => Box::pin(volumes::prepare(task)).await,
        Action::TearDownVolumes => volumes::tear_down(task).await,
        Action::CreateSandbox { attempt } => Box::pin(sandbox::create(task, attempt)).await,
        Action::RemoveSandbox { attempt, id } => sandbox::remove(task, attempt, id).await,
        Action::FindImage { image, .. } => image::find(task, &image).await,
        Action::PullImage { image, .. } => Box::pin(image::pull(task, &image)).await,
        Action::CreateContainer(making) => Box::pin(container::create(task, making)).await,
        Action::StartContainer(instance) => container::start(task, &instance).await,
        Action::RunHook { instance, hook, limit } => {
            Box::pin(hook::run(task, &instance, hook, limit)).await
        }
        Action::Probe { instance, probe, timeout } => {
            Box::pin(probe::run(task, &instance, probe, timeout)).await
        }
        Action::LeaveRotation { limit } => leave(task, Duration::from_millis(limit)).await,
        Action::Signal { instance, signal } => container::signal(task, &instance, signal).await,
        Action::Kill(instance) => container::signal(task, &instance, Some("SIGKILL".into())).await,
        Action::RemoveContainer(instance) => container::remove(task, &instance).await,
        Action::Look => match task.look().await {
            Ok(view) => Outcome::Looked(view),
            Err(error) => Outcome::Failed(failure(error)),
        },
        // They have no result, and are the worker's to carry out.
        Action::Publish(_) | Action::Tell(_) | Action::Abandon(_) | Action::Conclude => {
            Outcome::Done
        }
    }
}

async fn leave(task: &Task, limit: Duration) -> Outcome {
    let (addresses, pod) = (task.known().addresses.clone(), task.pod.clone());
    let (namespace, name, uid) = (pod.namespace, pod.name, pod.uid);
    let leaving = Leaving { namespace, name, uid, addresses, limit };
    let left = tokio::time::timeout(limit, task.shared.settings.rotation.leave(leaving)).await;
    match left {
        Ok(late) => Outcome::RotationLeft { late },
        Err(_) => {
            Outcome::Failed(Failure::Unreachable("no data plane confirmed in time".to_owned()))
        }
    }
}

/// What has only to be done.
fn done(done: Result<(), CallError>) -> Outcome {
    match done {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(failure(error)),
    }
}

/// How events name a container.
fn part(task: &Task, container: &str) -> String {
    let object = task.object();
    let init = object.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let list = if init.into_iter().any(|one| one.name == container) {
        "initContainers"
    } else {
        "containers"
    };
    format!("spec.{list}{{{container}}}")
}

/// The engine's id of an instance that has to be there.
async fn id_of(task: &Task, instance: &Instance) -> Result<String, Failure> {
    let found = task.instance_id(instance).await.map_err(failure)?;
    found.ok_or_else(|| Failure::Refused(format!("container {} is gone", instance.container)))
}
