// SPDX-License-Identifier: Apache-2.0
//! Pods as an API server hands them out, and how mistakes in them are told.

use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{HostPort, PodSpec, Protocol, Toleration};
use berth_scheduler_model::requests::DEFAULT_MEMORY;
use berth_scheduler_model::volume::{Disk, PodVolume};
use berth_scheduler_objects::{PodObject, from_slice, pod};
use serde_json::{Value, json};
use std::sync::Arc;

/// A pod with this spec and status.
fn object(spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "creationTimestamp": null},
        "spec": spec, "status": status,
    })
}

fn read(spec: Value, status: Value) -> PodObject {
    pod(object(spec, status)).expect("the pod can be read")
}

fn spec(spec: Value) -> Arc<PodSpec> {
    read(spec, json!({})).pod.spec
}

fn error(spec: Value) -> String {
    pod(object(spec, json!({}))).expect_err("the pod is wrong").to_string()
}

fn container(requests: Value) -> Value {
    json!({"name": "c", "image": "i", "resources": {"requests": requests}})
}

#[test]
fn mistakes_name_their_field() {
    for (wrong, message) in [
        (
            json!({"containers": [container(json!({"cpu": "-1"}))]}),
            "spec.containers[0].resources.requests[cpu]: a quantity must not be negative",
        ),
        (
            json!({"initContainers": [container(json!({"memory": "1Gib"}))]}),
            "spec.initContainers[0].resources.requests[memory]: not a quantity (a number with an \
             optional suffix such as m, k, Mi, Gi, e3)",
        ),
        (
            json!({"containers": [{"name": 7}]}),
            "spec.containers[0].name: invalid type: integer `7`, expected a string",
        ),
        (
            json!({"tolerations": [{"key": "a"}, {"operator": "Near"}]}),
            "spec.tolerations[1].operator: \"Near\" is not one of Equal, Exists",
        ),
        (
            json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": 101, "podAffinityTerm": {"topologyKey": "zone"}}]}}}),
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: \
             101 is not within 1..=100",
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [{"labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
                  "topologyKey": "zone"}]}}}),
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]\
             .labelSelector.matchExpressions[0].values: In and NotIn take at least one value, \
             Exists and DoesNotExist none, Gt and Lt one integer",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule"}]}),
            "spec.topologySpreadConstraints[0].maxSkew: 0 is not within 1..=2147483647",
        ),
        (
            json!({"containers": [{"ports": [{"hostPort": 70_000}]}]}),
            "spec.containers[0].ports[0].hostPort: 70000 is not within 0..=65535",
        ),
        (
            json!({"nodeSelector": {"k": "v".repeat(600)}}),
            "spec.nodeSelector[k]: 600 bytes long; at most 512 are possible",
        ),
    ] {
        assert_eq!(error(wrong), message);
    }
    let nameless = json!({"metadata": {"namespace": "ns", "uid": "u"}});
    assert_eq!(pod(&nameless).expect_err("no name").to_string(), "metadata.name: missing");
}

#[test]
fn absent_null_and_empty_are_one() {
    let nothing = spec(json!({"containers": null, "affinity": null, "tolerations": null}));
    assert_eq!(nothing, spec(json!({})));
    assert_eq!(nothing, spec(json!({"containers": [], "affinity": {}, "nodeSelector": {}})));
}

#[test]
fn text_is_read_like_a_value() {
    let value = object(json!({"containers": [container(json!({"cpu": 2}))]}), json!({}));
    let text = serde_json::to_vec(&value).expect("a value is text");
    assert_eq!(from_slice(&text, |json| pod(json)), pod(&value));
}

#[test]
fn a_pod_that_succeeded_is_gone() {
    assert!(matches!(
        read(json!({}), json!({"phase": "Succeeded"})).into_event(),
        Event::PodGone { uid } if &*uid == "u"
    ));
    assert!(matches!(read(json!({}), json!({"phase": "Running"})).into_event(), Event::Pod(_)));
}

#[test]
fn status_says_where_it_stands() {
    let mut value = object(
        json!({"nodeName": "n1"}),
        json!({"startTime": "2026-03-23T19:54:24Z", "nominatedNodeName": "n2", "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}),
    );
    let running = pod(&value).expect("the pod can be read").pod;
    assert_eq!(running.node.as_deref(), Some("n1"));
    assert_eq!(running.nominated.as_deref(), Some("n2"));
    assert_eq!(running.started, Some(1_774_295_664_000_000));
    assert!(!running.terminating && !running.preempted);
    value["metadata"]["deletionTimestamp"] = json!("2026-03-24T00:00:00Z");
    let leaving = pod(&value).expect("the pod can be read").pod;
    assert!(leaving.terminating && leaving.preempted);
    value["status"]["startTime"] = json!("yesterday");
    assert_eq!(
        pod(&value).expect_err("no time").to_string(),
        "status.startTime: \"yesterday\" is not an RFC 3339 time"
    );
}

#[test]
fn quantities_are_rounded_up_and_other_resources_kept_by_name() {
    let requests = &spec(json!({"containers": [container(json!({
        "cpu": "0.1005", "memory": "1Ki", "ephemeral-storage": "1k", "example.com/foo": 3,
        "hugepages-2Mi": "4Mi", "pods": "1", "requests.example.com/foo": "9",
    }))]}))
    .requests
    .plain;
    assert_eq!((requests.cpu, requests.memory, requests.ephemeral), (101, 1_024, 1_000));
    let names: Vec<&str> = requests.scalars.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["example.com/foo", "hugepages-2Mi"]);
}

#[test]
fn a_resize_under_way_counts_the_most_unless_it_can_never_be_done() {
    let containers = json!({"containers": [container(json!({"cpu": "500m", "memory": "1Gi"}))]});
    let mut status = json!({"containerStatuses": [{
        "name": "c",
        "allocatedResources": {"cpu": "300m", "memory": "3Gi"},
        "resources": {"requests": {"cpu": "200m", "memory": "2Gi"}},
    }]});
    let plain =
        |status: &Value| read(containers.clone(), status.clone()).pod.spec.requests.plain.clone();
    assert_eq!((plain(&status).cpu, plain(&status).memory), (500, 3 << 30));
    status["conditions"] = json!([{"type": "PodResizePending", "reason": "Deferred"}]);
    assert_eq!(plain(&status).cpu, 500);
    status["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
    assert_eq!((plain(&status).cpu, plain(&status).memory), (300, 3 << 30));
    // Without `resources` the status says nothing.
    status["containerStatuses"][0]["resources"] = json!(null);
    assert_eq!((plain(&status).cpu, plain(&status).memory), (500, 1 << 30));
}

#[test]
fn requests_of_the_pod_as_a_whole_replace_those_of_containers() {
    let requests = &spec(json!({
        "containers": [container(json!({"cpu": "2", "memory": "1Mi", "example.com/foo": "1"}))],
        "resources": {"requests": {"cpu": "1", "hugepages-2Mi": "2Mi"}},
        "overhead": {"cpu": "10m"},
    }))
    .requests;
    assert_eq!((requests.plain.cpu, requests.plain.memory), (1_010, 1 << 20));
    assert_eq!(requests.plain.scalar("hugepages-2Mi"), 2 << 20);
    assert_eq!(requests.plain.scalar("example.com/foo"), 1);
    assert_eq!((requests.non_zero_cpu, requests.usage_cpu), (2_010, 1_010));
    // Limits alone do not count, nor does a resource that pods as a whole cannot request.
    let requests = &spec(json!({
        "containers": [container(json!({"cpu": "2"}))],
        "resources": {"requests": {"example.com/foo": "5"}, "limits": {"cpu": "1"}},
    }))
    .requests;
    assert_eq!((requests.plain.cpu, requests.plain.scalar("example.com/foo")), (2_000, 0));
    assert_eq!(requests.usage_memory, DEFAULT_MEMORY);
}

#[test]
fn ports_are_those_of_containers_that_keep_running() {
    let port = |port: u16| json!([{"hostPort": port, "hostIP": "10.0.0.1", "protocol": "UDP"}]);
    let ports = &spec(json!({
        "initContainers": [
            {"name": "init", "ports": port(1)},
            {"name": "sidecar", "restartPolicy": "Always", "ports": port(2)},
        ],
        "containers": [
            {"name": "c", "ports": [{"hostPort": 3}, {"containerPort": 4}]},
        ],
    }))
    .host_ports;
    let udp = HostPort { ip: "10.0.0.1".into(), protocol: Protocol::Udp, port: 2 };
    let tcp = HostPort { ip: "0.0.0.0".into(), protocol: Protocol::Tcp, port: 3 };
    assert_eq!(ports[..], [tcp, udp]);
}

#[test]
fn the_controller_is_the_first_owner_that_controls() {
    let mut value = object(json!({}), json!({}));
    value["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "Other", "name": "a"},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b", "controller": true},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "c", "controller": true},
    ]);
    let owner = pod(&value).expect("the pod can be read").pod.spec.controller.clone();
    assert_eq!(owner.expect("it has one").name.as_ref(), "b");
}

#[test]
fn tolerations_are_equal_or_exist() {
    let spec = spec(json!({"tolerations": [
        {"key": "a", "value": "1", "effect": "NoSchedule"},
        {"key": "b", "operator": "Exists"},
        {"operator": "Exists"},
        {"key": "c", "operator": "Gt", "value": "5"},
    ]}));
    assert_eq!(spec.tolerations.len(), 3);
    assert_eq!(spec.tolerations[2], Toleration { key: None, value: None, effect: None });
    assert_eq!(spec.unsupported[..], ["spec.tolerations[3].operator: Gt".into()]);
}

#[test]
fn what_berth_does_not_have_is_said() {
    let spec = spec(json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "g"}]}));
    assert_eq!(spec.unsupported[..], ["spec.resourceClaims".into()]);
}

#[test]
fn an_affinity_term_without_namespaces_means_the_pods_own() {
    let spec = spec(json!({"affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone"},
            {"topologyKey": "zone", "namespaceSelector": {}},
            {"topologyKey": "zone", "namespaces": ["other"], "labelSelector": {}},
        ],
    }}}));
    let terms = &spec.anti_affinity_required;
    assert_eq!(terms[0].namespaces[..], ["ns".into()]);
    assert!(terms[0].selector.is_none());
    assert!(terms[1].namespaces.is_empty());
    assert!(
        terms[1]
            .namespace_selector
            .as_ref()
            .is_some_and(berth_scheduler_model::labels::LabelSelector::is_empty)
    );
    assert!(
        terms[2]
            .selector
            .as_ref()
            .is_some_and(berth_scheduler_model::labels::LabelSelector::is_empty)
    );
}

#[test]
fn volumes_that_matter_are_kept() {
    let spec = spec(json!({"volumes": [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "c", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "d", "gcePersistentDisk": {"pdName": "disk", "readOnly": true}},
        {"name": "e", "csi": {"driver": "csi.example.com"}},
        {"name": "f", "image": {"reference": "reg.io/data"}},
    ]}));
    assert_eq!(
        spec.volumes[..],
        [
            PodVolume::Claim { name: "claim".into(), ephemeral: false },
            PodVolume::Claim { name: "p-c".into(), ephemeral: true },
            PodVolume::Disk(Disk::Gce { name: "disk".into(), read_only: true }),
            PodVolume::Csi { driver: "csi.example.com".into() },
        ]
    );
    assert_eq!((spec.images.clone(), spec.containers), (vec!["reg.io/data:latest".into()], 0));
}

#[test]
fn needed_node_features_are_inferred() {
    let rule =
        json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]);
    let features = |spec_value: Value| {
        let spec = spec(spec_value);
        spec.needs_features.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(features(json!({"hostNetwork": true, "hostUsers": true})).is_empty());
    assert!(features(json!({"hostUsers": false})).is_empty());
    assert_eq!(
        features(json!({
            "hostNetwork": true, "hostUsers": false,
            "initContainers": [{"name": "i", "restartPolicy": "Never", "restartPolicyRules": rule}],
        })),
        ["RestartAllContainersOnContainerExits", "UserNamespacesHostNetworkSupport"]
    );
}
