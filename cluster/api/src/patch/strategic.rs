// SPDX-License-Identifier: Apache-2.0
//! Strategic merge patches: merge patches that know which lists are merged and by which key, and that have directives.

use super::order::{arrange, identity};
use crate::schema::{Field, Schema};
use crate::{Map, Refusal};
use berth_cluster_json::{Text, Value};
use std::collections::{BTreeMap, BTreeSet};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER_OF: &str = "$setElementOrder/";

/// The object as the patch makes it.
pub fn strategic(object: Value, patch: &Value, schema: &Schema) -> Result<Value, Refusal> {
    let Value::Object(patch) = patch else {
        let text = "json: cannot unmarshal array into Go value of type map[string]interface {}";
        return Err(Refusal::bad_request(text));
    };
    let Value::Object(original) = object else {
        return merge_map(Map::new(), patch.clone(), Some(schema)).map(Value::Object);
    };
    merge_map(original, patch.clone(), Some(schema)).map(Value::Object)
}

fn broken(what: &str) -> Refusal {
    Refusal::bad_request(what)
}

/// Upstream has no reason for these: they are errors of the server to it.
fn failed(what: String) -> Refusal {
    Refusal::new(500, "", what)
}

/// How Go prints a map: names in order.
fn printed(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, field)| format!("{name}:{}", printed(field))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(printed).collect();
            format!("[{}]", items.join(" "))
        }
        Value::String(text) => text.to_string(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn lookup<'a>(schema: Option<&'a Schema>, name: &str) -> (Option<&'a Field>, Option<Schema>) {
    match schema.and_then(|schema| schema.field(name)) {
        Some((field, inner)) => (Some(field), Some(inner)),
        // the values of a map have one schema
        None => (None, schema.and_then(Schema::values)),
    }
}

fn merge_map(mut original: Map, mut patch: Map, schema: Option<&Schema>) -> Result<Map, Refusal> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => {
                let what = printed(&directive);
                patch.insert(DIRECTIVE.to_owned(), directive);
                let map = printed(&Value::Object(patch));
                Err(failed(format!("unknown patch type: {what} in map: {map}")))
            }
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, schema)?;
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut original, list, &value)?;
            continue;
        }
        let merged = match (original.remove(&name), value) {
            (_, Value::Null) => continue,
            (Some(Value::Object(old)), Value::Object(new)) => {
                let (_, inner) = lookup(schema, &name);
                Value::Object(merge_map(old, new, inner.as_ref())?)
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let (field, inner) = lookup(schema, &name);
                Value::Array(merge_list(old, new, field, inner.as_ref())?)
            }
            (_, mut new) => {
                discard_nulls(&mut new);
                new
            }
        };
        original.insert(name, merged);
    }
    Ok(original)
}

/// What is new has nothing that its nulls could take away.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// `$retainKeys`: the object keeps no other fields.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), Refusal> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || broken("invalid patch format of retainKeys");
    let Value::Array(keys) = keys else { return Err(bad()) };
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let unnamed = patch.iter().any(|(name, value)| {
        !value.is_null()
            && !name.starts_with(DELETE_FROM)
            && !name.starts_with(ORDER_OF)
            && !keys.contains(name.as_str())
    });
    if unnamed {
        return Err(bad());
    }
    original.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// `$setElementOrder/...`: merges the lists that it is about, and puts them in order.
fn set_orders(original: &mut Map, patch: &mut Map, schema: Option<&Schema>) -> Result<(), Refusal> {
    let names: Vec<Text> =
        patch.keys().filter(|name| name.starts_with(ORDER_OF)).cloned().collect();
    let bad = || broken("invalid patch format of setElementOrder list");
    for directive in names {
        let name = directive.trim_start_matches(ORDER_OF);
        let Some(Value::Array(wanted)) = patch.remove(&directive) else { return Err(bad()) };
        let list = |value: Option<Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(bad()),
        };
        let (field, inner) = lookup(schema, name);
        let key = field.map_or("", |field| &field.merge_key);
        // null is for the loop that follows: it takes the list away
        let new = match patch.get(name) {
            Some(Value::Null) => None,
            _ => list(patch.remove(name))?,
        };
        let old = list(original.get(name).cloned())?;
        if let Some(new) = &new {
            check_order(new, &wanted, key)?;
        }
        let before = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => merge_list(Vec::new(), new, field, inner.as_ref())?,
            (Some(old), Some(new)) => merge_list(old, new, field, inner.as_ref())?,
        };
        original.insert(name.to_owned(), Value::Array(arrange(merged, &wanted, &before, key)));
    }
    Ok(())
}

/// The items of the patch have to stand in the order that it wants.
fn check_order(new: &[Value], wanted: &[Value], key: &str) -> Result<(), Refusal> {
    let mut rest = wanted.iter().map(|item| identity(item, key));
    let deleted = |item: &Value| item.get(DIRECTIVE).is_some_and(|directive| directive == "delete");
    for item in new.iter().filter(|item| item.get(DIRECTIVE) != Some(&"replace".into())) {
        let name = identity(item, key);
        if !deleted(item) && !rest.any(|wanted| wanted == name) {
            let print = |list: &[Value]| printed(&Value::Array(list.to_vec()));
            return Err(failed(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                print(new),
                print(wanted)
            )));
        }
    }
    Ok(())
}

/// `$deleteFromPrimitiveList/...`: takes scalars out of a list.
fn delete_from(original: &mut Map, name: &str, gone: &Value) -> Result<(), Refusal> {
    let bad = || broken("invalid patch format of primitive list");
    let Value::Array(gone) = gone else { return Err(bad()) };
    match original.get_mut(name) {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => {
            let gone: BTreeSet<String> = gone.iter().map(|item| identity(item, "")).collect();
            items.retain(|item| !gone.contains(&identity(item, "")));
        }
        Some(_) => return Err(bad()),
    }
    Ok(())
}

fn merge_list(
    old: Vec<Value>,
    new: Vec<Value>,
    field: Option<&Field>,
    schema: Option<&Schema>,
) -> Result<Vec<Value>, Refusal> {
    let Some(field) = field.filter(|field| field.patch.merge) else { return Ok(new) };
    let items = old.iter().chain(&new);
    if items.clone().any(Value::is_array) {
        return Err(Refusal::new(422, "Invalid", "lists of lists are not supported"));
    }
    let objects = items.clone().filter(|item| item.is_object()).count();
    if objects == 0 {
        return Ok(merge_scalars(old, new));
    }
    if objects != old.len() + new.len() {
        return Err(failed("cannot merge lists whose items have different types".to_owned()));
    }
    let key = field.merge_key.as_str();
    if key.is_empty() {
        return Err(failed("cannot merge lists without merge key".to_owned()));
    }
    merge_objects(old, new, key, schema.and_then(Schema::items).as_ref())
}

fn merge_scalars(old: Vec<Value>, new: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let both = old.iter().chain(&new);
    let merged = both.filter(|item| seen.insert(identity(item, ""))).cloned().collect();
    arrange(merged, &new, &old, "")
}

fn merge_objects(
    mut old: Vec<Value>,
    new: Vec<Value>,
    key: &str,
    schema: Option<&Schema>,
) -> Result<Vec<Value>, Refusal> {
    let mut replace = false;
    let mut plain = Vec::with_capacity(new.len());
    let mut gone = BTreeSet::new();
    for item in new {
        let directive = item.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default());
        match directive {
            None => plain.push(item),
            Some("delete") => {
                has_key(&item, key)?;
                gone.insert(identity(&item, key));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(failed("merging lists cannot yet be specified in the patch".into()));
            }
            Some(other) => {
                let map = printed(&item);
                return Err(failed(format!("unknown patch type: {other} in map: {map}")));
            }
        }
    }
    if replace {
        return Ok(plain);
    }
    let before = old.clone();
    old.retain(|item| !gone.contains(&identity(item, key)));
    let mut places = BTreeMap::new();
    for (place, item) in old.iter().enumerate() {
        places.entry(identity(item, key)).or_insert(place);
    }
    let mut order = Vec::with_capacity(plain.len());
    for mut item in plain {
        has_key(&item, key)?;
        let name = identity(&item, key);
        order.push(Value::Object(Map::from_iter([(key.to_owned(), item[key].clone())])));
        match places.get(&name).and_then(|place| old.get_mut(*place)) {
            Some(place) => {
                if let (Value::Object(one), Value::Object(other)) = (place.take(), item) {
                    *place = Value::Object(merge_map(one, other, schema)?);
                }
            }
            None => {
                discard_nulls(&mut item);
                places.insert(name, old.len());
                old.push(item);
            }
        }
    }
    Ok(arrange(old, &order, &before, key))
}

fn has_key(item: &Value, key: &str) -> Result<(), Refusal> {
    if item.get(key).is_some() {
        return Ok(());
    }
    let map = printed(item);
    Err(failed(format!("map: {map} does not contain declared merge key: {key}")))
}
