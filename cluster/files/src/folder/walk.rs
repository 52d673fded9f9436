// SPDX-License-Identifier: Apache-2.0
//! Going through what lies in a folder: over no symbolic link, into no mount, and not for ever.

use super::dir::{Dir, absent_is_none};
use rustix::fs::{self, FileType, Stat};
use std::ffi::CStr;
use std::io;

/// Folders that are open at once. What lies deeper is not seen.
const DEPTH_MAX: u32 = 128;

/// Shows everything in the folder, what is in a folder before the folder itself. Gives whether all was seen.
pub(super) fn walk(
    folder: &Dir,
    see: &mut dyn FnMut(&Dir, &CStr, &Stat) -> io::Result<()>,
) -> io::Result<bool> {
    inner(folder, 0, see)
}

fn inner(
    folder: &Dir,
    depth: u32,
    see: &mut dyn FnMut(&Dir, &CStr, &Stat) -> io::Result<()>,
) -> io::Result<bool> {
    let mut all = true;
    for entry in fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // What goes away meanwhile is not there.
        let Some(stat) = absent_is_none(folder.stat(name))? else { continue };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            if depth == DEPTH_MAX {
                all = false;
            } else {
                match folder.open_same_mount(name) {
                    Ok(below) => all &= inner(&below, depth + 1, see)?,
                    // Gone, no folder any more, or a mount.
                    Err(error) if passable(&error) => continue,
                    Err(error) => return Err(error),
                }
            }
        }
        see(folder, name, &stat)?;
    }
    Ok(all)
}

/// Whether an error says that something is not, or no more, what was looked for.
pub(super) fn passable(error: &io::Error) -> bool {
    let codes = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::EXDEV];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
