// SPDX-License-Identifier: Apache-2.0
//! How containers end, and what is said of it.

use crate::lab::{HANG, Lab, container, message, shell, spec, waits};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) async fn a_command_that_fails_is_started_again_and_waited_with(lab: &Lab) {
    lab.pod("crash", spec(&[shell("c", "echo last words; exit 3")])).await;
    let pod = lab.until("crash", "waiting", |pod| waits(pod, "c") == "CrashLoopBackOff").await;
    let one = container(&pod, "c");
    assert!(one["restartCount"].as_u64().unwrap() <= 1, "{one:#}");
    assert_eq!(one["lastState"]["terminated"]["exitCode"], 3, "{one:#}");
    assert_eq!(one["lastState"]["terminated"]["reason"], "Error");
    let message = one["state"]["waiting"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("back-off 10s restarting failed container=c pod=crash_default("),
        "{message}"
    );
    let pod =
        lab.until("crash", "started again", |pod| container(pod, "c")["restartCount"] == 2).await;
    assert_eq!(pod["status"]["phase"], "Running");
    lab.told("crash", "BackOff").await;
    lab.delete("crash").await;
}

pub(crate) async fn an_image_that_is_not_there_is_named(lab: &Lab) {
    let mut one = shell("c", "true");
    one["image"] = "127.0.0.1:1/none:1".into();
    lab.pod("absent", spec(&[one])).await;
    lab.until("absent", "not pulled", |pod| waits(pod, "c") == "ErrImagePull").await;
    lab.until("absent", "waiting", |pod| waits(pod, "c") == "ImagePullBackOff").await;
    let event = lab.told("absent", "Failed").await;
    assert!(event["message"].as_str().unwrap().contains("127.0.0.1:1/none:1"), "{event:#}");
    lab.delete("absent").await;
    let mut one = shell("c", "true");
    one["image"] = "Not A Name".into();
    lab.pod("misnamed", spec(&[one])).await;
    lab.until("misnamed", "refused", |pod| waits(pod, "c") == "InvalidImageName").await;
    lab.delete("misnamed").await;
}

pub(crate) async fn a_command_that_is_not_there_is_named(lab: &Lab) {
    let mut one = shell("c", "true");
    one["command"] = json!(["/no/such/program"]);
    lab.pod("typo", spec(&[one])).await;
    let said = |pod: &Value| {
        let one = container(pod, "c");
        [&one["state"], &one["lastState"]].iter().any(|state| {
            let text = state["terminated"]["message"].as_str().unwrap_or_default();
            state["terminated"]["reason"] == "StartError" && text.contains("/no/such/program")
        })
    };
    lab.until("typo", "not started", said).await;
    lab.delete("typo").await;
}

pub(crate) async fn who_ignores_its_end_is_killed_after_its_grace(lab: &Lab) {
    let mut all =
        spec(&[shell("c", "trap '' TERM; touch /tmp/set; while true; do sleep 0.1; done")]);
    all["containers"][0]["readinessProbe"] =
        json!({"exec": {"command": ["test", "-f", "/tmp/set"]}});
    all["terminationGracePeriodSeconds"] = 3.into();
    lab.pod("deaf", all).await;
    lab.ready("deaf").await;
    let took = lab.delete("deaf").await;
    assert!(took >= Duration::from_secs(2) && took < HANG / 3, "{took:?}");
    let mut all = spec(&[shell("c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")]);
    all["terminationGracePeriodSeconds"] = 30.into();
    lab.pod("polite", all).await;
    lab.ready("polite").await;
    let took = lab.delete("polite").await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

pub(crate) async fn want_of_memory_is_told(lab: &Lab) {
    let mut one = shell("c", "exec dd if=/dev/zero of=/dev/null bs=256M count=9");
    one["resources"] = json!({"limits": {"memory": "24Mi"}});
    let mut all = spec(&[one]);
    all["restartPolicy"] = "Never".into();
    lab.pod("hungry", all).await;
    let pod = lab.ended("hungry").await;
    let end = &container(&pod, "c")["state"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&json!("OOMKilled"), &json!(137)), "{end:#}");
    lab.delete("hungry").await;
}

pub(crate) async fn hooks_run_before_the_end(lab: &Lab) {
    let mut one =
        shell("c", "trap 'cat /v/hooks > /v/end; exit 0' TERM; while true; do sleep 0.1; done");
    one["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    one["lifecycle"] = json!({
        "postStart": {"exec": {"command": ["/bin/sh", "-c", "echo started >> /v/hooks"]}},
        "preStop": {"exec": {"command": ["/bin/sh", "-c", "echo stopping >> /v/hooks"]}},
    });
    let folder = tempfile::tempdir().unwrap();
    let mut all = spec(&[one]);
    all["terminationGracePeriodSeconds"] = 10.into();
    all["volumes"] = json!([{"name": "v", "hostPath": {"path": folder.path()}}]);
    lab.pod("hooks", all).await;
    lab.ready("hooks").await;
    lab.delete("hooks").await;
    assert_eq!(std::fs::read_to_string(folder.path().join("end")).unwrap(), "started\nstopping\n");
    let mut one = shell("c", "exec sleep 1000");
    one["lifecycle"] = json!({"postStart": {"exec": {"command": ["false"]}}});
    let mut all = spec(&[one]);
    all["restartPolicy"] = "Never".into();
    lab.pod("hookless", all).await;
    lab.told("hookless", "FailedPostStartHook").await;
    let pod = lab.ended("hookless").await;
    assert_eq!(message(&pod, "c"), "");
    lab.delete("hookless").await;
}
