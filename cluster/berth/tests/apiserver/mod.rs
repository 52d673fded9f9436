// SPDX-License-Identifier: Apache-2.0
//! What the tests of `berth apiserver` share: a server of their own, ended with the test.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(clippy::panic, reason = "a test that cannot begin says why")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
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
    store: String,
    /// Where it is.
    pub(crate) url: String,
    /// The administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
}

impl Apiserver {
    /// Starts one on a free port, in memory.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_on("memory", flags)
    }

    /// Starts one on a free port, over a store.
    pub(crate) fn start_on(store: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("tokens.csv"), format!("{TOKEN},admin,,\"system:masters\"\n"))
            .expect("tokens");
        let mut child = spawn(folder.path(), store, "127.0.0.1:0", flags);
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (url, kubeconfig) = began(&mut lines);
        Self { child, lines, folder, store: store.to_owned(), url, kubeconfig }
    }

    /// Kills it and starts it again, at the same place over the same store, without flags.
    pub(crate) fn restart(&mut self) {
        self.end();
        let place = self.url.trim_start_matches("https://");
        self.child = spawn(self.folder.path(), &self.store, place, &[]);
        self.lines = BufReader::new(self.child.stdout.take().expect("its output")).lines();
        let again = began(&mut self.lines);
        assert_eq!(again, (self.url.clone(), self.kubeconfig.clone()));
    }

    /// A folder that goes with the server.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Apiserver {
    fn drop(&mut self) {
        // It keeps nothing, or what is on the disk: an end at once is fine.
        self.end();
    }
}

fn spawn(folder: &Path, store: &str, listen: &str, flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["apiserver", "--store", store, "--listen", listen, "--pki"])
        .arg(folder.join("pki"))
        .arg("--token-auth-file")
        .arg(folder.join("tokens.csv"))
        .args(flags)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts")
}

/// Where it says that it is, and its kubeconfig.
fn began(lines: &mut std::io::Lines<BufReader<ChildStdout>>) -> (String, PathBuf) {
    let mut next = |name: &str| {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let value = line.strip_prefix(name).map(str::trim);
        value.unwrap_or_else(|| panic!("{name} is missing: {line:?}")).to_owned()
    };
    (next("API"), PathBuf::from(next("kubeconfig")))
}
