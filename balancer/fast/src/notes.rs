// SPDX-License-Identifier: Apache-2.0
//! What names cannot tell of what was changed on the host: bridge ports whose hairpin mode was switched on.
//!
//! One line each, `hairpin PORT`, in a file of the instance; written before the change is used, read by the next run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The notes of an instance.
#[derive(Debug)]
pub(crate) struct Notes {
    path: PathBuf,
    ports: Vec<String>,
}

impl Notes {
    /// Reads what an earlier run left.
    pub(crate) fn read(directory: &Path, instance: &str) -> Self {
        let path = directory.join(format!("fast-{instance}"));
        let text = fs::read_to_string(&path).unwrap_or_default();
        Self { ports: ports(&text).collect(), path }
    }

    pub(crate) fn ports(&self) -> &[String] {
        &self.ports
    }

    pub(crate) fn add(&mut self, port: String) -> io::Result<()> {
        // A process that takes over may have noted some too.
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        self.ports.extend(ports(&text));
        self.ports.push(port);
        self.ports.sort_unstable();
        self.ports.dedup();
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let lines: Vec<String> = self.ports.iter().map(|port| format!("hairpin {port}")).collect();
        let other = self.path.with_extension("new");
        fs::write(&other, lines.join("\n") + "\n")?;
        fs::rename(&other, &self.path)
    }

    pub(crate) fn remove(&mut self) {
        self.ports.clear();
        drop(fs::remove_file(&self.path));
    }
}

fn ports(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter_map(|line| line.strip_prefix("hairpin ")).map(str::to_owned)
}
