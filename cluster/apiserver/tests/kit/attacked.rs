// SPDX-License-Identifier: Apache-2.0
//! What attacks share: a cluster with something to steal, and who would.

use super::{Call, Cluster, Random, rule};
use berth_cluster_api::registry::{Kind, Rules};
use berth_cluster_api::schema::Schema;
use berth_cluster_json::json;
use std::sync::Arc;

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

/// A kind without rules that is served beside the built-in ones.
pub fn dynamic(group: &str, plural: &str, kind: &str, namespaced: bool) -> Kind {
    #[derive(Debug)]
    struct Nothing;
    impl Rules for Nothing {}
    Kind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        stored_as: format!("{group}/{plural}").into(),
        schema: Schema::any(),
        subresources: Vec::new(),
        delete_returns_object: false,
        create_on_update: false,
        columns: Vec::new(),
        rules: Arc::new(Nothing),
    }
}

/// A path out of parts that mean something somewhere.
pub fn random_path(random: &mut Random) -> String {
    const PARTS: [&str; 20] = [
        "namespaces",
        "t1",
        "kube-system",
        "secrets",
        "top",
        "own",
        "watch",
        "..",
        "%2e%2e",
        ".",
        "",
        "t1%2f..%2fkube-system",
        "%2f",
        "%00",
        "status",
        "finalize",
        "pods",
        "configmaps",
        "scale",
        "a%20b",
    ];
    let mut path =
        random.pick(&["/api/v1", "/apis/rbac.authorization.k8s.io/v1", "//api/v1"]).to_owned();
    for _ in 0..=random.below(6) {
        path.push('/');
        path.push_str(random.pick(&PARTS));
    }
    path.push_str(random.pick(&[
        "",
        "",
        "?watch=1",
        "?limit=1",
        "?fieldSelector=metadata.name%3Dtop",
    ]));
    path
}
