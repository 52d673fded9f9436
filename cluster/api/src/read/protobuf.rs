// SPDX-License-Identifier: Apache-2.0
//! Protobuf as clients written in Go send it (`application/vnd.kubernetes.protobuf`): an envelope that says the kind, and a message
//! that is read by the kind's schema.

use super::wire::{Wire, next, varint};
use super::{DEPTH_MAX, Read, ReadError};
use crate::Map;
use crate::schema::{Form, Schema, base64, normalise};
use crate::time;
use berth_cluster_json::{Number, Value};

const MAGIC: &[u8] = b"k8s\0";

/// Reads an object of a kind that `lookup` (group, version, kind) knows. Its `apiVersion` and `kind` are set, and it is
/// [normal](normalise): messages have zeros where JSON has nothing.
pub fn protobuf(
    bytes: &[u8],
    lookup: impl FnOnce(&str, &str, &str) -> Option<Schema>,
) -> Result<Read, ReadError> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        let text = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
        ReadError::Syntax(text.to_owned())
    })?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), [].as_slice());
    each(envelope, |tag, wire| {
        match (tag, wire) {
            (1, Wire::Bytes(meta)) => each(meta, |tag, wire| {
                match tag {
                    1 => api_version = text(wire)?,
                    2 => kind = text(wire)?,
                    _ => {}
                }
                Ok(())
            })?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => return Err(broken()),
            _ => {}
        }
        Ok(())
    })?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let schema = lookup(group, version, &kind).ok_or_else(|| ReadError::UnknownKind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    })?;
    let mut object = Map::new();
    message(raw, &schema, &mut Vec::new(), &mut object, 0)?;
    let mut value = Value::Object(object);
    normalise(&mut value, &schema);
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    Ok(Read { value, duplicates: Vec::new() })
}

fn broken() -> ReadError {
    ReadError::Syntax("proto: illegal wireType, or unexpected EOF".to_owned())
}

/// Calls for each field of a message.
fn each<'a>(
    mut bytes: &'a [u8],
    mut take: impl FnMut(u32, Wire<'a>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    while !bytes.is_empty() {
        let (tag, wire, rest) = next(bytes).ok_or_else(broken)?;
        take(tag, wire)?;
        bytes = rest;
    }
    Ok(())
}

/// Reads a message into an object. `prefix`: tags of the embedded messages around.
fn message(
    bytes: &[u8],
    schema: &Schema,
    prefix: &mut Vec<u32>,
    object: &mut Map,
    depth: usize,
) -> Result<(), ReadError> {
    if depth >= DEPTH_MAX {
        return Err(ReadError::TooDeep);
    }
    each(bytes, |tag, wire| {
        prefix.push(tag);
        let found = schema.fields().find(|(_, field, _)| field.tags.starts_with(prefix));
        match (found, wire) {
            (Some((name, field, inner)), _) if field.tags == *prefix => {
                put(object, name, &inner, wire, depth)?;
            }
            (Some(_), Wire::Bytes(embedded)) => {
                message(embedded, schema, prefix, object, depth + 1)?;
            }
            // a field of a later release
            _ => {}
        }
        prefix.pop();
        Ok(())
    })
}

/// Sets a field, or adds to it.
fn put(
    object: &mut Map,
    name: &str,
    schema: &Schema,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(), ReadError> {
    if let Some(items) = schema.items() {
        let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(list) = list else { return Ok(()) };
        match (items.form(), wire) {
            (Form::Int32 | Form::Int64, Wire::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    let (number, rest) = varint(packed).ok_or_else(broken)?;
                    list.push(value(&items, Wire::Varint(number), depth)?);
                    packed = rest;
                }
            }
            _ => list.push(value(&items, wire, depth)?),
        }
    } else if let Some(values) = schema.values() {
        let entries = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(entries) = entries {
            let (key, value) = entry(&values, wire, depth)?;
            entries.insert(key, value);
        }
    } else if let Some(Value::Object(old)) = object.get_mut(name)
        && let (Form::Structure(_), Wire::Bytes(bytes)) = (schema.form(), wire)
    {
        message(bytes, schema, &mut Vec::new(), old, depth + 1)?;
    } else {
        object.insert(name.to_owned(), value(schema, wire, depth)?);
    }
    Ok(())
}

/// An entry of a map.
fn entry(schema: &Schema, wire: Wire<'_>, depth: usize) -> Result<(String, Value), ReadError> {
    let (mut key, mut found) = (String::new(), Value::Null);
    each(bytes(wire)?, |tag, wire| {
        match tag {
            1 => key = text(wire)?,
            // a list in a map is a message of its own
            2 if schema.items().is_some() => {
                let mut inner = Map::new();
                each(bytes(wire)?, |_, wire| put(&mut inner, "items", schema, wire, depth + 1))?;
                found = inner.remove("items").unwrap_or_else(|| Value::Array(Vec::new()));
            }
            2 => found = value(schema, wire, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, found))
}

fn bytes(wire: Wire<'_>) -> Result<&[u8], ReadError> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(broken()),
    }
}

fn text(wire: Wire<'_>) -> Result<String, ReadError> {
    // upstream's JSON has the same mark in the place of what is no text
    Ok(String::from_utf8_lossy(bytes(wire)?).into_owned())
}

fn number(wire: Wire<'_>) -> Result<i64, ReadError> {
    match wire {
        Wire::Varint(number) => Ok(number.cast_signed()),
        _ => Err(broken()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "protobuf has negative ones in 64 bits")]
fn value(schema: &Schema, wire: Wire<'_>, depth: usize) -> Result<Value, ReadError> {
    Ok(match schema.form() {
        Form::Bool => (number(wire)? != 0).into(),
        Form::Text => text(wire)?.into(),
        Form::Int32 => (number(wire)? as i32).into(),
        Form::Int64 => number(wire)?.into(),
        Form::Double => match wire {
            Wire::Fixed64(bits) => {
                Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
            }
            _ => return Err(broken()),
        },
        Form::Bytes => base64::encode(bytes(wire)?).into(),
        Form::Quantity => {
            let mut amount = String::new();
            each(bytes(wire)?, |tag, wire| {
                if tag == 1 {
                    amount = text(wire)?;
                }
                Ok(())
            })?;
            amount.into()
        }
        Form::IntOrString => int_or_string(bytes(wire)?)?,
        form @ (Form::Time | Form::MicroTime) => moment(bytes(wire)?, form)?,
        Form::Raw | Form::Fields | Form::Json | Form::Any => raw(bytes(wire)?)?,
        form @ (Form::SchemaOrBool | Form::SchemaOrList | Form::SchemaOrTexts) => {
            schema_or(schema, form, bytes(wire)?, depth)?
        }
        Form::Structure(_) => {
            let mut object = Map::new();
            message(bytes(wire)?, schema, &mut Vec::new(), &mut object, depth + 1)?;
            Value::Object(object)
        }
        // a list in a list, or a map in one: there is no such field
        Form::List(_) | Form::Map(_) => Value::Null,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "protobuf has negative ones in 64 bits")]
fn int_or_string(bytes: &[u8]) -> Result<Value, ReadError> {
    let (mut kind, mut count, mut name) = (0, 0, String::new());
    each(bytes, |tag, wire| {
        match tag {
            1 => kind = number(wire)?,
            2 => count = number(wire)? as i32,
            3 => name = text(wire)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(if kind == 0 { count.into() } else { name.into() })
}

/// A time; one without anything in it is none.
fn moment(bytes: &[u8], form: Form) -> Result<Value, ReadError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    each(bytes, |tag, wire| {
        match tag {
            1 => seconds = number(wire)?,
            2 => nanos = u32::try_from(number(wire)?).map_err(|_| broken())?,
            _ => {}
        }
        Ok(())
    })?;
    let text =
        if form == Form::Time { time::seconds(seconds) } else { time::micros(seconds, nanos) };
    text.map(Value::from).ok_or_else(broken)
}

/// JSON inside.
fn raw(bytes: &[u8]) -> Result<Value, ReadError> {
    let mut found = Value::Null;
    each(bytes, |tag, wire| {
        if let (1, Wire::Bytes(inner)) = (tag, wire)
            && !inner.is_empty()
        {
            found = super::json(inner)?.value;
        }
        Ok(())
    })?;
    Ok(found)
}

/// A schema, or what may stand in its place: a boolean, schemas, texts.
fn schema_or(schema: &Schema, form: Form, bytes: &[u8], depth: usize) -> Result<Value, ReadError> {
    let Some(inner) = schema.of_schema() else { return Ok(Value::Null) };
    let (mut single, mut list, mut allowed) = (None, Vec::new(), false);
    each(bytes, |tag, wire| {
        match (form, tag) {
            (Form::SchemaOrBool, 1) => allowed = number(wire)? != 0,
            (Form::SchemaOrBool, 2) | (_, 1) => single = Some(value(&inner, wire, depth + 1)?),
            (Form::SchemaOrList, 2) => list.push(value(&inner, wire, depth + 1)?),
            (_, 2) => list.push(text(wire)?.into()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(match single {
        Some(schema) => schema,
        None if form == Form::SchemaOrBool => allowed.into(),
        None => Value::Array(list),
    })
}
