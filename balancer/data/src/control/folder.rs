// SPDX-License-Identifier: Apache-2.0
//! The folder in which a control socket lies. Who may write there may put another socket in its place, and so say where all traffic
//! goes: it must be this user's own.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The folder of a control socket.
#[must_use]
fn folder(socket: &Path) -> PathBuf {
    match socket.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes the folder of a control socket where it is missing, for this user alone.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(socket: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder(socket))
}

/// Whether nobody but this user, and root, can put something into the folder of a control socket.
///
/// # Errors
/// Others can, and what helps; or the folder cannot be looked at.
pub fn check_folder(socket: &Path) -> io::Result<()> {
    check_folder_of(socket, rustix::process::geteuid().as_raw())
}

/// The same for the folder of another user, whom a process of root serves.
pub(crate) fn check_folder_of(socket: &Path, user: u32) -> io::Result<()> {
    let folder = folder(socket);
    let data = fs::metadata(&folder)?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if data.uid() != user && data.uid() != 0 {
        return refuse(format!(
            "the folder {} belongs to user {}, who could replace the socket",
            folder.display(),
            data.uid()
        ));
    }
    if data.mode() & 0o022 != 0 {
        return refuse(format!(
            "others may write into the folder {} (mode {:o}) and replace the socket; chmod 700 helps",
            folder.display(),
            data.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn a_folder_that_others_may_write_to_is_not_trusted() {
        let parent = tempfile::tempdir().unwrap();
        let socket = parent.path().join("own/control");
        make_folder(&socket).unwrap();
        assert_eq!(fs::metadata(folder(&socket)).unwrap().mode() & 0o777, 0o700);
        check_folder(&socket).unwrap();
        for mode in [0o755, 0o700] {
            fs::set_permissions(folder(&socket), fs::Permissions::from_mode(mode)).unwrap();
            check_folder(&socket).unwrap();
        }
        for mode in [0o770, 0o707, 0o1777] {
            fs::set_permissions(folder(&socket), fs::Permissions::from_mode(mode)).unwrap();
            let error = check_folder(&socket).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{mode:o}");
        }
        fs::set_permissions(folder(&socket), fs::Permissions::from_mode(0o700)).unwrap();
        // Only root can give it away.
        if rustix::process::geteuid().is_root() {
            chown(folder(&socket), Some(65_534), None).unwrap();
            let error = check_folder(&socket).unwrap_err().to_string();
            assert!(error.contains("belongs to user 65534"), "{error}");
        }
        assert!(check_folder(&parent.path().join("none/control")).is_err());
    }
}
