// SPDX-License-Identifier: Apache-2.0
//! From a claim to a path of this node. Volumes of type hostPath and local are; others would need a driver.

use super::host_path;
use crate::error::Cause;
use crate::pod;
use crate::sources::{self, Claim, Sources};
use k8s_openapi::api::core::v1::{PersistentVolumeSpec, Pod, Volume};
use std::path::PathBuf;

/// Where a claim's volume lies.
pub(super) struct Bound {
    pub(super) host: PathBuf,
    pub(super) read_only: bool,
    /// Whether `fsGroup` goes for it, as it does for local volumes.
    pub(super) owned: bool,
}

/// The path of the volume that the claim is bound to.
pub(super) fn find(
    pod: &Pod,
    volume: &Volume,
    name: &str,
    sources: &Sources,
) -> Result<Bound, Cause> {
    let claim = sources::known(sources.claims.get(name), "persistentvolumeclaim", name)?;
    let claim = claim.ok_or_else(|| Cause::NoClaim { name: name.to_owned() })?;
    let refuse = |why: String| Cause::Claim { name: name.to_owned(), why };
    if volume.ephemeral.is_some() && !is_owned(claim, pod) {
        return Err(refuse(format!(
            "it was not created for pod {} (pod is not owner)",
            pod::name(pod)
        )));
    }
    let spec = bound(claim).map_err(refuse)?;
    let source = volume.persistent_volume_claim.as_ref();
    let read_only = source.and_then(|source| source.read_only).unwrap_or(false);
    if let Some(path) = &spec.host_path {
        let host = host_path::check(&path.path, path.type_.as_deref().unwrap_or_default())?;
        return Ok(Bound { host, read_only, owned: false });
    }
    if let Some(local) = &spec.local {
        let host = host_path::check(&local.path, "Directory")?;
        return Ok(Bound { host, read_only, owned: true });
    }
    let what = format!("the kind of the persistentvolume of claim {name:?}");
    Err(Cause::Unsupported { what, instead: "use one of kind hostPath or local" })
}

/// The volume, if both say that they are each other's.
fn bound(claim: &Claim) -> Result<&PersistentVolumeSpec, String> {
    let metadata = &claim.claim.metadata;
    if metadata.deletion_timestamp.is_some() {
        return Err("it is being deleted".to_owned());
    }
    let phase = claim.claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let spec = claim.claim.spec.as_ref();
    let volume = spec.and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if phase != Some("Bound") || volume.is_empty() {
        let phase = phase.unwrap_or_default();
        return Err(format!(
            "it has non-bound phase ({phase:?}) or empty spec.volumeName ({volume:?})"
        ));
    }
    if spec.and_then(|spec| spec.volume_mode.as_deref()) == Some("Block") {
        return Err("its volumeMode is Block, which is not there: use Filesystem".to_owned());
    }
    let found = claim.volume.as_ref().and_then(|volume| volume.spec.as_ref());
    let found = found.ok_or_else(|| format!("its persistentvolume {volume:?} not found"))?;
    let owner = found.claim_ref.as_ref().and_then(|claim| claim.uid.as_deref());
    if owner.is_none() || owner != metadata.uid.as_deref() {
        let owner = owner.unwrap_or_default();
        return Err(format!(
            "its persistentvolume {volume:?} has ClaimRef.UID {owner:?}, which is another claim's"
        ));
    }
    Ok(found)
}

fn is_owned(claim: &Claim, pod: &Pod) -> bool {
    let owners = claim.claim.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.uid == pod::uid(pod) && owner.controller == Some(true))
}
