// SPDX-License-Identifier: Apache-2.0
//! What the commands of one pod work on.

use crate::shared::Shared;
use crate::view;
use berth_cluster_docker::{CallError, Identity, LogOptions, Part, PodRef, Seen};
use berth_cluster_files::{Folder, Prepared, VolumeError, message_share};
use berth_cluster_pod::{Failure, Instance, View};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines at the end of a log that are looked at for last words.
const LAST_LINES: u64 = 80;
/// Bytes of them that are kept, as upstream has it.
const LAST_BYTES: usize = 2_048;
/// How long reading them may take.
const LAST_TIME: Duration = Duration::from_secs(5);

/// One pod.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: PodRef,
    pub(crate) folder: Arc<Folder>,
    /// Who works in the folder holds it.
    pub(crate) in_folder: Arc<tokio::sync::Mutex<()>>,
    /// Tokens that its volumes hold.
    pub(crate) tokens: tokio::sync::Mutex<crate::sources::Tokens>,
    state: Mutex<Known>,
}

/// What is known of the pod.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) object: Arc<Pod>,
    pub(crate) prepared: Prepared,
    pub(crate) addresses: Vec<String>,
    /// The engine's id of its sandbox, if that runs.
    pub(crate) sandbox: Option<String>,
    /// Why the node does not take it: reason and message.
    pub(crate) refused: Option<(String, String)>,
    /// Last words of containers, by the engine's id.
    messages: BTreeMap<String, String>,
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        pod: PodRef,
        object: Arc<Pod>,
    ) -> Result<Self, VolumeError> {
        let folder = Arc::new(shared.root.folder(&pod.uid)?);
        let state = Mutex::new(Known { object, ..Known::default() });
        Ok(Self {
            shared,
            pod,
            folder,
            in_folder: Arc::default(),
            tokens: tokio::sync::Mutex::default(),
            state,
        })
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn object(&self) -> Arc<Pod> {
        Arc::clone(&self.known().object)
    }

    /// A container of the pod.
    pub(crate) fn container(&self, name: &str) -> Option<Container> {
        let object = self.object();
        let spec = object.spec.as_ref()?;
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        all.find(|container| container.name == name).cloned()
    }

    pub(crate) fn sandbox(&self, attempt: u32) -> Identity {
        Identity { pod: self.pod.clone(), part: Part::Sandbox, attempt }
    }

    pub(crate) fn identity(&self, container: &str, attempt: u32) -> Identity {
        let part = Part::Container(container.to_owned());
        Identity { pod: self.pod.clone(), part, attempt }
    }

    pub(crate) async fn in_folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let held = Arc::clone(&self.in_folder).lock_owned().await;
        let folder = Arc::clone(&self.folder);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&folder);
            // Only now, though whoever waited for it may have gone.
            drop(held);
            done
        });
        done.await.map_err(|error| Failure::Refused(error.to_string()))
    }

    /// The engine's id of a container or a sandbox; none if there is none.
    pub(crate) async fn id_of(&self, identity: &Identity) -> Result<Option<String>, CallError> {
        let view = self.shared.engine.list().await?;
        let mut all = view.sandboxes.iter().chain(&view.containers);
        Ok(all.find(|seen| seen.identity == *identity).map(|seen| seen.id.clone()))
    }

    /// The engine's id of an instance, which may have come without.
    pub(crate) async fn instance_id(&self, it: &Instance) -> Result<Option<String>, CallError> {
        if !it.id.is_empty() {
            return Ok(Some(it.id.clone()));
        }
        self.id_of(&self.identity(&it.container, it.attempt)).await
    }

    /// What the engine has of this pod.
    pub(crate) async fn look(&self) -> Result<View, CallError> {
        let taken_at = self.shared.now();
        let found = self.shared.engine.list().await?;
        Ok(self.view(&found, taken_at).await)
    }

    /// What of that is this pod's.
    pub(crate) async fn view(&self, found: &berth_cluster_docker::View, taken_at: u64) -> View {
        let mut ids = Vec::new();
        for seen in found.containers.iter().filter(|seen| seen.identity.pod.uid == self.pod.uid) {
            ids.push(seen.id.clone());
            if !view::is_up(seen) && seen.state.finished.is_some() {
                self.message(seen).await;
            }
        }
        let mut known = self.known();
        known.messages.retain(|id, _| ids.contains(id));
        let message = |seen: &Seen| known.messages.get(&seen.id).cloned().unwrap_or_default();
        view::of(found, &self.pod.uid, taken_at, message)
    }

    /// The last words of a container that has ended.
    pub(crate) async fn message(&self, seen: &Seen) -> String {
        if let Some(message) = self.known().messages.get(&seen.id) {
            return message.clone();
        }
        let Part::Container(name) = seen.identity.part.clone() else { return String::new() };
        let attempt = seen.identity.attempt;
        let read = {
            let name = name.clone();
            self.in_folder(move |folder| folder.termination_message(&name, attempt)).await
        };
        let mut message = match read {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => format!("Error on reading termination log {name}: {error}"),
            Err(_) => String::new(),
        };
        let policy = self.container(&name).and_then(|one| one.termination_message_policy);
        let from_log = policy.as_deref() == Some("FallbackToLogsOnError");
        if message.is_empty() && from_log && seen.state.exit_code != 0 {
            let last = tokio::time::timeout(LAST_TIME, self.last_lines(&seen.id)).await;
            message = last.ok().flatten().unwrap_or_default();
        }
        let most = message_share(&self.object());
        let from = message.ceil_char_boundary(message.len().saturating_sub(most));
        message.drain(..from);
        self.known().messages.insert(seen.id.clone(), message.clone());
        message
    }

    async fn last_lines(&self, id: &str) -> Option<String> {
        let options = LogOptions { tail: Some(LAST_LINES), ..LogOptions::default() };
        let mut logs = self.shared.engine.logs(id, &options).await.ok()?;
        let mut bytes = Vec::new();
        while let Ok(Some(line)) = logs.next().await {
            bytes.extend_from_slice(&line.bytes);
            if line.whole {
                bytes.push(b'\n');
            }
            let over = bytes.len().saturating_sub(LAST_BYTES);
            bytes.drain(..over);
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What a failed call of the engine means.
pub(crate) fn failure(error: CallError) -> Failure {
    match error {
        CallError::Gone { .. } | CallError::TimedOut { .. } => {
            Failure::Unreachable(error.to_string())
        }
        other => Failure::Refused(other.to_string()),
    }
}
