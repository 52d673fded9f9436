// SPDX-License-Identifier: Apache-2.0
//! What is mounted, by the kernel's own table.

use super::steps::step;
use crate::error::Cause;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// How often mounts are looked for again, since one may lie upon another.
const ROUNDS_MAX: u32 = 100;

/// Where something is mounted at this path or below it, in the order in which it was.
fn at_or_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let mut found = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let Some(field) = line.split(|byte| *byte == b' ').nth(4) else { continue };
        let point = PathBuf::from(OsString::from_vec(plain(field)));
        if point.starts_with(path) {
            found.push(point);
        }
    }
    Ok(found)
}

/// Blanks and the like stand there as `\040`.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\');
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Whether something is mounted just there.
pub(super) fn is_mounted(path: &Path) -> io::Result<bool> {
    Ok(at_or_below(path)?.iter().any(|point| point == path))
}

/// Mounts a file system in memory of at most so many bytes; `None` for the kernel's half of all memory.
pub(super) fn mount_memory(
    path: &Path,
    bytes: Option<u64>,
    mode: u32,
    group: Option<u32>,
) -> io::Result<()> {
    let mut options = format!("mode={mode:o}");
    options.extend(bytes.map(|bytes| format!(",size={bytes}")));
    options.extend(group.map(|group| format!(",gid={group}")));
    let options = CString::new(options).expect("digits and letters");
    step()?;
    Ok(mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str())?)
}

/// Mounts what a descriptor stands for: the thing itself, wherever its path leads by now.
pub(super) fn bind_open(fd: impl AsFd, path: &Path) -> io::Result<()> {
    step()?;
    Ok(mount_bind(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()), path)?)
}

/// Takes away what is mounted there. What is in use is gone from here at once, and from memory with its last user.
pub(super) fn unmount_at(path: &Path) -> io::Result<()> {
    step()?;
    match unmount(path, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => Ok(unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?),
        done => Ok(done?),
    }
}

/// Takes away all that is mounted at this path or below, the last one first.
pub(super) fn unmount_below(path: &Path) -> Result<(), Cause> {
    for _ in 0..ROUNDS_MAX {
        let found = at_or_below(path).map_err(Cause::system("read the table of mounts"))?;
        if found.is_empty() {
            return Ok(());
        }
        for point in found.iter().rev() {
            match unmount_at(point) {
                // It went with another one; if not, it is found again.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
                }
                done => done.map_err(Cause::system(format!("unmount {}", point.display())))?,
            }
        }
    }
    Err(Cause::StillMounted { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_table_are_read() {
        for (field, want) in [
            ("/a", "/a"),
            ("/a\\040b\\134", "/a b\\"),
            ("/\\0", "/\\0"),
            ("\\999", "\\999"),
            ("", ""),
        ] {
            assert_eq!(plain(field.as_bytes()), want.as_bytes());
        }
        assert!(is_mounted(Path::new("/proc")).unwrap());
        assert!(!is_mounted(Path::new("/proc/self")).unwrap());
    }
}
