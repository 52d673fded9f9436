// SPDX-License-Identifier: Apache-2.0
//! Objects that clients tell of.

use super::json::{label_selector, list, map, maybe, node_selector};
use super::{Names, Violation, check_length, check_name, pod_spec};
use berth_proto::v1;
use berth_scheduler_model::Str;
use berth_scheduler_model::node::Node;
use berth_scheduler_model::objects::{Event, GroupKind};
use berth_scheduler_objects as objects;
use berth_scheduler_objects::ObjectError;
use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A change that a client tells of.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object other than a pod is there: what it means for the engine, and under which key it is kept.
    Object(v1::ObjectKey, Event),
    /// A pod is bound.
    Pod(BoundPod),
    /// Something is gone.
    Gone(Gone),
}

/// Something that is gone.
#[derive(Debug, Clone)]
pub enum Gone {
    /// The pod of this uid.
    Pod(String),
    /// An object.
    Object(v1::ObjectKey, Event),
}

/// A pod that is bound.
#[derive(Debug, Clone)]
pub struct BoundPod {
    /// Uid.
    pub uid: Str,
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// What it is.
    pub what: Given,
    /// Where.
    pub node: Str,
    /// Since when, microseconds since the Unix epoch.
    pub started: Option<i64>,
    /// Is being deleted.
    pub terminating: bool,
}

/// What a pod is said to be.
#[derive(Debug, Clone)]
pub enum Given {
    /// This encoded `PodSpec`, which can be read.
    Spec(Bytes),
    /// A registered template.
    Template(u32),
}

/// Specs that were seen: a million pods of a few controllers are checked, and held, a few times only.
#[derive(Debug, Default)]
pub struct SeenSpecs(BTreeSet<(String, Bytes)>);

impl SeenSpecs {
    /// Checks a spec unless it was seen, and shares its bytes.
    fn share(&mut self, spec: &v1::PodSpec, names: Names<'_>) -> Result<Bytes, Violation> {
        let bytes = Bytes::from(spec.encode_to_vec());
        let key = (names.namespace.to_owned(), bytes);
        if let Some(known) = self.0.get(&key) {
            return Ok(known.1.clone());
        }
        pod_spec(spec, names)?;
        let bytes = key.1.clone();
        self.0.insert(key);
        Ok(bytes)
    }
}

/// Reads an update.
pub fn update(update: v1::Update) -> Result<Change, Violation> {
    use v1::update::What;
    let what = update.what.ok_or_else(|| Violation::new("", "says nothing"))?;
    let (field, kind, event) = match what {
        What::Pod(pod) => {
            let read = bound_pod(pod, &mut SeenSpecs::default());
            return Ok(Change::Pod(read.map_err(|violation| violation.under("pod"))?));
        }
        What::Gone(key) => return gone(key).map(Change::Gone).map_err(|v| v.under("gone")),
        What::Node(n) => ("node", "Node", node(&n).map(|n| Event::Node(Box::new(n)))),
        What::Namespace(n) => ("namespace", "Namespace", namespace(&n)),
        What::Group(g) => return group(&g).map_err(|v| v.under("group")),
        What::Budget(b) => ("budget", "DisruptionBudget", budget(&b)),
        What::Volume(v) => ("volume", "PersistentVolume", volume(&v)),
        What::Claim(c) => ("claim", "PersistentVolumeClaim", claim(&c)),
        What::StorageClass(c) => ("storageClass", "StorageClass", storage_class(&c)),
        What::CsiNode(n) => ("csiNode", "CSINode", csi_node(&n)),
        What::CsiDriver(d) => ("csiDriver", "CSIDriver", csi_driver(&d)),
        What::CsiCapacity(c) => ("csiCapacity", "CSIStorageCapacity", csi_capacity(&c)),
        What::Attachment(a) => ("attachment", "VolumeAttachment", attachment(&a)),
    };
    let event = event.map_err(|violation| violation.under(field))?;
    let (namespace, name) = identity(&event);
    let key = v1::ObjectKey {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        group_kind: String::new(),
    };
    Ok(Change::Object(key, event))
}

/// Namespace and name of the object that an event brings.
fn identity(event: &Event) -> (&str, &str) {
    match event {
        Event::Node(node) => ("", &node.name),
        Event::Namespace(namespace) => ("", &namespace.name),
        Event::Group(group) => (&group.namespace, &group.name),
        Event::Budget(budget) => (&budget.namespace, &budget.name),
        Event::Volume(volume) => ("", &volume.name),
        Event::Claim(claim) => (&claim.namespace, &claim.name),
        Event::Class(class) => ("", &class.name),
        Event::CsiNode(node) => ("", &node.name),
        Event::CsiDriver(driver) => ("", &driver.name),
        Event::Capacity(capacity) => (&capacity.key.0, &capacity.key.1),
        Event::Attachment(attachment) => ("", &attachment.name),
        _ => ("", ""),
    }
}

fn read<T>(result: Result<T, ObjectError>) -> Result<T, Violation> {
    result.map_err(|error| {
        let mut violation = Violation::of_object(&error);
        // The messages have no `spec` and `status` within objects.
        for part in ["spec.", "status."] {
            if let Some(rest) = violation.field.strip_prefix(part) {
                violation.field = rest.to_owned();
            }
        }
        violation
    })
}

/// Reads a node.
pub fn node(node: &v1::Node) -> Result<Node, Violation> {
    let taint = |t: &v1::Taint| json!({ "key": t.key, "value": t.value, "effect": t.effect });
    let image = |i: &v1::ContainerImage| json!({ "names": i.names, "sizeBytes": i.size_bytes });
    read(objects::node(json!({
        "metadata": { "name": node.name, "labels": map(&node.labels) },
        "spec": {
            "taints": list(&node.taints, taint),
            "unschedulable": node.unschedulable,
        },
        "status": {
            "allocatable": map(&node.allocatable),
            "images": list(&node.images, image),
            "declaredFeatures": node.declared_features,
        },
    })))
}

/// Reads a pod that is bound.
pub fn bound_pod(pod: v1::BoundPod, seen: &mut SeenSpecs) -> Result<BoundPod, Violation> {
    check_name("uid", &pod.uid)?;
    check_length("namespace", &pod.namespace)?;
    check_name("name", &pod.name)?;
    check_name("node", &pod.node)?;
    let namespace = super::json::or(&pod.namespace, "default");
    let what = match pod.what {
        None => return Err(Violation::new("spec", "missing (or a template)")),
        Some(v1::bound_pod::What::Template(template)) => Given::Template(template),
        Some(v1::bound_pod::What::Spec(spec)) => {
            Given::Spec(seen.share(&spec, Names { namespace, name: &pod.name })?)
        }
    };
    Ok(BoundPod {
        namespace: Str::from(namespace),
        uid: pod.uid.into(),
        name: pod.name.into(),
        what,
        node: pod.node.into(),
        started: (pod.started_unix_us != 0).then_some(pod.started_unix_us),
        terminating: pod.terminating,
    })
}

fn namespace(namespace: &v1::Namespace) -> Result<Event, Violation> {
    let object =
        json!({ "metadata": { "name": namespace.name, "labels": map(&namespace.labels) } });
    read(objects::namespace(object)).map(Event::Namespace)
}

fn group(group: &v1::Group) -> Result<Change, Violation> {
    let selector = maybe(group.selector.as_ref(), label_selector);
    let by_map = || -> Result<Value, Violation> {
        let Some(selector) = &group.selector else { return Ok(Value::Null) };
        if !selector.match_expressions.is_empty() {
            let message = format!("a {} selects by matchLabels only", group.kind);
            return Err(Violation::new("selector.matchExpressions", message));
        }
        Ok(map(&selector.match_labels))
    };
    let object = |selector: Value| {
        json!({
            "metadata": { "namespace": group.namespace, "name": group.name },
            "spec": { "selector": selector },
        })
    };
    let read = match group_kind(&group.kind)? {
        GroupKind::Service => objects::service(object(by_map()?)),
        GroupKind::ReplicationController => objects::replication_controller(object(by_map()?)),
        GroupKind::ReplicaSet => objects::replica_set(object(selector)),
        GroupKind::StatefulSet => objects::stateful_set(object(selector)),
    };
    let read = self::read(read);
    let key = v1::ObjectKey {
        kind: "Group".into(),
        namespace: group.namespace.clone(),
        name: group.name.clone(),
        group_kind: group.kind.clone(),
    };
    Ok(Change::Object(key, Event::Group(read?)))
}

fn group_kind(kind: &str) -> Result<GroupKind, Violation> {
    Ok(match kind {
        "Service" => GroupKind::Service,
        "ReplicationController" => GroupKind::ReplicationController,
        "ReplicaSet" => GroupKind::ReplicaSet,
        "StatefulSet" => GroupKind::StatefulSet,
        other => {
            let known = "Service, ReplicationController, ReplicaSet, StatefulSet";
            return Err(Violation::new("kind", format!("\"{other}\" is not one of {known}")));
        }
    })
}

fn budget(budget: &v1::DisruptionBudget) -> Result<Event, Violation> {
    let disrupted: serde_json::Map<_, _> =
        budget.disrupted_pods.iter().map(|name| (name.clone(), Value::Null)).collect();
    read(objects::budget(json!({
        "metadata": { "namespace": budget.namespace, "name": budget.name },
        "spec": { "selector": maybe(budget.selector.as_ref(), label_selector) },
        "status": {
            "disruptionsAllowed": budget.disruptions_allowed,
            "disruptedPods": disrupted,
        },
    })))
    .map(Event::Budget)
}

/// What an object has when it is being deleted.
fn deletion(terminating: bool) -> Value {
    if terminating { "1970-01-01T00:00:00Z".into() } else { Value::Null }
}

fn volume(volume: &v1::PersistentVolume) -> Result<Event, Violation> {
    let claim = |claim: &v1::ClaimReference| json!({ "namespace": claim.namespace, "name": claim.name, "uid": claim.uid });
    let csi = |csi: &v1::CsiPersistentVolumeSource| json!({ "driver": csi.driver, "volumeHandle": csi.volume_handle });
    read(objects::persistent_volume(json!({
        "metadata": {
            "name": volume.name,
            "labels": map(&volume.labels),
            "deletionTimestamp": deletion(volume.terminating),
        },
        "spec": {
            "capacity": { "storage": super::json::or(&volume.capacity, "0") },
            "accessModes": volume.access_modes,
            "storageClassName": volume.storage_class_name,
            "claimRef": maybe(volume.claim_ref.as_ref(), claim),
            "nodeAffinity": { "required": maybe(volume.node_affinity.as_ref(), node_selector) },
            "csi": maybe(volume.csi.as_ref(), csi),
            "volumeMode": volume.volume_mode,
        },
        "status": { "phase": volume.phase },
    })))
    .map(|volume| Event::Volume(Box::new(volume)))
}

fn claim(claim: &v1::PersistentVolumeClaim) -> Result<Event, Violation> {
    let mut annotations = serde_json::Map::new();
    if claim.bind_completed {
        annotations.insert("pv.kubernetes.io/bind-completed".into(), "yes".into());
    }
    if !claim.selected_node.is_empty() {
        let node = claim.selected_node.as_str().into();
        annotations.insert("volume.kubernetes.io/selected-node".into(), node);
    }
    let owner = (!claim.owner_uid.is_empty())
        .then(|| json!([{ "uid": claim.owner_uid, "controller": true }]));
    read(objects::persistent_volume_claim(json!({
        "metadata": {
            "namespace": claim.namespace,
            "name": claim.name,
            "uid": claim.uid,
            "annotations": annotations,
            "ownerReferences": owner,
            "deletionTimestamp": deletion(claim.terminating),
        },
        "spec": {
            "accessModes": claim.access_modes,
            "resources": { "requests": { "storage": super::json::or(&claim.request, "0") } },
            "selector": maybe(claim.selector.as_ref(), label_selector),
            "storageClassName": claim.storage_class_name,
            "volumeName": claim.volume_name,
            "volumeMode": claim.volume_mode,
        },
        "status": { "phase": if claim.lost { "Lost" } else { "" } },
    })))
    .map(|claim| Event::Claim(Box::new(claim)))
}

fn storage_class(class: &v1::StorageClass) -> Result<Event, Violation> {
    // Topologies have no operator and no fields: it is "In", over labels.
    for (index, term) in class.allowed_topologies.iter().enumerate() {
        let plain = term.match_expressions.iter().all(|r| matches!(&*r.operator, "" | "In"));
        if !plain || !term.match_fields.is_empty() {
            let field = format!("allowedTopologies[{index}]");
            return Err(Violation::new(field, "takes matchExpressions with \"In\" only"));
        }
    }
    let requirement = |r: &v1::Requirement| json!({ "key": r.key, "values": r.values });
    let term = |t: &v1::NodeSelectorTerm| json!({ "matchLabelExpressions": list(&t.match_expressions, requirement) });
    read(objects::storage_class(json!({
        "metadata": { "name": class.name },
        "provisioner": class.provisioner,
        "volumeBindingMode": class.volume_binding_mode,
        "allowedTopologies": list(&class.allowed_topologies, term),
    })))
    .map(Event::Class)
}

fn csi_node(node: &v1::CsiNode) -> Result<Event, Violation> {
    let driver = |d: &v1::CsiNodeDriver| json!({ "name": d.name, "allocatable": { "count": d.allocatable_count } });
    let migrated = node.migrated_plugins.join(",");
    read(objects::csi_node(json!({
        "metadata": {
            "name": node.name,
            "annotations": { "storage.alpha.kubernetes.io/migrated-plugins": migrated },
        },
        "spec": { "drivers": list(&node.drivers, driver) },
    })))
    .map(Event::CsiNode)
}

fn csi_driver(driver: &v1::CsiDriver) -> Result<Event, Violation> {
    read(objects::csi_driver(json!({
        "metadata": { "name": driver.name },
        "spec": { "storageCapacity": driver.storage_capacity },
    })))
    .map(Event::CsiDriver)
}

fn csi_capacity(capacity: &v1::CsiStorageCapacity) -> Result<Event, Violation> {
    let quantity = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    read(objects::csi_capacity(json!({
        "metadata": { "namespace": capacity.namespace, "name": capacity.name },
        "storageClassName": capacity.storage_class_name,
        "nodeTopology": maybe(capacity.node_topology.as_ref(), label_selector),
        "capacity": quantity(&capacity.capacity),
        "maximumVolumeSize": quantity(&capacity.maximum_volume_size),
    })))
    .map(Event::Capacity)
}

fn attachment(attachment: &v1::VolumeAttachment) -> Result<Event, Violation> {
    read(objects::volume_attachment(json!({
        "metadata": { "name": attachment.name },
        "spec": {
            "attacher": attachment.attacher,
            "nodeName": attachment.node_name,
            "source": { "persistentVolumeName": attachment.persistent_volume_name },
        },
    })))
    .map(Event::Attachment)
}

fn gone(key: v1::ObjectKey) -> Result<Gone, Violation> {
    check_name("name", &key.name)?;
    check_length("namespace", &key.namespace)?;
    let name = Str::from(key.name.as_str());
    let namespace = Str::from(key.namespace.as_str());
    let event = match key.kind.as_str() {
        "BoundPod" => return Ok(Gone::Pod(key.name)),
        "Node" => Event::NodeGone(name),
        "Namespace" => Event::NamespaceGone(name),
        "Group" => {
            let kind = group_kind(&key.group_kind)
                .map_err(|violation| Violation::new("groupKind", violation.message))?;
            Event::GroupGone { kind, namespace, name }
        }
        "DisruptionBudget" => Event::BudgetGone { namespace, name },
        "PersistentVolume" => Event::VolumeGone(name),
        "PersistentVolumeClaim" => Event::ClaimGone { namespace, name },
        "StorageClass" => Event::ClassGone(name),
        "CSINode" => Event::CsiNodeGone(name),
        "CSIDriver" => Event::CsiDriverGone(name),
        "CSIStorageCapacity" => Event::CapacityGone { key: (namespace, name) },
        "VolumeAttachment" => Event::AttachmentGone(name),
        other => {
            let message = format!("\"{other}\" is no kind of object here");
            return Err(Violation::new("kind", message));
        }
    };
    Ok(Gone::Object(key, event))
}
