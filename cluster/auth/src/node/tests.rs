// SPDX-License-Identifier: Apache-2.0
//! Tests of what nodes may do: tables in upstream's words, and random clusters against a naive reading of all objects.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use super::*;
use berth_cluster_json::{Value, json};
use std::collections::BTreeMap;

fn agent(node: &str) -> User {
    User::authenticated(&format!("{NODE_PREFIX}{node}"), "", vec![NODES.to_owned()])
}

fn meta(namespace: &str, name: &str) -> Value {
    json!({ "namespace": namespace, "name": name })
}

/// A pod that uses one object in each way that there is.
fn rich(node: &str) -> Value {
    let from =
        |kind: &str, name: &str| json!({ "valueFrom": { kind: { "name": name, "key": "k" } } });
    json!({
        "metadata": meta("a", "rich"),
        "spec": {
            "nodeName": node, "serviceAccountName": "robot",
            "imagePullSecrets": [{ "name": "s-pull" }],
            "initContainers": [{ "env": [from("secretKeyRef", "s-init")] }],
            "containers": [{
                "env": [from("secretKeyRef", "s-env"), from("configMapKeyRef", "c-env"), { "name": "X", "value": "y" }],
                "envFrom": [{ "secretRef": { "name": "s-from" } }, { "configMapRef": { "name": "c-from" } }],
            }],
            "ephemeralContainers": [{ "envFrom": [{ "secretRef": { "name": "s-debug" } }] }],
            "volumes": [
                { "name": "1", "secret": { "secretName": "s-volume" } },
                { "name": "2", "configMap": { "name": "c-volume" } },
                { "name": "3", "projected": { "sources": [
                    { "secret": { "name": "s-projected" } }, { "configMap": { "name": "c-projected" } },
                ] } },
                { "name": "4", "persistentVolumeClaim": { "claimName": "p" } },
                { "name": "5", "ephemeral": { "volumeClaimTemplate": {} } },
                { "name": "6", "csi": { "driver": "d", "nodePublishSecretRef": { "name": "s-csi" } } },
                { "name": "7", "iscsi": { "secretRef": { "name": "s-iscsi" } } },
                { "name": "8", "azureFile": { "secretName": "s-azure" } },
            ],
        },
    })
}

fn cluster() -> Authorizer {
    let mut all = Authorizer::default();
    all.graph.put_pod(&rich("n1"));
    all.graph.put_pod(&json!({
        "metadata": meta("a", "other"),
        "spec": { "nodeName": "n2", "imagePullSecrets": [{ "name": "s-other" }] },
    }));
    all.graph.put_pod(&json!({
        "metadata": { "namespace": "a", "name": "mirror", "annotations": { "kubernetes.io/config.mirror": "x" } },
        "spec": { "nodeName": "n1", "imagePullSecrets": [{ "name": "s-mirror" }] },
    }));
    all.graph.put_pod(&json!({
        "metadata": meta("a", "unbound"),
        "spec": { "imagePullSecrets": [{ "name": "s-unbound" }] },
    }));
    all.graph.put_volume(&json!({
        "metadata": { "name": "v" },
        "spec": {
            "claimRef": { "namespace": "a", "name": "p" },
            "csi": {
                "nodeStageSecretRef": { "namespace": "drivers", "name": "s-stage" },
                "controllerPublishSecretRef": { "namespace": "drivers", "name": "s-controller" },
            },
        },
    }));
    all.graph.put_volume(&json!({ "metadata": { "name": "free" }, "spec": {} }));
    all.graph
        .put_attachment(&json!({ "metadata": { "name": "at" }, "spec": { "nodeName": "n1" } }));
    all
}

/// What node `n1` is told: `yes`, or why not.
fn told(all: &Authorizer, verb: &str, what: &str) -> String {
    let user = agent("n1");
    let mut words = what.split_whitespace();
    let (group, resource) = words.next().unwrap().rsplit_once(':').unwrap_or(("", what));
    let resource = resource.split_whitespace().next().unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (namespace, name) = words.next().and_then(|one| one.split_once('/')).unwrap_or_default();
    let fields = words.next().unwrap_or_default();
    let asked = Attributes {
        subresource,
        namespace,
        name,
        fields,
        ..Attributes::resource(&user, verb, group, resource)
    };
    match all.decide("n1", &asked) {
        Opinion::Allowed => "yes".to_owned(),
        Opinion::None(why) => why,
    }
}

const UNRELATED: &str = "no relationship found between node 'n1' and this object";

#[test]
fn a_node_reads_what_its_pods_use_and_nothing_else() {
    let all = cluster();
    for name in
        ["pull", "init", "env", "from", "debug", "volume", "projected", "csi", "iscsi", "azure"]
    {
        for verb in ["get", "list", "watch"] {
            assert_eq!(told(&all, verb, &format!("secrets a/s-{name}")), "yes", "{name}");
        }
    }
    for name in ["env", "from", "volume", "projected"] {
        assert_eq!(told(&all, "get", &format!("configmaps a/c-{name}")), "yes", "{name}");
    }
    for (what, wanted) in [
        ("secrets drivers/s-stage", "yes"),
        ("secrets drivers/s-controller", UNRELATED),
        ("secrets a/s-stage", UNRELATED),
        ("secrets b/s-env", UNRELATED),
        ("secrets a/s-other", UNRELATED),
        ("secrets a/s-mirror", UNRELATED),
        ("secrets a/s-unbound", UNRELATED),
        ("configmaps a/s-env", UNRELATED),
        ("persistentvolumeclaims a/p", "yes"),
        ("persistentvolumeclaims a/rich-5", "yes"),
        ("persistentvolumeclaims a/q", UNRELATED),
        ("persistentvolumes /v", "yes"),
        ("persistentvolumes /free", UNRELATED),
        ("storage.k8s.io:volumeattachments /at", "yes"),
        ("storage.k8s.io:volumeattachments /other", UNRELATED),
        ("pods a/rich", "yes"),
        ("pods a/mirror", "yes"),
        ("pods a/other", UNRELATED),
        ("pods a/unbound", UNRELATED),
        ("secrets a/", "No Object name found"),
        ("secrets /s-env", "can only read namespaced object of this type"),
        ("secrets/x a/s-env", "cannot read subresource"),
        ("persistentvolumes/status /v", "cannot get subresource"),
        ("namespaces /a", ""),
    ] {
        assert_eq!(told(&all, "get", what), wanted, "{what}");
    }
}

#[test]
fn the_verbs_are_upstreams_and_so_are_the_reasons() {
    let all = cluster();
    let own = "can only access node lease with the same name as the requesting node";
    let csi = "can only access CSINode with the same name as the requesting node";
    for (verb, what, wanted) in [
        ("create", "secrets a/s-env", "can only read resources of this type"),
        ("list", "persistentvolumes /v", "can only get individual resources of this type"),
        ("patch", "persistentvolumeclaims/status a/p", "yes"),
        ("get", "persistentvolumeclaims/status a/p", "can only get/update/patch this type"),
        ("update", "persistentvolumeclaims/status a/q", UNRELATED),
        ("create", "serviceaccounts/token a/robot", "yes"),
        ("create", "serviceaccounts/token a/other", UNRELATED),
        (
            "create",
            "serviceaccounts a/robot",
            "can only create token subresource of serviceaccount",
        ),
        (
            "get",
            "serviceaccounts a/robot",
            "can only create tokens for individual service accounts",
        ),
        ("update", "coordination.k8s.io:leases kube-node-lease/n1", "yes"),
        ("create", "coordination.k8s.io:leases kube-node-lease/", "yes"),
        ("update", "coordination.k8s.io:leases kube-node-lease/n2", own),
        (
            "get",
            "coordination.k8s.io:leases kube-system/n1",
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            "list",
            "coordination.k8s.io:leases kube-node-lease/",
            "can only get, create, update, patch, or delete a node lease",
        ),
        ("patch", "storage.k8s.io:csinodes /n1", "yes"),
        ("patch", "storage.k8s.io:csinodes /n2", csi),
        (
            "watch",
            "storage.k8s.io:csinodes /n1",
            "can only get, create, update, patch, or delete a CSINode",
        ),
        ("get", "nodes /n1", "yes"),
        ("watch", "nodes /n1", "yes"),
        ("list", "nodes", "node 'n1' cannot read all nodes, only its own Node object"),
        ("get", "nodes /n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("delete", "nodes /n1", ""),
        ("patch", "nodes/status /n1", "yes"),
        ("get", "nodes/proxy /n1", ""),
        ("list", "pods", "can only list/watch pods with spec.nodeName field selector"),
        ("list", "pods / spec.nodeName=n1", "yes"),
        ("watch", "pods / metadata.namespace!=x,spec.nodeName==n1", "yes"),
        (
            "watch",
            "pods / spec.nodeName!=n1",
            "can only list/watch pods with spec.nodeName field selector",
        ),
        (
            "list",
            "pods / spec.nodeName=n2",
            "can only list/watch pods with spec.nodeName field selector",
        ),
        ("watch", "pods a/rich", "yes"),
        ("watch", "pods a/other", UNRELATED),
        ("create", "pods a/", "yes"),
        ("update", "pods a/rich", ""),
        ("patch", "pods/status a/other", "yes"),
        ("create", "pods/eviction a/rich", "yes"),
        ("create", "pods/exec a/rich", ""),
        ("create", "events a/", "yes"),
        ("patch", "events.k8s.io:events a/e", "yes"),
        ("list", "services", "yes"),
        ("create", "certificates.k8s.io:certificatesigningrequests", "yes"),
        ("create", "authorization.k8s.io:subjectaccessreviews", "yes"),
        ("watch", "node.k8s.io:runtimeclasses", "yes"),
    ] {
        assert_eq!(told(&all, verb, what), wanted, "{verb} {what}");
    }
}

#[test]
fn only_members_of_the_group_are_nodes() {
    assert_eq!(node_of(&agent("n1")), Some("n1"));
    assert_eq!(node_of(&agent("")), Some(""));
    assert_eq!(node_of(&User::authenticated("system:node:n1", "", vec![])), None);
    assert_eq!(node_of(&User::authenticated("n1", "", vec![NODES.to_owned()])), None);
    let all = cluster();
    let user = agent("");
    let asked = Attributes::resource(&user, "list", "", "services");
    let why = "unknown node for user \"system:node:\"".to_owned();
    assert_eq!(all.decide("", &asked), Opinion::None(why));
}

#[test]
fn what_is_gone_gives_nothing_and_leaves_nothing_behind() {
    let mut all = cluster();
    all.graph.put_pod(&rich("n1"));
    all.graph.remove(Class::Pod, "a", "rich");
    for what in [
        "secrets a/s-env",
        "secrets drivers/s-stage",
        "persistentvolumes /v",
        "persistentvolumeclaims a/p",
        "pods a/rich",
    ] {
        assert_eq!(told(&all, "get", what), UNRELATED, "{what}");
    }
    for pod in ["other", "mirror", "unbound", "never"] {
        all.graph.remove(Class::Pod, "a", pod);
    }
    all.graph.remove(Class::Volume, "", "v");
    all.graph.remove(Class::Attachment, "", "at");
    assert!(all.graph.is_empty(), "{:?}", all.graph);
}

/// One seed, one sequence (splitmix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn name(&mut self, letter: char, bound: usize) -> String {
        format!("{letter}{}", self.below(bound))
    }
}

/// All objects, and what is said of them by reading all of them.
#[derive(Default)]
struct Naive {
    pods: BTreeMap<String, Value>,
    volumes: BTreeMap<String, Value>,
}

impl Naive {
    fn claims(&self, node: &str) -> Vec<String> {
        let pods = self.pods.values().filter(|pod| pod["spec"]["nodeName"] == node);
        let volumes = pods.flat_map(|pod| pod["spec"]["volumes"].as_array().unwrap());
        let claim =
            |one: &Value| one["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned);
        volumes.filter_map(claim).collect()
    }

    fn volumes(&self, node: &str) -> Vec<&Value> {
        let claims = self.claims(node);
        let of = |volume: &&Value| {
            claims.iter().any(|claim| volume["spec"]["claimRef"]["name"] == claim.as_str())
        };
        self.volumes.values().filter(of).collect()
    }

    fn reaches(&self, node: &str, class: Class, name: &str) -> bool {
        let pods = || self.pods.values().filter(|pod| pod["spec"]["nodeName"] == node);
        match class {
            Class::Pod => pods().any(|pod| pod["metadata"]["name"] == name),
            Class::Claim => self.claims(node).iter().any(|claim| claim == name),
            Class::Volume => self.volumes(node).iter().any(|one| one["metadata"]["name"] == name),
            _ => {
                let volumes = self.volumes(node);
                volumes.iter().any(|one| one["spec"]["rbd"]["secretRef"]["name"] == name)
                    || pods().any(|pod| pod["spec"]["imagePullSecrets"][0]["name"] == name)
            }
        }
    }
}

fn step(random: &mut Random, naive: &mut Naive, graph: &mut Graph) {
    let pod = random.name('p', 6);
    let volume = random.name('v', 4);
    match random.below(5) {
        0 => {
            naive.pods.remove(&pod);
            graph.remove(Class::Pod, "a", &pod);
        }
        1 => {
            naive.volumes.remove(&volume);
            graph.remove(Class::Volume, "", &volume);
        }
        2 | 3 => {
            let node = if random.below(5) == 0 { String::new() } else { random.name('n', 3) };
            let claims = (0..random.below(3)).map(|_| random.name('c', 4));
            let claims: Vec<Value> = claims
                .map(|one| json!({ "persistentVolumeClaim": { "claimName": one } }))
                .collect();
            let object = json!({
                "metadata": meta("a", &pod),
                "spec": {
                    "nodeName": node, "volumes": claims,
                    "imagePullSecrets": [{ "name": random.name('s', 4) }],
                },
            });
            graph.put_pod(&object);
            naive.pods.insert(pod, object);
        }
        _ => {
            let mut object = json!({
                "metadata": { "name": volume },
                "spec": { "rbd": { "secretRef": { "name": random.name('s', 4) } } },
            });
            if random.below(4) > 0 {
                object["spec"]["claimRef"] = meta("a", &random.name('c', 4));
            }
            graph.put_volume(&object);
            naive.volumes.insert(volume, object);
        }
    }
}

#[test]
fn counts_agree_with_a_reading_of_everything_after_each_change() {
    for seed in 0..300 {
        let (mut random, mut naive, mut graph) = (Random(seed), Naive::default(), Graph::default());
        for turn in 0..60 {
            step(&mut random, &mut naive, &mut graph);
            for node in ["n0", "n1", "n2", ""] {
                for (class, letter, count) in [
                    (Class::Pod, 'p', 6),
                    (Class::Claim, 'c', 4),
                    (Class::Volume, 'v', 4),
                    (Class::Secret, 's', 4),
                ] {
                    for number in 0..count {
                        let name = format!("{letter}{number}");
                        let namespace = if class == Class::Volume { "" } else { "a" };
                        let wanted = !node.is_empty() && naive.reaches(node, class, &name);
                        let found = graph.reaches(node, Object { class, namespace, name: &name });
                        assert_eq!(
                            found, wanted,
                            "seed {seed}, turn {turn}: {node} {class:?} {name}"
                        );
                    }
                }
            }
        }
        for pod in naive.pods.keys() {
            graph.remove(Class::Pod, "a", pod);
        }
        for volume in naive.volumes.keys() {
            graph.remove(Class::Volume, "", volume);
        }
        assert!(graph.is_empty(), "seed {seed}: {graph:?}");
    }
}
