// SPDX-License-Identifier: Apache-2.0
//! Dependencies point down, and a crate does only the IO that it declares.

use crate::scan;
use crate::workspace::{Member, Workspace};

/// Each crate declares its layer and depends on lower ranks only.
#[must_use]
pub fn ranks(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for member in workspace.members.values() {
        let name = &member.name;
        let Some(rank) = member.rank else {
            problems.push(format!("{name}: add [package.metadata.layer] with a rank"));
            continue;
        };
        if !["none", "file", "net"].contains(&member.io.as_str()) {
            problems.push(format!("{name}: `io` of its layer must be none, file or net"));
        }
        for dependency in &member.dependencies {
            let Some(below) = workspace.members.get(dependency) else { continue };
            if below.rank.is_none_or(|r| r >= rank) {
                problems.push(format!("{name} depends on {dependency}, whose rank is not lower"));
            }
            if below.leaf && !member.leaf {
                problems.push(format!("{name} depends on {dependency}, which is for leaves only"));
            }
        }
    }
    problems
}

/// A crate is named after its folder.
#[must_use]
pub fn names(workspace: &Workspace) -> Vec<String> {
    let members = workspace.members.values();
    let wanted = |m: &Member| match m.folder.as_str() {
        // The one binary has the project's name.
        "cluster/berth" => "berth".to_owned(),
        folder => format!("berth-{}", folder.trim_start_matches('.').replace('/', "-")),
    };
    members
        .filter(|m| m.name != wanted(m))
        .map(|m| format!("{}: a crate in {} is called {}", m.name, m.folder, wanted(m)))
        .collect()
}

/// Words that only a crate of a higher `io` may use, with that `io`.
const WORDS: [(&str, &str); 9] = [
    ("std::fs", "file"),
    ("std::env", "file"),
    ("std::net", "net"),
    ("std::process", "file"),
    ("std::thread", "file"),
    ("Instant::now", "file"),
    ("SystemTime::now", "file"),
    ("tokio::", "net"),
    ("rustix::", "file"),
];

/// Crates whose sources may read the clock though they do no other IO, with the reason.
const CLOCKS: [(&str, &str); 1] = [("berth-benches", "measures")];

/// Sources use no more of the outside world than their crate declares, and `unsafe` only where it says so.
#[must_use]
pub fn purity(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for member in workspace.members.values() {
        // This crate names the words.
        let allowed = if member.name == env!("CARGO_PKG_NAME") { 2 } else { level(&member.io) };
        let library = member.targets.iter().any(|target| target.starts_with("lib/"));
        let root = if library { "/src/lib.rs" } else { "/src/main.rs" };
        for (path, text) in workspace.sources(member) {
            for line in scan::production(text).map(scan::code) {
                for (word, io) in WORDS {
                    let clock = word.ends_with("::now")
                        && CLOCKS.iter().any(|(name, _)| *name == member.name);
                    if line.contains(word) && level(io) > allowed && !clock {
                        let has = &member.io;
                        problems.push(format!("{path}: `{word}` in a crate whose io is {has}"));
                    }
                }
            }
            let forbids = text.contains("#![forbid(unsafe_code)]");
            if path.ends_with(root) && !member.allows_unsafe && !forbids {
                problems.push(format!("{path}: add #![forbid(unsafe_code)]"));
            }
        }
    }
    problems
}

fn level(io: &str) -> u8 {
    match io {
        "net" => 2,
        "file" => 1,
        _ => 0,
    }
}

/// Crates that the compiler itself keeps pure: without std there is no clock, no thread, no file, no socket.
const WITHOUT_STD: [&str; 3] =
    ["berth-balancer-core", "berth-scheduler-core", "berth-scheduler-model"];

/// The pure engine and its vocabulary do not know std.
#[must_use]
pub fn without_std(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for name in WITHOUT_STD {
        let Some(member) = workspace.members.get(name) else {
            problems.push(format!("{name} is gone: correct the list in .ci/tidy"));
            continue;
        };
        for (path, text) in workspace.sources(member) {
            if path.ends_with("/src/lib.rs") && !text.contains("#![no_std]") {
                problems.push(format!("{path}: add #![no_std]"));
            }
            let lines: Vec<&str> = text.lines().collect();
            for at in 0..lines.len() {
                let tested = at > 0 && lines[at - 1].trim() == "#[cfg(test)]";
                if lines[at].trim() == "extern crate std;" && !tested {
                    problems.push(format!("{path}: std is for tests only"));
                }
            }
        }
    }
    problems
}
