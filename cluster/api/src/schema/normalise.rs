// SPDX-License-Identifier: Apache-2.0
//! What becomes of an object that upstream reads into its types and writes again.

use super::{Field, Form, Schema, View, base64, quantity};
use crate::time;
use berth_cluster_json::Value;

/// Makes the value what upstream would write: nulls and empty optional fields are gone, what is always written is there, quantities,
/// times and bytes are in their canonical form. Twice is as once. Of a wrong type, a value stays as it is.
pub fn normalise(value: &mut Value, schema: &Schema) {
    walk(value, schema.view());
}

fn walk(value: &mut Value, schema: View<'_>) {
    match schema.form() {
        Form::Structure(_) => structure(value, schema),
        Form::List(_) => {
            if let (Value::Array(items), Some(inner)) = (value, schema.items()) {
                for item in items {
                    element(item, inner);
                }
            }
        }
        Form::Map(_) => {
            if let (Value::Object(entries), Some(inner)) = (value, schema.values()) {
                for entry in entries.values_mut() {
                    element(entry, inner);
                }
            }
        }
        Form::SchemaOrBool | Form::SchemaOrList | Form::SchemaOrTexts => {
            if let Some(inner) = schema.of_schema() {
                match value {
                    Value::Array(items) => {
                        for item in items {
                            walk(item, inner);
                        }
                    }
                    Value::Object(_) => walk(value, inner),
                    _ => {}
                }
            }
        }
        Form::Time if value.as_str().is_some_and(time::is_canonical) => {}
        form => {
            if let Some(text) = canonical(value, form) {
                *value = text.into();
            }
        }
    }
}

/// An item or entry: null is the type's zero.
fn element(value: &mut Value, schema: View<'_>) {
    if value.is_null()
        && let Some(zero) = zero(schema)
    {
        *value = zero;
    } else {
        walk(value, schema);
    }
}

fn structure(value: &mut Value, schema: View<'_>) {
    let Value::Object(object) = value else { return };
    // Objects have few of the fields that there are.
    object.retain(|name, value| {
        let Some((field, inner)) = schema.field(name) else { return true };
        walk(value, inner);
        !(value.is_null() || !always(field, inner) && empty(value, field))
    });
    for (name, inner) in schema.written() {
        if !object.contains_key(name)
            && let Some(zero) = zero(inner)
        {
            object.insert(name.to_owned(), zero);
        }
    }
}

/// Whether a field is written even if it is zero.
pub(super) fn always(field: &Field, schema: View<'_>) -> bool {
    let whole = matches!(schema.form(), Form::Structure(_) | Form::Quantity | Form::IntOrString);
    !field.pointer && (field.required || field.zero || whole)
}

/// Whether an optional field says nothing.
fn empty(value: &Value, field: &Field) -> bool {
    match value {
        Value::Array(items) => items.is_empty() && !field.required,
        Value::Object(entries) => entries.is_empty() && !field.pointer && !field.required,
        Value::String(text) => text.is_empty() && !field.pointer,
        Value::Bool(yes) => !yes && !field.pointer,
        Value::Number(number) => number.as_f64() == Some(0.0) && !field.pointer,
        Value::Null => true,
    }
}

/// What upstream writes of a value that nobody set; none if that is null.
fn zero(schema: View<'_>) -> Option<Value> {
    Some(match schema.form() {
        Form::Bool => false.into(),
        Form::Text => "".into(),
        Form::Int32 | Form::Int64 | Form::Double | Form::IntOrString => 0.into(),
        Form::Quantity => "0".into(),
        Form::Structure(_) => {
            let mut object = Value::Object(crate::Map::new());
            walk(&mut object, schema);
            object
        }
        _ => return None,
    })
}

/// The canonical text of a scalar; none if there is none, or if it is no such scalar.
pub(crate) fn canonical(value: &Value, form: Form) -> Option<String> {
    match (form, value) {
        (Form::Quantity, Value::String(text)) => quantity::canonical(text),
        (Form::Quantity, Value::Number(number)) => quantity::canonical(&number.to_string()),
        (Form::Time, Value::String(text)) => {
            time::parse(text).and_then(|(at, _)| time::seconds(at))
        }
        (Form::MicroTime, Value::String(text)) => {
            time::parse(text).and_then(|(at, nanos)| time::micros(at, nanos))
        }
        (Form::Bytes, Value::String(text)) => base64::decode(text).map(|it| base64::encode(&it)),
        _ => None,
    }
}
