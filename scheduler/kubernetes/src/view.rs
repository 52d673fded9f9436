// SPDX-License-Identifier: Apache-2.0
//! What is kept of objects: just what the engine reads.

use berth_cluster_client::{Id, ObjectError, Pool, View};
use berth_scheduler_model::objects::{Event, GroupKind};
use berth_scheduler_objects as objects;
use serde_json::Deserializer;
use serde_json::de::SliceRead;
use std::sync::Arc;

/// What is kept of a pod.
pub type PodView = Seen<PodKind>;

/// What is kept of an object of a kind.
#[derive(Debug)]
pub struct Seen<K: Kind>(pub K::Kept);

/// A kind that the scheduler follows.
pub trait Kind: Send + Sync + 'static {
    /// Its group, version and name in the plural.
    const RESOURCE: (&'static str, &'static str, &'static str);
    /// What is kept of an object.
    type Kept: PartialEq + Send + Sync + 'static;
    /// Reads it.
    fn read(json: &mut Source<'_>) -> Result<Self::Kept, objects::ObjectError>;
    /// Takes from the pool what it has in common with others.
    fn share(_kept: &mut Self::Kept, _pool: &mut Pool) {}
}

/// A kind whose objects are events of the engine.
pub(crate) trait State: Kind<Kept = Event> {
    /// What it means that an object is gone.
    fn gone(id: &Id) -> Event;
}

/// What an object is read from.
pub type Source<'a> = Deserializer<SliceRead<'a>>;

impl<K: Kind> View for Seen<K> {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        let read = objects::from_slice(json, |source| K::read(source));
        read.map(Self).map_err(|error| ObjectError(error.to_string()))
    }

    fn share(&mut self, pool: &mut Pool) {
        K::share(&mut self.0, pool);
    }
}

/// Pods.
#[derive(Debug)]
pub enum PodKind {}

impl Kind for PodKind {
    const RESOURCE: (&'static str, &'static str, &'static str) = ("", "v1", "pods");
    type Kept = objects::PodObject;
    fn read(json: &mut Source<'_>) -> Result<Self::Kept, objects::ObjectError> {
        objects::pod(json)
    }
    fn share(kept: &mut Self::Kept, pool: &mut Pool) {
        let pod = &mut kept.pod;
        pod.spec = pool.part(Arc::clone(&pod.spec));
        pod.namespace = pool.text(Arc::clone(&pod.namespace));
        pod.node = pod.node.take().map(|node| pool.text(node));
    }
}

macro_rules! kinds {
    ($($name:ident $group:literal $version:literal $plural:literal, $read:expr, $gone:expr;)*) => {$(
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl Kind for $name {
            const RESOURCE: (&'static str, &'static str, &'static str) = ($group, $version, $plural);
            type Kept = Event;
            fn read(json: &mut Source<'_>) -> Result<Event, objects::ObjectError> {
                let read: fn(&mut Source<'_>) -> Result<Event, objects::ObjectError> = $read;
                read(json)
            }
        }

        impl State for $name {
            fn gone(id: &Id) -> Event {
                let gone: fn(&str, &str) -> Event = $gone;
                gone(&id.namespace, &id.name)
            }
        }
    )*};
}

fn group_gone(kind: GroupKind, namespace: &str, name: &str) -> Event {
    Event::GroupGone { kind, namespace: namespace.into(), name: name.into() }
}

kinds! {
    Nodes "" "v1" "nodes",
        |json| objects::node(json).map(|node| Event::Node(Box::new(node))), |_, name| Event::NodeGone(name.into());
    Namespaces "" "v1" "namespaces",
        |json| objects::namespace(json).map(Event::Namespace), |_, name| Event::NamespaceGone(name.into());
    Services "" "v1" "services",
        |json| objects::service(json).map(Event::Group), |namespace, name| group_gone(GroupKind::Service, namespace, name);
    ReplicationControllers "" "v1" "replicationcontrollers",
        |json| objects::replication_controller(json).map(Event::Group),
        |namespace, name| group_gone(GroupKind::ReplicationController, namespace, name);
    ReplicaSets "apps" "v1" "replicasets",
        |json| objects::replica_set(json).map(Event::Group),
        |namespace, name| group_gone(GroupKind::ReplicaSet, namespace, name);
    StatefulSets "apps" "v1" "statefulsets",
        |json| objects::stateful_set(json).map(Event::Group),
        |namespace, name| group_gone(GroupKind::StatefulSet, namespace, name);
    Budgets "policy" "v1" "poddisruptionbudgets",
        |json| objects::budget(json).map(Event::Budget),
        |namespace, name| Event::BudgetGone { namespace: namespace.into(), name: name.into() };
    Volumes "" "v1" "persistentvolumes",
        |json| objects::persistent_volume(json).map(|volume| Event::Volume(Box::new(volume))),
        |_, name| Event::VolumeGone(name.into());
    Claims "" "v1" "persistentvolumeclaims",
        |json| objects::persistent_volume_claim(json).map(|claim| Event::Claim(Box::new(claim))),
        |namespace, name| Event::ClaimGone { namespace: namespace.into(), name: name.into() };
    StorageClasses "storage.k8s.io" "v1" "storageclasses",
        |json| objects::storage_class(json).map(Event::Class), |_, name| Event::ClassGone(name.into());
    CsiNodes "storage.k8s.io" "v1" "csinodes",
        |json| objects::csi_node(json).map(Event::CsiNode), |_, name| Event::CsiNodeGone(name.into());
    CsiDrivers "storage.k8s.io" "v1" "csidrivers",
        |json| objects::csi_driver(json).map(Event::CsiDriver), |_, name| Event::CsiDriverGone(name.into());
    Capacities "storage.k8s.io" "v1" "csistoragecapacities",
        |json| objects::csi_capacity(json).map(Event::Capacity),
        |namespace, name| Event::CapacityGone { key: (namespace.into(), name.into()) };
    Attachments "storage.k8s.io" "v1" "volumeattachments",
        |json| objects::volume_attachment(json).map(Event::Attachment), |_, name| Event::AttachmentGone(name.into());
}
