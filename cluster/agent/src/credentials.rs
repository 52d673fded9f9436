// SPDX-License-Identifier: Apache-2.0
//! Which credentials a pod's pull secrets have for an image (upstream's `credentialprovider`). Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use berth_cluster_docker::{Credentials, Reference};
use berth_cluster_files::{Lookup, Sources};
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::Value;

/// What of Docker Hub is written in many ways.
const HUB: &str = "docker.io";

/// The credentials for an image, the best first; none if there are none that fit.
pub(crate) fn of(pod: &Pod, sources: &Sources, image: &str) -> Vec<Credentials> {
    let Ok(reference) = Reference::parse(image) else { return Vec::new() };
    let secrets = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    let mut found = Vec::new();
    for secret in secrets {
        let Some(Lookup::Found(secret)) = sources.secrets.get(&secret.name) else { continue };
        for (place, entry) in entries(secret) {
            if let Some(length) = fits(&place, reference.registry(), reference.repository())
                && let Some(credentials) = read(&entry)
            {
                found.push((length, credentials));
            }
        }
    }
    // What says more of the name comes first.
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, credentials)| credentials).collect()
}

/// Registries with what is said of them.
fn entries(secret: &Secret) -> Vec<(String, Value)> {
    let data = |key: &str| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.clone());
    let auths = match (data(".dockerconfigjson"), data(".dockercfg")) {
        (Some(json), _) => {
            let mut json: Value = serde_json::from_slice(&json).unwrap_or_default();
            json.get_mut("auths").map(Value::take).unwrap_or_default()
        }
        (None, Some(json)) => serde_json::from_slice(&json).unwrap_or_default(),
        (None, None) => Value::Null,
    };
    match auths {
        Value::Object(auths) => auths.into_iter().collect(),
        _ => Vec::new(),
    }
}

/// How much of an image's name a place says; none if it is another.
fn fits(place: &str, registry: &str, repository: &str) -> Option<usize> {
    let place = place.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let path = path.trim_matches('/');
    let is_hub = matches!(host, HUB | "index.docker.io" | "registry-1.docker.io");
    let path = if is_hub || matches!(path, "v1" | "v2") {
        path.trim_start_matches("v1").trim_start_matches("v2").trim_matches('/')
    } else {
        path
    };
    let host = if is_hub { HUB } else { host };
    let same = host.split('.').count() == registry.split('.').count()
        && host.split('.').zip(registry.split('.')).all(|(glob, part)| matches(glob, part));
    let below = path.is_empty()
        || repository
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (same && below).then_some(host.len() + path.len())
}

/// `*` stands for any part of a label.
fn matches(glob: &str, text: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

fn read(entry: &Value) -> Option<Credentials> {
    let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(token) = text("identitytoken") {
        return Some(Credentials::IdentityToken(token));
    }
    if let Some(token) = text("registrytoken") {
        return Some(Credentials::RegistryToken(token));
    }
    let from_auth = || {
        let auth = BASE64_STANDARD.decode(text("auth")?.trim()).ok()?;
        let (user, password) = std::str::from_utf8(&auth).ok()?.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    };
    let (user, password) = match (text("username"), text("password")) {
        (Some(user), Some(password)) => (user, password),
        _ => from_auth()?,
    };
    Some(Credentials::Password { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod_and_secret(config: &Value) -> (Pod, Sources) {
        let pod = json!({"spec": {"containers": [], "imagePullSecrets": [{"name": "absent"}, {"name": "s"}]}});
        let config = BASE64_STANDARD.encode(config.to_string());
        let secret = json!({"data": {".dockerconfigjson": config}});
        let mut sources = Sources::default();
        let secret: Secret = serde_json::from_value(secret).unwrap();
        sources.secrets.insert("s".into(), Lookup::found(secret));
        (serde_json::from_value(pod).unwrap(), sources)
    }

    #[test]
    fn what_says_more_of_the_name_comes_first() {
        let auth = BASE64_STANDARD.encode("u:p:q");
        let (pod, sources) = pod_and_secret(&json!({"auths": {
            "reg.example:5000": {"username": "a", "password": "b"},
            "https://reg.example:5000/team": {"auth": auth},
            "reg.example:5000/teams": {"identitytoken": "t"},
            "https://index.docker.io/v1/": {"registrytoken": "hub"},
            "*.cloud.example": {"username": "c", "password": "d"},
            "broken.example": {"auth": "?"},
        }}));
        let password = |user: &str, password: &str| Credentials::Password {
            user: user.into(),
            password: password.into(),
        };
        let of = |image| of(&pod, &sources, image);
        assert_eq!(of("reg.example:5000/team/web:1"), [password("u", "p:q"), password("a", "b")]);
        assert_eq!(of("reg.example:5000/other"), [password("a", "b")]);
        assert_eq!(of("busybox"), [Credentials::RegistryToken("hub".into())]);
        assert_eq!(of("eu.cloud.example/x"), [password("c", "d")]);
        assert!(of("a.b.cloud.example/x").is_empty() && of("broken.example/x").is_empty());
    }

    #[test]
    fn what_is_no_configuration_has_no_credentials() {
        for config in [json!(null), json!([]), json!({"auths": 7}), json!({"auths": {"x": 7}})] {
            let (pod, sources) = pod_and_secret(&config);
            assert!(of(&pod, &sources, "x/y").is_empty(), "{config}");
        }
    }
}
