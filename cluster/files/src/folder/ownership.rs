// SPDX-License-Identifier: Apache-2.0
//! `fsGroup`: everything in a volume belongs to the pod's group, which may read and write it (upstream's `SetVolumeOwnership`).

use super::dir::{Dir, open};
use super::steps::step;
use super::walk::{passable, walk};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat};
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

/// What the group may do with a file that it may write, with one that it may read, and with a folder beside that; and that what is made in
/// a folder has the folder's group.
const READ_WRITE: u32 = 0o660;
const READ: u32 = 0o440;
const ENTER: u32 = 0o110;
const SET_GROUP: u32 = 0o2000;

/// The mode of a file of the agent's own, which the pod's group may read.
pub(super) fn readable(mode: u32, group: Option<u32>) -> u32 {
    if group.is_some() { mode | READ } else { mode }
}

/// The mode of a folder with such files.
pub(super) fn enterable(mode: u32, group: Option<u32>) -> u32 {
    if group.is_some() { mode | READ | ENTER | SET_GROUP } else { mode }
}

/// The mode of a folder that the pod's group may write.
pub(super) fn writable(mode: u32, group: Option<u32>) -> u32 {
    if group.is_some() { mode | READ_WRITE | ENTER | SET_GROUP } else { mode }
}

/// Gives a volume to the group. `fsGroupChangePolicy: OnRootMismatch` passes over one whose own folder has it, which comes last.
pub(super) fn give(volume: &Dir, group: u32, only_on_mismatch: bool) -> io::Result<()> {
    let own = fs::fstat(volume)?;
    if only_on_mismatch && own.st_gid == group && writable(own.st_mode, Some(group)) == own.st_mode
    {
        return Ok(());
    }
    walk(volume, &mut |folder, name, stat| one(folder, name, stat, group))?;
    change(volume, &own, group)
}

fn one(folder: &Dir, name: &CStr, stat: &Stat, group: u32) -> io::Result<()> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let extra = match kind {
        FileType::Symlink => return Ok(()),
        FileType::Directory => OFlags::DIRECTORY,
        FileType::RegularFile => OFlags::NONBLOCK,
        // Opening a device or a pipe could do something; its group is enough.
        _ => {
            step()?;
            let group = Some(Gid::from_raw(group));
            return Ok(fs::chownat(folder, name, None, group, AtFlags::SYMLINK_NOFOLLOW)?);
        }
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match open(folder, name, flags, resolve).map_err(io::Error::from) {
        Ok(file) => {
            let stat = fs::fstat(&file)?;
            change(file, &stat, group)
        }
        Err(error) if passable(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn change(file: impl AsFd, stat: &Stat, group: u32) -> io::Result<()> {
    let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let mode = if folder { writable(stat.st_mode, Some(group)) } else { stat.st_mode | READ_WRITE };
    if stat.st_gid != group {
        step()?;
        fs::fchown(&file, None, Some(Gid::from_raw(group)))?;
    }
    if stat.st_gid != group || mode != stat.st_mode {
        step()?;
        fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
    }
    Ok(())
}
