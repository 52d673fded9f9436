// SPDX-License-Identifier: Apache-2.0
//! Answering reviews: who somebody is, and what they may. Nothing is kept.

use crate::answer::{Answer, warn};
use crate::ask::Ask;
use crate::body;
use crate::server::Inner;
use crate::shape::write;
use crate::verb::create::expected;
use crate::write::{invalid, metadata_mut};
use berth_cluster_api::field::Errors;
use berth_cluster_api::{Map, Refusal};
use berth_cluster_auth::node::node_of;
use berth_cluster_auth::rbac::{Attributes, Rule};
use berth_cluster_auth::user::User;
use berth_cluster_json::{Value, json};
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// POST of a review; the answer is the review with its status.
pub(crate) fn answer(server: &Arc<Inner>, ask: &Ask) -> Result<Answer, Refusal> {
    let validation = body::validation(ask, "CreateOptions")?;
    ask.dry_run("CreateOptions")?;
    let incoming = body::read(ask, &expected(&ask.kind), validation)?;
    let mut review = incoming.object;
    if ask.kind.namespaced {
        let own = metadata_mut(&mut review).entry("namespace").or_insert(Value::Null);
        if own.as_str().is_none_or(str::is_empty) {
            *own = ask.namespace().into();
        } else if own != ask.namespace() {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Refusal::bad_request(why));
        }
    }
    let mut errors = Errors::new();
    ask.kind.rules.validate(&review, &mut errors);
    invalid(&ask.kind, &review, &errors)?;
    let spec = review.get("spec").cloned().unwrap_or_default();
    let status = match &*ask.kind.kind {
        "SelfSubjectAccessReview" => access(server, &ask.user, &spec),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            access(server, &subject(&spec), &spec)
        }
        "SelfSubjectRulesReview" => rules(server, ask, &spec)?,
        "TokenReview" => token(server, ask, &spec)?,
        "SelfSubjectReview" => json!({ "userInfo": told(&ask.user) }),
        _ => return Err(Refusal::method_not_allowed()),
    };
    review.insert("status".to_owned(), status);
    let mut answer = write(StatusCode::CREATED, ask.form.encoding, &Value::Object(review));
    warn(&mut answer, &incoming.warnings);
    Ok(answer)
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_default()
}

fn texts(of: &Value) -> Vec<String> {
    let all = of.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Who is asked about.
fn subject(spec: &Value) -> User {
    let extra = spec["extra"].as_object().into_iter().flatten();
    let extra: BTreeMap<String, Vec<String>> =
        extra.map(|(name, values)| (name.to_string(), texts(values))).collect();
    User {
        name: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: texts(&spec["groups"]),
        extra,
    }
}

/// Whether they may.
fn access(server: &Inner, user: &User, spec: &Value) -> Value {
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let decision = if resource.is_null() {
        server.access.allowed(&Attributes::path(user, text(other, "verb"), text(other, "path")))
    } else {
        let fields = fields(&resource["fieldSelector"]);
        server.access.allowed(&Attributes {
            version: text(resource, "version"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
            fields: &fields,
            ..Attributes::resource(
                user,
                text(resource, "verb"),
                text(resource, "group"),
                text(resource, "resource"),
            )
        })
    };
    let mut status = json!({ "allowed": decision.allowed });
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    status
}

/// A selector of fields as queries have it. A requirement that has no such form narrows nothing, as upstream.
fn fields(selector: &Value) -> String {
    let raw = text(selector, "rawSelector");
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let escaped = |value: &str| {
        let escape =
            |one: char| ['\\', ',', '='].contains(&one).then_some('\\').into_iter().chain([one]);
        value.chars().flat_map(escape).collect::<String>()
    };
    let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
    let term = |one: &Value| {
        let sign = match text(one, "operator") {
            "In" => "=",
            "NotIn" => "!=",
            _ => return None,
        };
        let values = texts(&one["values"]);
        let [value] = values.as_slice() else { return None };
        Some(format!("{}{sign}{}", text(one, "key"), escaped(value)))
    };
    requirements.iter().filter_map(term).collect::<Vec<_>>().join(",")
}

/// All that roles give the asker in a namespace.
fn rules(server: &Inner, ask: &Ask, spec: &Value) -> Result<Value, Refusal> {
    let namespace = text(spec, "namespace");
    if namespace.is_empty() {
        return Err(Refusal::bad_request("no namespace on request"));
    }
    let all = server.access.index().rules_for(&ask.user, namespace);
    let resource = |rule: &Rule| {
        let mut told = json!({
            "verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources,
        });
        if !rule.resource_names.is_empty() {
            told["resourceNames"] = rule.resource_names.clone().into();
        }
        told
    };
    let path =
        |rule: &Rule| json!({ "verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls });
    let mut status = json!({
        "resourceRules": all.iter().filter(|rule| !rule.resources.is_empty()).map(resource).collect::<Value>(),
        "nonResourceRules": all.iter().filter(|rule| !rule.non_resource_urls.is_empty()).map(path).collect::<Value>(),
        "incomplete": false,
    });
    if node_of(&ask.user).is_some() {
        status["incomplete"] = true.into();
        status["evaluationError"] = "node authorizer does not support user rule resolution".into();
    }
    Ok(status)
}

/// Whose token it is.
fn token(server: &Inner, ask: &Ask, spec: &Value) -> Result<Value, Refusal> {
    let token = text(spec, "token");
    if token.is_empty() {
        return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
    }
    let wanted = texts(&spec["audiences"]);
    let audiences = if wanted.is_empty() { &server.identity.audiences } else { &wanted };
    let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
    let found = server.identity.holder(token, &audiences, ask.now.seconds, &server.store);
    let Some((user, audiences)) = found else {
        return Ok(json!({ "user": {}, "error": "invalid bearer token" }));
    };
    let mut status = json!({ "authenticated": true, "user": told(&user) });
    if !audiences.is_empty() {
        status["audiences"] = audiences.into();
    }
    Ok(status)
}

/// Somebody, as reviews tell it.
fn told(user: &User) -> Value {
    let mut told = Map::new();
    told.insert("username", user.name.as_str().into());
    if !user.uid.is_empty() {
        told.insert("uid", user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        told.insert("groups", user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        let extra = user.extra.iter().map(|(name, all)| (name.as_str(), all.clone()));
        told.insert("extra", extra.collect());
    }
    told.into()
}
