// SPDX-License-Identifier: Apache-2.0
//! Agents that end and begin anew.

use crate::lab::{Bare, HANG, Lab, NODE, PODS, condition, container, shell, spec, waits};
use berth_cluster_agent::{Agent, Stop};
use berth_cluster_docker::{Identity, Part, PodNetwork, PodRef, SandboxSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// As when the answer to a call is lost, and the pod has ended when the engine gets to it.
pub(crate) async fn what_comes_after_its_pods_end_is_removed(lab: &Lab) {
    // Of two of one name that find out what the engine may do, one would be in the other's way: here the agent is first.
    lab.pod("sooner", spec(&[shell("c", "exec sleep 1000")])).await;
    lab.ready("sooner").await;
    let engine = lab.engine_of(NODE).await;
    let pod = PodRef { namespace: "default".into(), name: "late".into(), uid: "late-uid".into() };
    let sandbox = SandboxSpec {
        hostname: String::new(),
        network: PodNetwork::Host,
        host_ipc: false,
        sysctls: BTreeMap::new(),
        binds: Vec::new(),
        cgroup_parent: None,
    };
    for runs in [true, false] {
        let identity = Identity { pod: pod.clone(), part: Part::Sandbox, attempt: 0 };
        let made = engine.create_sandbox(&identity, &sandbox, &BTreeMap::new()).await.unwrap();
        if runs {
            engine.start(&made.id).await.unwrap();
        }
        let begun = Instant::now();
        while engine.inspect(&made.id).await.is_ok() {
            assert!(begun.elapsed() < HANG, "it stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    lab.delete("sooner").await;
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

/// `lives`: whether containers outlast the engine's restart.
pub(crate) async fn pods_are_ready_after_a_restart_of_the_engine(
    lab: &Lab,
    bare: &Bare,
    lives: bool,
) {
    let names = ["first", "second"];
    for name in names {
        let mut one =
            shell("c", "touch /tmp/up; trap 'exit 0' TERM; while true; do sleep 0.1; done");
        one["readinessProbe"] =
            json!({"exec": {"command": ["test", "-f", "/tmp/up"]}, "periodSeconds": 1});
        lab.pod(name, spec(&[one])).await;
    }
    let mut before = Vec::new();
    for name in names {
        before.push(lab.ready(name).await);
    }
    tokio::task::block_in_place(|| bare.docker.lock().unwrap().restart());
    let begun = Instant::now();
    for (name, before) in names.iter().zip(&before) {
        // It may be that nobody has noticed yet.
        lab.until(name, "well again", |pod| {
            let restarts = container(pod, "c")["restartCount"].as_u64();
            assert_ne!(waits(pod, "c"), "CrashLoopBackOff", "it is not the pod's fault");
            condition(pod, "Ready") == "True" && restarts == Some(u64::from(!lives))
        })
        .await;
        let after = lab.ready(name).await;
        assert_eq!(before["status"]["podIP"], after["status"]["podIP"]);
    }
    // What happens from now on is seen, too.
    lab.pod("third", spec(&[shell("c", "exec sleep 1000")])).await;
    lab.ready("third").await;
    assert!(begun.elapsed() < HANG, "{:?}", begun.elapsed());
    for name in ["first", "second", "third"] {
        lab.delete(name).await;
    }
    let ready = async {
        loop {
            let node = lab.find("/api/v1/nodes/node").await.unwrap();
            if condition(&node, "Ready") == "True" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, ready).await.expect("the node is ready again");
}

/// A pod that needs the whole node is replaced again and again: the next one always finds its place free.
pub(crate) async fn who_goes_leaves_its_place_free(lab: &Lab) {
    let mut one = shell("c", "exec sleep 1000");
    let node = lab.find("/api/v1/nodes/node").await.unwrap();
    let cpu = node["status"]["allocatable"]["cpu"].as_str().unwrap().to_owned();
    one["resources"] = json!({"requests": {"cpu": cpu}});
    for turn in 0..5 {
        let forced = turn % 2 == 1;
        lab.pod("whole", spec(&[one.clone()])).await;
        let begun =
            |pod: &Value| ["Running", "Failed"].iter().any(|is| pod["status"]["phase"] == **is);
        let pod = lab.until("whole", "begun", begun).await;
        assert_eq!(pod["status"]["phase"], "Running", "{:#}", pod["status"]);
        if forced {
            let grace = Some(r#"{"gracePeriodSeconds":0}"#.into());
            lab.admin.delete(&format!("{PODS}/whole"), grace).await.unwrap();
        } else {
            lab.delete("whole").await;
        }
    }
}

pub(crate) async fn an_api_that_is_away_holds_nothing_up(lab: &Lab) {
    let (settings, door) = lab.settings_with_door("alone");
    let agent = Agent::start(settings).await.unwrap();
    let line = "trap 'exit 0' TERM; until [ -f /tmp/go ]; do sleep 0.1; done; exit 5";
    let mut one = shell("c", line);
    one["livenessProbe"] =
        json!({"exec": {"command": ["touch", "/tmp/go"]}, "initialDelaySeconds": 3});
    lab.pod_on("alone", "lonely", spec(&[one])).await;
    lab.ready("lonely").await;
    door.set(false);
    // It ends and is started again, though nobody can be told.
    let engine = lab.engine_of("alone").await;
    let begun = Instant::now();
    loop {
        let view = engine.list().await.unwrap();
        if view.containers.iter().any(|seen| seen.identity.attempt == 1 && seen.state.pid > 0) {
            break;
        }
        assert!(begun.elapsed() < HANG, "it is never started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let path = format!("{PODS}/lonely");
    assert_eq!(container(&lab.find(&path).await.unwrap(), "c")["restartCount"], 0);
    door.set(true);
    let again = |pod: &Value| container(pod, "c")["restartCount"].as_u64() >= Some(1);
    let pod = lab.until("lonely", "told of", again).await;
    assert_eq!(container(&pod, "c")["lastState"]["terminated"]["exitCode"], 5);
    lab.delete("lonely").await;
    // Who removes the node of an agent that runs finds it registered anew.
    lab.admin.delete("/api/v1/nodes/alone", None).await.unwrap();
    let begun = Instant::now();
    loop {
        let node = lab.find("/api/v1/nodes/alone").await.unwrap_or_default();
        if condition(&node, "Ready") == "True" {
            break;
        }
        assert!(begun.elapsed() < HANG, "the node is not registered anew");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    agent.stop(Stop::Remove { grace: Duration::from_secs(2) }).await;
}
