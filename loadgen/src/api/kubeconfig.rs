// SPDX-License-Identifier: Apache-2.0
//! What a kubeconfig says of a server and of who one is there. It is read as JSON, which is how Berth writes it.

use super::process::authority;
use super::wire::{Door, Identity};
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::Path;

/// A server, its CA, and who one is.
#[derive(Debug)]
pub struct Kubeconfig {
    /// The server's URL.
    pub url: String,
    /// The certificate of its CA, as PEM.
    pub ca: Vec<u8>,
    /// Who one is.
    pub identity: Identity,
}

impl Kubeconfig {
    /// Reads a file; its current context counts.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let wrong = |why: String| Error::Kubeconfig { path: path.to_owned(), why };
        let config: Value = serde_json::from_str(&text).map_err(|error| {
            wrong(format!(
                "it is not JSON ({error}); `kubectl config view --raw -o json` makes it so"
            ))
        })?;
        parse(&config).map_err(wrong)
    }

    /// How to enter as the one that the file is for.
    pub fn door(&self) -> Result<Door, Error> {
        self.door_as(&self.identity)
    }

    /// How to enter as somebody else.
    pub fn door_as(&self, identity: &Identity) -> Result<Door, Error> {
        Door::new(authority(&self.url), &self.ca, identity)
    }
}

fn parse(config: &Value) -> Result<Kubeconfig, String> {
    let name = config["current-context"].as_str().ok_or("it has no current-context")?;
    let context = &named(config, "contexts", name)?["context"];
    let cluster = context["cluster"].as_str().unwrap_or_default();
    let cluster = &named(config, "clusters", cluster)?["cluster"];
    let user = context["user"].as_str().unwrap_or_default();
    let user = &named(config, "users", user)?["user"];
    let url = cluster["server"].as_str().ok_or("its cluster has no server")?.to_owned();
    let ca = data(cluster, "certificate-authority-data")?;
    let identity = match user["token"].as_str() {
        Some(token) => Identity::Token(token.to_owned()),
        None => Identity::Certificate {
            certificate: data(user, "client-certificate-data")?,
            key: data(user, "client-key-data")?,
        },
    };
    Ok(Kubeconfig { url, ca, identity })
}

fn named<'a>(config: &'a Value, list: &str, name: &str) -> Result<&'a Value, String> {
    let all = config[list].as_array().into_iter().flatten();
    let mut all = all.filter(|one| one["name"] == name);
    all.next().ok_or_else(|| format!("among its {list} there is no {name:?}"))
}

fn data(of: &Value, name: &str) -> Result<Vec<u8>, String> {
    let text = of[name].as_str().ok_or_else(|| format!("it has no {name}"))?;
    STANDARD.decode(text).map_err(|error| format!("its {name} is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_current_context_counts() {
        let cluster = json!({"server": "https://h:1", "certificate-authority-data": "Y2E="});
        let mut config = json!({
            "current-context": "b",
            "contexts": [
                {"name": "a", "context": {"cluster": "x", "user": "x"}},
                {"name": "b", "context": {"cluster": "c", "user": "u"}},
            ],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        });
        let read = parse(&config).unwrap();
        assert_eq!((&*read.url, &*read.ca), ("https://h:1", &b"ca"[..]));
        assert!(matches!(read.identity, Identity::Token(token) if token == "t"));
        config["current-context"] = json!("a");
        assert_eq!(parse(&config).unwrap_err(), "among its clusters there is no \"x\"");
    }
}
