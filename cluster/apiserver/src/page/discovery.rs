// SPDX-License-Identifier: Apache-2.0
//! Which kinds there are: at once (KEP-3352), or a document for each group's version.

use super::{nowhere, whole};
use crate::accept::aggregated_discovery;
use crate::answer::{Answer, Body, json};
use crate::resources::Resources;
use crate::server::Inner;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_cluster_api::Refusal;
use berth_cluster_api::registry::{Kind, Subresource};
use berth_cluster_json::{Value, json};
use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_NONE_MATCH, VARY};
use http::request::Parts;
use ring::digest::{SHA256, digest};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// `/api`
pub(super) fn core(server: &Inner, parts: &Parts, accept: &str) -> Answer {
    if let Some(version) = aggregated_discovery(accept) {
        return aggregated(server, parts, version, true);
    }
    whole(&json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": host(parts) }],
    }))
}

/// What the client calls the server.
fn host(parts: &Parts) -> &str {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// `/apis`
pub(super) fn groups(server: &Inner, parts: &Parts, accept: &str) -> Answer {
    if let Some(version) = aggregated_discovery(accept) {
        return aggregated(server, parts, version, false);
    }
    let resources = server.resources();
    let groups: Value = names(&resources).iter().map(|group| of_group(&resources, group)).collect();
    whole(&json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
}

/// `/apis/GROUP`
pub(super) fn group(server: &Inner, group: &str) -> Answer {
    let resources = server.resources();
    if !names(&resources).contains(&group) {
        return nowhere();
    }
    let mut value = of_group(&resources, group);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    whole(&value)
}

/// Names of groups, without the core group.
fn names(resources: &Resources) -> Vec<&str> {
    let mut names: Vec<&str> =
        resources.versions().map(|(group, ..)| group).filter(|group| !group.is_empty()).collect();
    names.dedup();
    names
}

fn of_group(resources: &Resources, group: &str) -> Value {
    let versions: Vec<Value> = resources
        .versions()
        .filter(|(one, ..)| *one == group)
        .map(|(_, version, _)| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

/// `/api/VERSION`, `/apis/GROUP/VERSION`
pub(super) fn version(server: &Inner, group: &str, version: &str) -> Result<Answer, Refusal> {
    let resources = server.resources();
    let Some((.., kinds)) =
        resources.versions().find(|(one, of, _)| (*one, *of) == (group, version))
    else {
        // Of a group that is there, what is not there is told as a resource is.
        let known = group.is_empty() || names(&resources).contains(&group);
        return if known { Err(Refusal::no_such_path()) } else { Ok(nowhere()) };
    };
    let all: Value = kinds.iter().flat_map(|kind| legacy(kind)).collect();
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut value = json!({ "kind": "APIResourceList", "groupVersion": name, "resources": all });
    if !group.is_empty() {
        value["apiVersion"] = "v1".into();
    }
    Ok(whole(&value))
}

/// Verbs of a kind's objects, in order of the alphabet.
fn verbs(kind: &Kind) -> Vec<&'static str> {
    let all = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    if kind.rules.is_question() {
        return vec!["create"];
    }
    let together = kind.rules.deleted_together();
    all.into_iter().filter(|verb| together || *verb != "deletecollection").collect()
}

/// The group, version and kind of a subresource, and its verbs.
fn below(kind: &Kind, sub: Subresource) -> ([String; 3], &'static [&'static str]) {
    let of = |group: &str, version: &str, kind: &str| [group, version, kind].map(str::to_owned);
    let own = of(&kind.group, &kind.version, &kind.kind);
    let parts: &[&str] = &["get", "patch", "update"];
    match sub {
        Subresource::Status
        | Subresource::EphemeralContainers
        | Subresource::Resize
        | Subresource::Approval => (own, parts),
        Subresource::Finalize => (own, &["update"]),
        Subresource::Scale => (of("autoscaling", "v1", "Scale"), parts),
        Subresource::Binding => (of("", "v1", "Binding"), &["create"]),
        Subresource::Eviction => (of("policy", "v1", "Eviction"), &["create"]),
        Subresource::Token => (of("authentication.k8s.io", "v1", "TokenRequest"), &["create"]),
    }
}

fn legacy(kind: &Kind) -> Vec<Value> {
    let mut main = json!({
        "name": &*kind.plural, "singularName": &*kind.singular, "namespaced": kind.namespaced,
        "kind": &*kind.kind, "verbs": verbs(kind),
    });
    if !kind.rules.is_question() {
        main["storageVersionHash"] = storage_hash(kind).into();
    }
    names_of(kind, &mut main);
    let sub = |sub: &Subresource| {
        let ([group, version, name], verbs) = below(kind, *sub);
        let mut row = json!({
            "name": format!("{}/{}", kind.plural, sub.name()), "singularName": "",
            "namespaced": kind.namespaced, "kind": name, "verbs": verbs,
        });
        if (group.as_str(), version.as_str()) != (&*kind.group, &*kind.version) {
            row["version"] = version.into();
            if !group.is_empty() {
                row["group"] = group.into();
            }
        }
        row
    };
    let mut rows: Vec<Value> = kind.subresources.iter().map(sub).collect();
    rows.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    rows.insert(0, main);
    rows
}

/// Says in which group, version and kind objects are stored, without saying it.
fn storage_hash(kind: &Kind) -> String {
    let text = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
    let hash = digest(&SHA256, text.as_bytes());
    STANDARD.encode(hash.as_ref().get(..8).unwrap_or_default())
}

fn names_of(kind: &Kind, row: &mut Value) {
    let texts = |all: &[Arc<str>]| all.iter().map(|one| Value::from(&**one)).collect::<Value>();
    if !kind.short_names.is_empty() {
        row["shortNames"] = texts(&kind.short_names);
    }
    if !kind.categories.is_empty() {
        row["categories"] = texts(&kind.categories);
    }
}

fn aggregated(server: &Inner, parts: &Parts, version: &str, core: bool) -> Answer {
    let resources = server.resources();
    let mut groups: Vec<Value> = Vec::new();
    for (group, of, kinds) in resources.versions().filter(|(group, ..)| group.is_empty() == core) {
        let all: Value = kinds.iter().map(|kind| modern(kind)).collect();
        let version = json!({ "version": of, "resources": all, "freshness": "Current" });
        match groups.last_mut().filter(|last| last["metadata"]["name"] == group) {
            Some(last) => {
                if let Some(versions) = last["versions"].as_array_mut() {
                    versions.push(version);
                }
            }
            None => groups.push(json!({
                "metadata": { "name": group, "creationTimestamp": null },
                "versions": [version],
            })),
        }
    }
    let document = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": groups,
    });
    let media =
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    tagged(parts, &document, &media)
}

/// With a tag by which a client sees that it has this already.
fn tagged(parts: &Parts, document: &Value, media: &str) -> Answer {
    let text = format!("{document}\n");
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    let tag = format!("\"{:016X}\"", hasher.finish());
    let same =
        parts.headers.get(IF_NONE_MATCH).is_some_and(|have| have.as_bytes() == tag.as_bytes());
    let mut answer = if same {
        json(StatusCode::NOT_MODIFIED, Body::Whole(bytes::Bytes::new()))
    } else {
        json(StatusCode::OK, Body::Whole(text.into()))
    };
    let headers = answer.headers_mut();
    if let (Ok(tag), Ok(media)) = (HeaderValue::from_str(&tag), HeaderValue::from_str(media)) {
        headers.insert(ETAG, tag);
        headers.insert(CONTENT_TYPE, media);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    answer
}

fn modern(kind: &Kind) -> Value {
    let told = |[group, version, kind]: [String; 3]| json!({ "group": group, "version": version, "kind": kind });
    let sub = |sub: &Subresource| {
        let (of, verbs) = below(kind, *sub);
        json!({ "subresource": sub.name(), "responseKind": told(of), "verbs": verbs })
    };
    let own = [&kind.group, &kind.version, &kind.kind].map(ToString::to_string);
    let mut row = json!({
        "resource": &*kind.plural,
        "responseKind": told(own),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": &*kind.singular,
        "verbs": verbs(kind),
    });
    names_of(kind, &mut row);
    if !kind.subresources.is_empty() {
        row["subresources"] = kind.subresources.iter().map(sub).collect();
    }
    row
}
