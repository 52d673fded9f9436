// SPDX-License-Identifier: Apache-2.0
//! Selectors of labels and of fields: from the query's text, from a `LabelSelector`, and back to text.
#![allow(clippy::result_large_err, reason = "a refusal is rare, and is the answer")]

mod fields;
mod lexer;
mod parser;

pub use fields::{Field, Fields, unsupported_field};

use crate::Map;
use crate::kinds::access::{list, map, text};
use crate::{Refusal, names};
use berth_cluster_json::{Text, Value};
use std::fmt;

/// How a term compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of these.
    In,
    /// `=` and `==`: the value is this.
    Equals,
    /// There is none, or the value is none of these.
    NotIn,
    /// There is none, or the value is not this.
    NotEquals,
    /// There is one.
    Exists,
    /// There is none.
    DoesNotExist,
    /// It is a greater number.
    Greater,
    /// It is a lesser number.
    Less,
}

/// A term of a selector of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// How it compares.
    pub operator: Operator,
    /// With what; sorted.
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether the value of the key agrees.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let among = |value: &str| self.values.iter().any(|one| one == value);
        match self.operator {
            Operator::In | Operator::Equals => value.is_some_and(among),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Greater | Operator::Less => {
                let number = |text: &str| text.parse::<i64>().ok();
                let limit = self.values.first().and_then(|one| number(one));
                match (value.and_then(number), limit) {
                    (Some(value), Some(limit)) if self.operator == Operator::Greater => {
                        value > limit
                    }
                    (Some(value), Some(limit)) => value < limit,
                    _ => false,
                }
            }
        }
    }

    /// What is wrong with it, if something is.
    fn problem(&self) -> Option<String> {
        if let Some(problem) = names::qualified(&self.key).first() {
            return Some(format!("key: Invalid value: {:?}: {problem}", self.key));
        }
        if matches!(self.operator, Operator::Greater | Operator::Less) {
            let value = self.values.first().map_or("", String::as_str);
            if value.parse::<i64>().is_err() {
                let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                return Some(format!("values[0]: Invalid value: {value:?}: {text}"));
            }
        }
        let wrong = |(at, value): (usize, &String)| {
            let problem = names::label_value(value).into_iter().next()?;
            Some(format!("values[{at}][{}]: Invalid value: {value:?}: {problem}", self.key))
        };
        self.values.iter().enumerate().find_map(wrong)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Greater => write!(f, "{key}>{values}"),
            Operator::Less => write!(f, "{key}<{values}"),
        }
    }
}

/// A selector of labels: all of its terms have to agree. Without any it takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The terms, sorted by key.
    pub terms: Vec<Requirement>,
    /// It takes nothing, whatever its terms: what a missing `LabelSelector` does.
    pub nothing: bool,
}

impl Labels {
    /// Reads the query's `labelSelector`; 400 in upstream's words.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut terms = parser::parse(text).map_err(Refusal::bad_request)?;
        terms.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { terms, nothing: false })
    }

    /// What a `LabelSelector` of meta/v1 takes: nothing if it is missing. A term with an operator that is not known takes nothing, too.
    pub fn of_selector(selector: Option<&Map>) -> Self {
        let Some(selector) = selector else { return Self { terms: Vec::new(), nothing: true } };
        let mut all = Self::of_map(map(selector, "matchLabels"));
        for term in list(selector, "matchExpressions").iter().filter_map(Value::as_object) {
            let operator = match text(term, "operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => {
                    all.nothing = true;
                    continue;
                }
            };
            let values = list(term, "values").iter().filter_map(Value::as_str);
            let mut values: Vec<String> = values.map(str::to_owned).collect();
            values.sort();
            values.dedup();
            all.terms.push(Requirement { key: text(term, "key").to_owned(), operator, values });
        }
        all.terms.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// What a plain map of labels takes (the selector of a Service or a ReplicationController).
    pub fn of_map(labels: Option<&Map>) -> Self {
        let term = |(key, value): (&Text, &Value)| Requirement {
            key: key.to_string(),
            operator: Operator::Equals,
            values: vec![value.as_str().unwrap_or("").to_owned()],
        };
        let mut terms: Vec<Requirement> = labels.into_iter().flatten().map(term).collect();
        terms.sort_by(|a, b| a.key.cmp(&b.key));
        Self { terms, nothing: false }
    }

    /// Whether it takes everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.terms.is_empty()
    }

    /// Whether it takes what has the labels that `value` finds by key.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.terms.iter().all(|term| term.matches(value(&term.key)))
    }

    /// Whether it takes what has these labels, which are sorted by key.
    pub fn matches_sorted<K: AsRef<str>, V: AsRef<str>>(&self, labels: &[(K, V)]) -> bool {
        self.matches(|key| {
            let at = labels.binary_search_by(|(one, _)| one.as_ref().cmp(key)).ok()?;
            labels.get(at).map(|(_, value)| value.as_ref())
        })
    }

    /// Whether it takes what has these labels; none are as an empty map.
    pub fn matches_map(&self, labels: Option<&Map>) -> bool {
        self.matches(|key| labels?.get(key)?.as_str())
    }

    /// The value which `key` must have, if there is only one.
    pub fn equal(&self, key: &str) -> Option<&str> {
        self.terms.iter().find_map(|term| match (term.operator, term.values.as_slice()) {
            (Operator::Equals | Operator::In, [value]) if term.key == key => Some(value.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{term}")?;
        }
        Ok(())
    }
}
