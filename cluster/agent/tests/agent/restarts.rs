// SPDX-License-Identifier: Apache-2.0
//! Agents that end and begin anew.

use crate::lab::{Lab, PODS, container, shell, spec};
use berth_cluster_agent::{Agent, Stop};
use berth_cluster_docker::{Identity, Part, PodNetwork, PodRef, SandboxSpec};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) async fn an_agent_that_begins_anew_takes_over(lab: &Lab) {
    let settings = lab.settings("anew");
    let agent = Agent::start(settings.clone()).await.unwrap();
    for name in ["stays", "leaves"] {
        lab.pod_on("anew", name, spec(&[shell("c", "exec sleep 1000")])).await;
        lab.ready(name).await;
    }
    let id = |pod: &Value| container(pod, "c")["containerID"].as_str().unwrap().to_owned();
    let before = lab.ready("stays").await;
    agent.stop(Stop::Leave).await;
    // One is deleted while nobody looks.
    let forced = Some(r#"{"gracePeriodSeconds":0}"#.into());
    lab.admin.delete(&format!("{PODS}/leaves"), forced).await.unwrap();
    let agent = Agent::start(settings.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = lab.ready("stays").await;
    assert_eq!(id(&before), id(&after));
    assert_eq!(container(&after, "c")["restartCount"], 0);
    assert_eq!(before["status"]["podIP"], after["status"]["podIP"]);
    let engine = lab.engine_of("anew").await;
    let mut left = usize::MAX;
    for _ in 0..100 {
        left = engine.list().await.unwrap().sandboxes.len();
        if left == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, 1, "of the pod that is gone nothing is left");
    agent.stop(Stop::Remove { grace: Duration::from_secs(2) }).await;
    lab.admin
        .delete(&format!("{PODS}/stays"), Some(r#"{"gracePeriodSeconds":0}"#.into()))
        .await
        .unwrap();
}

pub(crate) async fn what_was_half_made_is_completed(lab: &Lab) {
    let settings = lab.settings("half");
    let agent = Agent::start(settings.clone()).await.unwrap();
    agent.stop(Stop::Leave).await;
    let made = lab.pod_on("half", "half-made", spec(&[shell("c", "exec sleep 1000")])).await;
    // A sandbox that was made, and never started, as an agent leaves it that is killed in between.
    let engine = lab.engine_of("half").await;
    let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
    let pod = PodRef { namespace: "default".into(), name: "half-made".into(), uid };
    let identity = Identity { pod, part: Part::Sandbox, attempt: 0 };
    let address = format!("{}", settings.range.first()).replace(".0", ".9").parse();
    let address = address.unwrap_or(std::net::Ipv4Addr::new(10, 98, 9, 9));
    let sandbox = SandboxSpec {
        hostname: "half-made".into(),
        network: PodNetwork::Own { address },
        host_ipc: false,
        sysctls: BTreeMap::new(),
        binds: Vec::new(),
        cgroup_parent: None,
    };
    engine.create_sandbox(&identity, &sandbox, &BTreeMap::new()).await.unwrap();
    let agent = Agent::start(settings).await.unwrap();
    let pod = lab.ready("half-made").await;
    assert_eq!(container(&pod, "c")["restartCount"], 0);
    lab.delete("half-made").await;
    agent.stop(Stop::Remove { grace: Duration::from_secs(2) }).await;
}

pub(crate) async fn all_goes_with_the_node_where_that_is_wanted(lab: &Lab) {
    let settings = lab.settings("goes");
    let agent = Agent::start(settings).await.unwrap();
    lab.pod_on(
        "goes",
        "goes-too",
        spec(&[shell("c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")]),
    )
    .await;
    lab.ready("goes-too").await;
    // Somebody else's container, which nobody may touch.
    let other = lab.engine_of("other").await;
    let pod = PodRef { namespace: "x".into(), name: "y".into(), uid: "z".into() };
    let identity = Identity { pod, part: Part::Sandbox, attempt: 0 };
    let sandbox = SandboxSpec {
        hostname: String::new(),
        network: PodNetwork::Host,
        host_ipc: false,
        sysctls: BTreeMap::new(),
        binds: Vec::new(),
        cgroup_parent: None,
    };
    let foreign = other.create_sandbox(&identity, &sandbox, &BTreeMap::new()).await.unwrap();
    other.start(&foreign.id).await.unwrap();
    agent.stop(Stop::Remove { grace: Duration::from_secs(5) }).await;
    let engine = lab.engine_of("goes").await;
    let left = engine.list().await.unwrap();
    assert!(left.sandboxes.is_empty() && left.containers.is_empty(), "{left:?}");
    assert!(other.inspect(&foreign.id).await.unwrap().state.pid > 0);
    other.remove(&foreign.id, true).await.unwrap();
    let forced = Some(r#"{"gracePeriodSeconds":0}"#.into());
    lab.admin.delete(&format!("{PODS}/goes-too"), forced).await.unwrap();
}
