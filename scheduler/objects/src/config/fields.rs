// SPDX-License-Identifier: Apache-2.0
//! Strict reading of a document: each field is asked for by name, what nobody asked for is unknown, and problems pile up.

use crate::error::{ObjectError, Path, Problem};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

use super::ConfigError;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<ObjectError>>);

impl Problems {
    /// Notes a problem of the field at `path`.
    pub(super) fn note(&self, path: &Path<'_>, problem: Problem) {
        self.0.borrow_mut().push(path.error(problem));
    }

    /// Keeps the value, or notes the error.
    pub(super) fn keep<T>(&self, result: Result<T, ObjectError>) -> Option<T> {
        result.map_err(|error| self.0.borrow_mut().push(error)).ok()
    }

    /// The value if there was no problem.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        let problems = self.0.into_inner();
        if problems.is_empty() { Ok(value) } else { Err(ConfigError { problems }) }
    }
}

/// An object that is being read.
#[derive(Debug)]
pub(super) struct Fields<'a, 'p> {
    map: Option<&'a Map<String, Value>>,
    path: &'p Path<'p>,
    problems: &'p Problems,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a, 'p> Fields<'a, 'p> {
    /// Starts to read an object; anything else is noted as a problem and read as an empty object.
    pub(super) fn of(value: &'a Value, path: &'p Path<'p>, problems: &'p Problems) -> Self {
        let map = match value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            _ => {
                problems.note(path, Problem::Shape("expected an object".to_owned()));
                None
            }
        };
        Self { map, path, problems, known: RefCell::default() }
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().insert(name);
        self.map?.get(name).filter(|value| !value.is_null())
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, name: &'static str, min: i64, max: i64) -> Option<i64> {
        let value = self.get(name)?;
        let path = self.path.field(name);
        match value.as_i64() {
            Some(found) if (min..=max).contains(&found) => Some(found),
            Some(found) => {
                self.problems.note(&path, Problem::OutOfRange { found, min, max });
                None
            }
            None => self.shape(&path, "expected a whole number"),
        }
    }

    /// True or false.
    pub(super) fn boolean(&self, name: &'static str) -> Option<bool> {
        let value = self.get(name)?;
        let path = self.path.field(name);
        value.as_bool().or_else(|| self.shape(&path, "expected true or false"))
    }

    /// Text.
    pub(super) fn text(&self, name: &'static str) -> Option<&'a str> {
        let value = self.get(name)?;
        let path = self.path.field(name);
        value.as_str().or_else(|| self.shape(&path, "expected text"))
    }

    /// A list; an absent one is empty.
    pub(super) fn list(&self, name: &'static str) -> &'a [Value] {
        let Some(value) = self.get(name) else { return &[] };
        if let Value::Array(list) = value {
            return list;
        }
        self.shape::<()>(&self.path.field(name), "expected a list");
        &[]
    }

    /// Texts of a list.
    pub(super) fn texts(&self, name: &'static str) -> Vec<&'a str> {
        let path = self.path.field(name);
        self.list(name)
            .iter()
            .enumerate()
            .filter_map(|(index, value)| {
                value.as_str().or_else(|| self.shape(&path.index(index), "expected text"))
            })
            .collect()
    }

    /// One of some words; `default` where the field is absent or empty.
    pub(super) fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)], default: T) -> T {
        let Some(found) = self.text(name).filter(|text| !text.is_empty()) else { return default };
        let path = self.path.field(name);
        self.problems.keep(crate::field::one_of(found, words, &path)).unwrap_or(default)
    }

    /// A Go duration (`1m30s`) in milliseconds.
    pub(super) fn duration(&self, name: &'static str) -> Option<u64> {
        let text = self.text(name)?;
        let path = self.path.field(name);
        duration(text).or_else(|| self.shape(&path, "expected a duration such as 15s"))
    }

    /// Notes that a field is not supported, if it is there.
    pub(super) fn unsupported(&self, name: &'static str, why: &str) {
        if self.get(name).is_some_and(|value| !is_empty(value)) {
            self.problems.note(&self.path.field(name), Problem::Unsupported(why.to_owned()));
        }
    }

    /// Checks `apiVersion` and `kind`, which may be absent.
    pub(super) fn header(&self, kind: &str) {
        for (name, want) in [("apiVersion", "kubescheduler.config.k8s.io/v1"), ("kind", kind)] {
            if let Some(found) = self.text(name).filter(|found| *found != want) {
                let problem =
                    Problem::Unknown { found: found.to_owned(), expected: vec![want.to_owned()] };
                self.problems.note(&self.path.field(name), problem);
            }
        }
    }

    /// Ends the reading: whatever was not asked for is unknown.
    pub(super) fn end(self) {
        let known = self.known.into_inner();
        for name in self.map.into_iter().flat_map(Map::keys) {
            if !known.contains(name.as_str()) {
                let expected = known.iter().map(|&name| name.to_owned()).collect();
                let problem = Problem::UnknownField { expected };
                self.problems.note(&self.path.field(name), problem);
            }
        }
    }

    fn shape<T>(&self, path: &Path<'_>, expected: &str) -> Option<T> {
        self.problems.note(path, Problem::Shape(expected.to_owned()));
        None
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Reads a Go duration in milliseconds; `None` if it is none, or negative.
fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" | "μs" => 1e-3,
            "ns" => 1e-6,
            _ => return None,
        };
        rest = &rest[end..];
        total += number * unit;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no number here is negative, and the cast saturates"
    )]
    (!text.is_empty()).then_some(total.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_those_of_go() {
        for (text, want) in [
            ("15s", Some(15_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("15", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1d", None),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
    }
}
