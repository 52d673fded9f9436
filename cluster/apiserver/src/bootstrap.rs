// SPDX-License-Identifier: Apache-2.0
//! What is there from the beginning: namespaces, priority classes, roles. Whatever is missing is made at each start.

use crate::local::{CallError, Local};
use crate::server::Server;
use berth_cluster_api::Map;
use berth_cluster_auth::bootstrap::{Change, objects, reconcile};
use berth_cluster_json::{Value, json};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;

/// Namespaces that a cluster always has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// How many objects are made at a time: the store writes those that wait together.
const TOGETHER: usize = 64;
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

impl Server {
    /// Makes the first objects of a cluster, where they are missing.
    pub async fn bootstrap(&self) -> Result<(), CallError> {
        let local = Local::new(self);
        let namespace = |name| ("/api/v1/namespaces", json!({ "metadata": { "name": name } }));
        let class = |(name, value, description)| {
            let class = json!({
                "metadata": { "name": name }, "value": value, "description": description,
                "preemptionPolicy": "PreemptLowerPriority",
            });
            ("/apis/scheduling.k8s.io/v1/priorityclasses", class)
        };
        let first: Vec<_> =
            NAMESPACES.into_iter().map(namespace).chain(PRIORITIES.map(class)).collect();
        let made = first.into_iter().map(|(path, object)| make(&local, path, object));
        stream::iter(made).buffer_unordered(TOGETHER).try_collect::<Vec<()>>().await?;
        let roles = objects().into_iter().map(|(kind, wanted)| role(&local, kind, wanted));
        stream::iter(roles).buffer_unordered(TOGETHER).try_collect::<Vec<()>>().await?;
        Ok(())
    }
}

/// Creates an object; one that is there stays as it is. A kind that is not served is passed over.
async fn make(local: &Local, path: &str, object: Value) -> Result<(), CallError> {
    match local.call(Method::POST, path, Some(&object)).await {
        Err(error) if ![404, 409].contains(&error.code) => Err(error),
        _ => Ok(()),
    }
}

/// Brings a role or a binding up to date.
async fn role(local: &Local, kind: &str, wanted: Map) -> Result<(), CallError> {
    let plural = format!("{}s", kind.to_lowercase());
    let meta = wanted.get("metadata").cloned().unwrap_or_default();
    let name = meta["name"].as_str().unwrap_or_default();
    let all = match meta["namespace"].as_str() {
        Some(namespace) => format!("{ROLES}/namespaces/{namespace}/{plural}"),
        None => format!("{ROLES}/{plural}"),
    };
    let one = format!("{all}/{name}");
    let existing = local.get(&one).await?;
    match reconcile(existing.as_ref().and_then(Value::as_object), &wanted) {
        None => Ok(()),
        Some(Change::Create(object)) => make(local, &all, Value::Object(object)).await,
        Some(Change::Update(object)) => {
            local.call(Method::PUT, &one, Some(&Value::Object(object))).await.map(drop)
        }
        Some(Change::Replace(object)) => {
            local.call(Method::DELETE, &one, None).await?;
            make(local, &all, Value::Object(object)).await
        }
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
