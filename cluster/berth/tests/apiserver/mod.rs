// SPDX-License-Identifier: Apache-2.0
//! What the tests of `berth apiserver` share: a server of their own, ended with the test.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(clippy::panic, reason = "a test that cannot begin says why")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The administrator's token.
pub(crate) const TOKEN: &str = "admintoken";

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Apiserver {
    child: Child,
    /// Kept open: a server that cannot say where it is ends.
    lines: std::io::Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
    /// Where it is.
    pub(crate) url: String,
    /// The administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
}

impl Apiserver {
    /// Starts one on a free port, in memory.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = folder.path().join("tokens.csv");
        fs::write(&tokens, format!("{TOKEN},admin,,\"system:masters\"\n")).expect("tokens");
        let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
            .args(["apiserver", "--store", "memory", "--listen", "127.0.0.1:0", "--pki"])
            .arg(folder.path().join("pki"))
            .arg("--token-auth-file")
            .arg(&tokens)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut next = |name: &str| {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            let value = line.strip_prefix(name).map(str::trim);
            value.unwrap_or_else(|| panic!("{name} is missing: {line:?}")).to_owned()
        };
        let (url, kubeconfig) = (next("API"), PathBuf::from(next("kubeconfig")));
        Self { child, lines, folder, url, kubeconfig }
    }

    /// A folder that goes with the server.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Drop for Apiserver {
    fn drop(&mut self) {
        // It keeps nothing: an end at once is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
