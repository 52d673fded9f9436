// SPDX-License-Identifier: Apache-2.0
//! The visitor that makes a value of what a parser gives, and notices what a map would hide.

use super::{DEPTH_MAX, DUPLICATES_MAX, Read, ReadError};
use berth_cluster_json::{Map, Number, Text, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::fmt;

/// What is noticed on the way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    duplicates: Vec<String>,
    too_deep: bool,
    /// Values that may still be made; none: as many as there are.
    values_left: Option<usize>,
}

impl Notes {
    /// Notes of a reader that makes at most so many values.
    pub(super) fn with_values_max(values: usize) -> Self {
        Self { values_left: Some(values), ..Self::default() }
    }
}

/// The result of a reader whose notes these are.
pub(super) fn finish(
    notes: RefCell<Notes>,
    read: Result<Value, String>,
) -> Result<Read, ReadError> {
    let notes = notes.into_inner();
    match read {
        _ if notes.too_deep => Err(ReadError::TooDeep),
        Ok(value) => Ok(Read { value, duplicates: notes.duplicates }),
        Err(text) => Err(ReadError::Syntax(text)),
    }
}

/// Where a value stands; written out only if there is something to say about it.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn write(&self, text: &mut String) {
        match self {
            Self::Root => {}
            Self::Field(parent, name) => {
                parent.write(text);
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Self::Item(parent, index) => {
                parent.write(text);
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
        }
    }
}

/// Makes one value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed<'a> {
    place: Place<'a>,
    depth: usize,
    notes: &'a RefCell<Notes>,
}

impl<'a> Seed<'a> {
    /// Makes the outermost value.
    pub(super) fn root(notes: &'a RefCell<Notes>) -> Self {
        Self { place: Place::Root, depth: 0, notes }
    }

    fn inner<'b>(&self, place: Place<'b>) -> Seed<'b>
    where
        'a: 'b,
    {
        Seed { place, depth: self.depth + 1, notes: self.notes }
    }

    fn go_deeper<E: Error>(&self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        self.notes.borrow_mut().too_deep = true;
        Err(E::custom("exceeded max depth"))
    }

    fn note_duplicate(&self, name: &str) {
        let mut notes = self.notes.borrow_mut();
        if notes.duplicates.len() < DUPLICATES_MAX {
            let mut text = String::new();
            Place::Field(&self.place, name).write(&mut text);
            if !notes.duplicates.contains(&text) {
                notes.duplicates.push(text);
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        if let Some(left) = &mut self.notes.borrow_mut().values_left {
            *left = left.checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is none of JSON"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.go_deeper()?;
        let mut list = Vec::new();
        while let Some(item) =
            items.next_element_seed(self.inner(Place::Item(&self.place, list.len())))?
        {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.go_deeper()?;
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<Text>()? {
            let value = entries.next_value_seed(self.inner(Place::Field(&self.place, &name)))?;
            if map.contains_key(&name) {
                self.note_duplicate(&name);
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
