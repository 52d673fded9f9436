// SPDX-License-Identifier: Apache-2.0
//! Files that are whole or absent, and readable by their owner only.

use super::PkiError;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

fn failed(path: &Path) -> impl Fn(std::io::Error) -> PkiError + '_ {
    |source| PkiError::File { path: path.into(), source }
}

/// Makes a folder that only its owner can enter.
pub(super) fn make_folder(path: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))
}

/// The text of a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Writes a file as a whole: a crash leaves the old one or the new one.
pub(super) fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let folder = path.parent().filter(|one| !one.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrap = failed(path);
    // a temporary file has mode 0600 from its first moment
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(&wrap)?;
    file.write_all(text.as_bytes()).map_err(&wrap)?;
    file.as_file().sync_all().map_err(&wrap)?;
    file.persist(path).map_err(|error| wrap(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(&wrap)
}
