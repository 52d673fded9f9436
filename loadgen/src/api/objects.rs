// SPDX-License-Identifier: Apache-2.0
//! What is stored: objects of a known size.

use bytes::Bytes;
use serde_json::{Value, json};

/// A ConfigMap whose JSON has this many bytes.
pub fn config_map(name: &str, bytes: usize) -> Bytes {
    let object = |filler: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"filler": filler}});
    padded(bytes, object)
}

/// A Secret whose JSON has this many bytes.
pub fn secret(name: &str, bytes: usize) -> Bytes {
    let object = |filler: &str| {
        // base64 comes in fours
        let filler = &filler[..filler.len() / 4 * 4];
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": {"filler": filler}})
    };
    padded(bytes, object)
}

/// A Pod whose JSON has this many bytes, with labels, and on a node.
pub fn pod(name: &str, labels: &Value, node: Option<&str>, bytes: usize) -> Bytes {
    let object = |filler: &str| {
        let mut spec = json!({"containers": [{
            "name": "main",
            "image": "registry.example.com/team/service:1.2.3",
            "env": [{"name": "REGION", "value": "north"}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "256Mi"},
            },
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        }], "volumes": [{"name": "scratch", "emptyDir": {}}]});
        if let Some(node) = node {
            spec["nodeName"] = json!(node);
        }
        let annotations = json!({"example.com/filler": filler});
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    };
    padded(bytes, object)
}

/// A merge patch of an annotation.
pub fn annotate(value: u64) -> Bytes {
    let patch = json!({"metadata": {"annotations": {"example.com/n": format!("{value:012}")}}});
    Bytes::from(patch.to_string())
}

fn padded(bytes: usize, object: impl Fn(&str) -> Value) -> Bytes {
    let bare = object("").to_string().len();
    let filler = "x".repeat(bytes.saturating_sub(bare));
    Bytes::from(object(&filler).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_their_size() {
        assert_eq!(config_map("a", 1_024).len(), 1_024);
        assert_eq!(pod("a", &json!({"app": "web"}), Some("n1"), 4_096).len(), 4_096);
        let secret = secret("a", 1_024);
        assert!((1_020..=1_024).contains(&secret.len()), "{}", secret.len());
        assert!(config_map("a", 10).len() > 10, "never less than it needs");
    }
}
