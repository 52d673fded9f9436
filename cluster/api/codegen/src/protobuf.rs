// SPDX-License-Identifier: Apache-2.0
//! Reads k8s-pb: the tags of fields, and upstream's markers (`+patchMergeKey=name`) in their comments.

use crate::{Failure, files_below, read_text};
use std::collections::BTreeMap;
use std::path::Path;

/// A message's fields, by plain name.
pub type Message = BTreeMap<String, Field>;

/// A field.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// Its tag.
    pub tag: u32,
    /// The message it holds, if it is one and not many.
    pub message: Option<String>,
    /// Upstream's markers in its comment.
    pub markers: Vec<(String, String)>,
}

/// Names as both crates agree on them: lower case, letters and digits only.
pub fn plain(name: &str) -> String {
    name.trim_start_matches("r#")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// All messages, by plain name of package and message: `core.v1.servicespec`.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Message>, Failure> {
    let mut messages = BTreeMap::new();
    for file in files_below(folder)? {
        let folders = file.parent().unwrap_or(folder);
        let parts: Vec<String> = folders
            .components()
            .rev()
            .take(2)
            .map(|part| part.as_os_str().to_string_lossy().replace('_', ""))
            .collect();
        let [version, group] = parts.as_slice() else { continue };
        read_file(&read_text(&file)?, &format!("{group}.{version}"), &mut messages);
    }
    Ok(messages)
}

fn read_file(text: &str, package: &str, messages: &mut BTreeMap<String, Message>) {
    let mut name = None;
    let mut message = Message::new();
    let mut field = Field::default();
    // a field whose type is long has it on the next line
    let text = text.replace(":\n        ::", ": ::");
    for line in text.lines() {
        let line_inner = line.trim();
        if let Some(rest) = line.strip_prefix("pub struct ") {
            name = Some(format!("{package}.{}", plain(rest)));
            field = Field::default();
        } else if line == "}" {
            if let Some(name) = name.take() {
                messages.insert(name, std::mem::take(&mut message));
            }
        } else if let Some(marker) = line_inner.strip_prefix("/// +") {
            let (key, value) = marker.split_once('=').unwrap_or((marker, ""));
            field.markers.push((key.into(), value.replace('\\', "")));
        } else if let Some(rest) = line_inner.strip_prefix("#[prost(") {
            let tag = rest.split_once("tag = \"").and_then(|(_, rest)| rest.split_once('"'));
            field.tag = tag.and_then(|(tag, _)| tag.parse().ok()).unwrap_or_default();
            let one = rest.starts_with("message, optional");
            field.message = one.then(String::new);
        } else if let Some((rust, form)) =
            line_inner.strip_prefix("pub ").and_then(|rest| rest.split_once(": "))
        {
            if field.message.is_some() {
                field.message = Some(message_name(form, package));
            }
            message.insert(plain(rust), std::mem::take(&mut field));
        }
    }
}

/// The message of `::core::option::Option<VolumeSource>,`.
fn message_name(form: &str, package: &str) -> String {
    let path = form.trim_end_matches([',', '>']).rsplit('<').next().unwrap_or_default();
    let parts: Vec<&str> = path.split("::").filter(|part| *part != "super").collect();
    match parts.as_slice() {
        [.., group, version, name] => {
            format!("{}.{}.{}", group.replace('_', ""), version, plain(name))
        }
        _ => format!("{package}.{}", plain(parts.last().unwrap_or(&""))),
    }
}
