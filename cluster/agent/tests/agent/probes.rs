// SPDX-License-Identifier: Apache-2.0
//! What containers are asked.

use crate::lab::{Lab, NODE, container, shell, spec};
use berth_cluster_docker::Part;
use serde_json::json;
use std::time::{Duration, Instant};

pub(crate) async fn who_does_not_live_is_started_again(lab: &Lab) {
    let mut one = shell("c", "touch /tmp/ok; sleep 2; rm /tmp/ok; exec sleep 1000");
    one["livenessProbe"] = json!({
        "exec": {"command": ["test", "-f", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1,
        "initialDelaySeconds": 1, "terminationGracePeriodSeconds": 1,
    });
    lab.pod("sick", spec(&[one])).await;
    let again =
        |pod: &serde_json::Value| container(pod, "c")["restartCount"].as_u64().unwrap_or(0) >= 1;
    let pod = lab.until("sick", "started again", again).await;
    let end = &container(&pod, "c")["lastState"]["terminated"];
    assert_eq!(end["exitCode"], 137, "{end:#}");
    let event = lab.told("sick", "Unhealthy").await;
    assert!(event["message"].as_str().unwrap().starts_with("Liveness probe failed"), "{event:#}");
    lab.told("sick", "Killing").await;
    lab.delete("sick").await;
}

pub(crate) async fn pages_ports_and_commands_are_asked(lab: &Lab) {
    let line = "echo fine > /tmp/healthz; exec httpd -f -p 8080 -h /tmp";
    let named = json!([{"name": "web", "containerPort": 8080}]);
    for (name, probe) in [
        ("page", json!({"httpGet": {"path": "/healthz", "port": "web"}})),
        ("port", json!({"tcpSocket": {"port": 8080}})),
        (
            "command",
            json!({"exec": {"command": ["wget", "-qO-", "http://127.0.0.1:8080/healthz"]}}),
        ),
    ] {
        let mut one = shell("c", line);
        one["ports"] = named.clone();
        one["readinessProbe"] = probe.clone();
        one["readinessProbe"]["periodSeconds"] = 1.into();
        one["startupProbe"] = probe;
        one["startupProbe"]["periodSeconds"] = 1.into();
        let name = format!("asked-{name}");
        lab.pod(&name, spec(&[one])).await;
        lab.ready(&name).await;
        lab.delete(&name).await;
    }
    let mut one = shell("c", line);
    one["readinessProbe"] =
        json!({"httpGet": {"path": "/absent", "port": 8080}, "periodSeconds": 1});
    lab.pod("asked-absent", spec(&[one])).await;
    let event = lab.told("asked-absent", "Unhealthy").await;
    let message = event["message"].as_str().unwrap();
    let known = ["statuscode: 404", "connection refused"];
    assert!(known.iter().any(|text| message.contains(text)), "{message}");
    lab.delete("asked-absent").await;
}

pub(crate) async fn a_hung_probe_leaves_no_process(lab: &Lab) {
    let mut one = shell("c", "exec sleep 1000");
    one["readinessProbe"] = json!({
        "exec": {"command": ["/bin/sh", "-c", "sleep 4321 & sleep 4321"]}, "periodSeconds": 1,
        "timeoutSeconds": 1, "failureThreshold": 3,
    });
    let made = lab.pod("hung", spec(&[one])).await;
    let event = lab.told("hung", "Unhealthy").await;
    assert!(event["message"].as_str().unwrap().contains("timed out"), "{event:#}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let engine = lab.engine_of(NODE).await;
    let seen = engine.list().await.unwrap();
    let is = |part: &Part| matches!(part, Part::Container(_));
    let own =
        seen.containers.iter().find(|seen| seen.identity.pod.uid == uid && is(&seen.identity.part));
    let id = own.unwrap().id.clone();
    // Five were asked by now, of three processes each: those of one run, and those of one are being ended.
    let there = left(&id);
    assert!(there <= 6, "{there} processes");
    lab.delete("hung").await;
    // What hung in it has gone before or with it; of what one probe starts there are two at most while it runs.
    let begun = Instant::now();
    while left(&id) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "processes are left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Processes of a container that hang.
fn left(id: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("4321") && groups.contains(id)
    };
    all.filter_map(|entry| of(entry).then_some(())).count()
}
