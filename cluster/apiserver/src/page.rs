// SPDX-License-Identifier: Apache-2.0
//! What is no resource: discovery, OpenAPI, the version, health, metrics, the issuer's keys.

mod backup;
mod discovery;
mod metrics;
mod openapi;

use crate::answer::{Answer, Body, json, text};
use crate::server::Inner;
use berth_cluster_api::Refusal;
use berth_cluster_auth::rbac::Attributes;
use berth_cluster_auth::user::User;
use berth_cluster_json::{Value, json};
use http::header::ACCEPT;
use http::request::Parts;
use http::{Method, StatusCode};
use std::sync::Arc;

/// The version of Kubernetes' API that is served, minor number.
pub(crate) const MINOR: &str = "33";

/// Answers a request for a page.
pub(crate) async fn serve(
    server: &Arc<Inner>,
    parts: &Parts,
    user: &User,
    path: &str,
) -> Result<Answer, Refusal> {
    let verb = parts.method.as_str().to_lowercase();
    server.authorize(&Attributes::path(user, &verb, path))?;
    if ![Method::GET, Method::HEAD].contains(&parts.method) {
        return if known(path) { Err(Refusal::method_not_allowed()) } else { unknown(path) };
    }
    let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Ok(match segments.as_slice() {
        [] => whole(&json!({ "paths": PATHS })),
        ["version"] => whole(&version()),
        ["livez" | "readyz" | "healthz", ..] => health(server, &segments).await,
        ["metrics"] => metrics::page(server),
        ["backup"] => backup::page(server),
        ["api"] => discovery::core(server, parts, accept),
        ["apis"] => discovery::groups(server, parts, accept),
        ["api", version] => discovery::version(server, "", version)?,
        ["apis", group] => discovery::group(server, group),
        ["apis", group, version] => discovery::version(server, group, version)?,
        ["openapi", "v2"] => openapi::v2(accept),
        ["openapi", "v3"] => openapi::index(server),
        ["openapi", "v3", rest @ ..] => openapi::document(server, parts, &rest.join("/")),
        [".well-known", "openid-configuration"] => issuer(server, false),
        ["openid", "v1", "jwks"] => issuer(server, true),
        _ => return unknown(path),
    })
}

const PATHS: [&str; 11] = [
    "/api",
    "/apis",
    "/backup",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
];

fn known(path: &str) -> bool {
    PATHS.contains(&path)
}

/// The page that is not there, of whatever kind it would be.
pub(crate) fn unknown(path: &str) -> Result<Answer, Refusal> {
    if path.starts_with("/apis/") {
        return Ok(nowhere());
    }
    if path.starts_with("/api/") {
        return Err(Refusal::no_such_path());
    }
    let body = format!("{}\n", json!({ "paths": PATHS }));
    Ok(json(StatusCode::NOT_FOUND, Body::Whole(body.into())))
}

/// A document that is not there.
fn nowhere() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// A page in JSON.
fn whole(value: &Value) -> Answer {
    json(StatusCode::OK, Body::Whole(format!("{value}\n").into()))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+berth-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": concat!("linux/", "amd64"),
    })
}

/// Alive: it answers. Ready: its store does, too, and it is not about to stop.
async fn health(server: &Arc<Inner>, segments: &[&str]) -> Answer {
    let alive = segments.first() == Some(&"livez");
    if alive {
        return text(StatusCode::OK, "ok");
    }
    if *server.stopping().borrow() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "[-]shutdown failed: the server is stopping\n",
        );
    }
    let trouble = match server.store.current().await {
        Ok(_) => server.store.stats().trouble,
        Err(error) => Some(error.to_string()),
    };
    match trouble {
        None => text(StatusCode::OK, "ok"),
        Some(why) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("[-]store failed: {why}\n")),
    }
}

fn issuer(server: &Inner, keys: bool) -> Answer {
    let Some(issuer) = &server.identity.issuer else { return nowhere() };
    let url = issuer.url();
    whole(&if keys { issuer.jwks() } else { issuer.discovery(&format!("{url}/openid/v1/jwks")) })
}
