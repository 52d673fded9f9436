// SPDX-License-Identifier: Apache-2.0
//! Images of containers.

use crate::task::{Task, failure};
use crate::{credentials, sources};
use berth_cluster_docker::{Credentials, Image, ImageError, PullError};
use berth_cluster_files::Needs;
use berth_cluster_pod::{Failure, Outcome};
use std::sync::Arc;

/// Looks for one.
pub(super) async fn find(task: &Task, image: &str) -> Outcome {
    match task.shared.engine.image(image).await {
        Ok(Some(image)) => Outcome::ImageFound { image_id: id(&image) },
        Ok(None) => Outcome::ImageAbsent,
        Err(ImageError::Call(error)) => Outcome::Failed(failure(error)),
        Err(error) => Outcome::Failed(Failure::Refused(error.to_string())),
    }
}

/// As the status has it: what a registry knows it by, if one does.
fn id(image: &Image) -> String {
    image.digests.first().unwrap_or(&image.id).clone()
}

/// Pulls one, with the pod's credentials one after the other.
pub(super) async fn pull(task: &Arc<Task>, image: &str) -> Outcome {
    let Ok(_turn) = task.shared.pulls.acquire().await else {
        return Outcome::Failed(Failure::Unreachable("the agent ends".to_owned()));
    };
    let pod = task.object();
    let of_pod = berth_cluster_files::needs(&pod);
    let needs = Needs { pull_secrets: of_pod.pull_secrets, ..Needs::default() };
    let mut none = sources::Tokens::new();
    let sources = sources::fetch(&task.shared, &pod, needs, &mut none).await;
    let mut all: Vec<Option<Credentials>> =
        credentials::of(&pod, &sources, image).into_iter().map(Some).collect();
    if all.is_empty() {
        all.push(None);
    }
    let mut refused = String::new();
    for credentials in all {
        let pulled = Box::pin(task.shared.engine.pull(image, credentials.as_ref(), |_| {})).await;
        match pulled {
            Ok(image) => {
                return Outcome::ImagePulled { image_id: id(&image), bytes: image.size_bytes };
            }
            Err(PullError::Call(error)) => return Outcome::Failed(failure(error)),
            // Others may be let in.
            Err(error @ (PullError::Unauthorized { .. } | PullError::NotFound { .. })) => {
                refused = error.to_string();
            }
            Err(error) => return Outcome::Failed(Failure::Refused(error.to_string())),
        }
    }
    Outcome::Failed(Failure::Refused(refused))
}
