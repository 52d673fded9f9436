// SPDX-License-Identifier: Apache-2.0
//! Tokens: those of ServiceAccounts, bound to objects as upstream's, and those of a file.

pub mod bootstrap;
mod fixed;
pub mod join;
mod key;
mod seen;
#[cfg(test)]
mod tests;

pub use fixed::{BadTokenFile, StaticTokens};
pub use key::{BadKey, SigningKey, VerifyingKey};

use crate::user::User;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use berth_cluster_json::{Map, Value, json};
use seen::Seen;
use std::fmt::Write as _;
use std::sync::Arc;

/// A longer token is not looked at: ours have about 1 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The clocks of two servers may differ by this, when a token begins.
const SKEW_SECONDS: i64 = 10;

/// Why a token was refused. It does not say more: an attacker would learn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct Invalid;

/// What exists now, so that a token dies with what it is bound to.
pub trait Lookup {
    /// Uid of a ServiceAccount.
    fn service_account(&self, namespace: &str, name: &str) -> Option<String>;
    /// Uid of a pod.
    fn pod(&self, namespace: &str, name: &str) -> Option<String>;
    /// Uid of a Secret.
    fn secret(&self, namespace: &str, name: &str) -> Option<String>;
    /// Uid of a node.
    fn node(&self, name: &str) -> Option<String>;
}

/// An object by name and uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// To a pod, and its node if it has one, which is told and not checked, as upstream.
    Pod(Object, Option<Object>),
    /// To a Secret.
    Secret(Object),
    /// To a node.
    Node(Object),
}

/// What a token is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The ServiceAccount's namespace.
    pub namespace: String,
    /// The ServiceAccount.
    pub account: Object,
    /// Who is to accept it.
    pub audiences: Vec<String>,
    /// For how many seconds.
    pub seconds: i64,
    /// What it dies with.
    pub bound: Option<Bound>,
    /// After how many seconds its use should be warned of.
    pub warn_after: Option<i64>,
}

/// A token that was accepted.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Whose it is.
    pub user: User,
    /// Those of the wanted audiences that it is for.
    pub audiences: Vec<String>,
    /// All it says.
    pub claims: Arc<Value>,
}

/// Signs and verifies tokens.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    key: SigningKey,
    /// The key that signs, and older ones whose tokens are still about.
    known: Vec<VerifyingKey>,
    seen: Seen,
}

impl Issuer {
    /// One that signs with `key`, and verifies with it and with older ones.
    pub fn new(url: &str, key: SigningKey, older: Vec<VerifyingKey>) -> Self {
        let mut known = vec![key.verifying()];
        known.extend(older);
        Self { url: url.into(), key, known, seen: Seen::default() }
    }

    /// The issuer's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a token.
    pub fn sign(&self, request: &Request, now: i64) -> Result<String, BadKey> {
        let header = json!({"alg": "ES256", "kid": self.key.id()}).to_string();
        let claims = self.claims(request, &key::random_id()?, now).to_string();
        let mut token =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(token.as_bytes())?;
        let _ = write!(token, ".{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }

    fn claims(&self, request: &Request, id: &str, now: i64) -> Value {
        let object = |one: &Object| json!({"name": one.name, "uid": one.uid});
        let mut about = Map::new();
        about.insert("namespace", request.namespace.clone().into());
        about.insert("serviceaccount", object(&request.account));
        match &request.bound {
            Some(Bound::Pod(pod, node)) => {
                about.insert("pod", object(pod));
                if let Some(node) = node {
                    about.insert("node", object(node));
                }
            }
            Some(Bound::Secret(secret)) => {
                about.insert("secret", object(secret));
            }
            Some(Bound::Node(node)) => {
                about.insert("node", object(node));
            }
            None => {}
        }
        if let Some(seconds) = request.warn_after {
            about.insert("warnafter", now.saturating_add(seconds).into());
        }
        json!({
            "iss": self.url,
            "sub": format!("system:serviceaccount:{}:{}", request.namespace, request.account.name),
            "aud": request.audiences,
            "iat": now,
            "nbf": now,
            "exp": now.saturating_add(request.seconds),
            "jti": id,
            "kubernetes.io": about,
        })
    }

    /// Whose token it is, if it is ours, for one of the audiences, of now, and what it is bound to exists.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[&str],
        now: i64,
        lookup: &dyn Lookup,
    ) -> Result<Verified, Invalid> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Invalid);
        }
        let claims = self.seen.claims(token, || self.signed_claims(token)).ok_or(Invalid)?;
        let audiences = self.check_times(&claims, audiences, now).ok_or(Invalid)?;
        let user = bound_user(&claims, lookup).ok_or(Invalid)?;
        Ok(Verified { user, audiences, claims })
    }

    /// What the token says, if one of our keys signed it.
    fn signed_claims(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        // the algorithm is ours, not the token's to choose; `crit` names what we would have to understand
        if header["alg"] != "ES256" || !header["crit"].is_null() {
            return None;
        }
        let id = header["kid"].as_str()?;
        let key = self.known.iter().find(|key| key.id() == id)?;
        if !key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The audiences in common, if issuer, audience and times hold.
    fn check_times(&self, claims: &Value, wanted: &[&str], now: i64) -> Option<Vec<String>> {
        if claims["iss"] != self.url.as_str() || claims["exp"].as_i64()? <= now {
            return None;
        }
        let latest = now.saturating_add(SKEW_SECONDS);
        if claims["nbf"].as_i64()? > latest || claims["iat"].as_i64()? > latest {
            return None;
        }
        let own = claims["aud"].as_array()?;
        let common: Vec<String> = wanted
            .iter()
            .filter(|&&one| own.iter().any(|other| other == one))
            .map(|&one| one.to_owned())
            .collect();
        (!common.is_empty()).then_some(common)
    }

    /// The keys as a JWK set, for `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.known.iter().map(VerifyingKey::to_jwk).collect::<Vec<_>>()})
    }

    /// The document of `/.well-known/openid-configuration`.
    pub fn discovery(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }
}

/// The user that claims name, if all that they are bound to exists.
fn bound_user(claims: &Value, lookup: &dyn Lookup) -> Option<User> {
    let about = claims["kubernetes.io"].as_object()?;
    let namespace = about.get("namespace")?.as_str()?;
    let account = object(about.get("serviceaccount")?)?;
    if claims["sub"] != format!("system:serviceaccount:{namespace}:{}", account.name) {
        return None;
    }
    let same = |found: Option<String>, wanted: &Object| (found? == wanted.uid).then_some(());
    same(lookup.service_account(namespace, &account.name), &account)?;
    let mut user = User::service_account(namespace, &account.name, &account.uid);
    let mut tell = |name: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
    };
    let secret = about.get("secret");
    if let Some(secret) = secret {
        let secret = object(secret)?;
        same(lookup.secret(namespace, &secret.name), &secret)?;
    }
    let pod = about.get("pod");
    if let Some(pod) = pod {
        let pod = object(pod)?;
        same(lookup.pod(namespace, &pod.name), &pod)?;
        tell("pod-name", &pod.name);
        tell("pod-uid", &pod.uid);
    }
    if let Some(node) = about.get("node") {
        let node = object(node)?;
        if pod.is_none() {
            same(lookup.node(&node.name), &node)?;
        }
        tell("node-name", &node.name);
        tell("node-uid", &node.uid);
    }
    if let Some(id) = claims["jti"].as_str() {
        tell("credential-id", &format!("JTI={id}"));
    }
    Some(user)
}

fn object(value: &Value) -> Option<Object> {
    let text = |name: &str| Some(value[name].as_str().filter(|text| !text.is_empty())?.to_owned());
    Some(Object { name: text("name")?, uid: text("uid")? })
}
