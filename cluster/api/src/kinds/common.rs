// SPDX-License-Identifier: Apache-2.0
//! How kinds read and write the maps that objects are, and how they make their rows.

use crate::Map;
use crate::field::{Errors, Path};
use crate::registry::{Column, Kind, Rules, Subresource};
use serde_json::Value;
use std::sync::Arc;

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

/// A column of a table that is always shown.
pub const fn column(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 0 }
}

/// A column of a table in wide output.
pub const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 1 }
}

/// The column of names.
pub fn name_column() -> Column {
    let description = "Name must be unique within a namespace. Is required when creating resources, although some \
                       resources may allow a client to request the generation of an appropriate name automatically. Name is \
                       primarily intended for creation idempotence and configuration definition. Cannot be updated. More \
                       info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
    Column { name: "Name", kind: "string", format: "name", description, priority: 0 }
}

/// The column of ages.
pub const AGE: Column = column(
    "Age",
    "string",
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set \
     in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is \
     in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
);

/// A row with names made of the kind's, in version `v1`, in a namespace, with name, `columns` and age.
pub fn row(
    group: &str,
    kind: &str,
    plural: &str,
    columns: &[Column],
    rules: impl Rules + 'static,
) -> Kind {
    let stored = if group.is_empty() { plural.to_owned() } else { format!("{group}/{plural}") };
    let mut all = vec![name_column()];
    all.extend_from_slice(columns);
    all.push(AGE);
    Kind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        stored_as: stored.into(),
        subresources: Vec::new(),
        delete_returns_object: false,
        create_on_update: false,
        columns: all,
        rules: Arc::new(rules),
    }
}

/// Changes of a row, in the way of a builder.
pub trait RowExt {
    /// With short names.
    #[must_use]
    fn short(self, names: &[&str]) -> Self;
    /// Without namespaces.
    #[must_use]
    fn cluster_scoped(self) -> Self;
    /// With things below.
    #[must_use]
    fn below(self, subresources: &[Subresource]) -> Self;
    /// DELETE answers with the object.
    #[must_use]
    fn returns_object(self) -> Self;
    /// Created by PUT, too.
    #[must_use]
    fn by_put(self) -> Self;
}

impl RowExt for Kind {
    fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|name| Arc::from(*name)).collect();
        self
    }

    fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn below(mut self, subresources: &[Subresource]) -> Self {
        self.subresources = subresources.to_vec();
        self
    }

    fn returns_object(mut self) -> Self {
        self.delete_returns_object = true;
        self
    }

    fn by_put(mut self) -> Self {
        self.create_on_update = true;
        self
    }
}
