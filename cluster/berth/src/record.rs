// SPDX-License-Identifier: Apache-2.0
//! What runs on this machine, in files: so `berth status` and `berth token` find it without being told where.

use crate::apiserver;
use crate::balancer;
use berth_balancer_data::control::make_folder;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// What the names of such files begin with.
const PREFIX: &str = "running-";

/// The file of one that runs, which goes with it. That it runs says a lock: it goes however the process ends.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    _file: Option<File>,
}

impl Record {
    /// Writes it. Where that cannot be, nobody finds this process by itself, and all else goes on.
    pub(crate) fn write(kind: &str, api: &apiserver::Running, control: Option<&Path>) -> Self {
        let path = folder().join(format!("{PREFIX}{}.json", std::process::id()));
        let whole = |path: &Path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
        };
        let text = json!({
            "kind": kind, "pid": std::process::id(), "url": api.url,
            "kubeconfig": whole(&api.kubeconfig), "control": control.map(whole),
            "since": apiserver::now(),
        });
        let written = || -> std::io::Result<File> {
            make_folder(&path)?;
            let mut file = File::options().create(true).truncate(false).write(true).open(&path)?;
            file.try_lock()?;
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.to_string().as_bytes())?;
            Ok(file)
        };
        let file = written();
        if let Err(error) = &file {
            tracing::debug!(%error, path = %path.display(), "this process is not to be found");
        }
        Self { path, _file: file.ok() }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // It may be gone.
        drop(fs::remove_file(&self.path));
    }
}

/// One that runs.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// `up` or `server`.
    pub(crate) kind: String,
    pub(crate) pid: u64,
    pub(crate) kubeconfig: PathBuf,
    /// The socket of its data plane.
    pub(crate) control: Option<PathBuf>,
    /// Since when, in seconds since 1970.
    pub(crate) since: i64,
}

/// All that run as this user, the oldest first.
pub(crate) fn find() -> Vec<Found> {
    let entries = fs::read_dir(folder()).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(PREFIX) && path.extension().is_some_and(|end| end == "json")
    };
    let paths = entries.map(|entry| entry.path()).filter(is_one);
    let mut all: Vec<Found> = paths.filter_map(|path| read(&path)).collect();
    all.sort_by_key(|one| (one.since, one.pid));
    all
}

/// What a file says; none if whom it speaks of has ended.
fn read(path: &Path) -> Option<Found> {
    let file = File::open(path).ok()?;
    // Whoever wrote it holds it.
    if file.try_lock_shared().is_ok() {
        return None;
    }
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(Found {
        kind: value["kind"].as_str()?.to_owned(),
        pid: value["pid"].as_u64()?,
        kubeconfig: value["kubeconfig"].as_str()?.into(),
        control: value["control"].as_str().map(PathBuf::from),
        since: value["since"].as_i64()?,
    })
}

fn folder() -> PathBuf {
    balancer::control_path(None).with_file_name("")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    #[test]
    fn who_has_ended_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("running-7.json");
        let text = json!({ "kind": "up", "pid": 7, "kubeconfig": "/k", "since": 1 });
        fs::write(&path, text.to_string()).unwrap();
        assert!(read(&path).is_none(), "nobody holds it");
        let held = File::options().write(true).open(&path).unwrap();
        held.try_lock().unwrap();
        assert_eq!(read(&path).unwrap().kubeconfig, Path::new("/k"));
        drop(held);
        assert!(read(&path).is_none());
        fs::write(&path, "nonsense").unwrap();
        assert!(read(&path).is_none() && read(&folder.path().join("none")).is_none());
    }
}
