// SPDX-License-Identifier: Apache-2.0
//! What tests of the program share: it is run, and its figures are read.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program `berth` that cargo built beside this test, if it did.
pub fn server() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let server = test.parent()?.parent()?.join("berth");
    if server.is_file() {
        return Some(server);
    }
    let required = std::env::var_os("BERTH_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{} is not there; `cargo build -p berth` makes it", server.display());
    eprintln!("skipped: {} is not there; `cargo build -p berth` makes it", server.display());
    None
}

/// Runs a command of the load generator.
pub fn run(command: &str, flags: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_berth-loadgen"));
    program.arg(command).args(flags).output().expect("the binary runs")
}

/// All that it said.
pub fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What `--json` wrote.
#[derive(Debug)]
pub struct Figures(Value);

impl Figures {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("figures are written");
        Self(serde_json::from_str(&text).expect("figures are JSON"))
    }

    pub fn value(&self, row: &str, metric: &str) -> f64 {
        let results = self.0["results"].as_array().expect("there are results");
        let found = results.iter().find(|r| r["name"] == row && r["metric"] == metric);
        let found = found.unwrap_or_else(|| unreachable!("{row} has no {metric}"));
        found["value"].as_f64().expect("a value is a number")
    }
}
