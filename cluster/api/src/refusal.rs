// SPDX-License-Identifier: Apache-2.0
//! What a client is told when it does not get what it asked for: `Status` of meta/v1.

use crate::Map;
use crate::field::Errors;
use serde_json::{Value, json};
use std::fmt;

/// A request that was refused, with the texts that Kubernetes' clients know.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The reason in one word, e.g. `NotFound`; empty where upstream gives none.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// What it is about.
    pub details: Box<Details>,
}

/// What a refusal is about; empty parts are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group of the object.
    pub group: String,
    /// Resource (plural) or kind of the object, whichever upstream gives for the reason.
    pub kind: String,
    /// Uid of the object.
    pub uid: String,
    /// One cause for each field.
    pub causes: Vec<Cause>,
    /// Seconds after which to try again; also sent as the header `Retry-After`.
    pub retry_after: Option<u32>,
}

/// A cause of a refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The reason in one word, e.g. `FieldValueRequired`.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// Path of the field; empty if it is no field's.
    pub field: String,
}

/// A group and a resource, as in messages: `deployments.apps`, or `pods`.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl Refusal {
    /// One without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Box::default() }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.details.group = group.into();
        self.details.kind = kind.into();
        self.details.name = name.into();
        self
    }

    /// 400: what was sent cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404: there is no such object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Self::new(404, "NotFound", message).about(group, resource, name)
    }

    /// 404: there is no such path.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 409: there is one of that name.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, resource));
        Self::new(409, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409: somebody else was faster, or a precondition does not hold.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(group, resource, name)
    }

    /// 403: not allowed, though well understood.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{name}\" is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).about(group, resource, name)
    }

    /// 422: fields that are not as they have to be. `kind` is the kind's name, e.g. `Deployment`.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &Errors) -> Self {
        let what = qualified(group, kind);
        let message = format!("{what} \"{name}\" is invalid: {}", errors.text());
        let mut refusal = Self::new(422, "Invalid", message).about(group, kind, name);
        refusal.details.causes = errors.causes();
        refusal
    }

    /// 429: too much at once.
    pub fn too_many_requests(message: impl Into<String>, retry_after: u32) -> Self {
        let mut refusal = Self::new(429, "TooManyRequests", message);
        refusal.details.retry_after = Some(retry_after);
        refusal
    }

    /// 500: not the client's fault.
    pub fn internal(message: impl fmt::Display) -> Self {
        let text = format!("Internal error occurred: {message}");
        let mut refusal = Self::new(500, "InternalError", text);
        refusal.details.causes = vec![Cause {
            reason: String::new(),
            message: message.to_string(),
            field: String::new(),
        }];
        refusal
    }

    /// The `Status` object.
    pub fn to_value(&self) -> Value {
        let details = &*self.details;
        let mut about = Map::new();
        let mut put = |name: &str, text: &str| {
            if !text.is_empty() {
                about.insert(name.to_owned(), text.into());
            }
        };
        put("name", &details.name);
        put("group", &details.group);
        put("kind", &details.kind);
        put("uid", &details.uid);
        if !details.causes.is_empty() {
            let causes = details.causes.iter().map(Cause::to_value).collect();
            about.insert("causes".to_owned(), Value::Array(causes));
        }
        if let Some(seconds) = details.retry_after {
            about.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !about.is_empty() {
            status["details"] = about.into();
        }
        status
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = Map::new();
        for (name, text) in
            [("reason", &self.reason), ("message", &self.message), ("field", &self.field)]
        {
            if !text.is_empty() {
                cause.insert(name.to_owned(), text.as_str().into());
            }
        }
        cause.into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
