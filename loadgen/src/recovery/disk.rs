// SPDX-License-Identifier: Apache-2.0
//! What a folder takes on disk, looked at again and again while something writes to it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The unit in which the system counts what a file takes.
const BLOCK: u64 = 512;

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disk {
    /// Most at any time.
    pub most: u64,
    /// At the end.
    pub last: u64,
}

/// Looks at a folder on a thread of its own.
#[derive(Debug)]
pub struct Gauge {
    folder: PathBuf,
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gauge {
    /// Begins to look.
    pub fn start(folder: &Path) -> Self {
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (own_most, own_stop, own_folder) =
            (Arc::clone(&most), Arc::clone(&stop), folder.to_owned());
        let thread = thread::spawn(move || {
            while !own_stop.load(Ordering::Relaxed) {
                own_most.fetch_max(bytes(&own_folder), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        Self { folder: folder.to_owned(), most, stop, thread: Some(thread) }
    }

    /// Stops, and says what it saw.
    pub fn stop(mut self) -> Disk {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        let last = bytes(&self.folder);
        Disk { most: self.most.load(Ordering::Relaxed).max(last), last }
    }
}

/// What a folder takes on disk; files that vanish meanwhile take nothing.
pub fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_count() {
        let folder = tempfile::tempdir().unwrap();
        let gauge = Gauge::start(folder.path());
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/file"), vec![7; 1 << 20]).unwrap();
        let most = bytes(folder.path());
        assert!(most >= 1 << 20, "{most}");
        let disk = gauge.stop();
        assert!(disk.most >= disk.last && disk.last >= 1 << 20, "{disk:?}");
        assert_eq!(bytes(&folder.path().join("not there")), 0);
    }
}
