// SPDX-License-Identifier: Apache-2.0
//! A process of `berth` on a machine of a test's own: what it says, and how it ends.
#![allow(dead_code, reason = "each test uses what it needs")]

use super::Machine;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a step may take before it counts as hung.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long one may take that is ended because its test has.
const LAST: Duration = Duration::from_secs(30);

/// A process, with what it says.
pub(crate) struct Process {
    pub(crate) child: Child,
    name: String,
    folder: PathBuf,
    /// What asks it to end.
    ends_by: Signal,
}

impl Process {
    /// Starts a command there, by this name.
    pub(crate) fn spawn(
        machine: &Machine,
        name: &str,
        mut command: Command,
        ends_by: Signal,
    ) -> Self {
        let folder = machine.folder().to_owned();
        command
            .stdin(Stdio::null())
            .stdout(File::create(folder.join(format!("{name}.said"))).unwrap())
            .stderr(File::create(folder.join(format!("{name}.log"))).unwrap());
        let child = machine.engine.node.run(|| command.spawn().unwrap());
        Self { child, name: name.to_owned(), folder, ends_by }
    }

    fn read(&self, what: &str) -> String {
        let path = self.folder.join(format!("{}.{what}", self.name));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        self.read("said")
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    /// Waits until it says this.
    pub(crate) fn says(&mut self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if said.contains(words) {
                return said;
            }
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(!ended, "{} ended: {said}\n{}", self.name, self.log());
            let hangs = Instant::now() > end;
            assert!(!hangs, "{} does not say {words:?}: {said}\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has ended.
    fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "{} does not end: {}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself, badly; what it said then.
    pub(crate) fn refuses(mut self) -> String {
        let status = self.ended();
        assert!(!status.success(), "{} succeeded: {}", self.name, self.said());
        self.log()
    }

    /// Asks it to end, and waits for a good end.
    pub(crate) fn end(mut self) {
        self.finish();
    }

    /// The same for one that others hold.
    pub(crate) fn finish(&mut self) {
        kill_process(Pid::from_child(&self.child), self.ends_by).unwrap();
        let status = self.ended();
        assert!(status.success(), "{}: {}", self.name, self.log());
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it, in whatever way it goes.
    pub(crate) fn stop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // It may end by itself meanwhile.
            let _ = kill_process(Pid::from_child(&self.child), self.ends_by);
            let end = Instant::now() + LAST;
            while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if Instant::now() > end {
                    drop(self.child.kill());
                    drop(self.child.wait());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("{} said:\n{}\n{}", self.name, self.said(), self.log());
        }
    }
}
