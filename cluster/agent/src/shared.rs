// SPDX-License-Identifier: Apache-2.0
//! What all tasks of an agent share.

use crate::settings::Settings;
use berth_cluster_agent_network::AddressBook;
use berth_cluster_client::events::{Recorder, Reference, Type};
use berth_cluster_client::{Informer, ObjectError, View};
use berth_cluster_docker::{Engine, EngineInfo};
use berth_cluster_files::{Facts, Root, ServiceLink};
use berth_cluster_pod::Millis;
use k8s_openapi::api::core::v1::{Node, Pod, PodStatus, Service};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Semaphore, watch};

/// Shared by the tasks of an agent: its parts, and what came to be since.
#[derive(Debug)]
pub(crate) struct Shared {
    parts: Parts,
    /// Who pulls an image holds one.
    pub(crate) pulls: Semaphore,
    /// Who makes or starts something on the engine holds one.
    pub(crate) starts: Semaphore,
    /// Whether the engine answers.
    pub(crate) engine_up: watch::Sender<bool>,
    /// Has ended when the agent has.
    pub(crate) stop: watch::Sender<bool>,
    /// The port of the agent's own server.
    pub(crate) port: OnceLock<u16>,
    shown: Mutex<BTreeMap<String, Shown>>,
}

/// What others may know of a pod, by its uid.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) pod: Arc<Pod>,
    pub(crate) status: PodStatus,
    /// The engine's id of its sandbox.
    pub(crate) sandbox: Option<String>,
}

/// What is there when an agent starts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
    pub(crate) info: EngineInfo,
    pub(crate) root: Root,
    pub(crate) book: AddressBook,
    pub(crate) facts: Facts,
    pub(crate) recorder: Recorder,
    pub(crate) services: Informer<Links>,
    pub(crate) own: Informer<OwnNode>,
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            pulls: Semaphore::new(parts.settings.pulls_max.max(1)),
            starts: Semaphore::new(parts.settings.starts_max.max(1)),
            parts,
            engine_up: watch::Sender::new(true),
            stop: watch::Sender::new(false),
            port: OnceLock::new(),
            shown: Mutex::default(),
        }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn micros(&self) -> i64 {
        self.settings.clock.micros()
    }

    pub(crate) fn now(&self) -> Millis {
        u64::try_from(self.micros() / 1_000).unwrap_or(0)
    }

    /// What is known of all pods.
    pub(crate) fn shown(&self) -> MutexGuard<'_, BTreeMap<String, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells users something of a pod, or of a part of it.
    pub(crate) fn tell(&self, pod: &Pod, part: &str, warning: bool, reason: &str, message: String) {
        let meta = pod.metadata.clone();
        let about = Reference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            field_path: part.to_owned(),
        };
        let kind = if warning { Type::Warning } else { Type::Normal };
        self.recorder.record(&about, kind, reason, "", message);
    }

    /// Tells users something of the node.
    pub(crate) fn tell_node(&self, warning: bool, reason: &str, message: String) {
        let name = self.settings.node.clone();
        let (api_version, kind) = ("v1".to_owned(), "Node".to_owned());
        // As upstream has it: a node's events carry its name as uid, for they may come before the node does.
        let about =
            Reference { api_version, kind, uid: name.clone(), name, ..Reference::default() };
        let kind = if warning { Type::Warning } else { Type::Normal };
        self.recorder.record(&about, kind, reason, "", message);
    }
}

/// A pod, whole.
#[derive(Debug)]
pub(crate) struct WholePod(pub(crate) Arc<Pod>);

impl View for WholePod {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json).map(|pod| Self(Arc::new(pod)))
    }
}

/// What containers are told of a Service.
#[derive(Debug)]
pub(crate) struct Links(pub(crate) Option<ServiceLink>);

impl View for Links {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read::<Service>(json).map(|service| Self(ServiceLink::of(&service)))
    }
}

/// The agent's own node.
#[derive(Debug)]
pub(crate) struct OwnNode(pub(crate) Node);

impl View for OwnNode {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json).map(Self)
    }
}

fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, ObjectError> {
    serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))
}
