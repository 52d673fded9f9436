// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a pod or its node is said in the words that people know, and nobody else suffers.

use crate::lab::{HANG, Lab, container, shell, spec, waits};
use berth_balancer_testkit::run;
use berth_cluster_agent::{Agent, Stop};
use berth_cluster_docker::ImageFiles;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An image whose user nobody knows.
const STRANGE: &str = "berth.test/strange:1";

pub(crate) async fn a_user_that_is_not_there_is_named(lab: &Lab) {
    let engine = lab.engine_of("loader").await;
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let image = ImageFiles {
        reference: STRANGE.to_owned(),
        files: vec![("bin/sh".to_owned(), 0o755, busybox)],
        user: "nosuchuser".to_owned(),
        ..ImageFiles::default()
    };
    engine.load_image(image.archive().unwrap()).await.unwrap();
    let mut one = shell("c", "true");
    one["image"] = STRANGE.into();
    lab.pod("strange", spec(&[one])).await;
    let said = |pod: &Value| {
        let one = container(pod, "c");
        [&one["state"], &one["lastState"]].iter().any(|state| {
            let text = state["terminated"]["message"].as_str().unwrap_or_default();
            state["terminated"]["reason"] == "StartError" && text.contains("nosuchuser")
        })
    };
    lab.until("strange", "not started", said).await;
    lab.told("strange", "Failed").await;
    lab.delete("strange").await;
}

pub(crate) async fn a_folder_of_the_host_that_is_not_there_is_named(lab: &Lab) {
    for (name, kind) in [("nowhere", "Directory"), ("no-file", "File"), ("no-socket", "Socket")] {
        let mut one = shell("c", "exec sleep 1000");
        one["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let mut all = spec(&[one]);
        all["volumes"] =
            json!([{"name": "v", "hostPath": {"path": "/no/such/place", "type": kind}}]);
        lab.pod(name, all).await;
        let event = lab.told(name, "FailedMount").await;
        let message = event["message"].as_str().unwrap();
        assert!(
            message.contains("/no/such/place") && message.contains("hostPath type check failed"),
            "{message}"
        );
        lab.until(name, "waiting", |pod| waits(pod, "c") == "ContainerCreating").await;
        lab.delete(name).await;
    }
    assert!(!std::path::Path::new("/no").exists());
}

/// A child that is killed is told when the container ends by itself.
pub(crate) async fn want_of_memory_of_a_child_is_told(lab: &Lab) {
    let mut one = shell("c", "dd if=/dev/zero of=/dev/null bs=256M count=9; echo went on; exit 5");
    one["resources"] = json!({"limits": {"memory": "24Mi"}});
    let mut all = spec(&[one]);
    all["restartPolicy"] = "Never".into();
    lab.pod("parent", all).await;
    let pod = lab.ended("parent").await;
    let end = &container(&pod, "c")["state"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&json!("OOMKilled"), &json!(5)), "{end:#}");
    lab.delete("parent").await;
}

/// A node's disk that is full holds up what is new, says so, and is well again by itself.
pub(crate) async fn a_disk_that_is_full_holds_up_what_is_new(lab: &Lab) {
    let settings = lab.settings("full");
    let root = settings.root.display().to_string();
    let small = format!("mkdir -p {root} && mount -t tmpfs -o size=256k tmpfs {root}");
    run("sh", &["-ec", &small]).expect("root may");
    let agent = Agent::start(settings).await.unwrap();
    lab.pod_on("full", "early", spec(&[shell("c", "exec sleep 1000")])).await;
    let early = lab.ready("early").await;
    run("sh", &["-c", &format!("dd if=/dev/zero of={root}/fill bs=4k count=100; true")]);
    let text = "x".repeat(32 << 10);
    lab.make(
        "/api/v1/namespaces/default/configmaps",
        json!({"metadata": {"name": "large"}, "data": {"text": text}}),
    )
    .await;
    let mut one = shell("c", "exec sleep 1000");
    one["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let mut all = spec(&[one]);
    all["volumes"] = json!([{"name": "v", "configMap": {"name": "large"}}]);
    lab.pod_on("full", "late", all).await;
    let begun = Instant::now();
    loop {
        let all = lab.find("/api/v1/namespaces/default/events").await.unwrap();
        let is = |event: &Value| {
            let message = event["message"].as_str().unwrap_or_default();
            event["involvedObject"]["name"] == "late"
                && message.to_lowercase().contains("no space left on device")
        };
        if all["items"].as_array().unwrap().iter().any(is) {
            break;
        }
        assert!(begun.elapsed() < HANG, "nobody says that the disk is full");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(format!("{root}/fill")).unwrap();
    lab.ready("late").await;
    let after = lab.ready("early").await;
    assert_eq!(container(&early, "c")["state"], container(&after, "c")["state"]);
    for name in ["late", "early"] {
        lab.delete(name).await;
    }
    agent.stop(Stop::Remove { grace: Duration::from_secs(2) }).await;
    run("sh", &["-c", &format!("umount -l {root}")]);
}
