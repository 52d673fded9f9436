// SPDX-License-Identifier: Apache-2.0
//! Between the messages of the contract and the scheduler's vocabulary.
//!
//! What comes in is written down as the Kubernetes object it stands for, defaults filled in as an API server does, and read by
//! `berth-scheduler-objects`: so a pod that comes over gRPC and one that comes from a cluster mean the same, and have the same
//! limits and errors. That is done once per distinct spec, not per pod.

mod json;
pub mod reply;
mod spec;
mod update;

pub use spec::{Names, depends_on_name, pod_spec};
pub use update::{BoundPod, Change, Given, Gone, SeenSpecs, bound_pod, node, update};

use berth_proto::v1;
use berth_scheduler_model::limits::TEXT_MAX;
use berth_scheduler_objects::ObjectError;

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which, from the request on.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Violation {
    /// This field has this problem.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same, seen from where the object is the field `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() {
            parent.to_owned()
        } else {
            format!("{parent}.{}", self.field)
        };
        self
    }

    /// An error of an object, whose `metadata` has no place of its own in the messages.
    fn of_object(error: &ObjectError) -> Self {
        let path = error.path.as_str();
        let field = match path.strip_prefix("metadata.") {
            Some(rest) => rest,
            None if path == "." => "",
            None => path,
        };
        Self::new(field, error.problem.to_string())
    }

    /// As an answer to one pod.
    pub fn into_invalid(self) -> v1::Invalid {
        v1::Invalid {
            violations: vec![v1::FieldViolation { field: self.field, message: self.message }],
        }
    }
}

/// Checks a text that names something.
pub fn check_name(field: &str, text: &str) -> Result<(), Violation> {
    if text.is_empty() {
        return Err(Violation::new(field, "missing"));
    }
    check_length(field, text)
}

/// Checks that a text is not too long.
pub fn check_length(field: &str, text: &str) -> Result<(), Violation> {
    if text.len() > TEXT_MAX {
        let message = format!("{} bytes long; at most {TEXT_MAX} are possible", text.len());
        return Err(Violation::new(field, message));
    }
    Ok(())
}
