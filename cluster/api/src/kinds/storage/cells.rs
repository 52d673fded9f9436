// SPDX-License-Identifier: Apache-2.0
//! Rows of storage in tables.

use super::OLD_CLASS;
use crate::kinds::row::{AGE, column, name_column, wide};
use crate::kinds::view::View;
use crate::registry::Column;
use crate::{Map, cells};
use berth_cluster_json::Value;

/// What is shown where nothing is said.
const UNSET: &str = "<unset>";

/// The columns of volumes.
pub(super) fn volume_columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Capacity", "string", "How much the volume holds."),
        column("Access Modes", "string", "The ways in which the volume can be used."),
        column("Reclaim Policy", "string", "What becomes of the volume when its claim is gone."),
        column(
            "Status",
            "string",
            "Whether the volume is free, bound to a claim, or released by one.",
        ),
        column("Claim", "string", "The claim that the volume is bound to."),
        column("StorageClass", "string", "StorageClass of the pv"),
        column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
        column("Reason", "string", "Why the volume is in a failed state, in a word."),
        AGE,
        wide("VolumeMode", "string", "Whether the volume has files or bytes."),
    ]
}

/// The columns of claims.
pub(super) fn claim_columns() -> Vec<Column> {
    vec![
        name_column(),
        column("Status", "string", "Whether the claim is bound, or waits."),
        column("Volume", "string", "The volume that the claim is bound to."),
        column("Capacity", "string", "How much the volume holds."),
        column("Access Modes", "string", "The ways in which the volume can be used."),
        column("StorageClass", "string", "StorageClass of the pvc"),
        column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
        AGE,
        wide("VolumeMode", "string", "Whether the volume has files or bytes."),
    ]
}

/// The columns of classes, between the name and the age.
pub(super) fn class_columns() -> [Column; 4] {
    let expansion = "AllowVolumeExpansion shows whether the storage class allow volume expand";
    [
        column("Provisioner", "string", "Who makes volumes of the class."),
        column("ReclaimPolicy", "string", "What becomes of a volume when its claim is gone."),
        column("VolumeBindingMode", "string", "When claims are bound, and volumes made."),
        column("AllowVolumeExpansion", "string", expansion),
    ]
}

/// The columns of capacities.
pub(super) fn capacity_columns() -> Vec<Column> {
    vec![
        name_column(),
        column("StorageClassName", "string", "The class whose storage is counted."),
        column("Capacity", "string", "How much there is of it."),
    ]
}

/// The columns of drivers, between the name and the age.
pub(super) fn driver_columns() -> [Column; 6] {
    [
        column("AttachRequired", "boolean", "Whether volumes have to be attached to nodes."),
        column("PodInfoOnMount", "boolean", "Whether the driver is told of the pod that mounts."),
        column("StorageCapacity", "boolean", "Whether the scheduler looks at how much there is."),
        column("TokenRequests", "string", "Audiences of the tokens that the driver gets."),
        column("RequiresRepublish", "boolean", "Whether the driver wants to be called again."),
        column("Modes", "string", "Whether volumes outlive pods."),
    ]
}

/// The columns of what runs on nodes, between the name and the age.
pub(super) fn node_columns() -> [Column; 1] {
    [column(
        "Drivers",
        "integer",
        "Drivers indicates the number of CSI drivers registered on the node",
    )]
}

/// The columns of attachments, between the name and the age.
pub(super) fn attachment_columns() -> [Column; 4] {
    [
        column("Attacher", "string", "The driver that attaches the volume."),
        column("PV", "string", "The volume."),
        column("Node", "string", "The node that it is attached to."),
        column("Attached", "boolean", "Whether it is attached."),
    ]
}

fn text_or(value: &Value, other: &str) -> Value {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(other).into()
}

/// Ways to use a volume in short, each once.
fn modes(of: &Value) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let there = |(mode, _): &&(&str, &str)| of.list("accessModes").iter().any(|one| one == mode);
    short.iter().filter(there).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// The phase, or that the object is going.
fn phase(object: &Map) -> Value {
    if object.at("metadata").has("deletionTimestamp") {
        return "Terminating".into();
    }
    object.at("status").text("phase").into()
}

/// The class: the annotation that named it once goes first.
fn class_of(object: &Map) -> &str {
    match object.at("metadata").at("annotations").text(OLD_CLASS) {
        "" => object.at("spec").text("storageClassName"),
        named => named,
    }
}

/// The cells of a volume.
pub(super) fn volume(object: &Map, now: i64) -> Vec<Value> {
    let spec = object.at("spec");
    let claim = spec.at("claimRef");
    let claim = if claim.is_null() {
        String::new()
    } else {
        format!("{}/{}", claim.text("namespace"), claim.text("name"))
    };
    vec![
        cells::name(object),
        text_or(spec.at("capacity").at("storage"), "0"),
        modes(spec).into(),
        spec.text("persistentVolumeReclaimPolicy").into(),
        phase(object),
        claim.into(),
        class_of(object).into(),
        text_or(spec.at("volumeAttributesClassName"), UNSET),
        object.at("status").text("reason").into(),
        cells::age(object, now),
        text_or(spec.at("volumeMode"), UNSET),
    ]
}

/// The cells of a claim. What it has is shown when it is bound.
pub(super) fn claim(object: &Map, now: i64) -> Vec<Value> {
    let (spec, status) = (object.at("spec"), object.at("status"));
    let volume = spec.text("volumeName");
    let (capacity, modes) = match volume {
        "" => (Value::from(""), String::new()),
        _ => (text_or(status.at("capacity").at("storage"), "0"), modes(status)),
    };
    vec![
        cells::name(object),
        phase(object),
        volume.into(),
        capacity,
        modes.into(),
        class_of(object).into(),
        text_or(spec.at("volumeAttributesClassName"), UNSET),
        cells::age(object, now),
        text_or(spec.at("volumeMode"), UNSET),
    ]
}

/// Annotations that make a class the one of claims that name none.
const DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// The cells of a class.
pub(super) fn class(object: &Map, now: i64) -> Vec<Value> {
    let annotations = object.at("metadata").at("annotations");
    let mut name = object.at("metadata").text("name").to_owned();
    if DEFAULT.iter().any(|key| annotations.text(key) == "true") {
        name.push_str(" (default)");
    }
    vec![
        name.into(),
        object.text("provisioner").into(),
        text_or(object.at("reclaimPolicy"), "Delete"),
        text_or(object.at("volumeBindingMode"), "Immediate"),
        object.flag("allowVolumeExpansion").into(),
        cells::age(object, now),
    ]
}

/// The cells of a capacity.
pub(super) fn capacity(object: &Map) -> Vec<Value> {
    vec![
        cells::name(object),
        object.text("storageClassName").into(),
        text_or(object.at("capacity"), UNSET),
    ]
}

/// The cells of a driver.
pub(super) fn driver(object: &Map, now: i64) -> Vec<Value> {
    let spec = object.at("spec");
    let tokens = match spec.list("tokenRequests") {
        [] => UNSET.into(),
        all => {
            Value::from(all.iter().map(|one| one.text("audience")).collect::<Vec<_>>().join(","))
        }
    };
    let modes = spec.list("volumeLifecycleModes").iter().filter_map(Value::as_str);
    let modes = modes.collect::<Vec<_>>().join(",");
    vec![
        cells::name(object),
        spec.at("attachRequired").as_bool().unwrap_or(true).into(),
        spec.flag("podInfoOnMount").into(),
        spec.flag("storageCapacity").into(),
        tokens,
        spec.flag("requiresRepublish").into(),
        text_or(&modes.into(), "<none>"),
        cells::age(object, now),
    ]
}

/// The cells of what runs on a node.
pub(super) fn node(object: &Map, now: i64) -> Vec<Value> {
    let count = object.at("spec").list("drivers").len();
    vec![cells::name(object), count.into(), cells::age(object, now)]
}

/// The cells of an attachment.
pub(super) fn attachment(object: &Map, now: i64) -> Vec<Value> {
    let spec = object.at("spec");
    vec![
        cells::name(object),
        spec.text("attacher").into(),
        spec.at("source").text("persistentVolumeName").into(),
        spec.text("nodeName").into(),
        object.at("status").flag("attached").into(),
        cells::age(object, now),
    ]
}
