// SPDX-License-Identifier: Apache-2.0
//! Removing what containers left: it follows no symbolic link, enters no mount, and is bounded however deep folders lie in one another.

use super::dir::Dir;
use super::steps::step;
use rustix::fs::{self, AtFlags, RenameFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use std::ffi::CStr;
use std::io;

/// Folders that are open at once. What lies deeper is moved up first.
const DEPTH_MAX: u32 = 64;
/// How often one folder is gone through before it is given up: somebody fills it as fast as it is emptied.
const PASSES_MAX: u32 = 1 << 16;

/// Removes a file or a folder with all that is in it. What is not there is removed.
pub(super) fn tree<P: Arg + Copy>(parent: &Dir, name: P) -> io::Result<()> {
    match unlink(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(()),
        Err(error) if is_folder(&error) => {}
        Err(error) => return Err(error),
    }
    let top = parent.open_same_mount(name)?;
    let mut moved = 0;
    for _ in 0..PASSES_MAX {
        clear(&top, &top, 0, &mut moved)?;
        match unlink(parent, name, AtFlags::REMOVEDIR) {
            Err(error) if error.raw_os_error() == Some(Errno::NOTEMPTY.raw_os_error()) => {}
            removed => return removed,
        }
    }
    Err(io::Error::other("it is filled as fast as it is emptied"))
}

/// Removes what is in a folder, once around: what was added meanwhile, or moved to the top, stays for the next time.
fn clear(top: &Dir, folder: &Dir, depth: u32, moved: &mut u64) -> io::Result<()> {
    for entry in fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlink(folder, name, AtFlags::empty()) {
            Ok(()) => continue,
            Err(error) if is_folder(&error) => {}
            Err(error) => return Err(error),
        }
        if depth == DEPTH_MAX {
            move_up(top, folder, name, moved)?;
            continue;
        }
        match folder.open_same_mount(name) {
            Ok(inner) => clear(top, &inner, depth + 1, moved)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        match unlink(folder, name, AtFlags::REMOVEDIR) {
            Err(error) if error.raw_os_error() == Some(Errno::NOTEMPTY.raw_os_error()) => {}
            removed => removed?,
        }
    }
    Ok(())
}

fn move_up(top: &Dir, folder: &Dir, name: &CStr, moved: &mut u64) -> io::Result<()> {
    loop {
        let up = format!("..deep-{moved}");
        *moved += 1;
        step()?;
        match fs::renameat_with(folder, name, top, up.as_str(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => return Ok(()),
            renamed => return Ok(renamed?),
        }
    }
}

fn unlink<P: Arg>(folder: &Dir, name: P, flags: AtFlags) -> io::Result<()> {
    step()?;
    match fs::unlinkat(folder, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn is_folder(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ISDIR.raw_os_error())
}
