// SPDX-License-Identifier: Apache-2.0
//! Objects as the rules of their kinds make and judge them, without a server.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part; what a test writes has these fields"
)]

use berth_cluster_api::field::Errors;
use berth_cluster_api::registry::{Kind, Part};
use berth_cluster_api::{Map, kinds};
use berth_cluster_json::Value;

pub fn kind(name: &str) -> Kind {
    kinds::builtin().into_iter().find(|kind| *kind.kind == *name).unwrap()
}

/// Each sentence once.
fn told(errors: &Errors) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for error in errors.0.iter().map(ToString::to_string) {
        if !all.contains(&error) {
            all.push(error);
        }
    }
    all
}

/// A new object, and what is wrong with it.
pub fn made(name: &str, value: &Value) -> (Value, Vec<String>) {
    let (kind, mut errors) = (kind(name), Errors::new());
    let mut object: Map = value.as_object().unwrap().clone();
    kind.rules.default(&mut object);
    kind.rules.prepare_create(&mut object);
    kind.rules.validate(&object, &mut errors);
    kind.rules.validate_create(&object, &mut errors);
    (object.into(), told(&errors))
}

/// A new object with which nothing is wrong.
pub fn sound(name: &str, value: &Value) -> Value {
    let (object, errors) = made(name, value);
    assert!(errors.is_empty(), "{errors:?}");
    object
}

/// What becomes of an object, and what is wrong with that.
pub fn changed(name: &str, old: &Value, new: &Value, part: Part) -> (Value, Vec<String>) {
    let (kind, mut errors) = (kind(name), Errors::new());
    let mut new: Map = new.as_object().unwrap().clone();
    let old = old.as_object().unwrap();
    kind.rules.default(&mut new);
    kind.rules.prepare_update(&mut new, old, part);
    if part == Part::Main {
        kind.rules.validate(&new, &mut errors);
    }
    kind.rules.validate_update(&new, old, part, &mut errors);
    (new.into(), told(&errors))
}

/// The value with another one at a place.
pub fn with(value: &Value, pointer: &str, new: Value) -> Value {
    let mut value = value.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[field] = new;
    value
}

/// The fields of sentences.
pub fn fields(errors: &[String]) -> Vec<&str> {
    errors.iter().map(|it| it.split_once(": ").unwrap().0).collect()
}
