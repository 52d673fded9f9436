// SPDX-License-Identifier: Apache-2.0
//! Objects in the bodies of requests.

use crate::ask::Ask;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::read::{self, Read, ReadError};
use berth_cluster_api::schema::{self, Schema};
use berth_cluster_api::{Map, Refusal, meta, strict};
use berth_cluster_json::Value;
use std::fmt::Write as _;

/// What the server does with fields that it does not know, or that are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validation {
    Strict,
    Warn,
    Ignore,
}

/// Options that all writes have, from the query. `options`: their kind, for messages.
pub(crate) fn validation(ask: &Ask, options: &str) -> Result<Validation, Refusal> {
    let mut errors = Errors::new();
    meta::validate_manager(ask.query.text("fieldManager"), &Path::new("fieldManager"), &mut errors);
    let wanted = match ask.query.text("fieldValidation") {
        "" | "Warn" => Validation::Warn,
        "Strict" => Validation::Strict,
        "Ignore" => Validation::Ignore,
        other => {
            let known = ["", "Ignore", "Strict", "Warn"];
            errors.not_supported(&Path::new("fieldValidation"), other, &known);
            Validation::Warn
        }
    };
    if errors.is_empty() {
        return Ok(wanted);
    }
    Err(Refusal::invalid("meta.k8s.io", options, "", &errors))
}

/// An object from a body, of known fields and right types; with what is odd about it.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) object: Map,
    pub(crate) warnings: Vec<String>,
}

/// What a body is expected to be.
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) schema: &'a Schema,
}

/// Reads the body of a request.
pub(crate) fn read(
    ask: &Ask,
    expected: &Expected<'_>,
    validation: Validation,
) -> Result<Incoming, Refusal> {
    let read = decode(ask, expected)?;
    let Read { value, duplicates } = read;
    let object = match value {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        other => return Err(mismatch(&other, expected)),
    };
    judge(ask, object, &duplicates, expected, validation)
}

/// Holds an object against its kind: a body, or what a patch made.
pub(crate) fn judge(
    ask: &Ask,
    mut object: Map,
    duplicates: &[String],
    expected: &Expected<'_>,
    validation: Validation,
) -> Result<Incoming, Refusal> {
    of_kind(&mut object, expected, &ask.body)?;
    let mut value = Value::Object(object);
    let unknown = strict::check(&mut value, expected.schema)
        .map_err(|wrong| wrong.refusal(expected.version, expected.kind))?;
    let mut warnings = strict::problems(&unknown.fields, duplicates);
    match validation {
        Validation::Strict if !warnings.is_empty() => {
            return Err(strict::refusal(expected.version, expected.kind, &warnings));
        }
        Validation::Ignore => warnings.clear(),
        _ => {}
    }
    schema::normalise(&mut value, expected.schema);
    let Value::Object(object) = value else { return Err(mismatch(&value, expected)) };
    Ok(Incoming { object, warnings })
}

fn decode(ask: &Ask, expected: &Expected<'_>) -> Result<Read, Refusal> {
    let read = match ask.media.as_str() {
        "" | "application/json" => read::json(&ask.body),
        "application/yaml" => read::yaml(&ask.body),
        "application/vnd.kubernetes.protobuf" => {
            read::protobuf(&ask.body, |group, version, kind| {
                let wanted = (expected.group, expected.version, expected.kind);
                let expected = ((group, version, kind) == wanted).then(|| expected.schema.clone());
                expected.or_else(|| schema::lookup(group, version, kind))
            })
        }
        _ => return Err(unsupported()),
    };
    read.map_err(|error| match error {
        ReadError::Syntax(why) => unrecognized(&ask.body, expected.kind, &why),
        other => other.refusal(),
    })
}

/// 415, with what would have been taken.
fn unsupported() -> Refusal {
    let known = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let text = format!(
        "the body of the request was in an unknown format - accepted media types include: {known}"
    );
    let mut refusal = Refusal::new(415, "UnsupportedMediaType", text);
    refusal.details.told = false;
    refusal
}

/// 400, with the beginning of the body.
fn unrecognized(body: &[u8], kind: &str, why: &str) -> Refusal {
    let text = format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {why} ({})",
        excerpt(body)
    );
    Refusal::bad_request(text)
}

/// The first bytes of a body as upstream shows them: text, or hexadecimal digits.
fn excerpt(body: &[u8]) -> String {
    const MOST: usize = 30;
    let cut = body.get(..MOST).unwrap_or(body);
    let more = if body.len() > MOST { " ..." } else { "" };
    match std::str::from_utf8(cut) {
        Ok(text) if text.starts_with('{') => format!("{text}{more}"),
        _ => {
            let mut hex = String::new();
            for byte in cut {
                let _ = write!(hex, "{byte:02x}");
            }
            hex + more
        }
    }
}

/// An object that does not say what it is, is what the path says; one that says something else is refused.
fn of_kind(object: &mut Map, expected: &Expected<'_>, body: &[u8]) -> Result<(), Refusal> {
    let wanted = api_version(expected);
    let text = |object: &Map, field: &str| match object.get(field) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.to_string()),
        Some(other) => {
            let found = if other.is_number() { "number" } else { "value" };
            let why = format!(
                "json: cannot unmarshal {found} into Go struct field .{field} of type string"
            );
            Err(unrecognized(body, expected.kind, &why))
        }
    };
    let (version, kind) = (text(object, "apiVersion")?, text(object, "kind")?);
    if version.matches('/').count() > 1 {
        return Err(Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): unexpected GroupVersion string: {version} ({})",
            expected.kind,
            excerpt(body)
        )));
    }
    let known = |kind: &str, version: &str| {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        schema::lookup(group, version, kind).is_some()
    };
    if (!version.is_empty() && version != wanted) || (!kind.is_empty() && kind != expected.kind) {
        let version = if version.is_empty() { wanted.clone() } else { version };
        let kind = if kind.is_empty() { expected.kind.to_owned() } else { kind };
        return Err(other_kind(&version, &kind, known(&kind, &version), expected));
    }
    object.insert("apiVersion".to_owned(), wanted.into());
    object.insert("kind".to_owned(), expected.kind.into());
    Ok(())
}

fn api_version(expected: &Expected<'_>) -> String {
    if expected.group.is_empty() {
        expected.version.to_owned()
    } else {
        format!("{}/{}", expected.group, expected.version)
    }
}

/// What upstream says of a body of another kind or version.
fn other_kind(version: &str, kind: &str, known: bool, expected: &Expected<'_>) -> Refusal {
    let short = version.rsplit('/').next().unwrap_or_default();
    let wanted = expected.kind;
    if !known {
        return Refusal::bad_request(format!(
            "{kind} in version {short:?} cannot be handled as a {wanted}: no kind {kind:?} is registered for version {version:?}"
        ));
    }
    if kind == wanted {
        let have = api_version(expected);
        return Refusal::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({have})"
        ));
    }
    Refusal::bad_request(format!(
        "{kind} in version {short:?} cannot be handled as a {wanted}: it is a {kind} of {version}"
    ))
}

fn mismatch(value: &Value, expected: &Expected<'_>) -> Refusal {
    let found = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        _ => "bool",
    };
    Refusal::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
        expected.kind
    ))
}
