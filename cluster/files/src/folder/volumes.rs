// SPDX-License-Identifier: Apache-2.0
//! Making the volumes of a pod, each by its kind.

use super::dir::Dir;
use super::{CLOSED, Folder, claims, host_path, mounts, ownership, swap};
use crate::error::{Cause, VolumeError};
use crate::facts::Facts;
use crate::payload::{self, Payload};
use crate::sources::Sources;
use crate::{field, names, pod, resources};
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may write an emptyDir: any user of a container.
const OPEN: u32 = 0o777;
/// Who may enter a volume that is made of objects: any user, for its containers cannot write it.
const SHOWN: u32 = 0o755;

/// A pod's volumes, ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prepared {
    pub(super) places: BTreeMap<String, Place>,
}

impl Prepared {
    /// Where a volume lies on the host.
    pub fn path(&self, volume: &str) -> Option<&Path> {
        self.places.get(volume).map(|place| place.host.as_path())
    }
}

/// A volume that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: PathBuf,
    pub(super) read_only: bool,
    /// Whether only the agent writes it.
    pub(super) agents: bool,
}

/// What a volume of the agent's own lies on.
#[derive(Debug, Clone, Copy)]
enum Medium {
    /// The disk of the folder.
    Disk,
    /// Memory: at most so many bytes, or as the kernel has it.
    Memory(Option<u64>),
}

/// For which pod, where, and out of what.
pub(super) struct Maker<'a> {
    pub(super) folder: &'a Folder,
    pub(super) own: &'a Dir,
    pub(super) pod: &'a Pod,
    pub(super) sources: &'a Sources,
    pub(super) facts: &'a Facts,
}

impl Maker<'_> {
    pub(super) fn prepare(&self) -> Result<Prepared, VolumeError> {
        let volumes = self.volumes()?;
        let mut prepared = Prepared::default();
        for volume in pod::mounted_volumes(self.pod) {
            let place = self.volume(&volumes, volume).map_err(|cause| failed(volume, cause))?;
            prepared.places.insert(volume.name.clone(), place);
        }
        Ok(prepared)
    }

    pub(super) fn refresh(&self) -> Result<Vec<String>, VolumeError> {
        let volumes = self.volumes()?;
        let (mut changed, mut error) = (Vec::new(), None);
        for volume in pod::mounted_volumes(self.pod) {
            let written = self.payload(volume).and_then(|payload| match payload {
                Some(payload) => self.write(&volumes, volume, &payload),
                None => Ok(false),
            });
            match written {
                Ok(true) => changed.push(volume.name.clone()),
                Ok(false) => {}
                Err(cause) => error = error.or_else(|| Some(failed(volume, cause))),
            }
        }
        error.map_or(Ok(changed), Err)
    }

    fn volumes(&self) -> Result<Dir, VolumeError> {
        let made = self.own.make("volumes", CLOSED, None);
        made.map_err(|source| {
            self.folder.error(Cause::System { doing: "make volumes".to_owned(), source })
        })
    }

    fn volume(&self, volumes: &Dir, volume: &Volume) -> Result<Place, Cause> {
        if let Some(payload) = self.payload(volume)? {
            self.write(volumes, volume, &payload)?;
            return Ok(Place { host: self.path(volume), read_only: true, agents: true });
        }
        let place = |host, read_only| Place { host, read_only, agents: false };
        if let Some(source) = &volume.empty_dir {
            self.empty(volumes, volume, source)?;
            return Ok(place(self.path(volume), false));
        }
        if let Some(source) = &volume.host_path {
            let host = host_path::check(&source.path, source.type_.as_deref().unwrap_or_default())?;
            return Ok(place(host, false));
        }
        if let Some(name) = pod::claim_name(self.pod, volume) {
            let bound = claims::find(self.pod, volume, &name, self.sources)?;
            if bound.owned && !bound.read_only {
                self.give(volume, &bound.host)?;
            }
            return Ok(place(bound.host, bound.read_only));
        }
        let what = format!("the kind of volume {:?}", volume.name);
        let instead =
            "use emptyDir, hostPath, configMap, secret, projected, downwardAPI or a claim";
        Err(Cause::Unsupported { what, instead })
    }

    fn payload(&self, volume: &Volume) -> Result<Option<Payload>, Cause> {
        names::plain("volume", &volume.name)?;
        let chown = self.folder.root.rights.chown;
        payload::of_volume(self.pod, volume, self.sources, self.facts, chown)
    }

    /// Secrets do not reach a disk where the agent may mount.
    fn write(&self, volumes: &Dir, volume: &Volume, payload: &Payload) -> Result<bool, Cause> {
        let group = self.group()?;
        let mode = ownership::enterable(SHOWN, group);
        let memory = payload.secret && self.folder.root.rights.mount;
        let medium = if memory { Medium::Memory(None) } else { Medium::Disk };
        let folder = self.make(volumes, volume, mode, group, medium)?;
        let written = swap::write(&folder, payload, group);
        written.map_err(Cause::system("write its files"))
    }

    fn empty(
        &self,
        volumes: &Dir,
        volume: &Volume,
        source: &EmptyDirVolumeSource,
    ) -> Result<(), Cause> {
        let group = self.group()?;
        let mode = ownership::writable(OPEN, group);
        let medium = match source.medium.as_deref().unwrap_or_default() {
            "" => Medium::Disk,
            "Memory" if self.folder.root.rights.mount => Medium::Memory(self.memory_bytes(source)?),
            "Memory" => {
                let what = "an emptyDir with medium Memory";
                return Err(Cause::Right { what, right: "CAP_SYS_ADMIN" });
            }
            other => {
                let what = format!("an emptyDir with medium {other:?}");
                return Err(Cause::Unsupported { what, instead: "leave it out, or use Memory" });
            }
        };
        self.make(volumes, volume, mode, group, medium).map(drop)
    }

    /// The least of what the volume, the pod and the node are allowed (upstream's `calculateEmptyDirMemorySize`).
    fn memory_bytes(&self, source: &EmptyDirVolumeSource) -> Result<Option<u64>, Cause> {
        let limit = source.size_limit.as_ref().map(|limit| field::read("sizeLimit", limit));
        let limit = limit.transpose()?.and_then(|limit| u64::try_from(limit).ok());
        let of_pod = resources::pod_resources(self.pod)?.memory_bytes;
        let of_node = u64::try_from(self.facts.allocatable.memory_bytes).ok();
        Ok([limit, of_pod, of_node].into_iter().flatten().filter(|bytes| *bytes > 0).min())
    }

    /// A volume's own folder, or a file system in memory on it.
    fn make(
        &self,
        volumes: &Dir,
        volume: &Volume,
        mode: u32,
        group: Option<u32>,
        medium: Medium,
    ) -> Result<Dir, Cause> {
        let folder = volumes.make(&volume.name, mode, group).map_err(Cause::system("make it"))?;
        let Medium::Memory(bytes) = medium else { return Ok(folder) };
        let path = self.path(volume);
        let mounted = mounts::is_mounted(&path);
        if !mounted.map_err(Cause::system("read the table of mounts"))? {
            let mounted = mounts::mount_memory(&path, bytes, mode, group);
            mounted.map_err(Cause::system("mount memory for it"))?;
        }
        volumes.open(volume.name.as_str()).map_err(Cause::system("open it"))
    }

    fn group(&self) -> Result<Option<u32>, Cause> {
        let Some(group) = pod::security(self.pod).fs_group else { return Ok(None) };
        if !self.folder.root.rights.chown {
            return Err(Cause::Right { what: "fsGroup", right: "CAP_CHOWN" });
        }
        match u32::try_from(group) {
            Ok(group) => Ok(Some(group)),
            Err(_) => {
                let what = format!("fsGroup {group}");
                Err(Cause::Unsupported { what, instead: "use a number from 0 to 2147483647" })
            }
        }
    }

    /// Gives a volume that outlives the pod to the pod's group, once in the pod's life.
    fn give(&self, volume: &Volume, host: &Path) -> Result<(), Cause> {
        let Some(group) = self.group()? else { return Ok(()) };
        let doing = || Cause::system("give it to the fsGroup");
        let done = self.own.make("owned", CLOSED, None).map_err(doing())?;
        if done.open_if(volume.name.as_str()).map_err(doing())?.is_some() {
            return Ok(());
        }
        let policy = pod::security(self.pod).fs_group_change_policy.as_deref();
        let folder = Dir::absolute(host).map_err(doing())?;
        ownership::give(&folder, group, policy == Some("OnRootMismatch")).map_err(doing())?;
        done.make(&volume.name, CLOSED, None).map_err(doing()).map(drop)
    }

    fn path(&self, volume: &Volume) -> PathBuf {
        self.folder.path.join("volumes").join(&volume.name)
    }
}

fn failed(volume: &Volume, cause: Cause) -> VolumeError {
    VolumeError::Volume { volume: volume.name.clone(), cause: Box::new(cause) }
}
