// SPDX-License-Identifier: Apache-2.0
//! The cases, as the files beside this one have them.
//!
//! A file has `cases`, and `shared`: lists of steps that several cases go through. A case has the `name` that docs/conformance.md has, its
//! `class` (B: containers, C: traffic), and its `steps`, or the name of shared ones in `use`. `with` are its parameters, which stand in
//! steps as `${name}`; what steps find out stands there, too (see `step.rs`). `function` names one of `own.rs` in place of steps.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the files are.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

/// One of upstream's tests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) class: Class,
    /// It waits long, for what is seldom looked at.
    #[serde(default)]
    pub(crate) slow: bool,
    /// It changes what the others need: it runs after them.
    #[serde(default)]
    pub(crate) alone: bool,
    /// Its steps, in order.
    #[serde(default)]
    pub(crate) steps: Vec<Value>,
    /// Which shared steps are its own.
    #[serde(default, rename = "use")]
    shared: Option<String>,
    #[serde(default)]
    pub(crate) with: BTreeMap<String, Value>,
    /// What of `own.rs` runs after its steps.
    #[serde(default)]
    pub(crate) function: Option<String>,
    /// The file that has it.
    #[serde(skip)]
    pub(crate) file: String,
}

/// What a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Class {
    /// Containers that run.
    B,
    /// Traffic between them.
    C,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    shared: BTreeMap<String, Vec<Value>>,
    cases: Vec<Case>,
}

/// All cases of all files.
pub(crate) fn all() -> Vec<Case> {
    let mut paths: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| of_file(path)).collect()
}

fn of_file(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    let file: File =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let named = |mut case: Case| {
        if let Some(shared) = &case.shared {
            let steps = file.shared.get(shared);
            let steps = steps.unwrap_or_else(|| panic!("{name} has no shared steps {shared}"));
            case.steps.splice(0..0, steps.iter().cloned());
        }
        let does = !case.steps.is_empty() || case.function.is_some();
        assert!(does, "{}: {:?} does nothing", name, case.name);
        Case { file: name.clone(), ..case }
    };
    file.cases.iter().cloned().map(named).collect()
}

/// Puts values in the place of `${name}`: the value itself where the text is no more than that.
pub(crate) fn filled(value: &Value, with: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => filled_text(text, with),
        Value::Array(all) => all.iter().map(|one| filled(one, with)).collect(),
        Value::Object(all) => all
            .iter()
            .map(|(key, one)| {
                let key = match filled_text(key, with) {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                (key, filled(one, with))
            })
            .collect(),
        other => other.clone(),
    }
}

fn filled_text(text: &str, with: &BTreeMap<String, Value>) -> Value {
    let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    if let Some(value) = whole.and_then(|name| with.get(name)) {
        return value.clone();
    }
    let mut out = text.to_owned();
    for (name, value) in with {
        let place = format!("${{{name}}}");
        if out.contains(&place) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            out = out.replace(&place, &text);
        }
    }
    Value::String(out)
}
