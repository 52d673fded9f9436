// SPDX-License-Identifier: Apache-2.0
//! How pods begin, and that nothing of them is left.

use crate::lab::{Lab, NODE, PODS, condition, container, message, shell, spec};
use serde_json::{Value, json};

pub(crate) async fn two_containers_talk_over_localhost_and_go_without_a_trace(lab: &Lab) {
    let server = shell("server", "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp");
    let mut client = shell(
        "client",
        "until wget -qO /tmp/page http://127.0.0.1:8080/index.html; do sleep 0.1; done; exec sleep 1000",
    );
    client["readinessProbe"] =
        json!({"exec": {"command": ["grep", "hello", "/tmp/page"]}, "periodSeconds": 1});
    let made = lab.pod("talk", spec(&[server, client])).await;
    let pod = lab.ready("talk").await;
    let status = &pod["status"];
    assert_eq!((&status["phase"], &status["hostIP"]), (&json!("Running"), &json!("127.0.0.1")));
    assert!(status["podIP"].as_str().unwrap().starts_with("10.98.1."), "{status:#}");
    assert_eq!(status["podIPs"].as_array().unwrap().len(), 1);
    assert_eq!(status["qosClass"], "BestEffort");
    for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, kind), "True", "{kind}");
    }
    for name in ["server", "client"] {
        let one = container(&pod, name);
        assert_eq!((&one["restartCount"], &one["started"]), (&json!(0), &json!(true)), "{one:#}");
        assert!(one["containerID"].as_str().unwrap().starts_with("docker://"));
    }
    for reason in ["Pulled", "Created", "Started"] {
        let event = lab.told("talk", reason).await;
        let path = event["involvedObject"]["fieldPath"].as_str().unwrap();
        assert!(path.starts_with("spec.containers{"), "{event:#}");
    }
    lab.delete("talk").await;
    let engine = lab.engine_of(NODE).await;
    let left = engine.list().await.unwrap();
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let all = left.sandboxes.iter().chain(&left.containers);
    assert!(all.map(|seen| &seen.identity.pod.uid).all(|other| other != uid));
}

pub(crate) async fn a_node_says_what_it_is_and_keeps_its_lease(lab: &Lab) {
    let node = lab.find("/api/v1/nodes/node").await.unwrap();
    let ready = condition(&node, "Ready");
    assert_eq!(ready, "True", "{:#}", node["status"]);
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], NODE);
    let info = &node["status"]["nodeInfo"];
    assert!(info["containerRuntimeVersion"].as_str().unwrap().starts_with("docker://"), "{info:#}");
    assert!(node["status"]["allocatable"]["pods"] == "110");
    assert!(!node["status"]["images"].as_array().unwrap().is_empty());
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node";
    let mut lease = Value::Null;
    for _ in 0..100 {
        lease = lab.find(path).await.unwrap_or_default();
        if !lease.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(
        (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]),
        (&json!(NODE), &json!(40))
    );
}

pub(crate) async fn init_containers_run_one_after_the_other(lab: &Lab) {
    let step = |name: &str, line: &str| {
        let mut one = shell(name, line);
        one["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        one
    };
    let mut all = spec(&[step("main", "cat /v/steps > /dev/termination-log")]);
    all["initContainers"] = json!([
        step("first", "sleep 1; echo one >> /v/steps"),
        step("second", "echo two >> /v/steps"),
    ]);
    all["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    all["restartPolicy"] = "Never".into();
    lab.pod("init", all).await;
    let pod = lab.ended("init").await;
    assert_eq!(pod["status"]["phase"], "Succeeded", "{:#}", pod["status"]);
    assert_eq!(message(&pod, "main"), "one\ntwo\n");
    assert_eq!(container(&pod, "first")["state"]["terminated"]["reason"], "Completed");
    lab.delete("init").await;
}

pub(crate) async fn a_pod_on_the_hosts_network_has_the_nodes_address(lab: &Lab) {
    let mut all = spec(&[shell("c", "exec sleep 1000")]);
    all["hostNetwork"] = true.into();
    lab.pod("host", all).await;
    let pod = lab.ready("host").await;
    assert_eq!(pod["status"]["podIP"], "127.0.0.1");
    lab.delete("host").await;
}

pub(crate) async fn what_does_not_fit_is_refused(lab: &Lab) {
    let mut greedy = shell("c", "exec sleep 1000");
    greedy["resources"] = json!({"requests": {"cpu": "1000"}});
    lab.pod("greedy", spec(&[greedy])).await;
    let pod = lab.ended("greedy").await;
    let status = &pod["status"];
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("OutOfcpu")),
        "{status:#}"
    );
    lab.told("greedy", "OutOfcpu").await;
    let mut picky = spec(&[shell("c", "exec sleep 1000")]);
    picky["nodeSelector"] = json!({"no": "such"});
    lab.pod("picky", picky).await;
    assert_eq!(lab.ended("picky").await["status"]["reason"], "NodeAffinity");
    for pod in ["greedy", "picky"] {
        lab.delete(pod).await;
        assert!(lab.find(&format!("{PODS}/{pod}")).await.is_none());
    }
}
