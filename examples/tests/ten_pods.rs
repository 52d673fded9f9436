// SPDX-License-Identifier: Apache-2.0
//! The example does what it says: it places pods, and says why one has to wait.

use std::process::Command;

#[test]
fn ten_pods_are_scheduled_or_told_why_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_ten-pods")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let pods = || text.lines().filter(|line| line.starts_with("web-"));
    assert_eq!(pods().count(), 10, "{text}");
    assert!(pods().any(|line| line.contains(" goes to ")), "{text}");
    assert!(pods().any(|line| line.ends_with(" has to wait:")), "{text}");
    assert!(text.contains(" refuses "), "{text}");
}
