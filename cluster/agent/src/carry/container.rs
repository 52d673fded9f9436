// SPDX-License-Identifier: Apache-2.0
//! Containers, from their making to their removal.

use super::volumes::words;
use super::{done, id_of, part};
use crate::sources;
use crate::task::{Task, failure};
use crate::view;
use berth_cluster_docker::{
    ContainerSpec, CreateError, Image, ImageError, Made, Processes, StartError,
};
use berth_cluster_files::{Given, SandboxSettings, Seccomp, Settings, Sources, needs, sandbox};
use berth_cluster_pod::{Failure, Instance, Making, Outcome};
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

/// What ends a container that says nothing.
const TERM: &str = "SIGTERM";

/// Makes one, which does not run yet.
pub(super) async fn create(task: &Arc<Task>, making: Making) -> Outcome {
    match Box::pin(try_create(task, &making)).await {
        Ok(made) => Outcome::Created { id: made.id },
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn try_create(task: &Arc<Task>, making: &Making) -> Result<Made, Failure> {
    let (pod, shared) = (task.object(), &task.shared);
    let image = image(task, making).await?;
    let sources = environment(task, &pod).await?;
    let addresses = task.known().addresses.clone();
    let given = Given { addresses: &addresses, image_user: &image.user };
    let name = &making.container;
    let settings = berth_cluster_files::container(&pod, name, &sources, &shared.facts, given)
        .map_err(|error| Failure::Config(error.to_string()))?;
    for (reason, message) in &settings.warnings {
        shared.tell(&pod, &part(task, name), true, reason, message.clone());
    }
    let of_pod =
        sandbox(&pod, &shared.facts).map_err(|error| Failure::Refused(error.to_string()))?;
    let spec = spec(task, making, &image, settings, &of_pod).await?;
    let (identity, facts) = (task.identity(name, making.attempt), view::facts(making));
    let engine = &shared.engine;
    // It is closed by nobody.
    let _turn = shared.starts.acquire().await;
    let made =
        match Box::pin(engine.create_container(&identity, &making.sandbox, &spec, &facts)).await {
            // An earlier try of the same attempt, of which the machine does not know: it never ran.
            Err(CreateError::Differs { id, .. }) => {
                engine.remove(&id, true).await.map_err(failure)?;
                Box::pin(engine.create_container(&identity, &making.sandbox, &spec, &facts)).await
            }
            made => made,
        };
    made.map_err(|error| match error {
        CreateError::Call(error) => failure(error),
        error => Failure::Refused(error.to_string()),
    })
}

async fn image(task: &Task, making: &Making) -> Result<Image, Failure> {
    match task.shared.engine.image(&making.image_id).await {
        Ok(Some(image)) => Ok(image),
        Ok(None) => {
            Err(Failure::Refused(format!("image {} was removed meanwhile", making.image_id)))
        }
        Err(ImageError::Call(error)) => Err(failure(error)),
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}

/// What the variables of a pod are made of, as it is now.
async fn environment(task: &Arc<Task>, pod: &Arc<Pod>) -> Result<Sources, Failure> {
    let mut without = Pod::clone(pod);
    if let Some(spec) = &mut without.spec {
        spec.volumes = None;
        spec.image_pull_secrets = None;
    }
    let mut none = sources::Tokens::new();
    let mut found = sources::fetch(&task.shared, pod, needs(&without), &mut none).await;
    let services = sources::services(&task.shared, &mut found).await;
    services.map_err(Failure::Config)?;
    Ok(found)
}

async fn spec(
    task: &Arc<Task>,
    making: &Making,
    image: &Image,
    settings: Settings,
    of_pod: &SandboxSettings,
) -> Result<ContainerSpec, Failure> {
    let (pod, prepared) = (task.object(), task.known().prepared.clone());
    let (name, attempt, env) = (making.container.clone(), making.attempt, settings.env.clone());
    let binds = task
        .in_folder(move |folder| folder.binds(&pod, &name, attempt, &prepared, &env))
        .await?
        .map_err(|error| Failure::Config(words(&error)))?;
    let mut spec = ContainerSpec::new(&image.id, settings);
    if let Seccomp::Localhost(profile) = &spec.security.seccomp {
        let (shared, profile) = (Arc::clone(&task.shared), profile.clone());
        let read = tokio::task::spawn_blocking(move || shared.root.seccomp_profile(&profile)).await;
        let read = read.map_err(|error| Failure::Refused(error.to_string()))?;
        let profile = read.map_err(|error| {
            Failure::Config(format!("failed to generate seccomp spec opts: {}", words(&error)))
        })?;
        spec.seccomp_profile = Some(profile);
    }
    spec.binds = binds;
    spec.host_network = of_pod.host_network;
    spec.processes = match (of_pod.host_pid, of_pod.share_processes) {
        (true, _) => Processes::Host,
        (false, true) => Processes::Pod,
        (false, false) => Processes::Own,
    };
    Ok(spec)
}

/// Starts one. One that runs is left as it is.
pub(super) async fn start(task: &Task, instance: &Instance) -> Outcome {
    let id = match id_of(task, instance).await {
        Ok(id) => id,
        Err(failure) => return Outcome::Failed(failure),
    };
    let turn = task.shared.starts.acquire().await;
    let started = task.shared.engine.start(&id).await;
    drop(turn);
    match started {
        Ok(()) => {
            let seen = task.shared.engine.inspect(&id).await;
            let at = seen.map_or(0, |seen| view::millis(seen.state.started));
            Outcome::Started { at: if at == 0 { task.shared.now() } else { at } }
        }
        Err(StartError::Call(error)) => Outcome::Failed(failure(error)),
        Err(error) => Outcome::Failed(Failure::Refused(error.to_string())),
    }
}

/// Sends it a signal; the image's own, or SIGTERM, if none is said.
pub(super) async fn signal(task: &Task, instance: &Instance, signal: Option<String>) -> Outcome {
    let id = match task.instance_id(instance).await {
        Ok(Some(id)) => id,
        Ok(None) => return Outcome::Done,
        Err(error) => return Outcome::Failed(failure(error)),
    };
    let signal = match signal {
        Some(signal) => signal,
        None => own_signal(task, &id).await.unwrap_or_else(|| TERM.to_owned()),
    };
    done(task.shared.engine.kill(&id, &signal).await)
}

async fn own_signal(task: &Task, id: &str) -> Option<String> {
    let seen = task.shared.engine.inspect(id).await.ok()?;
    let image = task.shared.engine.image(&seen.image_id).await.ok()??;
    Some(image.stop_signal).filter(|signal| !signal.is_empty())
}

/// Removes it, whether it runs or not.
pub(super) async fn remove(task: &Task, instance: &Instance) -> Outcome {
    match task.instance_id(instance).await {
        Ok(Some(id)) => done(task.shared.engine.remove(&id, true).await),
        Ok(None) => Outcome::Done,
        Err(error) => Outcome::Failed(failure(error)),
    }
}
