// SPDX-License-Identifier: Apache-2.0
//! The status of a pod, as a strategic merge patch: conditions of others stay. Its uid goes with it, so it is not another pod's.

use crate::life::{Life, Run, Stage, hash};
use crate::pod::{Container, Pod};
use berth_cluster_client::clock::seconds;
use bytes::Bytes;
use serde::Serialize;
use std::net::Ipv4Addr;

#[derive(Serialize)]
struct Patch<'a> {
    metadata: Metadata<'a>,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    phase: &'static str,
    conditions: Vec<Condition>,
    #[serde(rename = "hostIP")]
    host_ip: Ipv4Addr,
    #[serde(rename = "hostIPs")]
    host_ips: [Address; 1],
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pod_ip: Option<Ipv4Addr>,
    #[serde(rename = "podIPs", skip_serializing_if = "Option::is_none")]
    pod_ips: Option<[Address; 1]>,
    start_time: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_container_statuses: Vec<One<'a>>,
    container_statuses: Vec<One<'a>>,
}

#[derive(Serialize)]
struct Address {
    ip: Ipv4Addr,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    last_transition_time: String,
    /// Empty takes away what is there.
    reason: Option<&'static str>,
}

/// A container's status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    name: &'a str,
    state: State,
    last_state: State,
    ready: bool,
    restart_count: u32,
    image: &'a str,
    #[serde(rename = "imageID")]
    image_id: String,
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    container_id: Option<String>,
    started: bool,
}

#[derive(Default, Serialize)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<Terminated>,
}

#[derive(Serialize)]
struct Waiting {
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    exit_code: u8,
    reason: &'static str,
    started_at: String,
    finished_at: String,
    #[serde(rename = "containerID")]
    container_id: String,
}

/// The patch of a pod's status on a node with this address.
pub(crate) fn patch(pod: &Pod, uid: &str, life: &Life, host: Ipv4Addr) -> Bytes {
    let pod_ip = if pod.host_network { Some(host) } else { life.address };
    let status = Status {
        phase: phase(life),
        conditions: conditions(pod, life),
        host_ip: host,
        host_ips: [Address { ip: host }],
        pod_ip,
        pod_ips: pod_ip.map(|ip| [Address { ip }]),
        start_time: seconds(life.start),
        init_container_statuses: pod.inits.iter().map(|one| init(one, uid, life)).collect(),
        container_statuses: pod.containers.iter().map(|one| container(one, uid, life)).collect(),
    };
    let patch = Patch { metadata: Metadata { uid }, status };
    // Texts and numbers: nothing can fail.
    serde_json::to_vec(&patch).unwrap_or_default().into()
}

fn phase(life: &Life) -> &'static str {
    match life.stage {
        Stage::New | Stage::Accepted => "Pending",
        Stage::Running { .. } | Stage::Waiting { .. } => "Running",
        Stage::Ended | Stage::Gone if life.failed() => "Failed",
        Stage::Ended | Stage::Gone => "Succeeded",
    }
}

fn conditions(pod: &Pod, life: &Life) -> Vec<Condition> {
    let begun = !matches!(life.stage, Stage::New | Stage::Accepted);
    let ended = matches!(life.stage, Stage::Ended | Stage::Gone);
    let inits = pod.inits.iter().any(|one| !one.beside);
    let over = match phase(life) {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let one = |kind, holds: bool, since: i64, reason| Condition {
        r#type: kind,
        status: if holds { "True" } else { "False" },
        last_transition_time: seconds(since),
        reason,
    };
    let not_ready = || if life.runs() { None } else { over.or(Some("ContainersNotReady")) };
    let sandbox = if ended || !begun { life.changed } else { life.first };
    let initialized = match (begun || !inits, over) {
        (false, _) => Some("ContainersNotInitialized"),
        (true, Some("PodCompleted")) => over,
        (true, _) => None,
    };
    let initialized_since = if inits && begun { life.first } else { life.start };
    let mut all = vec![
        one("PodReadyToStartContainers", begun && !ended, sandbox, None),
        one("Initialized", begun || !inits, initialized_since, initialized),
        one("Ready", life.runs(), life.changed, not_ready()),
        one("ContainersReady", life.runs(), life.changed, not_ready()),
    ];
    if !pod.was.scheduled {
        all.push(one("PodScheduled", true, life.start, None));
    }
    all
}

fn container<'a>(one: &'a Container, uid: &str, life: &Life) -> One<'a> {
    let restarts = life.shown_restarts();
    let id = |restart: u32| container_id(uid, &one.name, restart);
    let ended = |run: &Run, restart: u32| Terminated {
        exit_code: run.code,
        reason: if run.code == 0 { "Completed" } else { "Error" },
        started_at: seconds(run.from),
        finished_at: seconds(run.to),
        container_id: id(restart),
    };
    let terminated = |restart: u32| life.last.as_ref().map(|run| ended(run, restart));
    let mut state = State::default();
    let mut last_state = State::default();
    match life.stage {
        Stage::New | Stage::Accepted => {
            state.waiting = Some(Waiting { reason: "ContainerCreating" });
        }
        Stage::Running { since } => {
            state.running = Some(Running { started_at: seconds(since) });
            last_state.terminated = terminated(restarts.saturating_sub(1));
        }
        Stage::Waiting { .. } => {
            state.waiting = Some(Waiting { reason: "CrashLoopBackOff" });
            last_state.terminated = terminated(restarts);
        }
        Stage::Ended | Stage::Gone => state.terminated = terminated(restarts),
    }
    let made = !matches!(life.stage, Stage::New | Stage::Accepted);
    One {
        name: &one.name,
        state,
        last_state,
        ready: life.runs(),
        restart_count: restarts,
        image: &one.image,
        image_id: if made { image_id(&one.image) } else { String::new() },
        container_id: made.then(|| id(restarts)),
        started: life.runs(),
    }
}

/// A container that comes before the others: it has run by the time they do.
fn init<'a>(one: &'a Container, uid: &str, life: &Life) -> One<'a> {
    if one.beside {
        return container(one, uid, life);
    }
    let run = Run { from: life.start, to: life.first, code: 0 };
    let done = !matches!(life.stage, Stage::New | Stage::Accepted);
    let ended = Terminated {
        exit_code: run.code,
        reason: "Completed",
        started_at: seconds(run.from),
        finished_at: seconds(run.to),
        container_id: container_id(uid, &one.name, 0),
    };
    let waiting = Waiting { reason: "PodInitializing" };
    One {
        name: &one.name,
        state: if done {
            State { terminated: Some(ended), ..State::default() }
        } else {
            State { waiting: Some(waiting), ..State::default() }
        },
        last_state: State::default(),
        ready: done,
        restart_count: 0,
        image: &one.image,
        image_id: if done { image_id(&one.image) } else { String::new() },
        container_id: done.then(|| container_id(uid, &one.name, 0)),
        started: false,
    }
}

/// Of the form that runtimes give: 64 digits, others for each start.
fn container_id(uid: &str, name: &str, restart: u32) -> String {
    let part = |number: u32| hash(&format!("{uid}/{name}/{restart}/{number}"));
    format!("simulated://{:016x}{:016x}{:016x}{:016x}", part(0), part(1), part(2), part(3))
}

fn image_id(image: &str) -> String {
    format!("simulated://sha256:{:016x}", hash(image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::{Plan, Step};
    use crate::options::Options;
    use berth_cluster_client::View;
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000_000_000;

    fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
        let mut all = status["conditions"].as_array().unwrap().iter();
        all.find(|one| one["type"] == kind).unwrap()
    }

    #[test]
    fn a_status_says_what_an_agent_would() {
        let pod = json!({
            "metadata": { "annotations": { crate::pod::DURATION: "5s" } },
            "spec": {
                "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
                "initContainers": [{ "name": "first", "image": "j" }],
            },
        });
        let pod = Pod::read(pod.to_string().as_bytes()).unwrap();
        let plan = Plan::from(&Options::default());
        let host = Ipv4Addr::new(172, 16, 0, 1);
        let mut life = Life::new(&pod, "u", &plan, NOW);
        let mut step = |step: Step, seconds: i64| {
            life = life.after(step, &pod, NOW + seconds * 1_000_000);
            if step == Step::Start {
                life.address = Some(Ipv4Addr::new(10, 0, 0, 7));
            }
            let patch = patch(&pod, "u", &life, host);
            let patch: Value = serde_json::from_slice(&patch).unwrap();
            assert_eq!(patch["metadata"]["uid"], "u");
            patch["status"].clone()
        };
        let status = step(Step::Accept, 0);
        assert_eq!(
            (&status["phase"], &status["hostIP"]),
            (&"Pending".into(), &"172.16.0.1".into())
        );
        assert_eq!(status["startTime"], "2027-01-15T08:00:00Z");
        assert!(status.get("podIP").is_none());
        let one = &status["containerStatuses"][0];
        assert_eq!(one["state"], json!({ "waiting": { "reason": "ContainerCreating" } }));
        assert_eq!(condition(&status, "Initialized")["status"], "False");
        assert_eq!(condition(&status, "PodScheduled")["status"], "True");
        assert_eq!(condition(&status, "Ready")["reason"], "ContainersNotReady");
        let status = step(Step::Start, 2);
        assert_eq!(
            (&status["phase"], &status["podIPs"]),
            (&"Running".into(), &json!([{ "ip": "10.0.0.7" }]))
        );
        let one = &status["containerStatuses"][0];
        assert_eq!(one["state"], json!({ "running": { "startedAt": "2027-01-15T08:00:02Z" } }));
        assert_eq!(
            (&one["ready"], &one["started"], &one["lastState"]),
            (&true.into(), &true.into(), &json!({}))
        );
        assert_eq!(one["containerID"].as_str().unwrap().len(), 64 + 12);
        let first = &status["initContainerStatuses"][0];
        assert_eq!(first["state"]["terminated"]["reason"], "Completed");
        for kind in ["Ready", "ContainersReady", "Initialized", "PodReadyToStartContainers"] {
            let one = condition(&status, kind);
            assert_eq!((&one["status"], &one["reason"]), (&"True".into(), &Value::Null), "{kind}");
            assert_eq!(one["lastTransitionTime"], "2027-01-15T08:00:02Z", "{kind}");
        }
        let status = step(Step::End { code: 0 }, 7);
        assert_eq!(status["phase"], "Succeeded");
        let ended = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(
            (&ended["exitCode"], &ended["finishedAt"]),
            (&0.into(), &"2027-01-15T08:00:07Z".into())
        );
        assert_eq!(condition(&status, "Ready")["reason"], "PodCompleted");
    }
}
