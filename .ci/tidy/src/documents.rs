// SPDX-License-Identifier: Apache-2.0
//! The documents tell the truth: links lead somewhere, commands exist, every dependency has its reason.

use crate::workspace::{Member, Workspace};

/// Relative links of documents lead to a file.
#[must_use]
pub fn links(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in workspace.documents() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in targets(text) {
            let file = link.split('#').next().unwrap_or_default();
            if link.contains("://") || file.is_empty() || link.starts_with("mailto:") {
                continue;
            }
            if !workspace.root.join(folder).join(file).exists() {
                problems.push(format!("{path}: the link to {link} leads nowhere"));
            }
        }
    }
    problems
}

/// Targets of Markdown links.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split("](").skip(1) {
        if let Some((target, _)) = part.split_once(')') {
            found.push(target);
        }
    }
    found
}

/// Documents whose commands are checked.
const WITH_COMMANDS: [&str; 4] =
    ["README.md", "ARCHITECTURE.md", "SPECIFICATION.md", "CONTRIBUTING.md"];

/// Cargo commands in the main documents name packages, targets and tests that exist.
#[must_use]
pub fn commands(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for path in WITH_COMMANDS {
        let Some(text) = workspace.files.get(path) else {
            problems.push(format!("{path} is not there"));
            continue;
        };
        for command in cargo_commands(text) {
            for problem in check_command(workspace, command) {
                problems.push(format!("{path}: `{command}`: {problem}"));
            }
        }
    }
    problems
}

/// Cargo commands in backticks, and on lines of code blocks.
fn cargo_commands(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            block = !block;
        } else if block {
            found.push(line.split(" #").next().unwrap_or_default().trim());
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found.retain(|command| command.split(' ').any(|word| word == "cargo"));
    found
}

fn check_command(workspace: &Workspace, command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let cut = words.iter().position(|w| *w == "--").unwrap_or(words.len());
    let after = |flag: &str| {
        let at = words[..cut].iter().position(|w| *w == flag)?;
        words.get(at + 1).copied()
    };
    let Some(package) = after("-p") else { return Vec::new() };
    let Some(member) = workspace.members.get(package) else {
        return vec![format!("there is no crate {package}")];
    };
    let mut problems = Vec::new();
    for kind in ["test", "bench", "example", "bin"] {
        let Some(name) = after(&format!("--{kind}")) else { continue };
        if !member.targets.contains(&format!("{kind}/{name}")) {
            problems.push(format!("{package} has no {kind} {name}"));
        }
    }
    if words.contains(&"test")
        && let Some(filter) = test_filter(&words[..cut])
        && !has_test(workspace, member, filter)
    {
        problems.push(format!("{package} has no test {filter}"));
    }
    problems
}

/// The word of `cargo test` that says which tests to run.
fn test_filter<'a>(words: &[&'a str]) -> Option<&'a str> {
    let at = words.iter().position(|w| *w == "test")?;
    let mut rest = words[at + 1..].iter();
    while let Some(word) = rest.next() {
        match *word {
            "-p" | "--test" | "--bench" | "--example" | "--bin" | "--profile" => {
                rest.next();
            }
            flag if flag.starts_with('-') => {}
            filter => return Some(filter),
        }
    }
    None
}

fn has_test(workspace: &Workspace, member: &Member, filter: &str) -> bool {
    let prefix = format!("{}/", member.folder);
    let name = filter.rsplit("::").next().unwrap_or(filter);
    let mut files = workspace.rust_files().filter(|(path, _)| path.starts_with(&prefix));
    files.any(|(_, text)| {
        text.lines().any(|line| {
            let head = line.trim_start().trim_start_matches("async ");
            head.strip_prefix("fn ").is_some_and(|rest| rest.contains(name))
                || head.strip_prefix("mod ").is_some_and(|rest| rest.starts_with(name))
        })
    })
}

/// Each dependency from outside says in the root manifest what it is there for.
#[must_use]
pub fn dependencies(workspace: &Workspace) -> Vec<String> {
    let manifest = workspace.files.get("Cargo.toml").map(String::as_str).unwrap_or_default();
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let mut problems = Vec::new();
    for line in section.take_while(|line| !line.starts_with('[')) {
        let Some((name, what)) = line.split_once(" = ") else { continue };
        let argued = what.split_once(" # ").is_some_and(|(_, reason)| !reason.trim().is_empty());
        if !line.starts_with('#') && !what.contains("path = ") && !argued {
            problems.push(format!("Cargo.toml: say behind {name} what it is there for"));
        }
    }
    for member in workspace.members.values() {
        let path = format!("{}/Cargo.toml", member.folder);
        let text = workspace.files.get(&path).map(String::as_str).unwrap_or_default();
        for line in dependency_lines(text) {
            if !line.contains("workspace = true") {
                problems.push(format!("{path}: `{line}`: versions stand in the root manifest"));
            }
        }
    }
    problems
}

fn dependency_lines(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter(move |line| {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
            return false;
        }
        inside && line.contains('=') && !line.starts_with('#')
    })
}

/// Folders of somebody's machine, put together here so that this file does not name them.
const MACHINES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// No file names a folder that only one machine has.
#[must_use]
pub fn machines(workspace: &Workspace) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in &workspace.files {
        for (number, line) in (1..).zip(text.lines()) {
            if MACHINES.iter().any(|folder| line.contains(folder)) {
                problems.push(format!("{path}, line {number}: names a folder of one machine"));
            }
        }
    }
    problems
}

/// Numbers of decision records follow one another, and the index has them all.
#[must_use]
pub fn decisions(workspace: &Workspace) -> Vec<String> {
    const FOLDER: &str = "docs/adr/";
    let index = workspace.files.get("docs/adr/README.md").map(String::as_str).unwrap_or_default();
    let records = workspace.documents().filter_map(|(path, _)| path.strip_prefix(FOLDER));
    let records = records.filter(|name| *name != "README.md");
    let mut problems = Vec::new();
    for (number, name) in (1..).zip(records) {
        if !name.starts_with(&format!("{number:04}-")) {
            problems.push(format!("{FOLDER}{name}: the next number is {number:04}"));
        }
        if !index.contains(name) {
            problems.push(format!("{FOLDER}README.md: {name} is not in the table"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_backticks_and_blocks() {
        let text = "Run `cargo test -p a` or `ls`.\n```sh\ncargo bench  # all\necho\n```\n";
        assert_eq!(cargo_commands(text), ["cargo test -p a", "cargo bench"]);
    }

    #[test]
    fn a_filter_is_the_word_that_is_no_flag() {
        let filter = |command: &str| {
            let words: Vec<&str> = command.split(' ').collect();
            test_filter(&words).map(str::to_owned)
        };
        assert_eq!(
            filter("cargo test --release -p a --test b some_name"),
            Some("some_name".into())
        );
        assert_eq!(filter("cargo test -p a --test b"), None);
    }

    #[test]
    fn links_are_found() {
        assert_eq!(targets("see [a](b.md) and [c](d.md#e)"), ["b.md", "d.md#e"]);
    }

    #[test]
    fn dependencies_are_those_of_the_right_sections() {
        let manifest = "[package]\nname = 1\n[dependencies]\n# x = 1\na = 2\n[lints]\nb = 3\n";
        assert_eq!(dependency_lines(manifest).collect::<Vec<_>>(), ["a = 2"]);
    }
}
