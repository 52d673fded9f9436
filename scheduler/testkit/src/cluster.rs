// SPDX-License-Identifier: Apache-2.0
//! The part that all records share: lists of Kubernetes objects, which become events, and a profile.

use crate::error::Problem;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin};
use berth_scheduler_objects::{self as objects, ObjectError, PodObject};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The lists of objects in a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Lists {
    namespaces: Vec<Value>,
    nodes: Vec<Value>,
    services: Vec<Value>,
    replica_sets: Vec<Value>,
    stateful_sets: Vec<Value>,
    replication_controllers: Vec<Value>,
    storage_classes: Vec<Value>,
    csi_nodes: Vec<Value>,
    csi_drivers: Vec<Value>,
    csi_storage_capacities: Vec<Value>,
    volume_attachments: Vec<Value>,
    persistent_volumes: Vec<Value>,
    persistent_volume_claims: Vec<Value>,
    pod_disruption_budgets: Vec<Value>,
    pods: Vec<Value>,
    nominated_pods: Vec<Value>,
}

impl Lists {
    /// The pods that are there at the start.
    pub(crate) fn pods(&self) -> Result<Vec<Pod>, Problem> {
        let read = |(index, value): (usize, &Value)| match pod(value, &place("pods", index)) {
            Ok(object) => (!object.finished).then_some(Ok(object.pod)),
            Err(problem) => Some(Err(problem)),
        };
        self.pods.iter().enumerate().filter_map(read).collect()
    }

    /// Everything that is there at the start, as events.
    pub(crate) fn events(&self) -> Result<Vec<Event>, Problem> {
        let mut events = Vec::new();
        for (list, kind, values) in [
            ("namespaces", "Namespace", &self.namespaces),
            ("nodes", "Node", &self.nodes),
            ("services", "Service", &self.services),
            ("replicaSets", "ReplicaSet", &self.replica_sets),
            ("statefulSets", "StatefulSet", &self.stateful_sets),
            ("replicationControllers", "ReplicationController", &self.replication_controllers),
            ("storageClasses", "StorageClass", &self.storage_classes),
            ("csiNodes", "CSINode", &self.csi_nodes),
            ("csiDrivers", "CSIDriver", &self.csi_drivers),
            ("csiStorageCapacities", "CSIStorageCapacity", &self.csi_storage_capacities),
            ("volumeAttachments", "VolumeAttachment", &self.volume_attachments),
            ("persistentVolumes", "PersistentVolume", &self.persistent_volumes),
            ("persistentVolumeClaims", "PersistentVolumeClaim", &self.persistent_volume_claims),
            ("podDisruptionBudgets", "PodDisruptionBudget", &self.pod_disruption_budgets),
        ] {
            for (index, value) in values.iter().enumerate() {
                events.push(event(kind, value, &place(list, index))?);
            }
        }
        events.extend(self.pods()?.into_iter().map(|pod| Event::Pod(Box::new(pod))));
        for (index, value) in self.nominated_pods.iter().enumerate() {
            let object = pod(value, &place("nominatedPods", index))?;
            events.push(Event::Pod(Box::new(object.pod)));
        }
        Ok(events)
    }
}

fn place(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// The event that an object of some kind, other than a pod, is there.
pub(crate) fn event(kind: &str, value: &Value, place: &str) -> Result<Event, Problem> {
    let event = match kind {
        "Namespace" => objects::namespace(value).map(Event::Namespace),
        "Node" => objects::node(value).map(|node| Event::Node(Box::new(node))),
        "Service" => objects::service(value).map(Event::Group),
        "ReplicaSet" => objects::replica_set(value).map(Event::Group),
        "StatefulSet" => objects::stateful_set(value).map(Event::Group),
        "ReplicationController" => objects::replication_controller(value).map(Event::Group),
        "StorageClass" => objects::storage_class(value).map(Event::Class),
        "CSINode" => objects::csi_node(value).map(Event::CsiNode),
        "CSIDriver" => objects::csi_driver(value).map(Event::CsiDriver),
        "CSIStorageCapacity" => objects::csi_capacity(value).map(Event::Capacity),
        "VolumeAttachment" => objects::volume_attachment(value).map(Event::Attachment),
        "PersistentVolume" => {
            objects::persistent_volume(value).map(|volume| Event::Volume(Box::new(volume)))
        }
        "PersistentVolumeClaim" => {
            objects::persistent_volume_claim(value).map(|claim| Event::Claim(Box::new(claim)))
        }
        "PodDisruptionBudget" => objects::budget(value).map(Event::Budget),
        _ => return Err(unknown(place, kind)),
    };
    event.map_err(|error| object(place, error))
}

/// A pod as the API server has it.
pub(crate) fn pod(value: &Value, place: &str) -> Result<PodObject, Problem> {
    objects::pod(value).map_err(|error| object(place, error))
}

/// A pod that is to be placed: a node name in its spec is a wish.
pub(crate) fn pending(value: &Value, place: &str) -> Result<Pod, Problem> {
    let mut pod = pod(value, place)?.pod;
    if let Some(node) = pod.node.take() {
        Arc::make_mut(&mut pod.spec).node_name = Some(node);
    }
    Ok(pod)
}

/// The profile.
pub(crate) fn profile(value: &Value) -> Result<Profile, Problem> {
    objects::config::profile(value).map_err(Problem::Profile)
}

pub(crate) fn plugin(name: &str, place: &str) -> Result<Plugin, Problem> {
    Plugin::by_name(name).ok_or_else(|| unknown(place, name))
}

pub(crate) fn code(name: &str, place: &str) -> Result<Code, Problem> {
    [Code::Unschedulable, Code::UnschedulableAndUnresolvable]
        .into_iter()
        .find(|code| code.name() == name)
        .ok_or_else(|| unknown(place, name))
}

pub(crate) fn unknown(place: &str, found: &str) -> Problem {
    Problem::Unknown { place: place.to_owned(), found: found.to_owned() }
}

fn object(place: &str, error: ObjectError) -> Problem {
    Problem::Object { place: place.to_owned(), error }
}
