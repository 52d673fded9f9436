// SPDX-License-Identifier: Apache-2.0
//! A part of a volume, and nothing beside it (CVE-2017-1002101, CVE-2021-25741). What is opened lies beneath the volume, whatever its
//! containers do with symbolic links meanwhile; and what is mounted is what was opened, not what its path leads to when the engine gets there.

use super::dir::{Dir, open};
use super::steps::step;
use super::volumes::Place;
use super::{CLOSED, Folder, mounts};
use crate::error::Cause;
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Beneath the volume; its own symbolic links may lead on within it.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
const THING: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

impl Folder {
    /// A path of the host for that part of the volume, which is made as a folder if it is not there. `path` is simple and not empty.
    pub(super) fn sub_path(
        &self,
        place: &Place,
        path: &str,
        container: &str,
        index: usize,
    ) -> Result<PathBuf, Cause> {
        // Whoever may look at the volume may not look at the host: the path is not told.
        let part = open_or_make(place, path).map_err(Cause::system("open the subPath"))?;
        if !self.root.rights.mount {
            if place.agents {
                return Ok(place.host.join(path));
            }
            let what = "subPath of a volume that containers write";
            return Err(Cause::Right { what, right: "CAP_SYS_ADMIN" });
        }
        self.pin(&part, container, index).map_err(Cause::system("mount the subPath"))
    }

    /// Mounts what is open on a place of the agent's own.
    fn pin(&self, part: &OwnedFd, container: &str, index: usize) -> io::Result<PathBuf> {
        let own = self.root.pods.open(self.uid.as_str())?;
        let folder = own.make("subpaths", CLOSED, None)?.make(container, CLOSED, None)?;
        let name = index.to_string();
        let target = self.path.join("subpaths").join(container).join(&name);
        let wanted = fs::fstat(part)?;
        if mounts::is_mounted(&target)? {
            let is = folder.stat(name.as_str())?;
            if (is.st_dev, is.st_ino) == (wanted.st_dev, wanted.st_ino) {
                return Ok(target);
            }
            mounts::unmount_at(&target)?;
        }
        super::remove::tree(&folder, name.as_str())?;
        if FileType::from_raw_mode(wanted.st_mode) == FileType::Directory {
            folder.make(&name, CLOSED, None)?;
        } else {
            folder.write_new(&name, &[], 0o600, super::dir::Owner::default())?;
        }
        mounts::bind_open(part, &target)?;
        Ok(target)
    }
}

fn open_or_make(place: &Place, path: &str) -> io::Result<OwnedFd> {
    let volume = Dir::absolute(&place.host)?;
    match open(&volume, path, THING, WITHIN) {
        Err(rustix::io::Errno::NOENT) => make(&volume, path),
        opened => Ok(opened?),
    }
}

/// Makes what is missing of a path, as folders with the mode of the volume's own.
fn make(volume: &Dir, path: &str) -> io::Result<OwnedFd> {
    let mode = fs::fstat(volume)?.st_mode & 0o7777;
    let mut above = volume.open(".")?;
    let mut so_far = String::new();
    for name in path.split('/') {
        if !so_far.is_empty() {
            so_far.push('/');
        }
        so_far.push_str(name);
        let folder = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        above = match open(volume, so_far.as_str(), folder, WITHIN) {
            Ok(fd) => Dir::from(fd),
            Err(rustix::io::Errno::NOENT) => {
                step()?;
                fs::mkdirat(&above, name, Mode::from_raw_mode(mode))?;
                let made = above.open(name)?;
                step()?;
                fs::fchmod(&made, Mode::from_raw_mode(mode))?;
                made
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(above.into())
}
