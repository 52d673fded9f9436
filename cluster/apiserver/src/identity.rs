// SPDX-License-Identifier: Apache-2.0
//! Who asks: an in-process caller, a client's certificate, a token, or nobody.

use berth_cluster_api::Refusal;
use berth_cluster_auth::token::bootstrap::{BootstrapToken, NAMESPACE};
use berth_cluster_auth::token::{Issuer, Lookup, StaticTokens};
use berth_cluster_auth::user::User;
use berth_cluster_store::Store;
use http::header::AUTHORIZATION;
use http::request::Parts;
use std::sync::Arc;

/// Who calls from within the process. It travels as an extension of the request, which no header can set.
#[derive(Debug, Clone)]
pub struct Caller(pub User);

/// Whom the certificate of a connection names; set by the listener.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Arc<User>);

/// What is believed.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) tokens: StaticTokens,
    pub(crate) issuer: Option<Arc<Issuer>>,
    /// What tokens have to be for.
    pub(crate) audiences: Vec<String>,
}

impl Identity {
    /// Who asks; 401 for a credential that does not hold.
    pub(crate) fn user(&self, parts: &Parts, now: i64, store: &Store) -> Result<User, Refusal> {
        if let Some(Caller(user)) = parts.extensions.get() {
            return Ok(user.clone());
        }
        if let Some(Peer(user)) = parts.extensions.get() {
            return Ok(user.as_ref().clone());
        }
        let Some(header) = parts.headers.get(AUTHORIZATION) else { return Ok(User::anonymous()) };
        let bearer = header.to_str().ok().and_then(|text| text.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = bearer.map(|(_, token)| token.trim()).ok_or_else(unauthorized)?;
        let audiences: Vec<&str> = self.audiences.iter().map(String::as_str).collect();
        let found = self.holder(token, &audiences, now, store);
        found.map(|(user, _)| user).ok_or_else(unauthorized)
    }

    /// Whose token it is, and for which of the wanted audiences. A token that says nothing of audiences is for this server's.
    pub(crate) fn holder(
        &self,
        token: &str,
        audiences: &[&str],
        now: i64,
        store: &Store,
    ) -> Option<(User, Vec<String>)> {
        let known = self.tokens.user(token).cloned().or_else(|| joining(token, now, store));
        if let Some(user) = known {
            let own = |one: &&&str| self.audiences.iter().any(|own| own == **one);
            let common: Vec<String> =
                audiences.iter().filter(own).map(|&one| one.to_owned()).collect();
            let ours = !common.is_empty() || audiences.is_empty();
            return ours.then_some((user, common));
        }
        let verified = self.issuer.as_ref()?.verify(token, audiences, now, &Stored(store)).ok()?;
        Some((verified.user, verified.audiences))
    }
}

/// Who wants to join by a bootstrap token.
fn joining(token: &str, now: i64, store: &Store) -> Option<User> {
    let token = BootstrapToken::parse(token)?;
    let entry = store.get(&format!("secrets/{NAMESPACE}/{}", token.secret_name()))?;
    token.user(&crate::shape::parse(&entry.bytes).ok()?, now)
}

fn unauthorized() -> Refusal {
    Refusal::new(401, "Unauthorized", "Unauthorized")
}

/// What tokens are bound to, as the store has it.
pub(crate) struct Stored<'a>(pub(crate) &'a Store);

impl Stored<'_> {
    fn uid(&self, key: &str) -> Option<String> {
        self.0.get(key).map(|entry| entry.meta.uid.clone())
    }
}

impl Lookup for Stored<'_> {
    fn service_account(&self, namespace: &str, name: &str) -> Option<String> {
        self.uid(&format!("serviceaccounts/{namespace}/{name}"))
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<String> {
        self.uid(&format!("pods/{namespace}/{name}"))
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<String> {
        self.uid(&format!("secrets/{namespace}/{name}"))
    }

    fn node(&self, name: &str) -> Option<String> {
        self.uid(&format!("nodes/{name}"))
    }
}
