// SPDX-License-Identifier: Apache-2.0
//! Brings a pod's status into the API, and in the end deletes the pod there. Each is tried until it is done: the newest status only, and
//! nothing of a pod that is another by now.

use crate::diff;
use crate::shared::Shared;
use crate::sources::{status as status_of, text};
use berth_cluster_client::{CallError, Media};
use berth_cluster_docker::PodRef;
use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The first pause after a failure, and the longest.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// What is wanted of the API.
#[derive(Debug, Clone, Default)]
struct Wanted {
    status: Option<Arc<PodStatus>>,
    conclude: bool,
}

/// The task of one pod.
#[derive(Debug)]
pub(crate) struct Publisher {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// `known`: the status that the API has.
    pub(crate) fn start(shared: Arc<Shared>, pod: PodRef, known: &PodStatus) -> Self {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let known = serde_json::to_value(known).unwrap_or_default();
        let task = Task { shared, pod, known };
        Self { wanted, task: tokio::spawn(task.run(receiver)) }
    }

    pub(crate) fn publish(&self, status: PodStatus) {
        self.wanted.send_modify(|wanted| wanted.status = Some(Arc::new(status)));
    }

    /// The last status, and then the end. Returns when the pod is gone.
    pub(crate) async fn conclude(self) {
        self.wanted.send_modify(|wanted| wanted.conclude = true);
        // It ends by itself; if it should have panicked, nothing is left to be waited for.
        drop(self.task.await);
    }

    /// Waits a while for the last status to arrive.
    pub(crate) async fn finish(self, limit: Duration) {
        let Self { wanted, mut task } = self;
        drop(wanted);
        if tokio::time::timeout(limit, &mut task).await.is_err() {
            task.abort();
        }
    }
}

struct Task {
    shared: Arc<Shared>,
    pod: PodRef,
    known: Value,
}

/// What came of a write.
enum Written {
    Done,
    /// The API does not have this pod any more.
    Gone,
    Failed,
}

impl Task {
    async fn run(mut self, mut wanted: watch::Receiver<Wanted>) {
        let mut pause = FIRST;
        loop {
            let now = wanted.borrow_and_update().clone();
            let written = self.write(&now).await;
            match written {
                Written::Gone => return,
                Written::Done if now.conclude => match self.delete().await {
                    Written::Done | Written::Gone => return,
                    Written::Failed => {}
                },
                Written::Done => {
                    pause = FIRST;
                    if wanted.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Written::Failed => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.pod.namespace, self.pod.name)
    }

    async fn write(&mut self, wanted: &Wanted) -> Written {
        let Some(status) = &wanted.status else { return Written::Done };
        let status = serde_json::to_value(&**status).unwrap_or_default();
        let Some(patch) = diff::patch(&self.pod.uid, &self.known, &status) else {
            return Written::Done;
        };
        let path = format!("{}/status", self.path());
        let body = patch.to_string().into();
        match self.shared.settings.api.patch(&path, Media::Strategic, body).await {
            Ok(answer) => {
                self.known = status_of(&answer).0;
                Written::Done
            }
            Err(error) => self.refused(&error, "write the status of a pod").await,
        }
    }

    async fn delete(&mut self) -> Written {
        let uid = &self.pod.uid;
        let options = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } });
        let options = Some(options.to_string().into());
        match self.shared.settings.api.delete(&self.path(), options).await {
            Ok(_) => Written::Done,
            Err(error) => self.refused(&error, "delete a pod that has ended").await,
        }
    }

    /// What a failure means. The status of the API is read again, for it may have been written after all.
    async fn refused(&mut self, error: &CallError, what: &str) -> Written {
        if error.code() == Some(404) {
            return Written::Gone;
        }
        let why = text(error);
        tracing::debug!(pod = self.pod.name, why, "cannot {what}");
        match self.shared.settings.api.get(&self.path()).await {
            Ok(answer) => {
                let (status, uid) = status_of(&answer);
                if uid != self.pod.uid {
                    return Written::Gone;
                }
                self.known = status;
                Written::Failed
            }
            Err(error) if error.code() == Some(404) => Written::Gone,
            Err(_) => Written::Failed,
        }
    }
}
