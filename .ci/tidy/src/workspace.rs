// SPDX-License-Identifier: Apache-2.0
//! What is checked: the members as cargo tells them, and the files as they lie there.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// The whole repository.
#[derive(Debug)]
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
    /// Our crates by name.
    pub members: BTreeMap<String, Member>,
    /// All text files, by path from the root.
    pub files: BTreeMap<String, String>,
}

/// One of our crates.
#[derive(Debug, Default, Clone)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Its folder, from the root.
    pub folder: String,
    /// `package.metadata.layer.rank`.
    pub rank: Option<u64>,
    /// `package.metadata.layer.io`.
    pub io: String,
    /// `package.metadata.layer.unsafe`.
    pub allows_unsafe: bool,
    /// `package.metadata.layer.leaf`: for tests and measurements; only other leaves may depend on it.
    pub leaf: bool,
    /// Names of normal and build dependencies.
    pub dependencies: Vec<String>,
    /// Names of targets, each after its kind: `test/oracle`, `bench/place`, `example/rows`, `bin/berth`.
    pub targets: Vec<String>,
}

/// Endings of files that are read.
const TEXT: [&str; 7] = ["rs", "toml", "md", "proto", "yaml", "json", "py"];

impl Workspace {
    /// Reads the repository that this crate lies in.
    pub fn load() -> io::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.join("../..").canonicalize()?;
        let mut files = BTreeMap::new();
        walk(&root, &root, &mut files)?;
        Ok(Self { members: members(&root)?, root, files })
    }

    /// Rust files under a crate's `src`, by path from the root.
    pub fn sources<'a>(&'a self, member: &Member) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = format!("{}/src/", member.folder);
        self.rust_files().filter(move |(path, _)| path.starts_with(&prefix))
    }

    /// All Rust files that people write.
    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(|(path, _)| has_ending(path, "rs") && !path.contains("/generated/"))
    }

    /// All documents.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(|(path, _)| has_ending(path, "md"))
    }
}

/// Whether a path ends in `.ending`.
#[must_use]
pub fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == ending)
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with("target") && name != ".git" {
                walk(root, &path, files)?;
            }
            continue;
        }
        let shell = folder == root.join(".ci") && !name.contains('.');
        if shell || TEXT.iter().any(|ending| has_ending(&name, ending)) {
            let from_root = path.strip_prefix(root).map_err(io::Error::other)?;
            let text = fs::read_to_string(&path)?;
            files.insert(from_root.to_string_lossy().into_owned(), text);
        }
    }
    Ok(())
}

fn members(root: &Path) -> io::Result<BTreeMap<String, Member>> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(packages.iter().map(|p| member(root, p)).map(|m| (m.name.clone(), m)).collect())
}

fn member(root: &Path, package: &Value) -> Member {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().and_then(|f| f.strip_prefix(root).ok()).unwrap_or(root);
    let layer = &package["metadata"]["layer"];
    let dependencies = list(&package["dependencies"]);
    let dependencies = dependencies.iter().filter(|d| d["kind"].as_str() != Some("dev"));
    let mut targets = Vec::new();
    for target in list(&package["targets"]) {
        for kind in list(&target["kind"]) {
            targets.push(format!("{}/{}", text(&kind), text(&target["name"])));
        }
    }
    Member {
        name: text(&package["name"]),
        folder: folder.to_string_lossy().into_owned(),
        rank: layer["rank"].as_u64(),
        io: text(&layer["io"]),
        allows_unsafe: layer["unsafe"].as_bool().unwrap_or(false),
        leaf: layer["leaf"].as_bool().unwrap_or(false),
        dependencies: dependencies.map(|d| text(&d["name"])).collect(),
        targets,
    }
}
