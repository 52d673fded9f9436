// SPDX-License-Identifier: Apache-2.0
//! What a hostPath says has to be there, or is made (upstream's `pkg/volume/hostpath`). The path is the host's own: its symbolic links count.

use super::steps::step;
use crate::error::Cause;
use crate::names;
use std::fs::{self, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;

/// Holds the path against its type, and gives it in its simplest form.
pub(super) fn check(path: &str, kind: &str) -> Result<PathBuf, Cause> {
    let path = names::host("hostPath", path)?;
    let found = match fs::metadata(&path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Cause::system(format!("look at {path}"))(error)),
    };
    let wanted = |is: fn(&FileType) -> bool, wanted: &'static str| {
        let fits = found.as_ref().is_some_and(is);
        let refused = || Cause::HostPathType { path: path.clone(), wanted };
        if fits { Ok(()) } else { Err(refused()) }
    };
    match (kind, &found) {
        ("", Some(_)) => {}
        // An engine makes what is missing where nothing is said; with the mode that it has then.
        ("" | "DirectoryOrCreate", None) => {
            make_folder(&path).map_err(Cause::system(format!("make {path}")))?;
        }
        ("FileOrCreate", None) => {
            make_file(&path).map_err(Cause::system(format!("make {path}")))?;
        }
        ("Directory" | "DirectoryOrCreate", _) => wanted(FileType::is_dir, "directory")?,
        ("File" | "FileOrCreate", _) => wanted(FileType::is_file, "file")?,
        ("Socket", _) => wanted(FileType::is_socket, "socket")?,
        ("CharDevice", _) => wanted(FileType::is_char_device, "character device")?,
        ("BlockDevice", _) => wanted(FileType::is_block_device, "block device")?,
        (other, _) => {
            let what = format!("a hostPath of type {other:?}");
            return Err(Cause::Unsupported {
                what,
                instead: "use one of those that the API names",
            });
        }
    }
    Ok(PathBuf::from(path))
}

fn make_folder(path: &str) -> io::Result<()> {
    step()?;
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn make_file(path: &str) -> io::Result<()> {
    step()?;
    OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map(drop)
}
