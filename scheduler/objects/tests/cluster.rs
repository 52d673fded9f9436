// SPDX-License-Identifier: Apache-2.0
//! Nodes, groups, budgets and storage as an API server hands them out.

use berth_scheduler_model::objects::GroupKind;
use berth_scheduler_objects as objects;
use serde_json::json;

#[test]
fn a_node_has_what_its_status_allocates() {
    let node = objects::node(json!({
        "metadata": {"name": "n", "labels": {"b": "2", "a": "1"}},
        "spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoExecute"}]},
        "status": {
            "capacity": {"cpu": "8"},
            "allocatable": {"cpu": "3920m", "memory": "1Gi", "pods": "110", "example.com/foo": "2"},
            "images": [{"names": ["a@sha256:1", "a:1"], "sizeBytes": 5}, {"names": null}],
            "declaredFeatures": ["B", "A"],
        },
    }))
    .expect("the node can be read");
    assert_eq!((node.allocatable.cpu, node.allocatable.memory, node.pods), (3_920, 1 << 30, 110));
    assert_eq!(node.allocatable.scalar("example.com/foo"), 2);
    assert!(node.unschedulable && node.taints.len() == 1);
    assert_eq!(node.images[..], [("a@sha256:1".into(), 5), ("a:1".into(), 5)]);
    assert_eq!(node.features[..], ["A".into(), "B".into()]);
    let wrong = json!({
        "metadata": {"name": "n"},
        "status": {"allocatable": {"memory": "65Ti"}},
    });
    assert_eq!(
        objects::node(&wrong).expect_err("too much").to_string(),
        "status.allocatable[memory]: 71468255805440 is not within 0..=70368744177664"
    );
}

#[test]
fn an_absent_selector_is_not_an_empty_one() {
    let meta = json!({"name": "s", "namespace": "ns"});
    let absent = objects::service(json!({"metadata": meta, "spec": {}})).expect("a service");
    let empty = objects::service(json!({"metadata": meta, "spec": {"selector": {}}}));
    assert_eq!((absent.kind, absent.selector), (GroupKind::Service, None));
    assert!(empty.expect("a service").selector.is_some_and(|selector| selector.is_empty()));
    let set = objects::replica_set(json!({"metadata": meta, "spec": {"selector": {
        "matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}],
    }}}));
    assert_eq!(set.expect("a set").selector.map(|selector| selector.requirements.len()), Some(2));
}

#[test]
fn a_budget_knows_what_is_already_disrupted() {
    let budget = objects::budget(json!({
        "metadata": {"name": "b", "namespace": "ns"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "1"}}},
        "status": {"disruptionsAllowed": 2, "disruptedPods": {"p": "2026-03-01T00:00:00Z"}},
    }))
    .expect("the budget can be read");
    assert_eq!((budget.allowed, budget.disrupted.len()), (2, 1));
}

#[test]
fn the_old_annotation_of_a_storage_class_wins() {
    let claim = objects::persistent_volume_claim(json!({
        "metadata": {
            "name": "c", "namespace": "ns", "uid": "u",
            "annotations": {
                "volume.beta.kubernetes.io/storage-class": "old",
                "pv.kubernetes.io/bind-completed": "yes",
            },
            "ownerReferences": [{"uid": "pod", "kind": "Pod", "name": "p", "controller": true}],
        },
        "spec": {
            "storageClassName": "new", "accessModes": ["ReadWriteOncePod"], "volumeName": "v",
            "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Block",
        },
        "status": {"phase": "Lost"},
    }))
    .expect("the claim can be read");
    assert_eq!((claim.class.as_deref(), claim.owner.as_deref()), (Some("old"), Some("pod")));
    assert!(claim.access.read_write_once_pod && claim.block && claim.lost && claim.bind_completed);
    assert_eq!(claim.request, 1 << 30);
}

#[test]
fn storage_objects_are_read() {
    let class = objects::storage_class(json!({
        "metadata": {"name": "c"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}],
    }))
    .expect("the class can be read");
    assert!(class.wait_for_consumer && class.allowed_topologies.terms.len() == 1);
    let node = objects::csi_node(json!({
        "metadata": {"name": "n", "annotations": {
            "storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs,kubernetes.io/gce-pd"}},
        "spec": {"drivers": [{"name": "d", "allocatable": {"count": 3}}, {"name": "e"}]},
    }))
    .expect("the node can be read");
    assert_eq!(node.drivers[..], [("d".into(), Some(3)), ("e".into(), None)]);
    assert_eq!(node.migrated.len(), 2);
    let capacity = objects::csi_capacity(json!({
        "metadata": {"name": "c", "namespace": "ns"}, "storageClassName": "c", "capacity": "1Gi",
    }))
    .expect("the capacity can be read");
    assert_eq!(
        (capacity.capacity, capacity.largest, capacity.topology),
        (Some(1 << 30), None, None)
    );
    let attachment = objects::volume_attachment(json!({
        "metadata": {"name": "a"},
        "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    }))
    .expect("the attachment can be read");
    assert_eq!(attachment.volume.as_deref(), Some("v"));
    let driver = objects::csi_driver(json!({
        "metadata": {"name": "d"}, "spec": {"storageCapacity": true},
    }));
    assert!(driver.expect("the driver can be read").storage_capacity);
}
