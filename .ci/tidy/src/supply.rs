// SPDX-License-Identifier: Apache-2.0
//! What comes from outside: from one place, under licences that fit, and once.

use crate::workspace::Workspace;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::process::Command;

/// A package that is built, ours or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Licence expression.
    pub licence: String,
    /// Where it comes from; empty for ours.
    pub source: String,
}

/// The place that packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that fit Apache-2.0 and ask for nothing but a notice.
const LICENCES: [&str; 9] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Packages that are there in two versions, since two of those who want them have not met yet (postcard names embedded-io in two
/// versions, and is built with neither; hashbrown and parking_lot are kube-rs's, in tests alone, beside sled's and ours; synstructure makes
/// macros for the tables of Unicode behind URLs, and for certificates; random numbers and what a processor can are asked for by WebSocket's masks and
/// its handshake in one version, by DNS messages and tower in another).
const TWICE: [&str; 12] = [
    "base64",
    "cpufeatures",
    "embedded-io",
    "getrandom",
    "hashbrown",
    "itertools",
    "parking_lot",
    "parking_lot_core",
    "rand",
    "rand_core",
    "syn",
    "synstructure",
];

/// The packages of a build for this machine.
pub fn packages(workspace: &Workspace) -> io::Result<Vec<Package>> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--filter-platform", &platform])
        .current_dir(&workspace.root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let package = |p: &Value| Package {
        name: text(&p["name"]),
        version: text(&p["version"]),
        licence: text(&p["license"]),
        source: text(&p["source"]),
    };
    Ok(packages.iter().map(package).collect())
}

/// Everything comes from one registry, under a licence that fits.
#[must_use]
pub fn origins(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages.iter().filter(|p| !p.source.is_empty()) {
        let Package { name, version, licence, source } = package;
        if source != REGISTRY {
            problems.push(format!("{name} {version} comes from {source}"));
        }
        if !fits(licence) {
            problems.push(format!("{name} {version}: its licence is {licence}"));
        }
    }
    problems
}

/// Whether one of a licence expression's alternatives fits. Alternatives stand outermost or in brackets.
fn fits(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut all = true;
    for part in split_outside(&expression, " AND ") {
        let part = part.trim();
        let inner = part.strip_prefix('(').and_then(|p| p.strip_suffix(')')).unwrap_or(part);
        all &= inner.split(" OR ").any(|licence| LICENCES.contains(&licence.trim()));
    }
    all
}

/// Splits where no bracket is open.
fn split_outside<'a>(text: &'a str, by: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(by) {
        let open = text[..at].matches('(').count() > text[..at].matches(')').count();
        if !open {
            parts.push(&text[from..at]);
            from = at + by.len();
        }
    }
    parts.push(&text[from..]);
    parts
}

/// No package is built in two versions but those that are known to be.
#[must_use]
pub fn versions(packages: &[Package]) -> Vec<String> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        by_name.entry(&package.name).or_default().push(&package.version);
    }
    let mut problems = Vec::new();
    for (name, versions) in &by_name {
        if versions.len() > 1 && !TWICE.contains(name) {
            problems.push(format!("{name} is there as {}", versions.join(" and ")));
        }
    }
    for name in TWICE {
        if by_name.get(name).is_none_or(|versions| versions.len() < 2) {
            problems.push(format!("{name} is there once: take it out of TWICE in .ci/tidy"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alternative_has_to_fit() {
        assert!(fits("MIT/Apache-2.0"));
        assert!(fits("GPL-3.0 OR MIT"));
        assert!(fits("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(fits("Apache-2.0 WITH LLVM-exception OR MIT"));
        assert!(!fits("GPL-3.0"));
        assert!(!fits("MIT AND GPL-3.0"));
        assert!(!fits("(MIT OR GPL-3.0) AND GPL-3.0"));
        assert!(!fits(""));
    }

    #[test]
    fn another_source_is_refused() {
        let package = |source: &str| Package {
            name: "a".into(),
            version: "1.0.0".into(),
            licence: "MIT".into(),
            source: source.into(),
        };
        assert_eq!(origins(&[package(REGISTRY), package("")]).len(), 0);
        assert_eq!(origins(&[package("git+https://example.com/a")]).len(), 1);
    }
}
