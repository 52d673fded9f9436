// SPDX-License-Identifier: Apache-2.0
//! The volumes of a pod.

use crate::hands::Hands;
use crate::sources;
use crate::task::Task;
use berth_cluster_files::{Prepared, VolumeError, needs};
use berth_cluster_pod::{Failure, Outcome};
use std::sync::Arc;

/// Makes them, or completes what is there of them.
pub(super) async fn prepare(task: &Arc<Task>) -> Outcome {
    let refused = task.known().refused.clone();
    if let Some((reason, message)) = refused {
        return Outcome::Failed(Failure::Fatal { reason, message });
    }
    let sources = Arc::new(fetch(task).await);
    let (pod, shared) = (task.object(), Arc::clone(&task.shared));
    let given = Arc::clone(&sources);
    let prepared: Result<Result<Prepared, VolumeError>, Failure> =
        task.in_folder(move |folder| folder.prepare(&pod, &given, &shared.facts)).await;
    match prepared {
        Ok(Ok(prepared)) => {
            task.known().prepared = prepared;
            Outcome::Done
        }
        Ok(Err(error)) => Outcome::Failed(Failure::Refused(words(&error))),
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn fetch(task: &Arc<Task>) -> berth_cluster_files::Sources {
    let pod = task.object();
    let mut needs = needs(&pod);
    needs.pull_secrets.clear();
    let mut tokens = task.tokens.lock().await;
    sources::fetch(&task.shared, &pod, needs, &mut tokens).await
}

/// Brings what is made of objects up to date.
pub(crate) async fn refresh(task: &Arc<Task>) {
    let pod = task.object();
    let needs = needs(&pod);
    let none = needs.config_maps.is_empty() && needs.secrets.is_empty() && needs.tokens.is_empty();
    if none && !has_downward(&pod) {
        return;
    }
    let (sources, shared) = (fetch(task).await, Arc::clone(&task.shared));
    let refreshed = {
        let pod = Arc::clone(&pod);
        task.in_folder(move |folder| folder.refresh(&pod, &sources, &shared.facts)).await
    };
    if let Ok(Err(error)) = refreshed {
        task.shared.tell(&pod, "", true, "FailedMount", words(&error));
    }
}

fn has_downward(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.into_iter().any(|volume| volume.downward_api.is_some() || volume.projected.is_some())
}

/// Takes them down, and gives the pod's address back: nothing of it runs any more.
pub(super) async fn tear_down(task: &Arc<Task>) -> Outcome {
    let (shared, uid) = (Arc::clone(&task.shared), task.pod.uid.clone());
    let given_back =
        tokio::task::spawn_blocking(move || shared.book.give_back(&uid, shared.micros())).await;
    if let Ok(Err(error)) = given_back {
        return Outcome::Failed(Failure::Refused(words(&error)));
    }
    let torn = task.in_folder(berth_cluster_files::Folder::tear_down).await;
    // What containers wrote as other users is theirs to remove, or root's.
    if let (Ok(Err(_)), Some(socket)) = (&torn, &task.shared.settings.hands) {
        let (hands, uid) = (Hands::new(socket), task.pod.uid.clone());
        return match tokio::task::spawn_blocking(move || hands.tear_down(&uid)).await {
            Ok(Err(error)) => Outcome::Failed(Failure::Refused(words(&error))),
            Ok(Ok(())) | Err(_) => Outcome::Done,
        };
    }
    match torn {
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(error)) => Outcome::Failed(Failure::Refused(words(&error))),
        Err(failure) => Outcome::Failed(failure),
    }
}

/// An error with all that led to it, where its own words leave that out.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = cause.source();
    }
    words
}
