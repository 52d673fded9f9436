// SPDX-License-Identifier: Apache-2.0
//! A cluster of several processes on a machine of a test's own: `berth server`, and `berth agent`s that share its engine.
#![allow(dead_code, reason = "each test uses what it needs")]

use crate::machine::Machine;
use crate::machine::process::Process;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The control plane, and how to join it.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Machine {
    /// Starts `berth` with these arguments, by that name.
    fn start(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command.args(arguments).env("XDG_RUNTIME_DIR", self.folder());
        Process::spawn(self, name, command, Signal::TERM)
    }

    /// Starts `berth server` there, which keeps its objects, with more flags.
    pub(crate) fn server(&self, more: &[&str]) -> Server {
        let data = self.folder().join("data").display().to_string();
        let arguments = [&["server", "--data", &data][..], more].concat();
        let mut process = self.start("server", &arguments);
        let said = process.says("Ctrl-C stops it");
        let line = said.lines().find_map(|line| line.trim().strip_prefix("berth agent --server "));
        let (url, token) = line.unwrap().split_once(" --token ").unwrap();
        Server { process, url: url.to_owned(), token: token.to_owned() }
    }

    /// Where the agent of that name keeps all that it has.
    pub(crate) fn agent_folder(&self, name: &str) -> PathBuf {
        self.folder().join(format!("agent-{name}"))
    }

    /// Starts `berth agent` there, as a node of this name, with more flags.
    pub(crate) fn agent(&self, name: &str, url: &str, more: &[&str]) -> Process {
        let socket = format!("unix://{}", self.folder().join("sock").display());
        let data = self.agent_folder(name).display().to_string();
        let mut all = vec!["agent", "--server", url, "--node-name", name, "--docker", &socket];
        if !more.contains(&"--data") {
            all.extend(["--data", &data]);
        }
        all.extend_from_slice(more);
        self.start(name, &all)
    }

    /// Runs `berth` there, with these arguments.
    pub(crate) fn berth(&self, arguments: &[&str]) -> Output {
        self.engine.node.run(|| {
            Command::new(env!("CARGO_BIN_EXE_berth"))
                .args(arguments)
                .env("XDG_RUNTIME_DIR", self.folder())
                .env_remove("KUBECONFIG")
                .env("HOME", self.folder())
                .output()
                .unwrap()
        })
    }

    /// What it prints; it must succeed.
    pub(crate) fn berth_says(&self, arguments: &[&str]) -> String {
        let output = self.berth(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "berth {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
