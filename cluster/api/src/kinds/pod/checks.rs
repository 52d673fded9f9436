// SPDX-License-Identifier: Apache-2.0
//! Small checks that many fields share, with upstream's sentences (apimachinery's `util/validation`).

use crate::field::{Errors, Path};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;

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
        Value::String(name) => each(names::port_name(name), path, name, errors),
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
        each(names::qualified(key), path, key, errors);
        let value = value.as_str().unwrap_or_default();
        each(names::label_value(value), path, value, errors);
    }
}

/// Annotations of an object, as in templates' metadata.
pub(crate) fn annotations(owner: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in owner.entries(field) {
        each(names::qualified(&key.to_lowercase()), path, key, errors);
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
        each(names::qualified(key), &path.child("key"), key, errors);
        for (j, value) in values.iter().filter_map(Value::as_str).enumerate() {
            each(names::label_value(value), &path.child("values").index(j), value, errors);
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
