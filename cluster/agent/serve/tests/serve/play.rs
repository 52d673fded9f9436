// SPDX-License-Identifier: Apache-2.0
//! The API, as far as the server asks it.

use berth_cluster_client::Api;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Users by their tokens.
    pub(crate) tokens: BTreeMap<String, String>,
    /// What a user may, as `verb subresource`; `*` for all.
    pub(crate) rights: BTreeMap<String, Vec<String>>,
    pub(crate) away: bool,
    /// Questions.
    pub(crate) asked: Vec<Value>,
}

/// The API, shared with the test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Play(pub(crate) Arc<Mutex<Played>>);

impl Play {
    pub(crate) fn api(&self) -> Api {
        Api::within(self.clone(), ())
    }

    pub(crate) fn allow(&self, user: &str, rights: &[&str]) {
        let rights = rights.iter().map(|&right| right.to_owned()).collect();
        self.0.lock().unwrap().rights.insert(user.to_owned(), rights);
    }

    fn answer(&self, path: &str, body: &[u8]) -> Value {
        let review: Value = serde_json::from_slice(body).unwrap();
        let mut played = self.0.lock().unwrap();
        played.asked.push(review.clone());
        let spec = &review["spec"];
        let status = match path {
            "/apis/authentication.k8s.io/v1/tokenreviews" => {
                let user = played.tokens.get(spec["token"].as_str().unwrap());
                match user {
                    Some(user) => {
                        json!({"authenticated": true, "user": {"username": user, "groups": ["g"]}})
                    }
                    None => json!({"authenticated": false}),
                }
            }
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                let what = &spec["resourceAttributes"];
                assert_eq!(
                    (&what["resource"], &what["name"]),
                    (&json!("nodes"), &json!("the-node"))
                );
                let right = format!(
                    "{} {}",
                    what["verb"].as_str().unwrap(),
                    what["subresource"].as_str().unwrap()
                );
                let rights = played.rights.get(spec["user"].as_str().unwrap());
                let may =
                    rights.is_some_and(|all| all.iter().any(|one| *one == right || one == "*"));
                json!({"allowed": may})
            }
            other => panic!("{other} is asked"),
        };
        let mut answer = review;
        answer["status"] = status;
        answer
    }
}

impl tower_service::Service<Request<Body>> for Play {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let play = self.clone();
        Box::pin(async move {
            if play.0.lock().unwrap().away {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let answer = play.answer(&path, &body);
            Ok(Response::new(Full::from(answer.to_string())))
        })
    }
}
