// SPDX-License-Identifier: Apache-2.0
//! Reads k8s-openapi: types, their fields with names in JSON and types, and which of them have to be there.

use crate::{Failure, files_below, read_text};
use std::collections::BTreeMap;
use std::path::Path;

/// A type.
#[derive(Debug, Clone, Default)]
pub struct Type {
    /// Group, version, kind, and the kind of its lists, if it is a kind.
    pub kind: Option<[String; 4]>,
    /// Its fields, by name in JSON.
    pub fields: BTreeMap<String, Field>,
}

/// A field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its type, as the table writes it.
    pub form: String,
    /// It has to be there.
    pub required: bool,
}

/// All types, by name without `io.k8s.`.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Type>, Failure> {
    let mut types = BTreeMap::new();
    for file in files_below(folder)? {
        let text = read_text(&file)?;
        let head = text.lines().next().unwrap_or_default();
        let Some(name) = head.strip_prefix("// Generated from definition io.k8s.") else {
            continue;
        };
        if let Some(one) = read_type(&text) {
            types.insert(short(name), one.map_err(|problem| format!("{name}: {problem}"))?);
        }
    }
    Ok(types)
}

/// `core.v1.Pod` of `api.core.v1.Pod`.
fn short(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    parts[parts.len().saturating_sub(3)..].join(".")
}

/// None of a type that is no struct with fields.
fn read_type(text: &str) -> Option<Result<Type, Failure>> {
    let start = text.find("\npub struct ")?;
    let body = text[start..].split_once('{')?;
    if body.0.contains('(') || body.0.contains('<') {
        return None;
    }
    let names = json_names(text);
    let mut one = Type { kind: kind(text), ..Type::default() };
    for line in body.1.lines().take_while(|line| *line != "}") {
        let Some((name, form)) =
            line.trim().strip_prefix("pub ").and_then(|line| line.split_once(": "))
        else {
            continue;
        };
        let form = form.trim_end_matches(',');
        let inner = form.strip_prefix("Option<").and_then(|form| form.strip_suffix('>'));
        let Some(json) = names.get(name) else {
            return Some(Err(format!("field {name} has no name in JSON")));
        };
        let field = match written(inner.unwrap_or(form)) {
            Ok(form) => Field { form, required: inner.is_none() },
            Err(problem) => return Some(Err(problem)),
        };
        one.fields.insert(json.clone(), field);
    }
    if one.kind.is_some() {
        for name in ["apiVersion", "kind"] {
            one.fields.insert(name.into(), Field { form: "str".into(), required: false });
        }
    }
    Some(Ok(one))
}

/// Names in JSON by names in Rust, from the reading of names.
fn json_names(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (json, rust) = line.trim().split_once(" => Field::Key_")?;
        Some((rust.trim_end_matches(',').to_owned(), json.trim_matches('"').to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

fn kind(text: &str) -> Option<[String; 4]> {
    let constant = |name: &str| {
        let from = format!("const {name}: &'static str = \"");
        let (_, rest) = text.split_once(&from)?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let list = constant("LIST_KIND").unwrap_or_default();
    Some([constant("GROUP")?, constant("VERSION")?, constant("KIND")?, list])
}

/// A type as the table writes it.
fn written(form: &str) -> Result<String, Failure> {
    let inner = |start: &str| form.strip_prefix(start).and_then(|form| form.strip_suffix('>'));
    if let Some(form) = inner("std::boxed::Box<") {
        return written(form);
    }
    if let Some(form) = inner("std::vec::Vec<") {
        return Ok(format!("[]{}", written(form)?));
    }
    if let Some(form) = inner("std::collections::BTreeMap<std::string::String, ") {
        return Ok(format!("{{}}{}", written(form)?));
    }
    Ok(match form {
        "std::string::String" => "str".into(),
        "bool" | "i32" | "i64" | "f64" => form.into(),
        "crate::ByteString" => "bytes".into(),
        _ => match form.rsplit("::").next().unwrap_or_default() {
            "Quantity" => "quantity".into(),
            "IntOrString" => "intstr".into(),
            "Time" => "time".into(),
            "MicroTime" => "microtime".into(),
            "RawExtension" => "raw".into(),
            "FieldsV1" => "fields".into(),
            "JSON"
            | "JSONSchemaPropsOrBool"
            | "JSONSchemaPropsOrArray"
            | "JSONSchemaPropsOrStringArray" => {
                form.rsplit("::").next().unwrap_or_default().to_lowercase()
            }
            _ if form.starts_with("crate::") => short(&form.replace("::", ".")),
            _ => return Err(format!("unknown type {form}")),
        },
    })
}
