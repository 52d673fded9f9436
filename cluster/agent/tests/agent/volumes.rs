// SPDX-License-Identifier: Apache-2.0
//! What containers find in their environment and their volumes.

use crate::lab::{Lab, container, message, shell, spec, waits};
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) async fn a_container_waits_for_its_config_map(lab: &Lab) {
    let mut one = shell("c", "echo -n \"$A $B\" > /dev/termination-log");
    one["env"] = json!([
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    let mut all = spec(&[one]);
    all["restartPolicy"] = "Never".into();
    lab.pod("waits", all).await;
    let pod =
        lab.until("waits", "held up", |pod| waits(pod, "c") == "CreateContainerConfigError").await;
    let text = &container(&pod, "c")["state"]["waiting"]["message"];
    assert_eq!(text, "configmap \"late\" not found");
    lab.make(MAPS, json!({"metadata": {"name": "late"}, "data": {"a": "1"}})).await;
    let pod = lab.ended("waits").await;
    assert_eq!(message(&pod, "c"), "1 waits");
    lab.delete("waits").await;
}

pub(crate) async fn volumes_hold_what_they_are_made_of(lab: &Lab) {
    lab.make(MAPS, json!({"metadata": {"name": "map"}, "data": {"key": "from a map"}})).await;
    let secret = json!({"metadata": {"name": "hidden"}, "stringData": {"key": "from a secret"}});
    lab.make("/api/v1/namespaces/default/secrets", secret).await;
    let line = "cat /map/key; echo; cat /secret/key; echo; cat /all/name; echo; wc -c < /all/token; \
                cat /all/labels; echo; touch /scratch/x && ls /scratch; grep -c nameserver /etc/resolv.conf; hostname";
    let mut one = shell("c", &format!("({line}) > /dev/termination-log 2>&1"));
    one["volumeMounts"] = ["map", "secret", "all", "scratch"]
        .map(|name| json!({"name": name, "mountPath": format!("/{name}")}))
        .into();
    let mut all = spec(&[one]);
    all["restartPolicy"] = "Never".into();
    all["serviceAccountName"] = "default".into();
    all["volumes"] = json!([
        {"name": "map", "configMap": {"name": "map"}},
        {"name": "secret", "secret": {"secretName": "hidden"}},
        {"name": "scratch", "emptyDir": {"medium": "Memory"}},
        {"name": "all", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"downwardAPI": {"items": [
                {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
    ]);
    lab.pod("full", all).await;
    let pod = lab.ended("full").await;
    let lines: Vec<&str> = message(&pod, "c").lines().collect();
    assert_eq!(lines[..3], ["from a map", "from a secret", "full"], "{:#}", pod["status"]);
    assert!(lines[3].trim().parse::<usize>().unwrap() > 100, "{lines:?}");
    assert_eq!(lines[lines.len() - 3..], ["x", "1", "full"], "{lines:?}");
    lab.delete("full").await;
}

pub(crate) async fn a_config_map_that_changes_is_seen(lab: &Lab) {
    lab.make(MAPS, json!({"metadata": {"name": "moves"}, "data": {"key": "one"}})).await;
    let mut one = shell(
        "c",
        "until grep -q two /map/key; do sleep 0.2; done; touch /tmp/seen; exec sleep 1000",
    );
    one["volumeMounts"] = json!([{"name": "map", "mountPath": "/map"}]);
    one["readinessProbe"] =
        json!({"exec": {"command": ["test", "-f", "/tmp/seen"]}, "periodSeconds": 1});
    let mut all = spec(&[one]);
    all["volumes"] = json!([{"name": "map", "configMap": {"name": "moves"}}]);
    lab.pod("follows", all).await;
    lab.until("follows", "running", |pod| pod["status"]["phase"] == "Running").await;
    lab.patch(&format!("{MAPS}/moves"), json!({"data": {"key": "two"}})).await;
    lab.ready("follows").await;
    lab.delete("follows").await;
}
