// SPDX-License-Identifier: Apache-2.0
//! Problems of fields, in the words of upstream's apimachinery (`field.Error`).

use crate::refusal::Cause;
use berth_cluster_json::Value;
use std::fmt;

/// Path of a field: `spec.containers[0].name`, `data[a.b]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A path of one name.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The field `name` of this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self([&self.0, ".", name].concat()) }
    }

    /// The item at `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self([&self.0, "[", key, "]"].concat())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It refers to what is not there.
    NotFound,
    /// It has to be there.
    Required,
    /// There are two of it.
    Duplicate,
    /// It is not well formed.
    Invalid,
    /// It is none of the values that are known.
    NotSupported,
    /// It may not be set, or not now.
    Forbidden,
    /// It is too long.
    TooLong,
    /// It has too many items.
    TooMany,
    /// The server could not check it.
    Internal,
    /// It has the wrong type.
    TypeInvalid,
}

impl Problem {
    /// The reason of its cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    /// Whether the message shows the value.
    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// A problem of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// Where.
    pub path: Path,
    /// The value as messages show it: strings in quotes, numbers bare, objects as JSON.
    pub value: String,
    /// The rest of the sentence; may be empty.
    pub detail: String,
}

impl Error {
    /// The sentence without the field.
    pub fn body(&self) -> String {
        let mut text = self.problem.words().to_owned();
        if self.problem.shows_value() {
            text.push_str(": ");
            text.push_str(&self.value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// Shows a value as messages do: `"text"`, `1`, `true`, `null`; objects and lists as JSON.
pub fn show(value: &Value) -> String {
    value.to_string()
}

/// Problems in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Errors(pub Vec<Error>);

impl Errors {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn add(&mut self, problem: Problem, path: &Path, value: &Value, detail: impl Into<String>) {
        let (path, value, detail) = (path.clone(), show(value), detail.into());
        self.0.push(Error { problem, path, value, detail });
    }

    /// The field is missing.
    pub fn required(&mut self, path: &Path, detail: impl Into<String>) {
        self.add(Problem::Required, path, &Value::Null, detail);
    }

    /// The field is not well formed.
    pub fn invalid(&mut self, path: &Path, value: impl Into<Value>, detail: impl Into<String>) {
        self.add(Problem::Invalid, path, &value.into(), detail);
    }

    /// The field may not be set.
    pub fn forbidden(&mut self, path: &Path, detail: impl Into<String>) {
        self.add(Problem::Forbidden, path, &Value::Null, detail);
    }

    /// There is another such value.
    pub fn duplicate(&mut self, path: &Path, value: impl Into<Value>) {
        self.add(Problem::Duplicate, path, &value.into(), "");
    }

    /// The value is none of `known`.
    pub fn not_supported(&mut self, path: &Path, value: impl Into<Value>, known: &[&str]) {
        let known: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
        let detail = format!("supported values: {}", known.join(", "));
        self.add(Problem::NotSupported, path, &value.into(), detail);
    }

    /// One sentence for all, as in the message of `Invalid`: a list in brackets if there are several.
    pub fn text(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        for error in self.0.iter().map(Error::to_string) {
            if !all.contains(&error) {
                all.push(error);
            }
        }
        match all.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        }
    }

    /// The causes of a refusal.
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |error: &Error| Cause {
            reason: error.problem.reason().to_owned(),
            message: error.body(),
            field: error.path.to_string(),
        };
        self.0.iter().map(cause).collect()
    }
}
