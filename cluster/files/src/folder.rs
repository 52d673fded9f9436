// SPDX-License-Identifier: Apache-2.0
//! The folders of pods: `ROOT/pods/UID`, with `volumes`, `etc`, `containers` and `subpaths` in each.

mod binds;
mod claims;
mod dir;
mod host_path;
mod mounts;
mod ownership;
mod remove;
mod rights;
mod root;
mod steps;
mod sub_path;
mod swap;
mod usage;
mod volumes;
mod walk;

pub use binds::{Bind, Propagation};
pub use root::{Root, Swept};
pub use usage::Usage;
pub use volumes::Prepared;

use crate::error::{Cause, VolumeError};
use crate::etc::Etc;
use crate::facts::Facts;
use crate::sources::Sources;
use crate::{names, pod, termination};
use dir::Dir;
use k8s_openapi::api::core::v1::Pod;
use root::Place;
use std::path::PathBuf;
use std::sync::Arc;

/// Who may enter a pod's folder: the agent, and who is root.
const CLOSED: u32 = 0o750;
/// Modes of the files below `etc`, and of a termination log, which any user of a container writes.
const READABLE: u32 = 0o644;
const WRITABLE: u32 = 0o666;

/// The folder of one pod. Its calls are not made side by side: the caller takes care of that.
#[derive(Debug)]
pub struct Folder {
    root: Arc<Place>,
    uid: String,
    path: PathBuf,
}

impl Folder {
    /// Makes everything that the pod's volumes need, or completes what is there of it; the containers are not to run before.
    pub fn prepare(
        &self,
        pod: &Pod,
        sources: &Sources,
        facts: &Facts,
    ) -> Result<Prepared, VolumeError> {
        self.check(pod)?;
        let own = self.make().map_err(|cause| self.error(cause))?;
        volumes::Maker { folder: self, own: &own, pod, sources, facts }.prepare()
    }

    /// Brings volumes that are made of objects up to date, and gives the names of those that changed. One that cannot be made anew stays as it
    /// is; the others are done nevertheless, and the first error is given.
    pub fn refresh(
        &self,
        pod: &Pod,
        sources: &Sources,
        facts: &Facts,
    ) -> Result<Vec<String>, VolumeError> {
        self.check(pod)?;
        // What was torn down does not come back.
        let own = self.open().map_err(|cause| self.error(cause))?;
        let Some(own) = own else { return Ok(Vec::new()) };
        volumes::Maker { folder: self, own: &own, pod, sources, facts }.refresh()
    }

    /// Writes the files that containers see below `/etc`. A file that says what it should is left alone; one that does not is replaced, which
    /// containers see that start from now on.
    pub fn write_etc(&self, etc: &Etc) -> Result<(), VolumeError> {
        let write = || -> Result<(), Cause> {
            let folder =
                self.make()?.make("etc", CLOSED, None).map_err(Cause::system("make etc"))?;
            for (name, text) in [
                ("hosts", &etc.hosts),
                ("resolv.conf", &etc.resolv_conf),
                ("hostname", &etc.hostname),
            ] {
                if text.is_empty() && name != "resolv.conf" {
                    continue;
                }
                let written = folder.replace(name, text.as_bytes(), READABLE);
                written.map_err(Cause::system(format!("write etc/{name}")))?;
            }
            Ok(())
        };
        write().map_err(|cause| self.error(cause))
    }

    /// The last words of a run of a container: at most [`crate::MESSAGE_BYTES_MAX`] bytes; empty if it said nothing.
    pub fn termination_message(
        &self,
        container: &str,
        attempt: u32,
    ) -> Result<String, VolumeError> {
        let read = || -> Result<String, Cause> {
            names::plain("container", container)?;
            let path = format!("containers/{container}/{attempt}");
            let Some(own) = self.open()? else { return Ok(String::new()) };
            let bytes = own.read_tail(&path, termination::MESSAGE_BYTES_MAX);
            match bytes {
                Ok(bytes) => Ok(termination::text(&bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
                Err(error) => Err(Cause::system(format!("read {path}"))(error)),
            }
        };
        read().map_err(|cause| self.error(cause))
    }

    /// What a volume uses: to be held against the `sizeLimit` of an emptyDir.
    pub fn usage(&self, volume: &str) -> Result<Usage, VolumeError> {
        let measure = || {
            names::plain("volume", volume)?;
            self.measure(&["volumes", volume])
        };
        measure().map_err(|cause| self.error(cause))
    }

    /// What containers wrote to the files that the agent gave them (CVE-2020-8557): `etc` and termination logs.
    pub fn usage_beside_volumes(&self) -> Result<Usage, VolumeError> {
        let measure = || Ok(self.measure(&["etc"])? + self.measure(&["containers"])?);
        measure().map_err(|cause| self.error(cause))
    }

    /// Removes it all: unmounts what was mounted below, and removes what is left. What volumes only point to stays (hostPath, claims). The
    /// pod's containers must be gone.
    pub fn tear_down(&self) -> Result<(), VolumeError> {
        let remove = || -> Result<(), Cause> {
            mounts::unmount_below(&self.path)?;
            let unfinished = format!("{}{}", root::UNFINISHED, self.uid);
            let removed = remove::tree(&self.root.pods, self.uid.as_str());
            let removed = removed.and_then(|()| remove::tree(&self.root.pods, unfinished.as_str()));
            removed.map_err(|source| match source.raw_os_error() {
                Some(libc::EXDEV | libc::EBUSY) => Cause::StillMounted { path: self.path.clone() },
                _ => Cause::System { doing: "remove it".to_owned(), source },
            })
        };
        remove().map_err(|cause| self.error(cause))
    }

    fn error(&self, cause: Cause) -> VolumeError {
        VolumeError::Folder { uid: self.uid.clone(), cause: Box::new(cause) }
    }

    fn check(&self, pod: &Pod) -> Result<(), VolumeError> {
        if pod::uid(pod) == self.uid {
            return Ok(());
        }
        Err(self.error(Cause::OtherPod { uid: pod::uid(pod).to_owned() }))
    }

    fn make(&self) -> Result<Dir, Cause> {
        let made = self.root.pods.make(&self.uid, CLOSED, None);
        made.map_err(Cause::system("make it"))
    }

    fn open(&self) -> Result<Option<Dir>, Cause> {
        self.root.pods.open_if(self.uid.as_str()).map_err(Cause::system("open it"))
    }

    fn measure(&self, path: &[&str]) -> Result<Usage, Cause> {
        let Some(mut folder) = self.open()? else { return Ok(Usage::default()) };
        for name in path {
            let opened = folder.open_if(*name).map_err(Cause::system(format!("open {name}")))?;
            let Some(opened) = opened else { return Ok(Usage::default()) };
            folder = opened;
        }
        usage::measure(&folder).map_err(Cause::system(format!("measure {}", path.join("/"))))
    }
}

#[cfg(test)]
mod tests;
