// SPDX-License-Identifier: Apache-2.0
//! Writes what is not served where users look: a condition of the Service, and an event.
//!
//! One task, one object at a time; what is said of an object anew while it waits takes the place of what was to be said. A server that forbids
//! the condition is asked no more, and events alone tell.

use crate::books::Source;
use crate::condition::{TYPE, decide, message};
use crate::health::now;
use crate::parts::Note;
use crate::view::{Node, Service};
use berth_cluster_client::events::{Recorder, Reference, Type};
use berth_cluster_client::{Api, CallError, Clock, Id, Informer, Media};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Pause after a write that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// The way to the task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Talk(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// At most one for each object.
    all: Mutex<BTreeMap<Source, Vec<Note>>>,
    more: Notify,
}

impl Talk {
    /// These are the notes of an object now.
    pub(crate) fn say(&self, source: Source, notes: Vec<Note>) {
        self.all().insert(source, notes);
        self.0.more.notify_one();
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Source, Vec<Note>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until it is dropped.
    pub(crate) async fn run(self, mut writer: Writer) {
        loop {
            let next = self.all().pop_first();
            let Some((source, notes)) = next else {
                self.0.more.notified().await;
                continue;
            };
            if let Err(error) = writer.write(&source, &notes).await {
                tracing::info!(%error, "what is not served could not be said, and is tried again");
                self.all().entry(source).or_insert(notes);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Writes it.
#[derive(Debug)]
pub(crate) struct Writer {
    node: Arc<str>,
    api: Api,
    recorder: Recorder,
    services: Informer<Service>,
    nodes: Informer<Node>,
    /// The server lets this user write no conditions.
    forbidden: bool,
    /// What was told last of objects by events.
    told: BTreeMap<Source, String>,
}

impl Writer {
    pub(crate) fn new(
        node: Arc<str>,
        api: Api,
        services: Informer<Service>,
        nodes: Informer<Node>,
    ) -> Self {
        let recorder = Recorder::start(api.clone(), "berth-service-proxy", Clock::Machine);
        Self { node, api, recorder, services, nodes, forbidden: false, told: BTreeMap::new() }
    }

    async fn write(&mut self, source: &Source, notes: &[Note]) -> Result<(), CallError> {
        match source {
            Source::Service(key) => {
                let Some(item) = self.services.get(&key.0, &key.1) else {
                    self.told.remove(source);
                    return Ok(());
                };
                let wrote = self.condition(&item.id, &item.view.conditions, notes).await?;
                if wrote || self.forbidden {
                    self.event(source, "Service", &item.id, notes);
                }
            }
            Source::Pod((namespace, name)) => {
                let id = Id { namespace: namespace.clone(), name: name.clone(), ..Id::default() };
                self.event(source, "Pod", &id, notes);
            }
        }
        Ok(())
    }

    /// Writes the condition, if it is this node's to write; whether it did.
    async fn condition(
        &mut self,
        id: &Id,
        conditions: &[serde_json::Value],
        notes: &[Note],
    ) -> Result<bool, CallError> {
        if self.forbidden {
            return Ok(false);
        }
        let nodes = &self.nodes;
        let is_gone = |node: &str| !nodes.is_empty() && nodes.get("", node).is_none();
        let Some(all) = decide(&self.node, conditions, notes, &now(), is_gone) else {
            return Ok(false);
        };
        let path = format!("/api/v1/namespaces/{}/services/{}/status", id.namespace, id.name);
        let patch = json!({
            "metadata": { "resourceVersion": id.resource_version.as_str(), "uid": id.uid },
            "status": { "conditions": all },
        });
        match self.api.patch(&path, Media::Merge, patch.to_string().into()).await {
            Ok(_) => Ok(true),
            // It is another one by now, or gone: that will be heard of, and decided again.
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(false),
            Err(error) if error.code() == Some(403) => {
                tracing::warn!(%error, "the condition {TYPE} may not be written: events tell what is not served");
                self.forbidden = true;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn event(&mut self, source: &Source, kind: &str, id: &Id, notes: &[Note]) {
        let Some(first) = notes.first() else {
            self.told.remove(source);
            return;
        };
        let text = message(&self.node, notes);
        if self.told.get(source) == Some(&text) {
            return;
        }
        let about = Reference {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: id.namespace.to_string(),
            name: id.name.to_string(),
            uid: id.uid.clone(),
            ..Reference::default()
        };
        self.recorder.record(&about, Type::Warning, first.reason, "Serving", text.clone());
        self.told.insert(source.clone(), text);
    }
}
