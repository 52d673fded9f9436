// SPDX-License-Identifier: Apache-2.0
//! Small checks that many fields share, with upstream's sentences (apimachinery's `util/validation`).

use super::view::View;
use crate::field::{Errors, Path};
use serde_json::Value;

/// What an RFC 1123 label has to look like.
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
     with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
     character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and \
     end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ENV_NAME: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  \
     or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn framed(text: &str, edge: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|b| edge(*b) || inner.contains(b))
        && bytes.first().is_some_and(|b| edge(*b))
        && bytes.last().is_some_and(|b| edge(*b))
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Problems of a DNS label.
pub(crate) fn dns_label(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    if text.len() > 63 {
        all.push(too_long(63));
    }
    if !framed(text, lower, b"-") {
        all.push(LABEL.to_owned());
    }
    all
}

/// Problems of a DNS subdomain.
pub(crate) fn dns_subdomain(text: &str) -> Vec<String> {
    crate::names::dns_subdomain(text, false)
}

/// Problems of a qualified name, e.g. the key of a label.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                all.push("prefix part must be non-empty".to_owned());
            } else {
                all.extend(dns_subdomain(prefix).iter().map(|one| format!("prefix part {one}")));
            }
            *name
        }
        _ => {
            let why = QUALIFIED.strip_prefix("name part ").unwrap_or(QUALIFIED);
            let extra = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            all.push(format!("a qualified name {why} {extra}"));
            return all;
        }
    };
    if name.is_empty() {
        all.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        all.push(format!("name part {}", too_long(63)));
    }
    if !framed(name, alphanumeric, b"-_.") {
        all.push(QUALIFIED.to_owned());
    }
    all
}

/// Problems of a label's value.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    if text.len() > 63 {
        all.push(too_long(63));
    }
    if !text.is_empty() && !framed(text, alphanumeric, b"-_.") {
        all.push(LABEL_VALUE.to_owned());
    }
    all
}

/// Problems of a variable's name.
pub(crate) fn env_name(text: &str) -> Vec<String> {
    let printable = |b: u8| (0x20..0x7f).contains(&b) && b != b'=';
    if !text.is_empty() && text.bytes().all(printable) {
        Vec::new()
    } else {
        vec![ENV_NAME.to_owned()]
    }
}

/// Problems of a key of a ConfigMap or Secret.
pub(crate) fn config_key(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    if text.len() > 253 {
        all.push(too_long(253));
    }
    if text.is_empty() || !text.bytes().all(|b| alphanumeric(b) || b"-_.".contains(&b)) {
        all.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." => all.push("must not be '.'".to_owned()),
        ".." => all.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => all.push("must not start with '..'".to_owned()),
        _ => {}
    }
    all
}

/// Problems of a port's name.
pub(crate) fn port_name(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut say = |wrong: bool, why: &str| {
        if wrong {
            all.push(why.to_owned());
        }
    };
    say(text.len() > 15, "must be no more than 15 characters");
    say(
        text.is_empty() || !text.bytes().all(|b| lower(b) || b == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    say(
        !text.bytes().any(|b| b.is_ascii_lowercase()),
        "must contain at least one letter or number (a-z, 0-9)",
    );
    say(text.contains("--"), "must not contain consecutive hyphens");
    say(
        !text.is_empty() && (text.starts_with('-') || text.ends_with('-')),
        "must not begin or end with a hyphen",
    );
    all
}

/// Adds each of the sentences about `value`.
pub(crate) fn each(why: Vec<String>, path: &Path, value: &str, errors: &mut Errors) {
    for why in why {
        errors.invalid(path, value, why);
    }
}

/// The number may not be negative.
pub(crate) fn not_negative(number: i64, path: &Path, errors: &mut Errors) {
    if number < 0 {
        errors.invalid(path, number, "must be greater than or equal to 0");
    }
}

/// The number lies between the two, which it may be.
pub(crate) fn between(number: i64, least: i64, most: i64, path: &Path, errors: &mut Errors) {
    if number < least || number > most {
        errors.invalid(path, number, format!("must be between {least} and {most}, inclusive"));
    }
}

/// A port has a number or a name.
pub(crate) fn number_or_name(port: &Value, path: &Path, errors: &mut Errors) {
    match port {
        Value::String(name) => each(port_name(name), path, name, errors),
        port => between(port.as_i64().unwrap_or(0), 1, 65535, path, errors),
    }
}

/// The value is one of `known`; of an empty one `missing` says whether it has to be there.
pub(crate) fn one_of(
    value: &str,
    known: &[&str],
    required: bool,
    path: &Path,
    errors: &mut Errors,
) {
    if value.is_empty() && required {
        errors.required(path, "");
    } else if !known.contains(&value) {
        errors.not_supported(path, value, known);
    }
}

/// Labels of an object, as in templates' metadata.
pub(crate) fn labels(owner: &Value, field: &str, path: &Path, errors: &mut Errors) {
    for (key, value) in owner.entries(field) {
        each(qualified_name(key), path, key, errors);
        let value = value.as_str().unwrap_or_default();
        each(label_value(value), path, value, errors);
    }
}

/// Annotations of an object, as in templates' metadata.
pub(crate) fn annotations(owner: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in owner.entries(field) {
        each(qualified_name(&key.to_lowercase()), path, key, errors);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > 256 << 10 {
        let most = "may not be more than 262144 bytes";
        errors.add(crate::field::Problem::TooLong, path, &Value::Null, most);
    }
}

/// A selector of labels (meta/v1).
pub(crate) fn label_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    labels(selector, "matchLabels", &path.child("matchLabels"), errors);
    for (i, one) in selector.list("matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let values = one.list("values");
        match one.text("operator") {
            "In" | "NotIn" if values.is_empty() => errors.required(
                &path.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            ),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.invalid(&path.child("operator"), other, "not a valid selector operator");
            }
        }
        let key = one.text("key");
        each(qualified_name(key), &path.child("key"), key, errors);
        for (j, value) in values.iter().filter_map(Value::as_str).enumerate() {
            each(label_value(value), &path.child("values").index(j), value, errors);
        }
    }
}

/// A path that stays below where it starts.
pub(crate) fn local_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.starts_with('/') {
        errors.invalid(path, text, "must be a relative path");
    }
    no_way_up(text, path, errors);
}

/// No part of the path is `..`.
pub(crate) fn no_way_up(text: &str, path: &Path, errors: &mut Errors) {
    if text.split('/').any(|part| part == "..") {
        errors.invalid(path, text, "must not contain '..'");
    }
}

/// As [`local_path`], and not `..something`, which is kept for the writer of such volumes.
pub(crate) fn local_file(text: &str, path: &Path, errors: &mut Errors) {
    local_path(text, path, errors);
    if text.starts_with("..") && text != ".." && !text.starts_with("../") {
        errors.invalid(path, text, "must not start with '..'");
    }
}

/// Bits of a file's mode.
pub(crate) fn mode(owner: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(bits) = owner.int(field).filter(|bits| !(0..=0o777).contains(bits)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(&path.child(field), bits, why);
    }
}
