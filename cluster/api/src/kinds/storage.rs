// SPDX-License-Identifier: Apache-2.0
//! Storage: volumes, claims to them, classes of them, and what drivers (CSI) say of themselves.

mod amounts;
mod attachment;
mod cells;
mod claim;
mod claim_update;
mod class;
mod driver;
mod source;
mod volume;

pub(crate) use claim::{default_spec as default_claim_spec, spec as validate_claim_spec};

use super::row::{RowExt, row};
use crate::registry::{Kind, Subresource};

/// The group of all but volumes and claims.
const GROUP: &str = "storage.k8s.io";

/// The annotation by which classes were named before there was a field.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let volume = row("", "PersistentVolume", "persistentvolumes", &[], volume::Volume)
        .short(&["pv"])
        .below(&[Subresource::Status])
        .cluster_scoped();
    let claim = row("", "PersistentVolumeClaim", "persistentvolumeclaims", &[], claim::Claim)
        .short(&["pvc"])
        .below(&[Subresource::Status]);
    let class = row(GROUP, "StorageClass", "storageclasses", &cells::class_columns(), class::Class)
        .short(&["sc"])
        .cluster_scoped();
    let capacity = row(GROUP, "CSIStorageCapacity", "csistoragecapacities", &[], class::Capacity);
    let driver = row(GROUP, "CSIDriver", "csidrivers", &cells::driver_columns(), driver::Driver)
        .cluster_scoped();
    let node =
        row(GROUP, "CSINode", "csinodes", &cells::node_columns(), driver::Node).cluster_scoped();
    let columns = cells::attachment_columns();
    let attachment =
        row(GROUP, "VolumeAttachment", "volumeattachments", &columns, attachment::Attachment)
            .below(&[Subresource::Status])
            .cluster_scoped();
    let all = vec![
        Kind { columns: cells::volume_columns(), ..volume },
        Kind { columns: cells::claim_columns(), ..claim },
        class,
        Kind { columns: cells::capacity_columns(), ..capacity },
        driver,
        node,
        attachment,
    ];
    all.into_iter().map(RowExt::returns_object).collect()
}
