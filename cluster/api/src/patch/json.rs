// SPDX-License-Identifier: Apache-2.0
//! JSON patches, RFC 6902, as upstream's library applies them.

use super::{GROWTH_MAX, OPERATIONS_MAX};
use crate::read::DEPTH_MAX;
use crate::{Map, Refusal};
use berth_cluster_json::Value;

/// The object as the operations make it, one after the other.
pub fn json(object: Value, patch: &Value) -> Result<Value, Refusal> {
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
    let mut value = object;
    let mut limits = Limits { growth_left: GROWTH_MAX, deepest: depth(&value), recounts_left: 100 };
    for operation in operations {
        let Value::Object(operation) = operation else {
            let text = "json: cannot unmarshal value into Go value of type jsonpatch.Operation";
            return Err(Refusal::bad_request(text));
        };
        apply(&mut value, operation, &mut limits).ok_or_else(refused)?;
        limits.hold(&value).ok_or_else(refused)?;
    }
    Ok(value)
}

/// Upstream does not tell what is wrong.
fn refused() -> Refusal {
    Refusal::new(422, "Invalid", "the server rejected our request due to an error in our request")
}

/// What a patch may still do. Copies could make a small object large, and copies and moves a flat one deep: so deep that no stack
/// holds who walks it.
#[derive(Debug)]
struct Limits {
    growth_left: usize,
    /// The value is at most as deep as this.
    deepest: usize,
    /// How many times that may be counted anew, as it takes a walk through everything.
    recounts_left: u32,
}

impl Limits {
    fn added(&mut self, path: &str, new: &Value) {
        self.deepest = self.deepest.max(steps(path) + depth(new));
    }

    fn carried(&mut self, from: &str, path: &str) {
        self.deepest = self.deepest.max(self.deepest.saturating_sub(steps(from)) + steps(path));
    }

    /// None if the value is too deep.
    fn hold(&mut self, value: &Value) -> Option<()> {
        if self.deepest > DEPTH_MAX {
            self.recounts_left = self.recounts_left.checked_sub(1)?;
            self.deepest = depth(value);
        }
        (self.deepest <= DEPTH_MAX).then_some(())
    }
}

fn steps(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

/// How deep lists and objects are nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// None if the operation cannot be done.
fn apply(value: &mut Value, operation: &Map, limits: &mut Limits) -> Option<()> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path")?;
    // a value that is not there is null
    let given = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text("op")? {
        "add" => {
            let new = given();
            limits.added(path, &new);
            add(value, path, new)
        }
        "remove" => remove(value, path).map(drop),
        "replace" => {
            find(value, path)?;
            let new = given();
            limits.added(path, &new);
            set(value, path, new)
        }
        "move" => {
            let from = text("from")?;
            let moved = remove(value, from)?;
            limits.carried(from, path);
            add(value, path, moved)
        }
        "copy" => {
            // upstream's library copies a null where an object has no such field
            let from = text("from")?;
            let copied = match find(value, from) {
                Some(found) => found.clone(),
                None => parent_of(value, from)?.0.is_object().then_some(Value::Null)?,
            };
            limits.growth_left = limits.growth_left.checked_sub(size(&copied))?;
            limits.carried(from, path);
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
