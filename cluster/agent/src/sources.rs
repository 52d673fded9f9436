// SPDX-License-Identifier: Apache-2.0
//! The objects that a pod refers to, read from the API each time they are needed: what containers and volumes are made of is never old.

use crate::shared::Shared;
use berth_cluster_client::{CallError, clock};
use berth_cluster_files::{Claim, Lookup, Needs, Sources, Token, TokenNeed};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long it is waited at most for the list of Services to come.
const SERVICES: Duration = Duration::from_secs(10);
/// Part of a token's life, in hundredths, after which it is renewed, and the longest time that one is kept (upstream's token manager).
const RENEW_PERCENT: i64 = 80;
const RENEW_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// A token, and when to renew it, in microseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    token: Token,
    renew: i64,
}

/// Tokens of a pod.
pub(crate) type Tokens = BTreeMap<TokenNeed, Kept>;

enum Got {
    ConfigMap(String, Lookup<ConfigMap>),
    Secret(String, Lookup<Secret>),
    Claim(String, Lookup<Claim>),
    Token(TokenNeed, Result<Kept, String>),
}

/// Reads what `needs` says. Tokens that were kept are taken as long as they are young.
pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    pod: &Pod,
    needs: Needs,
    kept: &mut Tokens,
) -> Sources {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let mut calls = JoinSet::new();
    for name in needs.config_maps {
        let (shared, path) = (Arc::clone(shared), path(&namespace, "configmaps", &name));
        calls.spawn(async move { Got::ConfigMap(name, look_up(&shared, &path).await) });
    }
    let secrets: BTreeSet<String> = needs.secrets.into_iter().chain(needs.pull_secrets).collect();
    for name in secrets {
        let (shared, path) = (Arc::clone(shared), path(&namespace, "secrets", &name));
        calls.spawn(async move { Got::Secret(name, look_up(&shared, &path).await) });
    }
    for name in needs.claims {
        let (shared, namespace) = (Arc::clone(shared), namespace.clone());
        calls.spawn(
            async move { Got::Claim(name.clone(), claim(&shared, &namespace, &name).await) },
        );
    }
    kept.retain(|need, _| needs.tokens.contains(need));
    let now = shared.micros();
    for need in needs.tokens {
        if kept.get(&need).is_some_and(|kept| now < kept.renew) {
            continue;
        }
        let (shared, request) = (Arc::clone(shared), Request::of(pod, &need));
        calls.spawn(async move { Got::Token(need, request.send(&shared).await) });
    }
    let mut sources = Sources::default();
    while let Some(done) = calls.join_next().await {
        match done {
            Ok(Got::ConfigMap(name, found)) => drop(sources.config_maps.insert(name, found)),
            Ok(Got::Secret(name, found)) => drop(sources.secrets.insert(name, found)),
            Ok(Got::Claim(name, found)) => drop(sources.claims.insert(name, found)),
            Ok(Got::Token(need, Ok(token))) => drop(kept.insert(need, token)),
            // An old one does until it is over.
            Ok(Got::Token(need, Err(why))) if !kept.contains_key(&need) => {
                sources.tokens.insert(need, Lookup::Failed(why));
            }
            Ok(Got::Token(..)) | Err(_) => {}
        }
    }
    for (need, kept) in kept {
        sources.tokens.insert(need.clone(), Lookup::found(kept.token.clone()));
    }
    sources
}

/// What containers are told of Services. An error if they are not known yet.
pub(crate) async fn services(shared: &Shared, sources: &mut Sources) -> Result<(), String> {
    if tokio::time::timeout(SERVICES, shared.services.synced()).await.is_err() {
        return Err(
            "services have not yet been read at least once, cannot construct envvars".to_owned()
        );
    }
    let all = shared.services.all();
    sources.services = all.iter().filter_map(|service| service.view.0.clone()).collect();
    Ok(())
}

fn path(namespace: &str, plural: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}/{name}")
}

async fn get<T: DeserializeOwned>(shared: &Shared, path: &str) -> Result<Option<T>, String> {
    match shared.settings.api.get(path).await {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(text(&error)),
    }
}

async fn look_up<T: DeserializeOwned>(shared: &Shared, path: &str) -> Lookup<T> {
    match get(shared, path).await {
        Ok(Some(found)) => Lookup::found(found),
        Ok(None) => Lookup::Absent,
        Err(why) => Lookup::Failed(why),
    }
}

async fn claim(shared: &Shared, namespace: &str, name: &str) -> Lookup<Claim> {
    let found = get(shared, &path(namespace, "persistentvolumeclaims", name)).await;
    let claim: PersistentVolumeClaim = match found {
        Ok(Some(claim)) => claim,
        Ok(None) => return Lookup::Absent,
        Err(why) => return Lookup::Failed(why),
    };
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
    let mut found = Claim { claim, volume: None };
    if let Some(volume) = volume.filter(|name| !name.is_empty()) {
        let path = format!("/api/v1/persistentvolumes/{volume}");
        match get::<PersistentVolume>(shared, &path).await {
            Ok(volume) => found.volume = volume,
            Err(why) => return Lookup::Failed(why),
        }
    }
    Lookup::found(found)
}

/// What of an error is for users: the server's words.
pub(crate) fn text(error: &CallError) -> String {
    match error {
        CallError::Refused { message, .. } if !message.is_empty() => message.clone(),
        other => other.to_string(),
    }
}

/// The status of an object in an answer, and its uid; nothing if there are none.
pub(crate) fn status(answer: &[u8]) -> (Value, String) {
    let mut answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let uid = answer["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    (answer.get_mut("status").map(Value::take).unwrap_or_default(), uid)
}

/// A request for a token that is bound to a pod.
struct Request {
    path: String,
    body: Value,
    seconds: i64,
}

impl Request {
    fn of(pod: &Pod, need: &TokenNeed) -> Self {
        let meta = &pod.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let audiences: Vec<&str> =
            Some(need.audience.as_str()).filter(|name| !name.is_empty()).into_iter().collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": audiences, "expirationSeconds": need.seconds,
                "boundObjectRef": {
                    "apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid,
                },
            },
        });
        let path = format!("{}/token", path(namespace, "serviceaccounts", account));
        Self { path, body, seconds: need.seconds }
    }

    async fn send(self, shared: &Shared) -> Result<Kept, String> {
        let answer = shared.settings.api.post(&self.path, self.body.to_string().into()).await;
        let answer = answer.map_err(|error| format!("failed to fetch token: {}", text(&error)))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let status = &answer["status"];
        let token = status["token"].as_str().ok_or("failed to fetch token: the answer has none")?;
        let now = shared.micros();
        let end = status["expirationTimestamp"].as_str().and_then(clock::parse);
        let life = end.map_or(self.seconds.saturating_mul(1_000_000), |end| end - now);
        let renew = now.saturating_add((life / 100 * RENEW_PERCENT).min(RENEW_MICROS));
        Ok(Kept { token: Token(token.to_owned()), renew })
    }
}
