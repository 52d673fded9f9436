// SPDX-License-Identifier: Apache-2.0
//! JSON patches, RFC 6902, as upstream's library applies them.

use super::{GROWTH_MAX, OPERATIONS_MAX};
use crate::{Map, Refusal};
use serde_json::Value;

/// The object as the operations make it, one after the other.
pub fn json(object: &Value, patch: &Value) -> Result<Value, Refusal> {
    let Value::Array(operations) = patch else {
        let text = "json: cannot unmarshal object into Go value of type jsonpatch.Patch";
        return Err(Refusal::bad_request(text));
    };
    if operations.len() > OPERATIONS_MAX {
        let text = format!(
            "Request entity is too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        );
        return Err(Refusal::new(413, "RequestEntityTooLarge", text));
    }
    let mut value = object.clone();
    let mut growth_left = GROWTH_MAX;
    for operation in operations {
        let Value::Object(operation) = operation else {
            let text = "json: cannot unmarshal value into Go value of type jsonpatch.Operation";
            return Err(Refusal::bad_request(text));
        };
        apply(&mut value, operation, &mut growth_left).ok_or_else(refused)?;
    }
    Ok(value)
}

/// Upstream does not tell what is wrong.
fn refused() -> Refusal {
    Refusal::new(422, "Invalid", "the server rejected our request due to an error in our request")
}

/// None if the operation cannot be done.
fn apply(value: &mut Value, operation: &Map, growth_left: &mut usize) -> Option<()> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path")?;
    // a value that is not there is null
    let given = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text("op")? {
        "add" => add(value, path, given()),
        "remove" => remove(value, path).map(drop),
        "replace" => {
            find(value, path)?;
            set(value, path, given())
        }
        "move" => {
            let moved = remove(value, text("from")?)?;
            add(value, path, moved)
        }
        "copy" => {
            // upstream's library copies a null where an object has no such field
            let from = text("from")?;
            let copied = match find(value, from) {
                Some(found) => found.clone(),
                None => parent_of(value, from)?.0.is_object().then_some(Value::Null)?,
            };
            *growth_left = growth_left.checked_sub(size(&copied))?;
            add(value, path, copied)
        }
        "test" => {
            let expected = given();
            // what is not there is null, too
            match find(value, path) {
                Some(found) => same(found, &expected).then_some(()),
                None => parent_of(value, path).filter(|_| expected.is_null()).map(drop),
            }
        }
        _ => None,
    }
}

/// Equal, where numbers are as they count: 1 is 1.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => left == right,
    }
}

/// How many bytes it takes, about.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, field)| name.len() + 4 + size(field)).sum::<usize>()
        }
        _ => 8,
    }
}

/// A step of a path, `~1` and `~0` read.
fn step(text: &str) -> String {
    text.replace("~1", "/").replace("~0", "~")
}

/// The container of what the path names, and the last step.
fn parent_of<'a>(value: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parents, last) = path.strip_prefix('/').map(|_| path.rsplit_once('/'))??;
    let mut place = value;
    for part in parents.split('/').skip(1) {
        let part = step(part);
        place = match place {
            Value::Object(fields) => fields.get_mut(&part)?,
            Value::Array(items) => {
                let index = index(&part, items.len())?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    Some((place, step(last)))
}

/// A place in a list; negative ones count from the end.
fn index(part: &str, length: usize) -> Option<usize> {
    match part.strip_prefix('-') {
        Some(back) => length.checked_sub(number(back)?).filter(|index| *index < length),
        None => number(part),
    }
}

fn number(part: &str) -> Option<usize> {
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
}

fn find<'a>(value: &'a mut Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    let (place, last) = parent_of(value, path)?;
    match place {
        Value::Object(fields) => fields.get(&last),
        Value::Array(items) => items.get(index(&last, items.len())?),
        _ => None,
    }
}

fn add(value: &mut Value, path: &str, new: Value) -> Option<()> {
    if path.is_empty() {
        *value = new;
        return Some(());
    }
    let (place, last) = parent_of(value, path)?;
    match place {
        Value::Object(fields) => {
            fields.insert(last, new);
        }
        Value::Array(items) if last == "-" => items.push(new),
        Value::Array(items) => {
            let index = index(&last, items.len()).filter(|index| *index <= items.len())?;
            items.insert(index, new);
        }
        _ => return None,
    }
    Some(())
}

fn set(value: &mut Value, path: &str, new: Value) -> Option<()> {
    if path.is_empty() {
        *value = new;
        return Some(());
    }
    let (place, last) = parent_of(value, path)?;
    match place {
        Value::Object(fields) => *fields.get_mut(&last)? = new,
        Value::Array(items) => {
            let index = index(&last, items.len())?;
            *items.get_mut(index)? = new;
        }
        _ => return None,
    }
    Some(())
}

fn remove(value: &mut Value, path: &str) -> Option<Value> {
    let (place, last) = parent_of(value, path)?;
    match place {
        Value::Object(fields) => fields.remove(&last),
        Value::Array(items) => {
            let index = index(&last, items.len()).filter(|index| *index < items.len())?;
            Some(items.remove(index))
        }
        _ => None,
    }
}
