// SPDX-License-Identifier: Apache-2.0
//! What is made: nodes, namespaces with their Services and owners, pods, a Deployment.

use super::rooms::{GROUP, ZONE};
use super::rows::Constraint;
use crate::api::wire::Ask;
use bytes::Bytes;
use serde_json::{Value, json};

/// Zones of nodes.
const ZONES: u64 = 3;
/// Namespaces of a load.
pub const NAMESPACES: u64 = 4;
/// Services, each with an owner of its pods, in a namespace.
pub const APPS: u64 = 5;
/// Pods of a group at most.
const GROUP_MAX: u64 = 100;
/// Of so many pods one has the row's constraint.
const OF: u64 = 3;
/// Bytes of a pod's JSON at least.
const BYTES: usize = 1_024;

/// A request that makes an object.
pub fn make(path: impl Into<String>, object: &Value) -> Ask {
    Ask::create(path.into(), Bytes::from(object.to_string()))
}

/// Makes a node that only exists in the API.
pub fn node(number: u64) -> Ask {
    let name = node_name(number);
    let room = json!({"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    let labels = json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        ZONE: format!("zone-{}", number % ZONES),
    });
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
    make(
        "/api/v1/nodes",
        &json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
        }),
    )
}

/// The name of a node.
pub fn node_name(number: u64) -> String {
    format!("load-{number:05}")
}

/// The name of a namespace.
pub fn namespace(number: u64) -> String {
    format!("load-{}", number % NAMESPACES)
}

fn app(number: u64) -> String {
    format!("app-{}", number / NAMESPACES % APPS)
}

/// The path of a kind of the core group in a namespace.
pub fn core(namespace: &str, kind: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{kind}")
}

/// The path of a kind of `apps/v1` in a namespace.
pub fn apps(namespace: &str, kind: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/{kind}")
}

/// Makes a namespace.
pub fn a_namespace(name: &str) -> Ask {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    make("/api/v1/namespaces", &object)
}

/// Makes the Service of an application, whose selector finds its pods.
pub fn service(namespace: &str, app: &str) -> Ask {
    let object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": app},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    make(core(namespace, "services"), &object)
}

/// Makes the ReplicaSet that an application's pods name as their owner.
pub fn owner(namespace: &str, app: &str) -> Ask {
    let labels = json!({"app": app});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": app, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template(&labels, "1")},
    });
    make(apps(namespace, "replicasets"), &object)
}

fn template(labels: &Value, version: &str) -> Value {
    let metadata = json!({"labels": labels, "annotations": {"example.com/version": version}});
    json!({"metadata": metadata, "spec": {"containers": [container("100m", "128Mi")]}})
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({
        "name": "main",
        "image": "registry.example.com/team/service:1.2.3",
        "env": [{"name": "REGION", "value": "north"}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": cpu, "memory": memory}},
    })
}

/// What the pods of a load are.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What a third of them ask for.
    pub constraint: Constraint,
    /// Nodes: a group that keeps apart has at most half as many pods.
    pub nodes: u64,
    /// The uid of each application's owner, by namespace and application; empty: they have none.
    pub owners: Vec<String>,
}

impl Shape {
    /// Makes a pod.
    pub fn pod(&self, number: u64) -> Ask {
        let (namespace, app) = (namespace(number), app(number));
        let mut labels = json!({"app": app, "tier": "load"});
        let requests = container(&format!("{}m", 100 + number % 5 * 50), "128Mi");
        let mut spec = json!({"containers": [requests]});
        if self.constraint != Constraint::None && number.is_multiple_of(OF) {
            let group = self.group(number);
            constrain(&mut spec, self.constraint, &group);
            labels[GROUP] = json!(group);
        }
        let mut metadata = json!({"name": pod_name(number), "labels": labels});
        let at = number % NAMESPACES * APPS + number / NAMESPACES % APPS;
        if let Some(uid) = usize::try_from(at).ok().and_then(|at| self.owners.get(at)) {
            metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": app, "uid": uid, "controller": true, "blockOwnerDeletion": true}]);
        }
        make(core(&namespace, "pods"), &padded(&json!({"metadata": metadata, "spec": spec})))
    }

    /// Groups are of one namespace each, as the terms of a pod look at its own namespace.
    fn group(&self, number: u64) -> String {
        let size = (self.nodes / 2).clamp(1, GROUP_MAX);
        let nth = number / OF / NAMESPACES / size;
        format!("{}-{nth}", namespace(number))
    }
}

/// The name of a pod.
pub fn pod_name(number: u64) -> String {
    format!("pod-{number:06}")
}

/// The pod's key in the books.
pub fn pod_key(number: u64) -> String {
    format!("{}/{}", namespace(number), pod_name(number))
}

/// Makes a pod that is on a node from the beginning. No kubelet would end its grace, so it has none.
pub fn placed(namespace: &str, number: u64, nodes: u64) -> Ask {
    let spec = json!({"containers": [container("10m", "16Mi")], "nodeName": node_name(number % nodes),
        "terminationGracePeriodSeconds": 0});
    let metadata = json!({"name": pod_name(number), "labels": {"app": "placed"}});
    make(core(namespace, "pods"), &padded(&json!({"metadata": metadata, "spec": spec})))
}

fn padded(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["annotations"] = json!({"example.com/filler": ""});
    let filler = "x".repeat(BYTES.saturating_sub(pod.to_string().len()));
    pod["metadata"]["annotations"]["example.com/filler"] = json!(filler);
    pod
}

fn constrain(spec: &mut Value, constraint: Constraint, group: &str) {
    let selector = json!({"matchLabels": {GROUP: group}});
    let term = |key: &str| json!([{"labelSelector": selector, "topologyKey": key}]);
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let hostname = "kubernetes.io/hostname";
    match constraint {
        Constraint::None => {}
        Constraint::Affinity => {
            spec["affinity"] = json!({"podAffinity": {required: term(ZONE)}});
        }
        Constraint::AntiAffinity => {
            spec["affinity"] = json!({"podAntiAffinity": {required: term(hostname)}});
        }
        Constraint::Spread => {
            let over = |key: &str| {
                json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": selector})
            };
            spec["topologySpreadConstraints"] = json!([over(ZONE), over(hostname)]);
        }
    }
}

/// The share of a rolling update that may be too many, and that may be missing, in percent.
pub const SHARE: u64 = 25;

/// Makes a Deployment with this many replicas.
pub fn deployment(namespace: &str, app: &str, replicas: u64) -> Ask {
    let labels = json!({"app": app});
    let share = format!("{SHARE}%");
    let update = json!({"maxSurge": share, "maxUnavailable": share});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels}, "template": template(&labels, "1"),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": update},
            "progressDeadlineSeconds": 3_600,
        },
    });
    make(apps(namespace, "deployments"), &object)
}

/// Changes a Deployment's template.
pub fn new_template(namespace: &str, app: &str) -> Ask {
    let metadata = json!({"annotations": {"example.com/version": "2"}});
    let patch = json!({"spec": {"template": {"metadata": metadata}}});
    Ask::patch(format!("{}/{app}", apps(namespace, "deployments")), Bytes::from(patch.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn body(ask: &Ask) -> Value {
        serde_json::from_slice(&ask.body.as_ref().unwrap().1).unwrap()
    }

    #[test]
    fn pods_have_their_size_their_owner_and_a_third_the_constraint() {
        let owners = (0..NAMESPACES * APPS).map(|n| format!("uid-{n}")).collect();
        let shape = Shape { constraint: Constraint::AntiAffinity, nodes: 20, owners };
        let mut groups: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for number in 0..3_000 {
            let ask = shape.pod(number);
            let pod = body(&ask);
            assert!(ask.body.as_ref().unwrap().1.len() >= BYTES);
            let owner = &pod["metadata"]["ownerReferences"][0];
            assert_eq!(owner["name"], pod["metadata"]["labels"]["app"]);
            assert_eq!(pod["spec"]["affinity"].is_object(), number % 3 == 0);
            if let Some(group) = pod["metadata"]["labels"][GROUP].as_str() {
                let entry = groups.entry(group.to_owned()).or_insert((ask.path.clone(), 0));
                assert_eq!(entry.0, ask.path, "a group is in one namespace");
                entry.1 += 1;
            }
        }
        assert_eq!(groups.values().map(|(_, pods)| pods).sum::<u64>(), 1_000);
        assert!(groups.values().all(|(_, pods)| *pods <= 10), "no group is larger than it may be");
    }
}
