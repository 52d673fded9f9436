// SPDX-License-Identifier: Apache-2.0
//! The volumes of a pod that matter for placement.

use crate::error::{ObjectError, Path};
use crate::field::{Lax, List, Text, at_most, each, name, text};
use berth_scheduler_model::limits::TERMS_MAX;
use berth_scheduler_model::volume::{Disk, PodVolume};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct VolumeView {
    name: Text,
    persistent_volume_claim: Option<ClaimView>,
    ephemeral: Option<IgnoredAny>,
    gce_persistent_disk: Option<GceView>,
    aws_elastic_block_store: Option<EbsView>,
    iscsi: Option<IscsiView>,
    rbd: Option<RbdView>,
    csi: Option<CsiView>,
    image: Option<ImageView>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimView {
    claim_name: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GceView {
    pd_name: Text,
    read_only: Lax<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct EbsView {
    #[serde(rename = "volumeID")]
    volume_id: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IscsiView {
    iqn: Text,
    read_only: Lax<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RbdView {
    monitors: List<String>,
    pool: Text,
    image: Text,
    read_only: Lax<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct CsiView {
    driver: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ImageView {
    reference: Text,
}

/// Reads volumes; those that are no matter of placement (config maps, empty directories) are left out.
pub(super) fn read(
    list: &[VolumeView],
    pod: &str,
    path: &Path<'_>,
) -> Result<Vec<PodVolume>, ObjectError> {
    at_most(list.len(), TERMS_MAX, path)?;
    let mut volumes = Vec::new();
    for (index, volume) in list.iter().enumerate() {
        volume.read(pod, &path.index(index), &mut volumes)?;
    }
    Ok(volumes)
}

impl VolumeView {
    /// The reference of an image volume.
    pub(super) fn image(&self) -> Option<&str> {
        self.image.as_ref().map(|image| image.reference.as_str())
    }

    fn read(
        &self,
        pod: &str,
        path: &Path<'_>,
        volumes: &mut Vec<PodVolume>,
    ) -> Result<(), ObjectError> {
        if let Some(claim) = &self.persistent_volume_claim {
            let at = path.field("persistentVolumeClaim.claimName");
            let name = name(&claim.claim_name, &at)?;
            volumes.push(PodVolume::Claim { name, ephemeral: false });
        }
        if self.ephemeral.is_some() {
            let name = text(&format!("{pod}-{}", *self.name), &path.field("name"))?;
            volumes.push(PodVolume::Claim { name, ephemeral: true });
        }
        if let Some(disk) = self.disk(path)? {
            volumes.push(PodVolume::Disk(disk));
        }
        if let Some(csi) = &self.csi {
            let driver = name(&csi.driver, &path.field("csi.driver"))?;
            volumes.push(PodVolume::Csi { driver });
        }
        Ok(())
    }

    fn disk(&self, path: &Path<'_>) -> Result<Option<Disk>, ObjectError> {
        Ok(if let Some(gce) = &self.gce_persistent_disk {
            let name = text(&gce.pd_name, &path.field("gcePersistentDisk.pdName"))?;
            Some(Disk::Gce { name, read_only: gce.read_only.0 })
        } else if let Some(ebs) = &self.aws_elastic_block_store {
            let id = text(&ebs.volume_id, &path.field("awsElasticBlockStore.volumeID"))?;
            Some(Disk::Ebs { id })
        } else if let Some(iscsi) = &self.iscsi {
            let iqn = text(&iscsi.iqn, &path.field("iscsi.iqn"))?;
            Some(Disk::Iscsi { iqn, read_only: iscsi.read_only.0 })
        } else if let Some(rbd) = &self.rbd {
            let at = path.field("rbd.monitors");
            at_most(rbd.monitors.len(), TERMS_MAX, &at)?;
            Some(Disk::Rbd {
                monitors: each(&rbd.monitors, &at, |m, at| text(m, at))?,
                pool: text(&rbd.pool, &path.field("rbd.pool"))?,
                image: text(&rbd.image, &path.field("rbd.image"))?,
                read_only: rbd.read_only.0,
            })
        } else {
            None
        })
    }
}
