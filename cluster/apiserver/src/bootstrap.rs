// SPDX-License-Identifier: Apache-2.0
//! What is there from the beginning: namespaces, priority classes, roles. Whatever is missing is made at each start.

use crate::identity::Caller;
use crate::server::Server;
use berth_cluster_api::Refusal;
use berth_cluster_auth::user::{MASTERS, User};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

/// Namespaces that a cluster always has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl Server {
    /// Makes the first objects of a cluster, where they are missing.
    pub async fn bootstrap(&self) -> Result<(), Refusal> {
        for name in NAMESPACES {
            self.make("/api/v1/namespaces", &json!({ "metadata": { "name": name } })).await?;
        }
        for (name, value, description) in PRIORITIES {
            let class = json!({
                "metadata": { "name": name }, "value": value, "description": description,
                "preemptionPolicy": "PreemptLowerPriority",
            });
            self.make("/apis/scheduling.k8s.io/v1/priorityclasses", &class).await?;
        }
        Ok(())
    }

    /// Creates an object as the server itself; one that is there stays as it is. A kind that is not served is passed over.
    async fn make(&self, path: &str, object: &Value) -> Result<(), Refusal> {
        let user = User::authenticated("system:apiserver", "", vec![MASTERS.to_owned()]);
        let mut request = Request::new(Full::new(Bytes::from(object.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(Refusal::internal)?;
        let media = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, media);
        request.extensions_mut().insert(Caller(user));
        let answer = self.answer(request).await;
        let status = answer.status();
        let fine = [StatusCode::CREATED, StatusCode::CONFLICT, StatusCode::NOT_FOUND];
        if fine.contains(&status) {
            return Ok(());
        }
        let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let status: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        let why = status["message"].as_str().unwrap_or("no answer");
        Err(Refusal::internal(format!("{path}: {why}")))
    }
}

/// Upstream's system classes.
const PRIORITIES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
