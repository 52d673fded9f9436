// SPDX-License-Identifier: Apache-2.0
//! What a machine needs that wants to join: the ConfigMap `cluster-info` says where the cluster is and by which CA, signed by each bootstrap
//! token (upstream's bootstrapsigner), and tokens whose time is over are removed (upstream's tokencleaner).

use crate::local::{CallError, Local};
use crate::server::Server;
use crate::shape::parse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use berth_cluster_api::Map;
use berth_cluster_auth::token::bootstrap::{
    BootstrapToken, NAMESPACE, SECRET_PREFIX, SECRET_TYPE, is_expired, is_for,
};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Interest, Watch};
use http::Method;
use std::collections::BTreeMap;
use std::time::Duration;

const PUBLIC: &str = "kube-public";
const INFO: &str = "cluster-info";
const CONTENT: &str = "kubeconfig";
/// What the names of signatures begin with; the token's id follows.
const SIGNATURE: &str = "jws-kubeconfig-";
/// How often tokens are looked at though nothing has changed: their time may be over.
const PERIOD: Duration = Duration::from_secs(10);
/// Changes of these namespaces' objects that wait at most, in bytes.
const BUDGET: usize = 16 << 20;

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Duties {
    /// Tokens whose time is over are removed.
    pub(super) clean: bool,
    /// `cluster-info` is signed.
    pub(super) sign: bool,
    /// What `cluster-info` says, where it is made.
    pub(super) info: Option<String>,
}

/// What tells a client where the cluster is, without a user.
pub(super) fn kubeconfig(url: &str, ca: &str) -> String {
    let ca = BASE64_STANDARD.encode(ca);
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: {url}\n  name: \"\"\n\
         contexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {{}}\nusers: null\n"
    )
}

/// Runs until it is aborted.
pub(super) async fn run(server: Server, duties: Duties) {
    let local = Local::new(&server);
    loop {
        let watches = [format!("secrets/{NAMESPACE}/"), format!("configmaps/{PUBLIC}/")];
        let watches = watches.map(|prefix| watch(&server, prefix));
        if let [Some(mut secrets), Some(mut maps)] = watches {
            loop {
                if let Err(error) = reconcile(&server, &local, &duties).await {
                    tracing::warn!(%error, "bootstrap tokens are not as they should be");
                }
                let timer = tokio::time::sleep(PERIOD);
                let ended = tokio::select! {
                    event = secrets.next() => event.is_err(),
                    event = maps.next() => event.is_err(),
                    () = timer => false,
                };
                // What came at once is looked at once.
                while secrets.try_next().is_some() || maps.try_next().is_some() {}
                if ended {
                    break;
                }
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn watch(server: &Server, prefix: String) -> Option<Watch> {
    let store = &server.0.store;
    store.watch(Interest { prefix, ..Interest::default() }, store.revision(), BUDGET).ok()
}

async fn reconcile(server: &Server, local: &Local, duties: &Duties) -> Result<(), CallError> {
    let prefix = format!("secrets/{NAMESPACE}/{SECRET_PREFIX}");
    let within = format!("secrets/{NAMESPACE}/");
    let listing =
        server.0.store.list(&within, None, None, 0, &|entry| entry.key.starts_with(&prefix));
    let entries = listing.map(|listing| listing.entries).unwrap_or_default();
    let secrets: Vec<Map> = entries.iter().filter_map(|entry| parse(&entry.bytes).ok()).collect();
    let now = server.0.environment.now().seconds;
    if duties.clean {
        for secret in secrets.iter().filter(|secret| is_over(secret, now)) {
            let meta = &secret["metadata"];
            let path = format!(
                "/api/v1/namespaces/{NAMESPACE}/secrets/{}",
                meta["name"].as_str().unwrap_or_default()
            );
            let options = json!({ "preconditions": { "uid": meta["uid"] } });
            match local.call(Method::DELETE, &path, Some(&options)).await {
                Err(error) if ![404, 409].contains(&error.code) => return Err(error),
                _ => {}
            }
        }
    }
    if duties.sign { sign(local, duties, &secrets, now).await } else { Ok(()) }
}

fn is_over(secret: &Map, now: i64) -> bool {
    let token = secret.get("type").and_then(Value::as_str) == Some(SECRET_TYPE);
    token && is_expired(secret, now)
}

async fn sign(local: &Local, duties: &Duties, secrets: &[Map], now: i64) -> Result<(), CallError> {
    let all = format!("/api/v1/namespaces/{PUBLIC}/configmaps");
    let one = format!("{all}/{INFO}");
    let map = match (local.get(&one).await?, &duties.info) {
        (Some(map), _) => map,
        (None, None) => return Ok(()),
        (None, Some(info)) => {
            let map = json!({ "metadata": { "name": INFO }, "data": { CONTENT: info } });
            match local.call(Method::POST, &all, Some(&map)).await {
                // Another server was faster, or the namespace is not there yet: its change wakes us.
                Err(error) if [404, 409].contains(&error.code) => return Ok(()),
                made => made?,
            }
        }
    };
    let Some(change) = resigned(&map["data"], secrets, now) else { return Ok(()) };
    let patch = json!({
        "metadata": { "resourceVersion": map["metadata"]["resourceVersion"] }, "data": change,
    });
    match local.call(Method::PATCH, &one, Some(&patch)).await {
        Err(error) if ![404, 409].contains(&error.code) => Err(error),
        _ => Ok(()),
    }
}

/// The change of the map's data after which it has the signatures of all tokens that sign, and no others.
fn resigned(data: &Value, secrets: &[Map], now: i64) -> Option<Value> {
    let content = data[CONTENT].as_str()?;
    let signs = |secret: &&Map| is_for(secret, "signing") && !is_expired(secret, now);
    let tokens = secrets.iter().filter(signs).filter_map(BootstrapToken::of_secret);
    let wanted: BTreeMap<String, Value> = tokens
        .map(|token| (format!("{SIGNATURE}{}", token.id), token.sign(content).into()))
        .collect();
    let mut change = Map::new();
    for (name, _) in data.as_object()? {
        if name.starts_with(SIGNATURE) && !wanted.contains_key(name.as_str()) {
            change.insert(name.clone(), Value::Null);
        }
    }
    for (name, signature) in wanted {
        if data[&*name] != signature {
            change.insert(name, signature);
        }
    }
    (!change.is_empty()).then(|| change.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: &str, usage: &str) -> Map {
        let text = |text: &str| BASE64_STANDARD.encode(text);
        let secret = json!({
            "metadata": { "name": format!("bootstrap-token-{id}") }, "type": SECRET_TYPE,
            "data": {
                "token-id": text(id), "token-secret": text("0123456789abcdef"), (usage): text("true"),
                "expiration": text("1970-01-01T00:01:40Z"),
            },
        });
        secret.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn each_token_that_signs_has_a_signature_and_what_is_as_it_should_be_stays() {
        let signs = "usage-bootstrap-signing";
        let secrets = [secret("aaaaaa", signs), secret("bbbbbb", "usage-bootstrap-authentication")];
        let data = json!({ "kubeconfig": "text", "other": "x", "jws-kubeconfig-cccccc": "old" });
        let change = resigned(&data, &secrets, 99).expect("a change");
        let token = BootstrapToken::parse("aaaaaa.0123456789abcdef").expect("a token");
        let signature = change["jws-kubeconfig-aaaaaa"].as_str().expect("a signature");
        assert!(token.verify("text", signature), "{signature}");
        assert_eq!(change.as_object().map(Map::len), Some(2));
        assert!(change["jws-kubeconfig-cccccc"].is_null());
        let data = json!({ "kubeconfig": "text", "jws-kubeconfig-aaaaaa": signature });
        assert_eq!(resigned(&data, &secrets, 99), None);
        let over = resigned(&data, &secrets, 100).expect("a change");
        assert_eq!(over, json!({ "jws-kubeconfig-aaaaaa": null }));
        assert_eq!(resigned(&json!({ "jws-kubeconfig-aaaaaa": "x" }), &secrets, 99), None);
        assert!(is_over(&secrets[0], 100) && !is_over(&secrets[0], 99));
    }
}
