// SPDX-License-Identifier: Apache-2.0
//! The configuration file, watched.
//!
//! Watched by looking at it, five times a second: its length, time and inode. The kernel's notification (inotify) would say it some
//! tenths of a second sooner, but not for network file systems, and for a file that is replaced by a link to another folder (as
//! Kubernetes does with a ConfigMap) one has to watch the whole way to it. A look costs two microseconds.
//!
//! A file that is being written is not taken: half a configuration may be a right one with half of the services. It has to look the
//! same twice in a row. Who renames a finished file over the old one is safe on any file system.

use super::{Running, Source};
use crate::config;
use crate::control::{Control, FileStatus, NotTaken};
use crate::problem::Problems;
use crate::wanted::{Owner, Update};
use berth_balancer_data::memory::give_back;
use berth_proto_serve::stopped;
use std::fs;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// When an update is tried again that was right and could not be taken: the data plane was gone, or there was too much to do.
const AGAIN: Duration = Duration::from_secs(1);

/// Reads a configuration.
///
/// # Errors
/// All problems; one of the file itself has no path.
pub fn read(path: &Path) -> Result<Update, Problems> {
    let text = text(path).map_err(|error| Problems::one("", format!("cannot read it: {error}")))?;
    config::read(&text)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than is allowed is refused as too long; a device that never ends does not end here either.
    let most = config::BYTES_MAX as u64 + 1;
    fs::File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// How a file looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    inode: u64,
    device: u64,
    bytes: u64,
    modified: (i64, i64),
}

fn look(path: &Path) -> Option<Look> {
    let data = fs::metadata(path).ok()?;
    let modified = (data.mtime(), data.mtime_nsec());
    Some(Look { inode: data.ino(), device: data.dev(), bytes: data.len(), modified })
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was taken, or is wrong by itself: nothing is different until it is.
    Settled,
    /// Another source has what it names: it is tried again when that lets go.
    Waits,
    /// It was not looked at: it is tried again soon.
    Again,
}

/// A watched configuration file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    status: FileStatus,
    /// It looks as it did when it was refused.
    retries: bool,
}

impl File {
    /// The file at a path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let status = FileStatus { path: path.clone(), ..FileStatus::default() };
        Self { path, status, retries: false }
    }

    async fn watch(mut self, control: Control, mut stopping: watch::Receiver<bool>) {
        // What was taken, or refused for good, and what was seen last.
        let (mut settled, mut seen) = (None, Some(look(&self.path)));
        // It was refused since another source has what it names: how often sources had let go of something by then.
        let mut waits = None;
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = LOOK;
            let now = look(&self.path);
            let released = control.shared().released();
            if settled == Some(now) && waits.is_none_or(|before| before == released) {
                continue;
            }
            if seen.replace(now) != Some(now) {
                continue;
            }
            waits = None;
            self.retries = settled == Some(now);
            match self.load(&control).await {
                Outcome::Settled => settled = Some(now),
                Outcome::Waits => {
                    (settled, waits) = (Some(now), Some(released));
                    // Who lets go of many things does it one after the other.
                    wait = AGAIN;
                }
                Outcome::Again => wait = AGAIN,
            }
        }
    }

    /// Takes the file as it stands.
    async fn load(&mut self, control: &Control) -> Outcome {
        let received = Instant::now();
        let path = self.path.clone();
        // Large files take a while to read: no work for the runtime's own threads.
        let read = tokio::task::spawn_blocking(move || {
            let read = read(&path);
            give_back();
            read
        });
        let read = read.await;
        let read = read.unwrap_or_else(|error| Err(Problems::one("", error.to_string())));
        let taken = match read {
            Ok(update) => control.update(update, received).await,
            Err(problems) => Err(NotTaken::Refused(problems)),
        };
        match taken {
            Ok(taken) => {
                self.status.taken += 1;
                self.status.problems = None;
                let summary = taken.summary;
                tracing::info!(
                    revision = taken.applied.revision,
                    services_added = summary.services_added,
                    services_changed = summary.services_changed,
                    services_removed = summary.services_removed,
                    endpoints_added = summary.endpoints_added,
                    endpoints_changed = summary.endpoints_changed,
                    endpoints_removed = summary.endpoints_removed,
                    took_ms = taken.took_ns / 1_000_000,
                    "the configuration is in effect"
                );
                for unserved in &taken.applied.unserved {
                    tracing::warn!(
                        service = &*unserved.service,
                        address = %unserved.address,
                        reason = unserved.reason,
                        "an address is not served; it is tried again every second"
                    );
                }
                self.tell(control, true);
                Outcome::Settled
            }
            Err(NotTaken::Refused(problems)) => {
                let outcome = if problems.waits { Outcome::Waits } else { Outcome::Settled };
                // The same again is no news.
                if !self.retries || self.status.problems.as_ref() != Some(&problems) {
                    tracing::error!(
                        file = %self.path.display(),
                        problems = problems.count(),
                        "the configuration is refused; what ran before goes on:\n{problems}"
                    );
                    self.status.refused += 1;
                    self.status.problems = Some(problems);
                }
                self.tell(control, false);
                outcome
            }
            Err(why @ (NotTaken::Overloaded | NotTaken::NoDataPlane(_) | NotTaken::Stopping)) => {
                tracing::warn!(%why, "the configuration is tried again");
                Outcome::Again
            }
        }
    }

    fn tell(&self, control: &Control, ready: bool) {
        control.shared().change(|moment| {
            moment.file = Some(self.status.clone());
            moment.ready |= ready;
            moment.open = true;
        });
    }
}

impl Source for File {
    fn owner(&self) -> Owner {
        Owner::File
    }

    fn run(self: Box<Self>, control: Control, stopping: watch::Receiver<bool>) -> Running {
        Box::pin(self.watch(control, stopping))
    }
}
