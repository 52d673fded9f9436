// SPDX-License-Identifier: Apache-2.0
//! How kinds read and write the maps that objects are.

use crate::Map;
use crate::field::{Errors, Path};
use berth_cluster_json::Value;

/// The map in a field.
pub fn map<'a>(of: &'a Map, field: &str) -> Option<&'a Map> {
    of.get(field).and_then(Value::as_object)
}

/// The map in a field, to be changed; none if it is not there.
pub fn map_mut<'a>(of: &'a mut Map, field: &str) -> Option<&'a mut Map> {
    of.get_mut(field).and_then(Value::as_object_mut)
}

/// The map in a field; it is made if it is not there.
pub fn make<'a>(of: &'a mut Map, field: &str) -> Option<&'a mut Map> {
    let slot = of.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Map::new().into();
    }
    slot.as_object_mut()
}

/// The text in a field; empty if it is not there.
pub fn text<'a>(of: &'a Map, field: &str) -> &'a str {
    of.get(field).and_then(Value::as_str).unwrap_or("")
}

/// The whole number in a field.
pub fn int(of: &Map, field: &str) -> Option<i64> {
    of.get(field).and_then(Value::as_i64)
}

/// Whether the field is true.
pub fn flag(of: &Map, field: &str) -> bool {
    of.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// The list in a field; empty if it is not there.
pub fn list<'a>(of: &'a Map, field: &str) -> &'a [Value] {
    of.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The list in a field, to be changed.
pub fn list_mut<'a>(of: &'a mut Map, field: &str) -> &'a mut [Value] {
    of.get_mut(field).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// Whether a field is missing, null, an empty text, or zero: what a Go struct cannot tell from unset.
pub fn unset(of: &Map, field: &str) -> bool {
    of.get(field).is_none_or(|value| value.is_null() || value == "" || value == 0)
}

/// Sets a field that is unset.
pub fn or_set(of: &mut Map, field: &str, value: impl Into<Value>) {
    if unset(of, field) {
        of.insert(field.to_owned(), value.into());
    }
}

/// Sets a field that is not there at all (a pointer in Go).
pub fn or_set_missing(of: &mut Map, field: &str, value: impl Into<Value>) {
    if of.get(field).is_none_or(Value::is_null) {
        of.insert(field.to_owned(), value.into());
    }
}

/// Makes a field what it is in `old`.
pub fn keep(new: &mut Map, old: &Map, field: &str) {
    match old.get(field) {
        // Nearly always: to compare costs less than to copy.
        Some(value) if new.get(field) == Some(value) => None,
        Some(value) => new.insert(field.to_owned(), value.clone()),
        None => new.remove(field),
    };
}

/// Whether a field has the same value in both; what is empty is as what is missing.
pub fn same(new: &Map, old: &Map, field: &str) -> bool {
    fn value<'a>(of: &'a Map, field: &str) -> Option<&'a Value> {
        of.get(field).filter(|value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(items) => !items.is_empty(),
            _ => true,
        })
    }
    value(new, field) == value(old, field)
}

/// Adds that a field may not change, if it did.
pub fn immutable(new: &Map, old: &Map, field: &str, path: &Path, errors: &mut Errors) {
    if !same(new, old, field) {
        let value = new.get(field).cloned().unwrap_or(Value::Null);
        errors.invalid(&path.child(field), value, "field is immutable");
    }
}

/// Adds each of `problems` of a field's value.
pub fn add_all(errors: &mut Errors, path: &Path, value: &str, problems: Vec<String>) {
    for problem in problems {
        errors.invalid(path, value, problem);
    }
}

/// Counts the generation up where the rest of the object changed.
pub fn count_generation(new: &mut Map, old: &Map, fields: &[&str]) {
    let before = map(old, "metadata").and_then(|meta| int(meta, "generation")).unwrap_or(0);
    let changed = fields.iter().any(|field| !same(new, old, field));
    if let Some(meta) = map_mut(new, "metadata") {
        meta.insert("generation".to_owned(), (before + i64::from(changed)).into());
    }
}
