// SPDX-License-Identifier: Apache-2.0
//! What tests of both of the balancer's paths stand on: network namespaces, processes in them, and a Docker engine of a test's own. All
//! of it goes with the value that stands for it.
//!
//! What cannot be had panics: a test has nobody to tell.
#![forbid(unsafe_code)]
#![allow(clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod engine;
mod space;

pub use engine::{Engine, have_docker};
pub use space::{Running, Space, link};

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Nothing here takes a twentieth of it.
pub const HANG: Duration = Duration::from_secs(30);

/// Whether namespaces can be made: by root, with these commands. Says so if not, and fails if they are required.
pub fn have_namespaces() -> bool {
    let root = rustix::process::geteuid().is_root();
    if root && run("ip", &["-V"]).is_some() && run("nft", &["--version"]).is_some() {
        return true;
    }
    println!("skipped: needs root, and the commands ip and nft");
    assert!(std::env::var_os("BERTH_REQUIRE_NETNS").is_none(), "BERTH_REQUIRE_NETNS is set");
    false
}

/// What a command prints, if it succeeds.
pub fn run(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn must(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A name that no other test has, short enough for a namespace.
#[must_use]
pub fn unique(what: &str) -> String {
    static LABS: AtomicU32 = AtomicU32::new(0);
    format!("lab-{}-{}{what}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed))
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < HANG, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
