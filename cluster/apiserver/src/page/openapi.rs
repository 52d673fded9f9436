// SPDX-License-Identifier: Apache-2.0
//! What kinds are made of.

use super::{nowhere, whole};
use crate::answer::{Answer, Body, json, typed};
use crate::server::Inner;
use berth_cluster_api::openapi;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, EXPIRES, HeaderValue, IF_NONE_MATCH, VARY};
use http::request::Parts;

/// `/openapi/v3`
pub(super) fn index(server: &Inner) -> Answer {
    let resources = server.resources();
    let documents = resources.documents().iter();
    whole(&openapi::index(documents.map(|(path, one)| (path.as_str(), one.hash.as_str()))))
}

/// `/openapi/v3/PATH`: what a hash names does not change, so that clients may keep it.
pub(super) fn document(server: &Inner, parts: &Parts, path: &str) -> Answer {
    let resources = server.resources();
    let Some(document) = resources.documents().get(path) else { return nowhere() };
    let tag = format!("\"{}\"", document.hash);
    let same =
        parts.headers.get(IF_NONE_MATCH).is_some_and(|have| have.as_bytes() == tag.as_bytes());
    let mut answer = if same {
        json(StatusCode::NOT_MODIFIED, Body::Whole(Bytes::new()))
    } else {
        json(StatusCode::OK, Body::Whole(document.json.clone()))
    };
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    let asked = parts.uri.query().unwrap_or_default();
    if asked.contains(&document.hash) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        headers.insert(EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2037 23:55:55 GMT"));
    }
    answer
}

/// `/openapi/v2`: a document without kinds, for old clients that want one.
pub(super) fn v2(accept: &str) -> Answer {
    if accept.contains("proto-openapi.spec.v2") {
        let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return typed(StatusCode::OK, media, Body::Whole(openapi::v2().into()));
    }
    whole(&berth_cluster_json::json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": format!("v1.{}.0", super::MINOR) },
        "paths": {},
        "definitions": {},
    }))
}
