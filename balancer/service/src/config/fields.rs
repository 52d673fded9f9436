// SPDX-License-Identifier: Apache-2.0
//! Strict reading of a document: each field is asked for by name, what nobody asked for is unknown, and problems pile up.

use super::path::Path;
use super::value::{Map, Value};
use crate::duration;
use crate::problem::Problems;
use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Problems>);

impl Notes {
    /// Notes a problem of the field at `path`.
    pub(super) fn note(&self, path: &Path<'_>, message: impl Into<String>) {
        self.0.borrow_mut().note(path.to_string(), message);
    }

    pub(super) fn into_problems(self) -> Problems {
        self.0.into_inner()
    }
}

/// An object that is being read.
#[derive(Debug)]
pub(super) struct Fields<'a, 'p> {
    map: Option<&'a Map>,
    pub(super) path: &'p Path<'p>,
    pub(super) notes: &'p Notes,
    known: RefCell<Vec<&'static str>>,
}

impl<'a, 'p> Fields<'a, 'p> {
    /// Starts to read an object; anything else is noted as a problem and read as an empty object.
    pub(super) fn of(value: &'a Value, path: &'p Path<'p>, notes: &'p Notes) -> Self {
        let map = match value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                notes.note(path, format!("expected fields, found {}", kind(value)));
                None
            }
        };
        Self { map, path, notes, known: RefCell::default() }
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.map?.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.map.is_some_and(|map| map.get(name).is_some_and(|value| !value.is_null()))
    }

    /// Notes a problem of a field.
    pub(super) fn note(&self, name: &str, message: impl Into<String>) {
        self.notes.note(&self.path.field(name), message);
    }

    /// A whole number from 0 on.
    pub(super) fn number(&self, name: &'static str, most: u64) -> Option<u64> {
        let value = self.get(name)?;
        let number = number(value, most);
        if number.is_none() {
            let found = shown(value);
            self.note(name, format!("{found} is no whole number between 0 and {most}"));
        }
        number
    }

    /// A number of 32 bits.
    pub(super) fn count(&self, name: &'static str) -> Option<u32> {
        self.number(name, u32::MAX.into()).and_then(|number| u32::try_from(number).ok())
    }

    /// A port. Whether 0 is one is judged with the rest.
    pub(super) fn port(&self, name: &'static str) -> Option<u16> {
        self.number(name, u16::MAX.into()).and_then(|number| u16::try_from(number).ok())
    }

    /// True or false.
    pub(super) fn boolean(&self, name: &'static str) -> Option<bool> {
        let value = self.get(name)?;
        if value.as_bool().is_none() {
            self.note(name, format!("expected true or false, found {}", shown(value)));
        }
        value.as_bool()
    }

    /// Text.
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        let value = self.get(name)?;
        let text = text(value);
        if text.is_none() {
            self.note(name, format!("expected text, found {}", kind(value)));
        }
        text
    }

    /// A duration, in nanoseconds.
    pub(super) fn duration(&self, name: &'static str) -> Option<u64> {
        let text = self.text(name)?;
        let nanoseconds = duration::parse(&text);
        if nanoseconds.is_none() {
            self.note(name, format!("\"{text}\" is no duration, such as 1500ms, 30s, 5m, 3h"));
        }
        nanoseconds
    }

    /// One of some words. `off` is the word also where it is read as false.
    pub(super) fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.get(name)?;
        let found = word(value);
        let known = found.as_ref().and_then(|found| words.iter().find(|(w, _)| w == found));
        if known.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("{} is not one of {}", shown(value), words.join(", "));
            self.note(name, message);
        }
        known.map(|(_, meaning)| *meaning)
    }

    /// A list; an absent one is empty.
    pub(super) fn list(&self, name: &'static str) -> &'a [Value] {
        match self.get(name) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.note(name, format!("expected a list, found {}", kind(other)));
                &[]
            }
        }
    }

    /// A list of texts that stand for something else.
    pub(super) fn parsed_list<T>(&self, name: &'static str, what: &str) -> Vec<T>
    where
        T: FromStr<Err: Display>,
    {
        let list = self.list(name);
        let path = self.path.field(name);
        let mut all = Vec::with_capacity(list.len());
        for (at, value) in list.iter().enumerate() {
            match text(value).map(|text| text.parse::<T>()) {
                Some(Ok(parsed)) => all.push(parsed),
                Some(Err(_)) | None => {
                    self.notes.note(&path.index(at), format!("{} is no {what}", shown(value)));
                }
            }
        }
        all
    }

    /// Ends the reading: whatever was not asked for is unknown.
    pub(super) fn end(self) {
        let known = self.known.into_inner();
        for (name, _) in self.map.into_iter().flat_map(Map::iter) {
            if !known.contains(&name) {
                let message = match nearest(name, &known) {
                    Some(near) => format!("unknown field; did you mean \"{near}\"?"),
                    None => format!("unknown field; known here are {}", known.join(", ")),
                };
                self.notes.note(&self.path.field(name), message);
            }
        }
    }
}

/// A whole number, also where it was written as text.
fn number(value: &Value, most: u64) -> Option<u64> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    (number <= most).then_some(number)
}

/// A text; numbers that were meant as one are one (a service called 80).
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A word. YAML 1.1 reads `off` as false.
pub(super) fn word(value: &Value) -> Option<String> {
    match value {
        Value::Bool(false) => Some("off".to_owned()),
        other => text(other),
    }
}

/// What a value is, for a message.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "fields",
    }
}

/// A value as it is shown in a message: short ones as they are.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() <= 64 => format!("\"{text}\""),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            kind(value).to_owned()
        }
    }
}

/// The known name that was most likely meant.
fn nearest<'n>(found: &str, known: &[&'n str]) -> Option<&'n str> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let wanted = plain(found);
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let away = distance(wanted.as_bytes(), plain(name).as_bytes());
        if away <= 2 && away < wanted.len() && best.is_none_or(|(least, _)| away < least) {
            best = Some((away, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Edit distance (Levenshtein); 3 stands for more, so that long texts cost nothing.
fn distance(a: &[u8], b: &[u8]) -> usize {
    if a.len().abs_diff(b.len()) > 2 || a.len() > 64 {
        return 3;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
