// SPDX-License-Identifier: Apache-2.0
//! The row of a pod in a table (upstream's `printPod`).

use crate::Map;
use crate::cells::since;
use crate::kinds::view::View;
use crate::registry::Column;
use berth_cluster_json::{Value, json};

/// The columns.
pub(super) fn columns() -> Vec<Column> {
    let column = |name, format, description, priority| Column {
        name,
        kind: "string",
        format,
        description,
        priority,
    };
    vec![
        column("Name", "name", "Name of the pod.", 0),
        column("Ready", "", "The aggregate readiness state of this pod for accepting traffic.", 0),
        column("Status", "", "The aggregate status of the containers in this pod.", 0),
        column(
            "Restarts",
            "",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
            0,
        ),
        column("Age", "", "Time since the pod was created.", 0),
        column("IP", "", "Address of the pod.", 1),
        column("Node", "", "Node on which the pod runs.", 1),
        column("Nominated Node", "", "Node on which room is being made for the pod.", 1),
        column("Readiness Gates", "", "Readiness gates that are open, of all.", 1),
    ]
}

/// What the containers add up to.
#[derive(Default)]
struct Sum {
    restarts: i64,
    last: String,
    ready: usize,
    reason: String,
}

impl Sum {
    fn count(&mut self, status: &Value) {
        self.restarts += status.int("restartCount").unwrap_or(0);
        let finished = status.at("lastState").at("terminated").text("finishedAt");
        if finished > self.last.as_str() {
            finished.clone_into(&mut self.last);
        }
    }
}

/// The cells.
pub(super) fn cells(pod: &Map, now: i64) -> Vec<Value> {
    let (meta, spec, status) = (pod.at("metadata"), pod.at("spec"), pod.at("status"));
    let sidecars = spec.list("initContainers").iter().filter(|one| sidecar(one)).count();
    let total = spec.list("containers").len() + sidecars;
    let sum = sum(pod);
    let restarts = if sum.restarts != 0 && !sum.last.is_empty() {
        format!("{} ({} ago)", sum.restarts, since(&sum.last, now))
    } else {
        sum.restarts.to_string()
    };
    let or_none = |text: &str| Value::from(if text.is_empty() { "<none>" } else { text });
    let ip = match status.list("podIPs").first() {
        Some(first) => first.text("ip"),
        None => status.text("podIP"),
    };
    vec![
        meta.at("name").clone(),
        json!(format!("{}/{total}", sum.ready)),
        json!(sum.reason),
        json!(restarts),
        json!(since(meta.text("creationTimestamp"), now)),
        or_none(ip),
        or_none(spec.text("nodeName")),
        or_none(status.text("nominatedNodeName")),
        or_none(&gates(spec, status)),
    ]
}

fn gates(spec: &Value, status: &Value) -> String {
    let all = spec.list("readinessGates");
    let open = all.iter().filter(|gate| condition(status, gate.text("conditionType"))).count();
    if all.is_empty() { String::new() } else { format!("{open}/{}", all.len()) }
}

fn condition(status: &Value, kind: &str) -> bool {
    status
        .list("conditions")
        .iter()
        .any(|one| one.text("type") == kind && one.text("status") == "True")
}

fn sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

fn sum(pod: &Map) -> Sum {
    let status = pod.at("status");
    let gated =
        |one: &Value| one.text("type") == "PodScheduled" && one.text("reason") == "SchedulingGated";
    let reason = match status.text("reason") {
        _ if status.list("conditions").iter().any(gated) => "SchedulingGated",
        "" => status.text("phase"),
        reason => reason,
    };
    let mut sum = Sum { reason: reason.to_owned(), ..Sum::default() };
    let (initializing, sidecars) = init(pod, &mut sum);
    if !initializing || condition(status, "Initialized") {
        (sum.restarts, sum.last) = (sidecars.restarts, sidecars.last);
        running(status, &mut sum);
    }
    if pod.at("metadata").has("deletionTimestamp") {
        if status.text("reason") == "NodeLost" {
            "Unknown".clone_into(&mut sum.reason);
        } else if !matches!(status.text("phase"), "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut sum.reason);
        }
    }
    sum
}

/// The containers that come first: whether they are still at it, and what those that stay add up to.
fn init(pod: &Map, sum: &mut Sum) -> (bool, Sum) {
    let specs = pod.at("spec").list("initContainers");
    let mut sidecars = Sum::default();
    for (i, one) in pod.at("status").list("initContainerStatuses").iter().enumerate() {
        sum.count(one);
        let stays = specs.iter().any(|spec| spec.text("name") == one.text("name") && sidecar(spec));
        if stays {
            sidecars.count(one);
        }
        let (ended, waiting) =
            (one.at("state").at("terminated"), one.at("state").at("waiting").text("reason"));
        if !ended.is_null() && ended.int("exitCode").unwrap_or(0) == 0 {
            continue;
        }
        if stays && one.flag("started") {
            sum.ready += usize::from(one.flag("ready"));
            continue;
        }
        sum.reason = if !ended.is_null() {
            format!("Init:{}", end(ended))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{}", specs.len())
        };
        return (true, sidecars);
    }
    (false, sidecars)
}

/// Why a container ended.
fn end(ended: &Value) -> String {
    match (ended.text("reason"), ended.int("signal").unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", ended.int("exitCode").unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn running(status: &Value, sum: &mut Sum) {
    let mut any = false;
    for one in status.list("containerStatuses").iter().rev() {
        sum.count(one);
        let state = one.at("state");
        let waiting = state.at("waiting").text("reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut sum.reason);
        } else if state.has("terminated") {
            sum.reason = end(state.at("terminated"));
        } else if one.flag("ready") && state.has("running") {
            any = true;
            sum.ready += 1;
        }
    }
    if sum.reason == "Completed" && any {
        let ready = condition(status, "Ready");
        if ready { "Running" } else { "NotReady" }.clone_into(&mut sum.reason);
    }
}
