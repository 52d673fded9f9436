// SPDX-License-Identifier: Apache-2.0
//! What a client is told when it does not get what it asked for: `Status` of meta/v1.

use crate::field::Errors;
use serde::Serialize;
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
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Resource (plural) or kind of the object, whichever upstream gives for the reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One cause for each field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// A token with which a list goes on, though not consistently (`metadata.continue`).
    #[serde(skip)]
    pub go_on: String,
    /// They are told though they are empty: clients of upstream find them there.
    #[serde(skip)]
    pub told: bool,
    /// Seconds after which to try again; also sent as the header `Retry-After`.
    #[serde(rename = "retryAfterSeconds", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// A cause of a refusal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The reason in one word, e.g. `FieldValueRequired`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field; empty if it is no field's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// A group and a resource, as in messages: `deployments.apps`, or `pods`.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl Refusal {
    /// One without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let told = [404, 405, 406, 415, 422].contains(&code);
        let details = Box::new(Details { told, ..Details::default() });
        Self { code, reason, message: message.into(), details }
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

    fn has_details(&self) -> bool {
        let go_on = self.details.go_on.clone();
        self.details.told || *self.details != Details { go_on, ..Details::default() }
    }

    /// The `Status` object as JSON, in upstream's order of fields and with a line's end: there are clients that compare it as text.
    pub fn to_json(&self) -> String {
        let status = Status {
            kind: "Status",
            api_version: "v1",
            metadata: ListMeta { go_on: &self.details.go_on },
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            details: self.has_details().then_some(&*self.details),
            code: self.code,
        };
        // Texts and numbers: there is nothing that could not be written.
        let mut text = serde_json::to_string(&status).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// `Status` of meta/v1; fields in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMeta<'a>,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    code: u16,
}

#[derive(Serialize)]
struct ListMeta<'a> {
    #[serde(rename = "continue", skip_serializing_if = "str::is_empty")]
    go_on: &'a str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use berth_cluster_json::Value;

    #[test]
    fn a_status_has_upstreams_order_and_leaves_out_what_is_empty() {
        assert_eq!(
            Refusal::already_exists("", "services", "x").to_json(),
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"services \\\"x\\\" already \
             exists\",\"reason\":\"AlreadyExists\",\"details\":{\"name\":\"x\",\"kind\":\"services\"},\"code\":409}\n"
        );
        let plain = Refusal::bad_request("no").to_json();
        assert!(
            plain.ends_with("\"message\":\"no\",\"reason\":\"BadRequest\",\"code\":400}\n"),
            "{plain}"
        );
    }

    #[test]
    fn each_field_has_its_cause_and_the_message_names_each_once() {
        let mut errors = Errors::new();
        errors.required(&Path::new("spec").child("containers"), "");
        errors.invalid(&Path::new("data").key("a/b"), "a/b", "bad key");
        errors.not_supported(&Path::new("type").index(0), "X", &["A", "B"]);
        let refusal = Refusal::invalid("apps", "Deployment", "d", &errors);
        assert_eq!(
            refusal.message,
            "Deployment.apps \"d\" is invalid: [spec.containers: Required value, data[a/b]: Invalid value: \"a/b\": bad key, \
             type[0]: Unsupported value: \"X\": supported values: \"A\", \"B\"]"
        );
        let status: Value = serde_json::from_str(&refusal.to_json()).unwrap();
        assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
        assert_eq!(status["details"]["causes"][1]["field"], "data[a/b]");
        assert_eq!(status["code"], 422);
    }
}
