// SPDX-License-Identifier: Apache-2.0
//! A service of one's own, as a process beside this one: this very program, with the hidden command `serve-scheduler`.
//!
//! The child tells its address in the first line of its output, and stops when its input ends: so it also stops when its
//! parent is killed.

use crate::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The hidden command.
pub const COMMAND: &str = "serve-scheduler";

/// What comes before the address in the child's first line.
pub const LISTENING: &str = "listening on ";

/// How long the child may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A service as a process of its own.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Resident memory in MiB.
    pub resident_mib: f64,
    /// The most that was resident at any time.
    pub peak_mib: f64,
    /// Seconds of CPU.
    pub cpu_seconds: f64,
}

impl Server {
    /// Starts it; `data` is its journal's folder.
    pub fn start(data: Option<&Path>) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Spawn)?;
        let mut command = Command::new(program);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        let mut child = command.spawn().map_err(Error::Spawn)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.as_mut() {
            BufReader::new(output).read_line(&mut line).map_err(Error::Spawn)?;
        }
        let Some(address) = line.trim_end().strip_prefix(LISTENING) else {
            let _ = child.kill();
            let status = child.wait().map_err(Error::Spawn)?;
            return Err(Error::ServerGone { status: status.to_string() });
        };
        Ok(Self { address: address.to_owned(), child })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has used so far; nothing where the system does not say.
    pub fn usage(&self) -> Option<Usage> {
        usage(&self.child.id().to_string())
    }

    /// Asks it to stop, and waits until it has. Meanwhile the runtime goes on: connections have to be closed.
    pub async fn stop(mut self) -> Result<(), Error> {
        drop(self.child.stdin.take());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().map_err(Error::Spawn)? {
                if status.success() {
                    return Ok(());
                }
                return Err(Error::ServerGone { status: status.to_string() });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(Error::ServerGone { status: "it did not stop in time".to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also after an error: nothing is left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this process has used so far.
pub fn own_usage() -> Option<Usage> {
    usage("self")
}

/// Reads `/proc`.
fn usage(process: &str) -> Option<Usage> {
    const KIB_IN_MIB: f64 = 1_024.0;
    let folder = Path::new("/proc").join(process);
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let mib = |field: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: f64 = text.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib / KIB_IN_MIB)
    };
    let (resident_mib, peak_mib) = (mib("VmRSS:")?, mib("VmHWM:")?);
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The second field is the command in brackets, which may hold anything; user and system time are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let per_second = crate::report::count(rustix::param::clock_ticks_per_second());
    Some(Usage { resident_mib, peak_mib, cpu_seconds: ticks / per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_what_a_process_uses() {
        let usage = own_usage().unwrap();
        assert!((1.0..100_000.0).contains(&usage.resident_mib), "{usage:?}");
        assert!(usage.peak_mib >= usage.resident_mib / 2.0, "{usage:?}");
        assert!(usage.cpu_seconds >= 0.0);
    }
}
