// SPDX-License-Identifier: Apache-2.0
//! Volumes, claims, storage classes and what CSI says of nodes.

use crate::error::{ObjectError, Path};
use crate::field::{
    Lax, List, Quantity, QuantityMap, Text, at_most, each, labels, name, one_of, optional, text,
    view,
};
use crate::groups::Meta;
use crate::selector::{self, LabelSelectorView, NodeSelectorView, TopologyTermView};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::NodeSelector;
use berth_scheduler_model::limits::TERMS_MAX;
use berth_scheduler_model::volume::{
    AccessModes, ClaimRef, CsiCapacity, CsiDriver, CsiNode, PersistentVolume,
    PersistentVolumeClaim, StorageClass, VolumeAttachment,
};
use serde::{Deserialize, Deserializer};

/// The annotation that carried the storage class before the field did, and still wins over it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeObject {
    metadata: Lax<Meta>,
    spec: Lax<VolumeSpec>,
    status: Lax<PhaseView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PhaseView {
    phase: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VolumeSpec {
    capacity: QuantityMap,
    access_modes: List<String>,
    storage_class_name: Text,
    claim_ref: Option<ClaimRefView>,
    node_affinity: Lax<VolumeAffinity>,
    csi: Option<CsiSource>,
    volume_mode: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimRefView {
    namespace: Text,
    name: Text,
    uid: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeAffinity {
    required: Option<NodeSelectorView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CsiSource {
    driver: Text,
    volume_handle: Text,
}

/// Reads a `v1.PersistentVolume`.
pub fn persistent_volume<'de, D>(source: D) -> Result<PersistentVolume, ObjectError>
where
    D: Deserializer<'de>,
{
    let object: VolumeObject = view(source)?;
    let (meta, spec) = (&object.metadata, &object.spec);
    let at = Path::ROOT.field("spec");
    let claim = spec.claim_ref.as_ref().map(|claim| {
        let at = at.field("claimRef");
        Ok(ClaimRef {
            namespace: text(&claim.namespace, &at.field("namespace"))?,
            name: text(&claim.name, &at.field("name"))?,
            uid: text(&claim.uid, &at.field("uid"))?,
        })
    });
    let csi = spec.csi.as_ref().map(|csi| {
        let at = at.field("csi");
        Ok((
            name(&csi.driver, &at.field("driver"))?,
            text(&csi.volume_handle, &at.field("volumeHandle"))?,
        ))
    });
    let required = &at.field("nodeAffinity.required");
    Ok(PersistentVolume {
        name: meta.name()?,
        labels: labels(&meta.labels, &Path::ROOT.field("metadata.labels"))?,
        capacity: storage(&spec.capacity, &at.field("capacity"))?,
        access: access(&spec.access_modes, &at.field("accessModes"))?,
        class: class(meta, Some(&spec.storage_class_name))?.unwrap_or_else(|| Str::from("")),
        claim: claim.transpose()?,
        node_affinity: spec
            .node_affinity
            .required
            .as_ref()
            .map(|view| view.read(required))
            .transpose()?,
        csi: csi.transpose()?,
        block: is_block(&spec.volume_mode, &at.field("volumeMode"))?,
        available: *object.status.phase == "Available",
        terminating: meta.deletion_timestamp.is_some(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimObject {
    metadata: Lax<Meta>,
    spec: Lax<ClaimSpec>,
    status: Lax<PhaseView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec {
    access_modes: List<String>,
    resources: Lax<ClaimResources>,
    selector: Option<LabelSelectorView>,
    storage_class_name: Option<String>,
    volume_name: Text,
    volume_mode: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimResources {
    requests: QuantityMap,
}

/// Reads a `v1.PersistentVolumeClaim`.
pub fn persistent_volume_claim<'de, D>(source: D) -> Result<PersistentVolumeClaim, ObjectError>
where
    D: Deserializer<'de>,
{
    let object: ClaimObject = view(source)?;
    let (meta, spec) = (&object.metadata, &object.spec);
    let at = Path::ROOT.field("spec");
    let owner = meta.owner_references.iter().find(|owner| owner.controller.0);
    let owner_path = Path::ROOT.field("metadata.ownerReferences");
    let selected_path = Path::ROOT.field("metadata.annotations");
    let selected = meta.annotations.get("volume.kubernetes.io/selected-node");
    Ok(PersistentVolumeClaim {
        namespace: meta.namespace()?,
        name: meta.name()?,
        uid: text(&meta.uid, &Path::ROOT.field("metadata.uid"))?,
        owner: owner.map(|owner| text(&owner.uid, &owner_path)).transpose()?,
        class: class(meta, spec.storage_class_name.as_deref())?,
        volume: optional(&spec.volume_name, &at.field("volumeName"))?,
        bind_completed: meta.annotations.contains_key("pv.kubernetes.io/bind-completed"),
        selected_node: selected.map(|node| text(node, &selected_path)).transpose()?,
        lost: *object.status.phase == "Lost",
        terminating: meta.deletion_timestamp.is_some(),
        request: storage(&spec.resources.requests, &at.field("resources.requests"))?,
        access: access(&spec.access_modes, &at.field("accessModes"))?,
        selector: selector::optional(spec.selector.as_ref(), &at.field("selector"))?,
        block: is_block(&spec.volume_mode, &at.field("volumeMode"))?,
    })
}

/// The storage class: the old annotation wins over the field.
fn class(meta: &Meta, field: Option<&str>) -> Result<Option<Str>, ObjectError> {
    let annotation = meta.annotations.get(CLASS_ANNOTATION).map(|name| name.as_str());
    annotation
        .or(field)
        .map(|name| text(name, &Path::ROOT.field("spec.storageClassName")))
        .transpose()
}

fn storage(map: &QuantityMap, path: &Path<'_>) -> Result<i64, ObjectError> {
    map.get("storage").map_or(Ok(0), |quantity| quantity.units(&path.key("storage")))
}

fn access(modes: &[String], path: &Path<'_>) -> Result<AccessModes, ObjectError> {
    at_most(modes.len(), TERMS_MAX, path)?;
    let mut access = AccessModes::default();
    for (index, mode) in modes.iter().enumerate() {
        let modes = [
            ("ReadWriteOnce", 0),
            ("ReadOnlyMany", 1),
            ("ReadWriteMany", 2),
            ("ReadWriteOncePod", 3),
        ];
        match one_of(mode, &modes, &path.index(index))? {
            0 => access.read_write_once = true,
            1 => access.read_only_many = true,
            2 => access.read_write_many = true,
            _ => access.read_write_once_pod = true,
        }
    }
    Ok(access)
}

fn is_block(mode: &str, path: &Path<'_>) -> Result<bool, ObjectError> {
    one_of(mode, &[("", false), ("Filesystem", false), ("Block", true)], path)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClassObject {
    metadata: Lax<Meta>,
    provisioner: Text,
    volume_binding_mode: Text,
    allowed_topologies: List<TopologyTermView>,
}

/// Reads a `storage.k8s.io/v1 StorageClass`.
pub fn storage_class<'de, D: Deserializer<'de>>(source: D) -> Result<StorageClass, ObjectError> {
    let object: ClassObject = view(source)?;
    let modes = [("", false), ("Immediate", false), ("WaitForFirstConsumer", true)];
    let at = Path::ROOT.field("allowedTopologies");
    at_most(object.allowed_topologies.len(), TERMS_MAX, &at)?;
    Ok(StorageClass {
        name: object.metadata.name()?,
        provisioner: name(&object.provisioner, &Path::ROOT.field("provisioner"))?,
        wait_for_consumer: one_of(
            &object.volume_binding_mode,
            &modes,
            &Path::ROOT.field("volumeBindingMode"),
        )?,
        allowed_topologies: NodeSelector {
            terms: each(&object.allowed_topologies, &at, TopologyTermView::read)?,
        },
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiNodeObject {
    metadata: Lax<Meta>,
    spec: Lax<CsiNodeSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiNodeSpec {
    drivers: List<CsiNodeDriver>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiNodeDriver {
    name: Text,
    allocatable: Lax<CsiNodeAllocatable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiNodeAllocatable {
    count: Option<i32>,
}

/// Reads a `storage.k8s.io/v1 CSINode`.
pub fn csi_node<'de, D: Deserializer<'de>>(source: D) -> Result<CsiNode, ObjectError> {
    let object: CsiNodeObject = view(source)?;
    let at = Path::ROOT.field("spec.drivers");
    at_most(object.spec.drivers.len(), TERMS_MAX, &at)?;
    let migrated = object.metadata.annotations.get("storage.alpha.kubernetes.io/migrated-plugins");
    let migrated_path = Path::ROOT.field("metadata.annotations");
    Ok(CsiNode {
        name: object.metadata.name()?,
        drivers: each(&object.spec.drivers, &at, |driver, at| {
            Ok((name(&driver.name, &at.field("name"))?, driver.allocatable.count))
        })?,
        migrated: migrated
            .map(|list| list.split(',').filter(|name| !name.is_empty()))
            .into_iter()
            .flatten()
            .map(|name| text(name, &migrated_path))
            .collect::<Result<_, _>>()?,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiDriverObject {
    metadata: Lax<Meta>,
    spec: Lax<CsiDriverSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CsiDriverSpec {
    storage_capacity: Lax<bool>,
}

/// Reads a `storage.k8s.io/v1 CSIDriver`.
pub fn csi_driver<'de, D: Deserializer<'de>>(source: D) -> Result<CsiDriver, ObjectError> {
    let object: CsiDriverObject = view(source)?;
    Ok(CsiDriver {
        name: object.metadata.name()?,
        storage_capacity: object.spec.storage_capacity.0,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CapacityObject {
    metadata: Lax<Meta>,
    storage_class_name: Text,
    node_topology: Option<LabelSelectorView>,
    capacity: Option<Quantity>,
    maximum_volume_size: Option<Quantity>,
}

/// Reads a `storage.k8s.io/v1 CSIStorageCapacity`.
pub fn csi_capacity<'de, D: Deserializer<'de>>(source: D) -> Result<CsiCapacity, ObjectError> {
    let object: CapacityObject = view(source)?;
    let read = |quantity: &Option<Quantity>, field: &str| {
        quantity.as_ref().map(|q| q.units(&Path::ROOT.field(field))).transpose()
    };
    Ok(CsiCapacity {
        key: (object.metadata.namespace()?, object.metadata.name()?),
        class: name(&object.storage_class_name, &Path::ROOT.field("storageClassName"))?,
        topology: selector::optional(
            object.node_topology.as_ref(),
            &Path::ROOT.field("nodeTopology"),
        )?,
        capacity: read(&object.capacity, "capacity")?,
        largest: read(&object.maximum_volume_size, "maximumVolumeSize")?,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AttachmentObject {
    metadata: Lax<Meta>,
    spec: Lax<AttachmentSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentSpec {
    attacher: Text,
    node_name: Text,
    source: Lax<AttachmentSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentSource {
    persistent_volume_name: Text,
}

/// Reads a `storage.k8s.io/v1 VolumeAttachment`.
pub fn volume_attachment<'de, D>(source: D) -> Result<VolumeAttachment, ObjectError>
where
    D: Deserializer<'de>,
{
    let object: AttachmentObject = view(source)?;
    let at = Path::ROOT.field("spec");
    Ok(VolumeAttachment {
        name: object.metadata.name()?,
        attacher: name(&object.spec.attacher, &at.field("attacher"))?,
        node: name(&object.spec.node_name, &at.field("nodeName"))?,
        volume: optional(
            &object.spec.source.persistent_volume_name,
            &at.field("source.persistentVolumeName"),
        )?,
    })
}
