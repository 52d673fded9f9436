// SPDX-License-Identifier: Apache-2.0
//! What the tests of `berth up` share: a cluster of their own, ended with the test.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(clippy::panic, reason = "a test that cannot begin says why")]

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// After this a process that is to end counts as hung.
const PATIENCE: Duration = Duration::from_mins(1);

/// Flags that choose free ports for all that listens, and go without Docker.
pub(crate) const PORTS: [&str; 11] = [
    "--no-node",
    "--listen",
    "127.0.0.1:0",
    "--metrics",
    "127.0.0.1:0",
    "--api",
    "127.0.0.1:0",
    "--balancer",
    "127.0.0.1:0",
    "--balancer-admin",
    "127.0.0.1:0",
];

/// A cluster that runs.
#[derive(Debug)]
pub(crate) struct Up {
    child: Child,
    /// Kept open: a server that cannot say where it is ends.
    lines: std::io::Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    /// The administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
}

impl Up {
    /// Starts one on free ports, which keeps what it has in this folder.
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        let data = folder.join("data");
        let data = ["--data", data.to_str().expect("a path")];
        Self::start_with(&folder.join("up.log"), &[&data, flags].concat())
    }

    /// Starts one on free ports, in memory. It logs into this file.
    pub(crate) fn start_with(log: &Path, flags: &[&str]) -> Self {
        let log = log.to_owned();
        let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
            .arg("up")
            .args(PORTS)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let kubeconfig = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.strip_prefix("kubeconfig").map(|path| PathBuf::from(path.trim()))
        });
        let kubeconfig = kubeconfig.unwrap_or_else(|| {
            panic!("it does not start: {}", fs::read_to_string(&log).unwrap_or_default())
        });
        Self { child, lines, log, kubeconfig }
    }

    /// Presses Ctrl-C, and waits for the end.
    pub(crate) fn interrupt(mut self) -> (ExitStatus, String) {
        let status = self.end();
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        (status.unwrap_or_else(|| panic!("it does not end: {log}")), log)
    }

    fn end(&mut self) -> Option<ExitStatus> {
        // One that has ended has no number any more that would be its own.
        if within(&mut self.child, Duration::ZERO).is_none() {
            kill_process(Pid::from_child(&self.child), Signal::INT).expect("it is our own");
        }
        within(&mut self.child, PATIENCE)
    }
}

/// How a process ends, if it does within this time.
pub(crate) fn within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // In good order where that goes: a data plane outlives who is killed.
        if self.end().is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!("the last that berth up said:\n{}", last.join("\n"));
        }
    }
}
