// SPDX-License-Identifier: Apache-2.0
//! What of the host a container sees where (upstream's `makeMounts`).

use super::volumes::{Place, Prepared};
use super::{CLOSED, Folder, WRITABLE, remove};
use crate::error::{Cause, VolumeError};
use crate::{env, names, pod, termination};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A file or folder of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bind {
    /// Absolute path on the host; it is there.
    pub host: String,
    /// Absolute path in the container.
    pub container: String,
    /// Whether the container must not write.
    pub read_only: bool,
    /// Whether later mounts below show on the other side.
    pub propagation: Propagation,
}

/// Whether mounts that are made later below a mount show on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Propagation {
    /// No.
    #[default]
    None,
    /// The host's show in the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

impl Folder {
    /// What a run of a container sees of the host: its volumes, the files below `/etc` ([`Folder::write_etc`] made them), and a file for its
    /// last words, which is made now. `env` is the container's environment, for `subPathExpr`.
    pub fn binds(
        &self,
        pod: &Pod,
        container: &str,
        attempt: u32,
        prepared: &Prepared,
        env: &BTreeMap<String, String>,
    ) -> Result<Vec<Bind>, VolumeError> {
        self.check(pod)?;
        let absent = || self.error(Cause::NoContainer { container: container.to_owned() });
        let container = pod::container(pod, container).ok_or_else(absent)?;
        names::plain("container", &container.name).map_err(|error| self.error(error.into()))?;
        let mut binds = Vec::new();
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        for (index, mount) in mounts.iter().enumerate() {
            let bind = self.bind(container, mount, index, prepared, env);
            binds.push(bind.map_err(|cause| VolumeError::Mount {
                container: container.name.clone(),
                volume: mount.name.clone(),
                cause: Box::new(cause),
            })?);
        }
        let own = self.own_files(container, attempt).map_err(|cause| self.error(cause))?;
        // Who mounts something of his own there has that.
        let taken: BTreeSet<_> = binds.iter().map(|bind| bind.container.clone()).collect();
        binds.extend(own.into_iter().filter(|bind| !taken.contains(&bind.container)));
        Ok(binds)
    }

    fn bind(
        &self,
        container: &Container,
        mount: &VolumeMount,
        index: usize,
        prepared: &Prepared,
        env: &BTreeMap<String, String>,
    ) -> Result<Bind, Cause> {
        let place = prepared.places.get(&mount.name);
        let place = place.ok_or_else(|| Cause::NoVolume { volume: mount.name.clone() })?;
        if mount.recursive_read_only.as_deref() == Some("Enabled") {
            let what = "recursiveReadOnly: Enabled".to_owned();
            return Err(Cause::Unsupported { what, instead: "use IfPossible" });
        }
        let host = self.part(place, container, mount, index, env)?;
        Ok(Bind {
            host: text(host),
            container: names::inside("mountPath", &mount.mount_path)?,
            read_only: place.read_only || mount.read_only.unwrap_or(false),
            propagation: propagation(container, mount)?,
        })
    }

    /// The volume, or the part of it that is wanted.
    fn part(
        &self,
        place: &Place,
        container: &Container,
        mount: &VolumeMount,
        index: usize,
        env: &BTreeMap<String, String>,
    ) -> Result<PathBuf, Cause> {
        let expression = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty());
        let path = match expression {
            Some(text) => env::expand_all_known(text, |name| env.get(name).cloned())
                .map_err(|variable| Cause::Variable { variable })?,
            None => mount.sub_path.clone().unwrap_or_default(),
        };
        if path.is_empty() {
            return Ok(place.host.clone());
        }
        let path = names::below("subPath", &path)?;
        if path.is_empty() {
            return Ok(place.host.clone());
        }
        self.sub_path(place, &path, &container.name, index)
    }

    fn own_files(&self, container: &Container, attempt: u32) -> Result<Vec<Bind>, Cause> {
        let own = self.root.pods.open(self.uid.as_str()).map_err(Cause::system("open it"))?;
        let context = container.security_context.as_ref();
        let closed = context.and_then(|own| own.read_only_root_filesystem).unwrap_or(false);
        let mut binds = Vec::new();
        let etc = own.open_if("etc").map_err(Cause::system("open etc"))?;
        for (name, read_only) in [("hosts", false), ("resolv.conf", closed), ("hostname", closed)] {
            let there = etc.as_ref().is_some_and(|etc| etc.stat(name).is_ok());
            if there {
                binds.push(Bind {
                    host: text(self.path.join("etc").join(name)),
                    container: format!("/etc/{name}"),
                    read_only,
                    propagation: Propagation::None,
                });
            }
        }
        if let Some(path) = termination::path(container) {
            let name = &container.name;
            self.termination_file(name, attempt)
                .map_err(Cause::system("make a termination log"))?;
            binds.push(Bind {
                host: text(self.path.join("containers").join(name).join(attempt.to_string())),
                container: names::inside("terminationMessagePath", path)?,
                read_only: false,
                propagation: Propagation::None,
            });
        }
        Ok(binds)
    }

    /// An empty file for this run, unless it is there. Those of earlier runs go, but the last one's.
    fn termination_file(&self, container: &str, attempt: u32) -> std::io::Result<()> {
        let own = self.root.pods.open(self.uid.as_str())?;
        let folder = own.make("containers", CLOSED, None)?.make(container, CLOSED, None)?;
        for name in folder.names()? {
            let Ok(text) = name.to_str() else { continue };
            let old = text.parse::<u32>().map_or(true, |run| run.saturating_add(1) < attempt);
            if old {
                remove::tree(&folder, text)?;
            }
        }
        let name = attempt.to_string();
        if folder.stat(name.as_str()).is_ok() {
            return Ok(());
        }
        folder.replace(&name, &[], WRITABLE)
    }
}

/// All paths here are made of texts.
fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

fn propagation(container: &Container, mount: &VolumeMount) -> Result<Propagation, Cause> {
    let context = container.security_context.as_ref();
    let privileged = context.and_then(|own| own.privileged).unwrap_or(false);
    match mount.mount_propagation.as_deref() {
        None | Some("None") => Ok(Propagation::None),
        Some("HostToContainer") => Ok(Propagation::HostToContainer),
        Some("Bidirectional") if privileged => Ok(Propagation::Bidirectional),
        Some("Bidirectional") => {
            let what = "mountPropagation: Bidirectional for a container that is not privileged";
            let instead = "use HostToContainer, or make it privileged";
            Err(Cause::Unsupported { what: what.to_owned(), instead })
        }
        Some(other) => {
            let what = format!("mountPropagation: {other:?}");
            let instead = "use None, HostToContainer or Bidirectional";
            Err(Cause::Unsupported { what, instead })
        }
    }
}
