// SPDX-License-Identifier: Apache-2.0
//! Who asks, and may they: the API decides both, and is asked again after a moment.
//!
//! A certificate that the listener let through names its user; of a token the API tells whose it is (`TokenReview`). What the user may is
//! asked for each request (`SubjectAccessReview`), as rights on subresources of this node. Nobody is let in unnamed.

use crate::answer::Refused;
use crate::cache::{Cache, key};
use crate::limits::{NO, QUESTION, QUESTIONS, TOKEN_MAX, YES};
use crate::route::{subresources, verb};
use berth_cluster_auth::user::User;
use berth_cluster_client::Api;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Gate {
    api: Api,
    node: String,
    users: Cache<Option<Arc<User>>>,
    rights: Cache<bool>,
    places: Semaphore,
}

/// The API did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the API does not say: {0}")]
struct Silent(String);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Review {
    status: ReviewStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    authenticated: bool,
    user: ReviewUser,
    allowed: bool,
    denied: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReviewUser {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Gate {
    pub(crate) fn new(api: Api, node: &str) -> Self {
        let (users, rights) = (Cache::new(), Cache::new());
        Self { api, node: node.to_owned(), users, rights, places: Semaphore::new(QUESTIONS) }
    }

    /// Lets a request in, or says why not.
    pub(crate) async fn pass(
        &self,
        peer: Option<Arc<User>>,
        (method, path): (&Method, &str),
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        let nobody = || Refused::new(StatusCode::UNAUTHORIZED, "Unauthorized");
        let user = match peer {
            Some(user) => user,
            None => self.of_token(headers).await.ok_or_else(nobody)?,
        };
        let (verb, subresources) = (verb(method), subresources(path));
        let words = |begin: &str| {
            let all = subresources.join(" ");
            format!(
                "{begin} (user={}, verb={verb}, resource=nodes, subresource(s)=[{all}])",
                user.name
            )
        };
        for subresource in &subresources {
            match self.may(&user, verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "a right could not be looked up");
                    let words = words("Authorization error");
                    return Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, words));
                }
            }
        }
        Err(Refused::new(StatusCode::FORBIDDEN, words("Forbidden")))
    }

    /// The user of a request's token, if it has one that the API knows.
    async fn of_token(&self, headers: &HeaderMap) -> Option<Arc<User>> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (header, None) = (all.next()?.to_str().ok()?, all.next()) else { return None };
        let (scheme, token) = header.split_once(' ')?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > TOKEN_MAX {
            return None;
        }
        let key = key(token.as_bytes());
        if let Some(known) = self.users.get(&key) {
            return known;
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token},
        });
        let status = match self.ask(TOKEN_REVIEWS, &review).await {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!(%error, "a token could not be looked up");
                return None;
            }
        };
        let ReviewUser { username, uid, groups, extra } = status.user;
        let user = (status.authenticated && !username.is_empty())
            .then(|| Arc::new(User { name: username, uid, groups, extra }));
        self.users.put(key, user.clone(), if user.is_some() { YES } else { NO });
        user
    }

    async fn may(&self, user: &User, verb: &str, subresource: &str) -> Result<bool, Silent> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
                "resourceAttributes": {
                    "verb": verb, "group": "", "version": "v1", "resource": "nodes",
                    "subresource": subresource, "name": self.node,
                },
            },
        });
        let key = key(review.to_string().as_bytes());
        if let Some(known) = self.rights.get(&key) {
            return Ok(known);
        }
        let status = self.ask(ACCESS_REVIEWS, &review).await?;
        let may = status.allowed && !status.denied;
        self.rights.put(key, may, if may { YES } else { NO });
        Ok(may)
    }

    async fn ask(&self, path: &str, review: &Value) -> Result<ReviewStatus, Silent> {
        let asking = async {
            let _place = self.places.acquire().await.map_err(|error| Silent(error.to_string()))?;
            let answer = self.api.post(path, Bytes::from(review.to_string())).await;
            let answer = answer.map_err(|error| Silent(error.to_string()))?;
            serde_json::from_slice::<Review>(&answer).map_err(|error| Silent(error.to_string()))
        };
        let late = |_| Silent("no answer in time".to_owned());
        Ok(timeout(QUESTION, asking).await.map_err(late)??.status)
    }
}
