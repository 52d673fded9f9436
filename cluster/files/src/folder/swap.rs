// SPDX-License-Identifier: Apache-2.0
//! Contents that change in one go, while containers read them (the layout of upstream's `AtomicWriter`):
//!
//! ```text
//! ..7/a  ..7/b/c      a generation: the files themselves
//! ..data -> ..7       which one counts; renamed over the one before
//! a -> ..data/a       what containers open
//! b -> ..data/b
//! ```
//!
//! A reader that opens `..data` and reads there sees one generation, whole, until it is removed; the one before is removed at once.

use super::dir::{Dir, Owner, absent_is_none};
use super::{ownership, remove, walk};
use crate::payload::{File, Payload};
use rustix::fs::FileType;
use rustix::process::{getegid, geteuid};
use std::collections::BTreeSet;
use std::io;

const DATA: &str = "..data";
/// What is renamed to `..data`, and to a visible name, next.
const NEXT: &str = "..data_tmp";
const NEXT_LINK: &str = "..link_tmp";
/// The mode of a generation and of folders in it.
const MODE: u32 = 0o755;

/// Makes the volume hold just this, for the group. Gives whether anything was changed.
pub(super) fn write(volume: &Dir, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    let current = current(volume)?;
    let name = |generation: u64| format!("..{generation}");
    clear_leftovers(volume, current.map(name).as_deref())?;
    let same = match current {
        Some(generation) => holds(volume, &name(generation), payload, group)?,
        None => false,
    };
    if !same {
        let next = name(current.map_or(1, |generation| generation.wrapping_add(1)));
        let folder = volume.make_at_once(&next, ownership::enterable(MODE, group), group)?;
        for (path, file) in &payload.files {
            put(&folder, path, file, group)?;
        }
        volume.link(&next, NEXT)?;
        volume.rename(NEXT, DATA)?;
    }
    let linked = link_all(volume, payload)?;
    if let Some(before) = current.filter(|_| !same) {
        remove::tree(volume, name(before).as_str())?;
    }
    Ok(!same || linked)
}

/// Which generation counts. A link that leads elsewhere counts for nothing.
fn current(volume: &Dir) -> io::Result<Option<u64>> {
    let Some(target) = volume.target(DATA)? else { return Ok(None) };
    let number = target.to_str().ok().and_then(|target| target.strip_prefix(".."));
    let number = number.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let Some(number) = number.and_then(|digits| digits.parse::<u64>().ok()) else {
        return Ok(None);
    };
    let folder = volume.is_folder(&format!("..{number}"));
    Ok(absent_is_none(folder)?.filter(|is| *is).map(|_| number))
}

/// Removes what a call left that was cut off.
fn clear_leftovers(volume: &Dir, current: Option<&str>) -> io::Result<()> {
    for name in volume.names()? {
        let Ok(text) = name.to_str() else { continue };
        if text.starts_with("..") && text != DATA && Some(text) != current {
            remove::tree(volume, text)?;
        }
    }
    Ok(())
}

/// Whether a generation holds just these files.
fn holds(volume: &Dir, name: &str, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    let Some(folder) = volume.open_if(name)? else { return Ok(false) };
    let mut files = 0;
    let all = walk::walk(&folder, &mut |_, _, stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        files += usize::from(kind != FileType::Directory);
        Ok(())
    })?;
    if !all || files != payload.files.len() {
        return Ok(false);
    }
    for (path, file) in &payload.files {
        if !is(&folder, path, file, group).unwrap_or(false) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is(folder: &Dir, path: &str, file: &File, group: Option<u32>) -> io::Result<bool> {
    let stat = folder.stat(path)?;
    let mode = stat.st_mode & 0o7777 == ownership::readable(file.mode, group);
    let user = stat.st_uid == file.owner.unwrap_or_else(|| geteuid().as_raw());
    let group = stat.st_gid == group.unwrap_or_else(|| getegid().as_raw());
    Ok(mode && user && group && folder.read(path, file.bytes.len())? == file.bytes)
}

fn put(folder: &Dir, path: &str, file: &File, group: Option<u32>) -> io::Result<()> {
    let Some((first, rest)) = path.split_once('/') else {
        let owner = Owner { user: file.owner, group };
        return folder.write_new(path, &file.bytes, ownership::readable(file.mode, group), owner);
    };
    let below = match folder.open_if(first)? {
        Some(below) => below,
        None => folder.make_at_once(first, ownership::enterable(MODE, group), group)?,
    };
    put(&below, rest, file, group)
}

/// Makes the names that containers open lead to `..data`, and removes those of files that are no more.
fn link_all(volume: &Dir, payload: &Payload) -> io::Result<bool> {
    let wanted: BTreeSet<&str> = payload.names().collect();
    let mut changed = false;
    for name in &wanted {
        let target = format!("{DATA}/{name}");
        if volume.target(name)?.is_some_and(|is| is.to_bytes() == target.as_bytes()) {
            continue;
        }
        // What stands in the way is not ours: a folder for a subPath that was not there, or worse.
        remove::tree(volume, *name)?;
        volume.link(&target, NEXT_LINK)?;
        volume.rename(NEXT_LINK, name)?;
        changed = true;
    }
    for name in volume.names()? {
        let Ok(text) = name.to_str() else { continue };
        if text.starts_with("..") || wanted.contains(text) {
            continue;
        }
        let target = format!("{DATA}/{text}");
        if volume.target(text)?.is_some_and(|is| is.to_bytes() == target.as_bytes()) {
            remove::tree(volume, text)?;
            changed = true;
        }
    }
    Ok(changed)
}
