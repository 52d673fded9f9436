// SPDX-License-Identifier: Apache-2.0
//! Writes the table of schemas. `--check` writes nothing and fails if the committed table is not what would be written.

mod hand;
mod openapi;
mod protobuf;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A failure, in words.
type Failure = String;

fn main() -> ExitCode {
    match run(std::env::args().any(|word| word == "--check")) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<String, Failure> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let openapi = openapi::read(&source_of(here, "k8s-openapi")?.join("src/v1_33"))?;
    let protobuf = protobuf::read(&source_of(here, "k8s-pb")?.join("src"))?;
    let hand = hand::read(&read_text(&here.join("hand.txt"))?)?;
    let text = table::write(openapi, &protobuf, &hand)?;
    let path = here.join("../src/schema/table.txt");
    if check {
        let same = read_text(&path)? == text;
        return if same { Ok("current".into()) } else { Err("table.txt is not current".into()) };
    }
    std::fs::write(&path, &text).map_err(|problem| format!("{}: {problem}", path.display()))?;
    Ok(format!("{} bytes, {} lines", text.len(), text.lines().count()))
}

/// The folder in which the source of a package lies.
fn source_of(here: &Path, package: &str) -> Result<PathBuf, Failure> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1"])
        .current_dir(here)
        .output()
        .map_err(|problem| format!("cargo metadata: {problem}"))?;
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|problem| problem.to_string())?;
    let packages = said["packages"].as_array().ok_or("cargo metadata tells no packages")?;
    packages
        .iter()
        .find(|one| one["name"] == package)
        .and_then(|one| Path::new(one["manifest_path"].as_str()?).parent())
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("no package {package}"))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// All Rust files below a folder, in order.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|problem| format!("{}: {problem}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|problem| problem.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
