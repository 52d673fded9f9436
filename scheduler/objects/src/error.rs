// SPDX-License-Identifier: Apache-2.0
//! What is wrong with an object, and where.

use berth_scheduler_model::quantity::QuantityError;

/// Why an object cannot be used: the field and the problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ObjectError {
    /// The field, as `spec.containers[0].resources.requests[cpu]`.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The JSON or YAML is malformed, or has another type there.
    #[error("{0}")]
    Shape(String),
    /// A quantity cannot be used.
    #[error("{0}")]
    Quantity(QuantityError),
    /// A field that must be there is not.
    #[error("missing")]
    Missing,
    /// A value is none of those that are possible.
    #[error("\"{found}\" is not one of {}", .expected.join(", "))]
    Unknown {
        /// The value.
        found: String,
        /// The possible ones.
        expected: Vec<String>,
    },
    /// A field that nobody knows; these are known in its place.
    #[error("unknown field; known here are {}", .expected.join(", "))]
    UnknownField {
        /// The known ones.
        expected: Vec<String>,
    },
    /// A number is out of its range.
    #[error("{found} is not within {min}..={max}")]
    OutOfRange {
        /// The number.
        found: i64,
        /// The least possible.
        min: i64,
        /// The greatest possible.
        max: i64,
    },
    /// The scores of some plugins outgrow what the engine holds them in.
    #[error("the weights of {} sum up to {sum}; at most {max} are possible", .plugins.join(", "))]
    WeightSum {
        /// The plugins.
        plugins: Vec<String>,
        /// The sum of their weights.
        sum: i64,
        /// The limit.
        max: i64,
    },
    /// A list is longer than the scheduler takes.
    #[error("{found} entries; at most {max} are possible")]
    TooMany {
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A text is longer than the scheduler takes.
    #[error("{found} bytes long; at most {max} are possible")]
    TooLong {
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A time is not of the form `2026-01-31T12:00:00Z`.
    #[error("\"{0}\" is not an RFC 3339 time")]
    Time(String),
    /// A rule between fields is broken.
    #[error("{0}")]
    Rule(&'static str),
    /// Something that this scheduler does not have.
    #[error("not supported by this scheduler: {0}")]
    Unsupported(String),
}

/// Where in an object: a list on the stack, made into text only for an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The object itself.
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// A field of the object here; several names joined by dots are fine.
    pub(crate) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Field(name) }
    }

    /// An entry of the list here.
    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of the map here.
    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    /// The error that this field has this problem.
    pub(crate) fn error(&self, problem: Problem) -> ObjectError {
        let path = self.to_string();
        ObjectError { path: if path.is_empty() { ".".to_owned() } else { path }, problem }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let first = self.parent.is_none_or(|parent| matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if first => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}
