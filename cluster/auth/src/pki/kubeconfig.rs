// SPDX-License-Identifier: Apache-2.0
//! The file that tells clients where the cluster is and who they are.

use super::Pair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_cluster_json::json;

/// A kubeconfig with the context `berth`, all embedded. It is JSON, which is YAML too.
pub fn kubeconfig(url: &str, user: &str, ca_pem: &str, pair: &Pair) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "berth",
        "clusters": [{"name": "berth", "cluster": {
            "server": url,
            "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&pair.certificate),
            "client-key-data": STANDARD.encode(&pair.key),
        }}],
        "contexts": [{"name": "berth", "context": {"cluster": "berth", "user": user}}],
        "preferences": {},
    });
    format!("{config:#}\n")
}
