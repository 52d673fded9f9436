// SPDX-License-Identifier: Apache-2.0
//! Which plain kubectls there are on this machine.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Plain clients by minor version: beside the one on the path, beside what it points to, and Debian's.
pub(crate) fn clients() -> BTreeMap<u32, PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        if let Ok(target) = fs::canonicalize(folder.join("kubectl")) {
            folders.extend(target.parent().map(Path::to_owned));
            folders.push(folder);
        }
    }
    let mut found = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(minor) = name.strip_prefix("kubectl.1.").and_then(|rest| rest.parse().ok())
            {
                found.insert(minor, entry.path());
            }
        }
    }
    let old =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kubectl-1.20/usr/bin/kubectl");
    if old.exists() {
        found.insert(20, old);
    }
    found
}

/// The clients to test with; empty if there are none and none is required.
pub(crate) fn required() -> BTreeMap<u32, PathBuf> {
    let clients = clients();
    if env::var("BERTH_REQUIRE_KUBECTL").is_ok_and(|value| value == "1") {
        let has =
            |range: std::ops::RangeInclusive<u32>| clients.keys().any(|one| range.contains(one));
        assert!(
            has(32..=99) && has(21..=31) && has(20..=20),
            "kubectls found: {:?}",
            clients.keys()
        );
    } else if clients.is_empty() {
        eprintln!("skipped: there is no plain kubectl");
    }
    clients
}
