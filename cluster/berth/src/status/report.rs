// SPDX-License-Identifier: Apache-2.0
//! What was read of a cluster, judged: what is wrong, and the rest in tables. Pure.

use crate::token::span;
use berth_cluster_client::clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A Lease that was not renewed for so many seconds leads nobody.
const LEASE: i64 = 60;
/// Certificates should have been renewed when so many seconds are left.
const SOON: i64 = 24 * 3_600;
/// The annotation by which agents say when their certificate ends.
pub(crate) const EXPIRES: &str = "berth.dev/certificate-expires";
/// The condition of a Service that is not served as it should be.
const SERVED: &str = "berth.dev/Served";

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// In seconds since 1970.
    pub(super) now: i64,
    pub(super) url: String,
    pub(super) version: String,
    /// The process of this machine, and since when it runs.
    pub(super) process: Option<String>,
    pub(super) since: Option<i64>,
    /// Why the API does not answer, or is not ready.
    pub(super) unreachable: Option<String>,
    pub(super) unready: Option<String>,
    /// Objects by what they are, and why others could not be read.
    pub(super) lists: BTreeMap<&'static str, Value>,
    pub(super) unread: BTreeMap<&'static str, String>,
    /// How this machine forwards, for each service that it does.
    pub(super) paths: BTreeMap<String, String>,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct Report {
    cluster: Value,
    problems: Vec<String>,
    components: Vec<Value>,
    nodes: Vec<Value>,
    services: Vec<Value>,
}

fn items<'a>(read: &'a Read, name: &str) -> &'a [Value] {
    read.lists.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn at(value: &Value) -> Option<i64> {
    clock::parse(value.as_str()?).map(|micros| micros / 1_000_000)
}

impl Report {
    pub(super) fn of(read: &Read) -> Self {
        let mut problems = Vec::new();
        if let Some(why) = &read.unreachable {
            problems.push(format!(
                "the API at {} does not answer: {why}; does `berth up` or `berth server` run there?",
                read.url
            ));
        }
        if let Some(why) = &read.unready {
            problems.push(format!("the API is not ready: {why}"));
        }
        problems
            .extend(read.unread.iter().map(|(what, why)| format!("{what} cannot be read: {why}")));
        let mut report = Self {
            cluster: json!({
                "url": read.url, "version": read.version, "process": read.process,
                "up_seconds": read.since.map(|since| read.now - since),
            }),
            problems,
            components: Vec::new(),
            nodes: Vec::new(),
            services: Vec::new(),
        };
        if read.unreachable.is_none() {
            report.components(read);
            report.nodes(read);
            report.services(read);
            report.pods(read);
        }
        report
    }

    pub(super) fn is_well(&self) -> bool {
        self.problems.is_empty()
    }

    fn components(&mut self, read: &Read) {
        let api = read.unready.is_none();
        self.components.push(json!({ "name": "API and store", "ready": api, "leader": "" }));
        let known = [("scheduler", "kube-scheduler"), ("controllers", "kube-controller-manager")];
        for (title, lease) in known {
            let found = items(read, "leases").iter().find(|one| name(one) == lease);
            let holder = found.and_then(|one| one["spec"]["holderIdentity"].as_str());
            let holder = holder.filter(|holder| !holder.is_empty());
            let age = found.and_then(|one| at(&one["spec"]["renewTime"])).map(|at| read.now - at);
            let leads = holder.is_some() && age.is_some_and(|age| age < LEASE);
            if !leads && !read.unread.contains_key("leases") {
                let since = age.map(|age| format!(" since {}", span(age))).unwrap_or_default();
                self.problems.push(format!(
                    "no {title} leads{since}: `berth {}` has to run",
                    if title == "scheduler" {
                        "scheduler --kubeconfig FILE"
                    } else {
                        "controllers --kubeconfig FILE"
                    }
                ));
            }
            self.components.push(json!({
                "name": title, "ready": leads, "leader": holder.unwrap_or_default(),
                "renewed_seconds": age,
            }));
        }
    }

    fn nodes(&mut self, read: &Read) {
        let all = items(read, "nodes");
        if all.is_empty() && !read.unread.contains_key("nodes") {
            self.problems.push(
                "there are no nodes: `berth token create --print-join-command` prints how a machine joins".to_owned(),
            );
        }
        for node in all {
            let (node_name, status) = (name(node), &node["status"]);
            let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
            let ready = conditions.iter().find(|one| one["type"] == "Ready");
            let is_ready = ready.is_some_and(|one| one["status"] == "True");
            let heard = items(read, "heartbeats").iter().find(|one| name(one) == node_name);
            let heard = heard.and_then(|one| at(&one["spec"]["renewTime"])).map(|at| read.now - at);
            if !is_ready {
                let why = ready
                    .and_then(|one| one["message"].as_str())
                    .unwrap_or("it has not said that it is");
                let heard = heard.map(|age| format!("; last heard of {} ago", span(age)));
                self.problems.push(format!(
                    "node {node_name} is not ready: {why}{}",
                    heard.unwrap_or_default()
                ));
            }
            for one in
                conditions.iter().filter(|one| one["type"] != "Ready" && one["status"] == "True")
            {
                let kind = one["type"].as_str().unwrap_or_default();
                let why = one["message"].as_str().unwrap_or_default();
                self.problems.push(format!("node {node_name} has {kind}: {why}"));
            }
            let expires = at(&node["metadata"]["annotations"][EXPIRES]).map(|at| at - read.now);
            if let Some(left) = expires.filter(|left| *left < SOON) {
                self.problems.push(if left > 0 {
                    format!("node {node_name}: its certificate ends in {} and was not renewed yet", span(left))
                } else {
                    format!("node {node_name}: its certificate is over; `berth agent --token TOKEN` there gets another one")
                });
            }
            let on = items(read, "pods").iter().filter(|pod| pod["spec"]["nodeName"] == node_name);
            let pods = on.clone().count();
            let running = on.filter(|pod| pod["status"]["phase"] == "Running").count();
            let address = status["addresses"].as_array().and_then(|all| {
                all.iter().find(|one| one["type"] == "InternalIP")?["address"].as_str()
            });
            self.nodes.push(json!({
                "name": node_name, "ready": is_ready, "address": address.unwrap_or_default(),
                "pods": pods, "pods_running": running, "pod_network": node["spec"]["podCIDR"],
                "version": status["nodeInfo"]["kubeletVersion"],
                "engine": status["nodeInfo"]["containerRuntimeVersion"],
                "unschedulable": node["spec"]["unschedulable"] == true,
                "heard_seconds": heard, "certificate_seconds": expires,
            }));
        }
    }

    fn services(&mut self, read: &Read) {
        for service in items(read, "services") {
            let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
            let full = format!("{namespace}/{}", name(service));
            let spec = &service["spec"];
            let conditions =
                service["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
            let unserved =
                conditions.iter().find(|one| one["type"] == SERVED && one["status"] == "False");
            if let Some(one) = unserved {
                let why = one["message"].as_str().unwrap_or_default();
                self.problems.push(format!("service {full} is not served whole: {why}"));
            }
            let (ready, all) = endpoints(read, namespace, name(service));
            let chooses = spec["selector"].as_object().is_some_and(|map| !map.is_empty());
            if ready == 0 && chooses && spec["type"] != "ExternalName" {
                self.problems.push(format!(
                    "service {full} has no ready endpoint: `kubectl get pods -n {namespace} -l {}` shows its pods",
                    selector(&spec["selector"])
                ));
            }
            let mut addresses: Vec<&str> = spec["clusterIP"].as_str().into_iter().collect();
            let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
            addresses.extend(ingress.into_iter().flatten().filter_map(|one| one["ip"].as_str()));
            self.services.push(json!({
                "name": full, "type": spec["type"], "addresses": addresses, "ports": ports(spec),
                "endpoints": all, "endpoints_ready": ready, "served": unserved.is_none(),
                "path": read.paths.get(&full),
            }));
        }
    }

    /// Pods that wait or fall over and over, of each kind one line.
    fn pods(&mut self, read: &Read) {
        let mut by: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for pod in items(read, "pods") {
            let Some(reason) = trouble(pod, read.now) else { continue };
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            let first = format!("{} -n {namespace}", name(pod));
            let entry = by.entry(reason).or_insert((0, first));
            entry.0 += 1;
        }
        for (reason, (count, first)) in by {
            let noun = if count == 1 { "pod is" } else { "pods are" };
            self.problems.push(format!(
                "{count} {noun} in {reason}: `kubectl describe pod {first}` says why"
            ));
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "cluster": self.cluster, "problems": self.problems, "components": self.components,
            "nodes": self.nodes, "services": self.services,
        })
    }

    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a String does not fail, here and below.
        if self.problems.is_empty() {
            let _ = writeln!(page, "All is well.");
        } else {
            let _ = writeln!(page, "What is wrong:");
            for problem in &self.problems {
                let _ = writeln!(page, "  ! {problem}");
            }
        }
        let up = self.cluster["up_seconds"].as_i64().map(|up| format!("up {}", span(up)));
        let about = [text(&self.cluster["version"]), text(&self.cluster["process"])];
        let about: Vec<String> =
            about.into_iter().chain(up).filter(|word| !word.is_empty()).collect();
        let _ = writeln!(page, "\nAPI  {}  {}", text(&self.cluster["url"]), about.join(", "));
        let rows = self.components.iter().map(component).collect();
        table(&mut page, &["COMPONENT", "STATE", "LEADER", "RENEWED"], rows);
        let rows = self.nodes.iter().map(node).collect();
        table(&mut page, &NODE, rows);
        let rows = self.services.iter().map(service).collect();
        table(&mut page, &SERVICE, rows);
        page
    }
}

const NODE: [&str; 8] =
    ["NODE", "STATE", "ADDRESS", "PODS", "POD NETWORK", "VERSION", "ENGINE", "CERTIFICATE"];
const SERVICE: [&str; 6] = ["SERVICE", "TYPE", "ADDRESSES", "PORTS", "ENDPOINTS", "HERE BY"];

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn component(one: &Value) -> Vec<String> {
    let state = if one["ready"] == true { "ready" } else { "NOT READY" };
    let renewed = one["renewed_seconds"].as_i64().map(|age| format!("{} ago", span(age)));
    vec![text(&one["name"]), state.to_owned(), text(&one["leader"]), renewed.unwrap_or_default()]
}

fn node(one: &Value) -> Vec<String> {
    let state = match (one["ready"] == true, one["unschedulable"] == true) {
        (true, false) => "Ready",
        (true, true) => "Ready, closed",
        (false, _) => "NOT READY",
    };
    let certificate = one["certificate_seconds"].as_i64();
    let certificate = certificate
        .map(|left| if left > 0 { format!("for {}", span(left)) } else { "OVER".to_owned() });
    vec![
        text(&one["name"]),
        state.to_owned(),
        text(&one["address"]),
        format!("{} of {} run", one["pods_running"], one["pods"]),
        text(&one["pod_network"]),
        text(&one["version"]),
        text(&one["engine"]),
        certificate.unwrap_or_default(),
    ]
}

fn service(one: &Value) -> Vec<String> {
    let addresses = one["addresses"].as_array().into_iter().flatten().map(text);
    let addresses: Vec<String> = addresses.collect();
    let whole = one["served"] == true;
    vec![
        text(&one["name"]),
        text(&one["type"]),
        addresses.join(" "),
        text(&one["ports"]),
        format!("{} of {} ready", one["endpoints_ready"], one["endpoints"]),
        if whole { text(&one["path"]) } else { "NOT WHOLE".to_owned() },
    ]
}

/// Why a pod is not as it should be.
fn trouble(pod: &Value, now: i64) -> Option<String> {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let all =
        statuses.iter().flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    for one in all {
        let reason = one["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        if !["", "ContainerCreating", "PodInitializing"].contains(&reason) {
            return Some(reason.to_owned());
        }
    }
    let age = at(&pod["metadata"]["creationTimestamp"]).map_or(0, |made| now - made);
    let waits = pod["status"]["phase"] == "Pending" && age > 30;
    waits.then(|| {
        if pod["spec"]["nodeName"].is_null() { "Pending without a node" } else { "Pending" }
            .to_owned()
    })
}

/// How many endpoints of a Service are ready, and how many there are.
fn endpoints(read: &Read, namespace: &str, service: &str) -> (usize, usize) {
    let of = |slice: &&Value| {
        slice["metadata"]["namespace"] == namespace
            && slice["metadata"]["labels"]["kubernetes.io/service-name"] == service
    };
    let slices = items(read, "slices").iter().filter(of);
    let all: Vec<&Value> =
        slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten()).collect();
    let ready = all.iter().filter(|one| one["conditions"]["ready"] != false).count();
    (ready, all.len())
}

fn ports(spec: &Value) -> String {
    let one = |port: &Value| {
        let node = port["nodePort"].as_u64().map(|node| format!(":{node}")).unwrap_or_default();
        format!("{}{node}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"))
    };
    let all = spec["ports"].as_array().into_iter().flatten().map(one);
    all.collect::<Vec<_>>().join(" ")
}

fn selector(selector: &Value) -> String {
    let all = selector.as_object().into_iter().flatten();
    let all = all.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    all.collect::<Vec<_>>().join(",")
}

/// A table, with an empty line before it; nothing if it has no rows.
fn table(page: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    page.push('\n');
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(page, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> Read {
        let lease = |name: &str, at: &str| {
            json!({
                "metadata": { "name": name }, "spec": { "holderIdentity": "me", "renewTime": at },
            })
        };
        let ready =
            |status: &str| json!([{ "type": "Ready", "status": status, "message": "no words" }]);
        let lists = [
            (
                "leases",
                json!([
                    lease("kube-scheduler", "1970-01-01T00:16:39.000000Z"),
                    lease("kube-controller-manager", "1970-01-01T00:00:00.000000Z"),
                ]),
            ),
            ("heartbeats", json!([lease("b", "1970-01-01T00:15:00.000000Z")])),
            (
                "nodes",
                json!([
                    { "metadata": { "name": "a" }, "spec": { "podCIDR": "10.244.0.0/24" }, "status": { "conditions": ready("True") } },
                    { "metadata": { "name": "b", "creationTimestamp": "1970-01-01T00:00:00Z",
                        "annotations": { EXPIRES: "1970-01-01T00:16:50Z" } }, "status": { "conditions": ready("Unknown") } },
                ]),
            ),
            (
                "pods",
                json!([
                    { "metadata": { "name": "p", "namespace": "n" }, "spec": { "nodeName": "a" }, "status": { "phase": "Running" } },
                    { "metadata": { "name": "q", "namespace": "n" }, "spec": { "nodeName": "a" }, "status": {
                        "phase": "Running", "containerStatuses": [{ "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] } },
                ]),
            ),
            (
                "services",
                json!([
                    { "metadata": { "name": "s", "namespace": "n" }, "spec": {
                        "type": "NodePort", "clusterIP": "10.96.0.7", "selector": { "app": "s" },
                        "ports": [{ "port": 80, "nodePort": 30_080, "protocol": "TCP" }] },
                      "status": { "conditions": [{ "type": SERVED, "status": "False", "message": "a: TCP 30080 is in use" }] } },
                ]),
            ),
            (
                "slices",
                json!([{
                    "metadata": { "namespace": "n", "labels": { "kubernetes.io/service-name": "s" } },
                    "endpoints": [{ "conditions": { "ready": false } }],
                }]),
            ),
        ];
        let url = "https://192.0.2.7:6443".to_owned();
        Read { now: 1_000, url, lists: lists.into(), ..Read::default() }
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let report = Report::of(&read());
        assert!(!report.is_well());
        let page = report.page();
        let (wrong, rest) = page.split_once("\nAPI ").unwrap_or_default();
        for words in [
            "no controllers leads since 16m40s",
            "node b is not ready: no words; last heard of 1m40s ago",
            "node b: its certificate ends in 10s",
            "service n/s is not served whole: a: TCP 30080 is in use",
            "service n/s has no ready endpoint: `kubectl get pods -n n -l app=s`",
            "1 pod is in CrashLoopBackOff: `kubectl describe pod q -n n`",
        ] {
            assert!(wrong.contains(words), "{words}: {page}");
        }
        for words in
            ["scheduler      ready", "2 of 2 run", "80:30080/TCP", "0 of 1 ready", "NOT WHOLE"]
        {
            assert!(rest.contains(words), "{words}: {page}");
        }
        assert_eq!(report.json()["nodes"][0]["pods_running"], 2);
    }

    #[test]
    fn an_api_that_is_away_is_all_there_is_to_say() {
        let read = Read { unreachable: Some("Connection refused".to_owned()), ..Read::default() };
        let report = Report::of(&read);
        assert_eq!(report.problems.len(), 1);
        assert!(report.page().contains("does not answer: Connection refused"));
    }
}
