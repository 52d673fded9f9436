// SPDX-License-Identifier: Apache-2.0
//! The folder of all pods.

use super::dir::Dir;
use super::rights::Rights;
use super::{CLOSED, Folder};
use crate::error::{Cause, VolumeError};
use crate::names;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a seccomp profile; the engine's own has 16,000.
const PROFILE_BYTES_MAX: usize = 1 << 20;
/// What is being made has this before its name.
pub(super) const UNFINISHED: &str = ".new-";

/// Where an agent keeps what it writes for pods.
#[derive(Debug, Clone)]
pub struct Root {
    place: Arc<Place>,
}

/// What came of [`Root::sweep`].
#[derive(Debug, Default)]
pub struct Swept {
    /// Uids of pods whose folders are gone.
    pub removed: Vec<String>,
    /// Those whose folders could not be removed, and why: the next time may do it.
    pub failed: Vec<(String, VolumeError)>,
}

/// What folders know of where they lie.
#[derive(Debug)]
pub(super) struct Place {
    /// `ROOT/pods`, without symbolic links, as the table of mounts has it.
    path: PathBuf,
    own: Dir,
    pub(super) pods: Dir,
    pub(super) rights: Rights,
}

impl Root {
    /// Opens it, or makes it. What is mounted below it is for the engine's eyes too: where that lives in a mount namespace of its own, mounts
    /// have to propagate there, or its containers see empty folders.
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        Self::with(path, Rights::own())
    }

    pub(super) fn with(path: &Path, rights: Rights) -> Result<Self, VolumeError> {
        let open = || -> Result<Self, Cause> {
            fs::create_dir_all(path).map_err(Cause::system("make it"))?;
            let path = fs::canonicalize(path).map_err(Cause::system("find it"))?;
            names::host("root", &path.to_string_lossy())?;
            if path.to_str().is_none() {
                let what = "a path that is not UTF-8".to_owned();
                return Err(Cause::Unsupported { what, instead: "choose another folder" });
            }
            let own = Dir::absolute(&path).map_err(Cause::system("open it"))?;
            let pods = own.make("pods", CLOSED, None).map_err(Cause::system("make pods in it"))?;
            let place = Place { path: path.join("pods"), own, pods, rights };
            Ok(Self { place: Arc::new(place) })
        };
        open().map_err(|cause| VolumeError::Root { path: path.to_owned(), cause: Box::new(cause) })
    }

    /// The folder of the pod with that uid. Nothing is made yet.
    pub fn folder(&self, uid: &str) -> Result<Folder, VolumeError> {
        names::plain("uid", uid).map_err(|error| VolumeError::Folder {
            uid: uid.to_owned(),
            cause: Box::new(error.into()),
        })?;
        let path = self.place.path.join(uid);
        Ok(Folder { root: Arc::clone(&self.place), uid: uid.to_owned(), path })
    }

    /// Tears down the folders of pods that are not among the known ones: who calls makes sure that those have no containers any more. What is
    /// no folder of a pod is left alone.
    pub fn sweep(&self, known: &BTreeSet<String>) -> Result<Swept, VolumeError> {
        let error =
            |cause| VolumeError::Root { path: self.place.path.clone(), cause: Box::new(cause) };
        let pods = &self.place.pods;
        let names = pods.names().map_err(Cause::system("list it")).map_err(error)?;
        let mut unknown = BTreeSet::new();
        for name in names.iter().filter_map(|name| name.to_str().ok()) {
            // What was not finished is that pod's too.
            let uid = name.strip_prefix(UNFINISHED).unwrap_or(name);
            let folder = pods.is_folder(name).unwrap_or(false);
            if names::plain("uid", uid).is_ok() && !known.contains(uid) && folder {
                unknown.insert(uid.to_owned());
            }
        }
        let mut swept = Swept::default();
        for uid in unknown {
            match self.folder(&uid).and_then(|folder| folder.tear_down()) {
                Ok(()) => swept.removed.push(uid),
                Err(error) => swept.failed.push((uid, error)),
            }
        }
        Ok(swept)
    }

    /// The text of a seccomp profile of the node: `ROOT/seccomp/NAME`.
    pub fn seccomp_profile(&self, name: &str) -> Result<String, VolumeError> {
        let read = || -> Result<String, Cause> {
            let name = names::file("localhostProfile", name)?;
            let bytes = self.place.own.read(&format!("seccomp/{name}"), PROFILE_BYTES_MAX);
            let bytes = bytes.map_err(Cause::system(format!("read the seccomp profile {name}")))?;
            let text = String::from_utf8(bytes).map_err(std::io::Error::other);
            text.map_err(Cause::system(format!("read the seccomp profile {name}")))
        };
        let path = || self.place.path.with_file_name("seccomp");
        read().map_err(|cause| VolumeError::Root { path: path(), cause: Box::new(cause) })
    }
}
