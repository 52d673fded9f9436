// SPDX-License-Identifier: Apache-2.0
//! Headers, lengths and names of source files.

use crate::ratchet::Ratchet;
use crate::scan;
use crate::workspace::{Workspace, has_ending};

/// Lines of a file.
pub const FILE_LINES_MAX: usize = 800;
/// Lines of a function.
pub const FUNCTION_LINES_MAX: usize = 70;

const SPDX: &str = "SPDX-License-Identifier: Apache-2.0";

/// Each Rust file begins with its licence and says what it is; each .proto and script with its licence.
#[must_use]
pub fn headers(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in workspace.rust_files() {
        let mut lines = text.lines();
        if lines.next() != Some("// SPDX-License-Identifier: Apache-2.0") {
            problems.push(format!("{path}: the first line is `// {SPDX}`"));
        }
        if !lines.next().is_some_and(|line| line.starts_with("//! ")) {
            problems.push(format!("{path}: the second line says what the file is (`//! ...`)"));
        }
    }
    for (path, text) in &workspace.files {
        let wanted = has_ending(path, "proto") || is_script(path);
        if wanted && !text.lines().take(2).any(|line| line.contains(SPDX)) {
            problems.push(format!("{path}: one of the first two lines names the licence, {SPDX}"));
        }
    }
    problems
}

/// A script of `.ci/`: it has no ending.
fn is_script(path: &str) -> bool {
    path.strip_prefix(".ci/").is_some_and(|name| !name.contains(['/', '.']))
}

/// Files and functions are short; those that are not may only shrink.
#[must_use]
pub fn lengths(workspace: &Workspace, ratchet: &Ratchet) -> Vec<String> {
    let mut measured = Vec::new();
    for (path, text) in workspace.rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            measured.push((path.to_owned(), lines));
        }
        if path.contains("/tests") {
            continue;
        }
        for function in scan::functions(text) {
            if function.lines > FUNCTION_LINES_MAX {
                measured.push((format!("{path} {}", function.name), function.lines));
            }
        }
    }
    ratchet.compare(&measured)
}

/// Every member takes the workspace's lints.
#[must_use]
pub fn lints(workspace: &Workspace) -> Vec<String> {
    let manifests = workspace.members.values().map(|m| format!("{}/Cargo.toml", m.folder));
    let lacks = |path: &String| {
        workspace.files.get(path).is_none_or(|text| !text.contains("[lints]\nworkspace = true"))
    };
    manifests.filter(lacks).map(|p| format!("{p}: add [lints] workspace = true")).collect()
}

/// Production code does not unwrap.
#[must_use]
pub fn unwraps(workspace: &Workspace) -> Vec<String> {
    let unwrap = concat!(".unwr", "ap()");
    let mut problems = Vec::new();
    for member in workspace.members.values() {
        for (path, text) in workspace.sources(member).filter(|(path, _)| !path.contains("tests")) {
            if scan::production(text).any(|line| scan::code(line).contains(unwrap)) {
                problems.push(format!("{path}: instead of unwrapping, say why it cannot happen"));
            }
        }
    }
    problems
}

/// Names that say nothing.
const DRAWERS: [&str; 6] = ["utils", "util", "common", "helpers", "manager", "misc"];

/// No module is a drawer, and none is called `mod.rs`.
#[must_use]
pub fn modules(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, _) in workspace.rust_files() {
        let parts = path.trim_end_matches(".rs").split('/');
        if parts.clone().any(|part| DRAWERS.contains(&part)) {
            problems.push(format!("{path}: a module is called after what is in it"));
        }
        let mut parts = parts;
        if parts.next_back() == Some("mod") && !path.contains("tests/") {
            problems.push(format!("{path}: call it after its folder, beside it"));
        }
    }
    problems
}
