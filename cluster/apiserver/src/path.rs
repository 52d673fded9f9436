// SPDX-License-Identifier: Apache-2.0
//! What a path asks for. The same value is authorized and routed, so that the two cannot differ.

use berth_cluster_api::Refusal;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An API resource.
    Resource(Resource),
    /// Anything else: discovery, health, metrics.
    Page(String),
}

/// A resource, as in the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace; empty if there is none.
    pub namespace: String,
    /// Resource in the plural.
    pub resource: String,
    /// Name of the object; empty if the path is of the collection.
    pub name: String,
    /// Subresource; empty if there is none.
    pub subresource: String,
    /// What follows the subresource.
    pub rest: Vec<String>,
    /// The path begins with the deprecated `watch/`.
    pub watch: bool,
}

/// Reads a path.
///
/// # Errors
/// A path that is not canonical: empty or dotted segments, encoded slashes, bytes that are no text.
pub fn parse(path: &str) -> Result<Target, Refusal> {
    let page = || Ok(Target::Page(path.to_owned()));
    let Some(rest) = path.strip_prefix('/') else { return Err(not_canonical()) };
    let (core, rest) = match rest.split_once('/') {
        Some(("api", rest)) => (true, rest),
        Some(("apis", rest)) => (false, rest),
        _ => return page(),
    };
    // Client libraries ask for `/apis/` and `/api/v1/`.
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() && !path.ends_with("//") {
        return page();
    }
    let mut segments = rest.split('/').map(segment);
    let mut next = || segments.next().unwrap_or_else(|| Ok(String::new()));
    let group = if core { String::new() } else { next()? };
    let version = next()?;
    let parts: Vec<String> = segments.collect::<Result<_, _>>()?;
    if parts.is_empty() {
        return page();
    }
    Ok(Target::Resource(resource(group, version, parts)))
}

fn resource(group: String, version: String, mut parts: Vec<String>) -> Resource {
    let watch = parts.len() > 1 && parts[0] == "watch";
    if watch {
        parts.remove(0);
    }
    let mut namespace = String::new();
    if parts[0] == "namespaces" && parts.len() > 1 {
        namespace.clone_from(&parts[1]);
        if parts.len() > 2 && !["status", "finalize"].contains(&parts[2].as_str()) {
            parts.drain(..2);
        }
    }
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let (resource, name, subresource) = (next(), next(), next());
    Resource {
        group,
        version,
        namespace,
        resource,
        name,
        subresource,
        rest: parts.collect(),
        watch,
    }
}

/// A segment without percent-encoding.
fn segment(text: &str) -> Result<String, Refusal> {
    let decoded = if text.bytes().any(|byte| byte == b'%') {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map_err(|_| not_canonical())?
    } else {
        text.into()
    };
    let odd = decoded.is_empty() || decoded == "." || decoded == "..";
    if odd || decoded.bytes().any(|byte| byte == b'/' || byte == 0) {
        return Err(not_canonical());
    }
    Ok(decoded.into_owned())
}

fn not_canonical() -> Refusal {
    Refusal::bad_request(
        "the path of the request is not canonical: it has an empty, dotted or encoded segment",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Resource {
        let Ok(Target::Resource(resource)) = parse(path) else { panic!("{path}") };
        resource
    }

    #[test]
    fn paths_are_taken_apart() {
        let pod = of("/api/v1/namespaces/a/pods/b/log");
        assert_eq!((pod.namespace.as_str(), pod.resource.as_str()), ("a", "pods"));
        assert_eq!((pod.name.as_str(), pod.subresource.as_str()), ("b", "log"));
        let namespace = of("/api/v1/namespaces/a/finalize");
        assert_eq!((namespace.resource.as_str(), namespace.name.as_str()), ("namespaces", "a"));
        assert_eq!(
            (namespace.namespace.as_str(), namespace.subresource.as_str()),
            ("a", "finalize")
        );
        let all = of("/apis/apps/v1/deployments");
        assert_eq!(
            (all.group.as_str(), all.namespace.as_str(), all.name.as_str()),
            ("apps", "", "")
        );
        assert!(of("/api/v1/watch/namespaces/a/pods").watch);
        assert_eq!(of("/api/v1/namespaces/a/pods/b%20c").name, "b c");
        assert!(matches!(parse("/version"), Ok(Target::Page(_))));
        for page in
            ["/apis/apps/v1", "/apis/apps/v1/", "/apis/apps/", "/apis/", "/api/", "/api/v1/"]
        {
            assert!(matches!(parse(page), Ok(Target::Page(_))), "{page}");
        }
    }

    #[test]
    fn what_could_mean_another_place_is_refused() {
        for path in [
            "/api/v1/namespaces/%2e%2e/pods",
            "/api/v1/namespaces/a%2f..%2fkube-system/secrets",
            "/api/v1/namespaces/a/../kube-system/secrets",
            "/api/v1//secrets",
            "/apis//",
            "/api/v1/namespaces/%ff/pods",
            "/api/v1/namespaces/a%00/pods",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
        assert!(
            matches!(parse("//api/v1/secrets"), Ok(Target::Page(_))),
            "a page that is not there"
        );
    }
}
