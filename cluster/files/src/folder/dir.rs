// SPDX-License-Identifier: Apache-2.0
//! An open folder. Everything in it is reached through its descriptor and by openat2(2) (Linux 5.6), so no symbolic link leads out of it.

use super::remove;
use super::root::UNFINISHED;
use super::steps::step;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::{fs, io as kernel};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How often the kernel may ask to try again, since something was renamed meanwhile.
const TRIES: u32 = 64;
/// Names that are listed of a folder whose contents are the agent's own.
const NAMES_MAX: usize = 1 << 20;

/// Beneath the folder, and over no symbolic link.
const STRICT: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);
const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whom a file is given to; `None` leaves it to who makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner {
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
}

impl Dir {
    /// Of a path of the host, which the host's own symbolic links may lead on.
    pub(super) fn absolute(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())? })
    }

    pub(super) fn open<P: Arg + Copy>(&self, name: P) -> io::Result<Self> {
        Ok(Self { fd: open(self, name, FOLDER, STRICT)? })
    }

    /// Opens it unless something is mounted there.
    pub(super) fn open_same_mount<P: Arg + Copy>(&self, name: P) -> io::Result<Self> {
        Ok(Self { fd: open(self, name, FOLDER, STRICT | ResolveFlags::NO_XDEV)? })
    }

    pub(super) fn open_if<P: Arg + Copy>(&self, name: P) -> io::Result<Option<Self>> {
        absent_is_none(self.open(name))
    }

    /// Opens a folder, or makes it with this mode and group: there is never one with another mode, whenever this is cut off.
    pub(super) fn make(&self, name: &str, mode: u32, group: Option<u32>) -> io::Result<Self> {
        if let Some(folder) = self.open_if(name)? {
            return Ok(folder);
        }
        let unfinished = format!("{UNFINISHED}{name}");
        remove::tree(self, unfinished.as_str())?;
        let folder = self.make_at_once(&unfinished, mode, group)?;
        step()?;
        fs::renameat_with(&self.fd, &unfinished, &self.fd, name, RenameFlags::NOREPLACE)?;
        Ok(folder)
    }

    /// Makes a folder that nobody looks at yet.
    pub(super) fn make_at_once(
        &self,
        name: &str,
        mode: u32,
        group: Option<u32>,
    ) -> io::Result<Self> {
        step()?;
        fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o700))?;
        let folder = self.open(name)?;
        give(&folder, Owner { user: None, group })?;
        step()?;
        fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
        Ok(folder)
    }

    /// Writes a file that is not there yet, and that nobody looks at.
    pub(super) fn write_new(
        &self,
        name: &str,
        bytes: &[u8],
        mode: u32,
        owner: Owner,
    ) -> io::Result<()> {
        step()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        let fd = fs::openat(&self.fd, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(fd);
        step()?;
        file.write_all(bytes)?;
        give(&file, owner)?;
        step()?;
        fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        Ok(())
    }

    /// Makes a file say this, in one go; one that says it is left alone.
    pub(super) fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        if self.read(name, bytes.len()).is_ok_and(|is| is == bytes) {
            return Ok(());
        }
        let unfinished = format!("{UNFINISHED}{name}");
        remove::tree(self, unfinished.as_str())?;
        self.write_new(&unfinished, bytes, mode, Owner::default())?;
        self.rename(&unfinished, name)
    }

    /// The bytes of a regular file; an error if there are more than `max`.
    pub(super) fn read(&self, path: &str, max: usize) -> io::Result<Vec<u8>> {
        let mut file = self.file(path)?;
        let mut bytes = Vec::new();
        let more = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        Read::by_ref(&mut file).take(more).read_to_end(&mut bytes)?;
        if bytes.len() > max {
            return Err(io::Error::from(Errno::FBIG));
        }
        Ok(bytes)
    }

    /// The last bytes of a regular file.
    pub(super) fn read_tail(&self, path: &str, max: usize) -> io::Result<Vec<u8>> {
        let mut file = self.file(path)?;
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let start = file.metadata()?.len().saturating_sub(max);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        // It may grow while it is read.
        file.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A regular file to be read. What else may be there neither blocks nor is read.
    fn file(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(self, path, flags, STRICT)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(file)
    }

    /// What a symbolic link says; `None` if there is none of that name.
    pub(super) fn target(&self, name: &str) -> io::Result<Option<CString>> {
        match fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn link(&self, target: &str, name: &str) -> io::Result<()> {
        step()?;
        Ok(fs::symlinkat(target, &self.fd, name)?)
    }

    /// Replaces what has that name, unless that is a folder.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        step()?;
        Ok(fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    pub(super) fn stat<P: Arg>(&self, name: P) -> io::Result<Stat> {
        Ok(fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(super) fn is_folder(&self, name: &str) -> io::Result<bool> {
        Ok(FileType::from_raw_mode(self.stat(name)?.st_mode) == FileType::Directory)
    }

    /// The names in it, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
            if names.len() > NAMES_MAX {
                return Err(io::Error::other("there are too many files in it"));
            }
        }
        names.sort();
        Ok(names)
    }
}

/// openat2(2), again while something is renamed meanwhile.
pub(super) fn open<P: Arg + Copy>(
    at: impl AsFd,
    path: P,
    flags: OFlags,
    resolve: ResolveFlags,
) -> kernel::Result<OwnedFd> {
    let mut tries = 0;
    loop {
        match fs::openat2(at.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            opened => return opened,
        }
    }
}

fn give(fd: impl AsFd, owner: Owner) -> io::Result<()> {
    if owner == Owner::default() {
        return Ok(());
    }
    step()?;
    let user = owner.user.map(Uid::from_raw);
    Ok(fs::fchown(fd, user, owner.group.map(Gid::from_raw))?)
}

/// What is not there is no error.
pub(super) fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Dir> for OwnedFd {
    fn from(folder: Dir) -> Self {
        folder.fd
    }
}
