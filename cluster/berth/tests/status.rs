// SPDX-License-Identifier: Apache-2.0
//! `berth status` as somebody has it who wants to know what runs: nothing, a control plane without nodes, one that was killed.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// After this a start counts as hung.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn berth(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.env("XDG_RUNTIME_DIR", folder).env("HOME", folder).env_remove("KUBECONFIG");
    command.stdin(Stdio::null());
    command
}

fn status(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        berth(folder).arg("status").args(more).output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned();
    (status.code(), said + &String::from_utf8_lossy(&stderr))
}

#[test]
fn what_runs_is_found_and_what_is_wrong_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = status(folder.path(), &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Nothing of Berth runs") && said.contains("berth up"), "{said}");
    let (code, said) = status(folder.path(), &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(code == Some(2) && json["cluster"].is_null(), "{said}");

    let out = folder.path().join("said");
    let mut server = berth(folder.path());
    server.args(["server", "--listen", "127.0.0.1:0", "--advertise-address", "127.0.0.1"]);
    server.arg("--data").arg(folder.path().join("data"));
    server.stdout(File::create(&out).unwrap()).stderr(Stdio::null());
    let mut server = Ends(server.spawn().unwrap());
    let end = Instant::now() + PATIENCE;
    while !fs::read_to_string(&out).unwrap().contains("Ctrl-C stops it") {
        assert!(Instant::now() < end, "{}", fs::read_to_string(&out).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    let json = loop {
        let (code, said) = status(folder.path(), &["--json"]);
        assert_eq!(code, Some(1), "{said}");
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        // Who leads is decided in a moment.
        if json["components"].as_array().unwrap().iter().all(|one| one["ready"] == true) {
            break json;
        }
        assert!(Instant::now() < end, "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{json}");
    assert!(problems[0].as_str().unwrap().contains("berth token create"), "{json}");
    assert!(json["cluster"]["process"].as_str().unwrap().starts_with("berth server"), "{json}");
    let (_, page) = status(folder.path(), &[]);
    assert!(page.starts_with("What is wrong:") && page.contains("default/kubernetes"), "{page}");

    // Killed, it is not found by itself any more; asked for, it is said that it does not answer.
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    assert_eq!(status(folder.path(), &[]).0, Some(2));
    let kubeconfig = folder.path().join("data/cluster/pki/kubeconfig");
    let (code, said) = status(folder.path(), &["--kubeconfig", &kubeconfig.display().to_string()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not answer") && said.contains("refused"), "{said}");
}
