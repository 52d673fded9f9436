// SPDX-License-Identifier: Apache-2.0
//! Recorded answers of a real kube-apiserver against the binary: docs/differences.md lists every scenario that differs, and why.

mod apiserver;

use apiserver::Apiserver;
use std::path::Path;
use std::process::Command;

#[test]
fn every_recorded_answer_agrees_or_its_difference_is_listed() {
    // As the record was made: without controllers, and without the plugin that wants ServiceAccounts.
    let server =
        Apiserver::start(&["--controllers", "", "--disable-admission-plugins", "ServiceAccount"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("python3")
        .arg(root.join("cluster/apiserver/tests/record/compare.py"))
        .arg(&server.url)
        .arg(root.join("cluster/api/testdata/scenarios.jsonl.gz"))
        .arg(root.join("docs/differences.md"))
        .env("TOKEN", apiserver::TOKEN)
        .env("OPTS", "1.33,noadmission")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    // Something was compared at all.
    assert!(told.contains(" scenarios of "), "{told}");
}
