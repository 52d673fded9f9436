// SPDX-License-Identifier: Apache-2.0
//! What attacks share: a cluster with something to steal, and who would.

use super::{Call, Cluster, rule};
use serde_json::json;

pub const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
pub const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// What must never come out.
pub const MARK: &str = "c2VjcmV0LW1hcms=";

/// A cluster with a secret in `kube-system` and one in `t1`, and `u`, who may do anything with the core group in `t1`.
pub async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    prepare(&cluster).await;
    cluster
}

pub async fn prepare(cluster: &Cluster) {
    let secret = json!({ "metadata": { "name": "top" }, "data": { "a": MARK } });
    cluster.make("/api/v1/namespaces/kube-system/secrets", secret).await;
    let secret = json!({ "metadata": { "name": "own" }, "data": { "a": "b3du" } });
    cluster.make("/api/v1/namespaces/t1/secrets", secret).await;
    cluster.grant("u", "t1", rule(&["*"], &["*"])).await;
    let rbac = json!([{
        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"],
        "verbs": ["get", "list", "create", "update", "patch", "delete"],
    }]);
    cluster.grant("u", "t1", rbac).await;
}

impl Cluster {
    pub fn as_u(&self, method: &str, path: &str) -> Call {
        self.call(method, path).user("u", &[])
    }
}

/// Each call gets one of the answers that are right, and nothing that is secret.
pub async fn check(attack: u8, rows: Vec<(&str, Call, &[u16])>) {
    for (what, call, wanted) in rows {
        let reply = call.reply().await;
        let text = reply.text();
        assert!(wanted.contains(&reply.status), "attack {attack}, {what}: {} {text}", reply.status);
        assert!(!text.contains(MARK), "attack {attack}, {what}: it tells the secret");
    }
}
