// SPDX-License-Identifier: Apache-2.0
//! Rules that the recorded verdicts do not reach.

use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin, Reason};
use berth_scheduler_objects as objects;
use berth_scheduler_reference::Scheduler;
use berth_scheduler_testkit::{Ineligible, Oracle, Verdict};
use serde_json::{Value, json};
use std::sync::Arc;

/// A cluster that is put together from JSON.
struct Cluster(Scheduler);

impl Cluster {
    fn new() -> Self {
        Self(Scheduler::new(Profile::default()))
    }

    fn node(mut self, name: &str, cpu: &str) -> Self {
        self.add_node(json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}},
        }));
        self
    }

    fn add_node(&mut self, node: Value) {
        self.0.apply(Event::Node(Box::new(objects::node(&node).expect("a node"))));
    }

    fn pod(mut self, name: &str, spec: Value, status: Value) -> Self {
        self.0.apply(Event::Pod(Box::new(pod(name, spec, status))));
        self
    }

    fn event(mut self, event: Event) -> Self {
        self.0.apply(event);
        self
    }

    fn verdict(&mut self, spec: Value) -> Verdict {
        self.0.verdict(&pending(spec))
    }

    fn rejection(&mut self, spec: Value, node: &str) -> (Plugin, String, Code, bool) {
        let verdict = self.verdict(spec);
        let rejection = &verdict.rejected[node];
        let reasons: Vec<String> = rejection.reasons.iter().map(Reason::text).collect();
        (rejection.plugin, reasons.join("; "), rejection.code, rejection.pre_filter)
    }
}

fn pod(name: &str, spec: Value, status: Value) -> Pod {
    let value = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "a"}},
        "spec": spec, "status": status,
    });
    objects::pod(&value).expect("a pod").pod
}

fn pending(spec: Value) -> Pod {
    pod("pending", spec, json!({}))
}

fn cpu(request: &str) -> Value {
    json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": request}}}])
}

fn names(verdict: &Verdict) -> Vec<&str> {
    verdict.feasible.iter().map(|name| &**name).collect()
}

#[test]
fn ties_go_to_the_lowest_hash_and_then_to_the_name() {
    let cluster = Cluster::new().node("a", "4").node("b", "4").node("c", "4");
    let pod = pending(json!({"containers": cpu("1")}));
    let order = |name: &str| match name {
        "a" => 3,
        "b" => 1,
        _ => 2,
    };
    assert_eq!(cluster.0.place(&pod, order).as_deref(), Some("b"));
    assert_eq!(cluster.0.place(&pod, |_| 0).as_deref(), Some("a"));
    let big = pending(json!({"containers": cpu("9")}));
    assert_eq!(cluster.0.place(&big, |_| 0), None);
}

#[test]
fn the_own_nominated_node_is_taken_without_scoring() {
    let cluster = Cluster::new().node("a", "4").node("b", "1");
    let mut pod = pending(json!({"containers": cpu("1")}));
    assert_eq!(cluster.0.place(&pod, |_| 0).as_deref(), Some("a"));
    pod.nominated = Some("b".into());
    assert_eq!(cluster.0.place(&pod, |_| 0).as_deref(), Some("b"));
}

#[test]
fn room_that_is_nominated_is_kept_from_equal_and_lower_priorities() {
    let nominated = json!({"nominatedNodeName": "a"});
    let mut cluster = Cluster::new().node("a", "2").pod(
        "other",
        json!({"containers": cpu("2"), "priority": 5}),
        nominated,
    );
    for (priority, fits) in [(4, false), (5, false), (6, true)] {
        let verdict = cluster.verdict(json!({"containers": cpu("1"), "priority": priority}));
        assert_eq!(verdict.feasible.len() == 1, fits, "{priority}");
    }
    // It does not count in scores, and not against itself.
    let verdict = cluster.verdict(json!({"containers": cpu("1"), "priority": 6}));
    let alone = Cluster::new().node("a", "2").verdict(json!({"containers": cpu("1")}));
    assert_eq!(verdict.totals, alone.totals);
    let itself = pod("other", json!({"containers": cpu("2"), "priority": 5}), json!({}));
    assert_eq!(cluster.0.verdict(&itself).feasible.len(), 1);
}

#[test]
fn features_must_be_declared() {
    let mut cluster = Cluster::new().node("a", "4");
    cluster.add_node(json!({
        "metadata": {"name": "b"},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
            "declaredFeatures": ["UserNamespacesHostNetworkSupport"],
        },
    }));
    let spec = json!({"containers": cpu("1"), "hostNetwork": true, "hostUsers": false});
    assert_eq!(names(&cluster.verdict(spec.clone())), ["b"]);
    assert_eq!(
        cluster.rejection(spec, "a"),
        (
            Plugin::NodeDeclaredFeatures,
            "node declared features check failed - unsatisfied requirements: \
             UserNamespacesHostNetworkSupport"
                .to_owned(),
            Code::UnschedulableAndUnresolvable,
            false
        )
    );
}

#[test]
fn resource_claims_are_not_supported() {
    let spec = json!({"containers": cpu("1"), "resourceClaims": [{"name": "gpu"}]});
    let (plugin, text, code, early) = Cluster::new().node("a", "4").rejection(spec, "a");
    assert_eq!((plugin, code), (Plugin::DynamicResources, Code::UnschedulableAndUnresolvable));
    assert!(early && text.contains("spec.resourceClaims"));
}

/// A claim named `claim` of a class named `class`.
fn claim(more: Value) -> Event {
    let mut value = json!({
        "metadata": {"name": "claim", "namespace": "ns", "uid": "claim"},
        "spec": {"storageClassName": "class", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}}},
    });
    merge(&mut value, more);
    Event::Claim(Box::new(objects::persistent_volume_claim(&value).expect("a claim")))
}

fn volume(name: &str, more: Value) -> Event {
    let mut value = json!({
        "metadata": {"name": name},
        "spec": {"storageClassName": "class", "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "10Gi"}},
        "status": {"phase": "Available"},
    });
    merge(&mut value, more);
    Event::Volume(Box::new(objects::persistent_volume(&value).expect("a volume")))
}

fn class(provisioner: &str) -> Event {
    let value = json!({"metadata": {"name": "class"}, "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer"});
    Event::Class(objects::storage_class(&value).expect("a class"))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn with_claim() -> Value {
    json!({"containers": cpu("1"), "volumes": [
        {"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}]})
}

#[test]
fn a_claim_that_cannot_be_used_keeps_the_pod_from_all_nodes() {
    let ephemeral = json!({"containers": cpu("1"), "volumes": [{"name": "v", "ephemeral": {}}]});
    let own = json!({"metadata": {"name": "pending-v", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "pending", "uid": "other", "controller": true}]}});
    let bound = json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "gone"},
    });
    for (events, spec, plugin, text) in [
        (
            vec![],
            with_claim(),
            Plugin::VolumeRestrictions,
            "persistentvolumeclaim \"claim\" not found",
        ),
        (
            vec![claim(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))],
            with_claim(),
            Plugin::VolumeBinding,
            "persistentvolumeclaim \"claim\" is being deleted",
        ),
        (
            vec![claim(json!({}))],
            with_claim(),
            Plugin::VolumeBinding,
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        (
            vec![claim(bound)],
            with_claim(),
            Plugin::VolumeZone,
            "persistentvolume \"gone\" not found",
        ),
        (
            vec![],
            ephemeral.clone(),
            Plugin::VolumeBinding,
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \
             \"pending-v\"",
        ),
        (
            vec![claim(own)],
            ephemeral,
            Plugin::VolumeBinding,
            "PVC pending-v was not created for the pod (pod is not owner)",
        ),
    ] {
        let mut cluster = events.into_iter().fold(Cluster::new().node("a", "4"), Cluster::event);
        let code = Code::UnschedulableAndUnresolvable;
        assert_eq!(cluster.rejection(spec, "a"), (plugin, text.to_owned(), code, true));
    }
}

#[test]
fn a_claim_takes_a_volume_that_is_there_or_one_that_can_be_made() {
    let local = "kubernetes.io/no-provisioner";
    let none = "node(s) didn't find available persistent volumes to bind";
    let refused = |cluster: Cluster| {
        let mut cluster = cluster;
        let (plugin, text, _, _) = cluster.rejection(with_claim(), "a");
        (plugin, text)
    };
    let cluster = || Cluster::new().node("a", "4").event(claim(json!({})));
    let fits = |mut cluster: Cluster| cluster.verdict(with_claim()).feasible.len() == 1;
    assert!(fits(cluster().event(class("csi.example.com"))));
    let refusal = (Plugin::VolumeBinding, none.to_owned());
    assert_eq!(refused(cluster().event(class(local))), refusal);
    assert!(fits(cluster().event(class(local)).event(volume("v", json!({})))));
    for (what, more) in [
        ("too small", json!({"spec": {"capacity": {"storage": "9Gi"}}})),
        ("other class", json!({"spec": {"storageClassName": "other"}})),
        ("other mode", json!({"spec": {"accessModes": ["ReadOnlyMany"]}})),
        ("block", json!({"spec": {"volumeMode": "Block"}})),
        ("taken", json!({"spec": {"claimRef": {"namespace": "ns", "name": "other"}}})),
        (
            "taken by one before",
            json!({"spec": {"claimRef":
            {"namespace": "ns", "name": "claim", "uid": "before"}}}),
        ),
        ("released", json!({"status": {"phase": "Released"}})),
        ("leaving", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        (
            "elsewhere",
            json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]}}}}),
        ),
    ] {
        let with = cluster().event(class(local)).event(volume("v", more));
        assert_eq!(refused(with), refusal, "{what}");
    }
    // One reserved for the claim will do though it is not available.
    let reserved = json!({"spec": {"claimRef": {"namespace": "ns", "name": "claim"}},
        "status": {"phase": "Bound"}});
    assert!(fits(cluster().event(class(local)).event(volume("v", reserved))));
}

#[test]
fn volumes_are_made_only_where_storage_is_left() {
    let driver = json!({"metadata": {"name": "csi"}, "spec": {"storageCapacity": true}});
    let capacity = |size: &str, largest: Value| {
        let value = json!({
            "metadata": {"name": "c", "namespace": "csi"}, "storageClassName": "class",
            "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": "a"}},
            "capacity": size, "maximumVolumeSize": largest,
        });
        Event::Capacity(objects::csi_capacity(&value).expect("a capacity"))
    };
    let cluster = || {
        Cluster::new()
            .node("a", "4")
            .event(claim(json!({})))
            .event(class("csi"))
            .event(Event::CsiDriver(objects::csi_driver(&driver).expect("a driver")))
    };
    let (plugin, text, _, _) = cluster().rejection(with_claim(), "a");
    assert_eq!(
        (plugin, &*text),
        (Plugin::VolumeBinding, "node(s) did not have enough free storage")
    );
    for (size, largest, fits) in [
        ("10Gi", Value::Null, true),
        ("9Gi", Value::Null, false),
        ("20Gi", json!("9Gi"), false),
        ("9Gi", json!("10Gi"), true),
    ] {
        let mut cluster = cluster().event(capacity(size, largest));
        assert_eq!(cluster.verdict(with_claim()).feasible.len() == 1, fits, "{size}");
    }
}

#[test]
fn attached_volumes_take_places() {
    let limits = json!({"metadata": {"name": "a"},
        "spec": {"drivers": [{"name": "csi", "allocatable": {"count": 1}}]}});
    let csi = |handle: &str| json!({"spec": {"csi": {"driver": "csi", "volumeHandle": handle}}});
    let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "v"}});
    let attachment = |volume: &str| {
        let value = json!({"metadata": {"name": "at"}, "spec":
            {"attacher": "csi", "nodeName": "a", "source": {"persistentVolumeName": volume}}});
        Event::Attachment(objects::volume_attachment(&value).expect("an attachment"))
    };
    let cluster = || {
        Cluster::new()
            .node("a", "4")
            .event(Event::CsiNode(objects::csi_node(&limits).expect("limits")))
            .event(volume("v", csi("1")))
            .event(volume("w", csi("2")))
            .event(claim(bound.clone()))
    };
    assert_eq!(cluster().verdict(with_claim()).feasible.len(), 1);
    // Its own volume is attached already: no further place is needed.
    assert_eq!(cluster().event(attachment("v")).verdict(with_claim()).feasible.len(), 1);
    let (plugin, text, code, _) = cluster().event(attachment("w")).rejection(with_claim(), "a");
    assert_eq!(
        (plugin, &*text, code),
        (Plugin::NodeVolumeLimits, "node(s) exceed max volume count", Code::Unschedulable)
    );
}

#[test]
fn a_claim_for_one_pod_is_freed_by_preemption() {
    let once = json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "v", "accessModes": ["ReadWriteOncePod"]},
    });
    let mut user = with_claim();
    user["nodeName"] = json!("a");
    let mut cluster = Cluster::new()
        .node("a", "4")
        .node("b", "4")
        .event(volume("v", json!({})))
        .event(claim(once))
        .pod("user", user, json!({"startTime": "2026-01-01T00:00:00Z"}));
    let mut spec = with_claim();
    spec["priority"] = json!(10);
    let verdict = cluster.0.preempt(&pending(spec)).expect("details");
    // Everywhere it is in use, and only on `a` someone can be evicted for it.
    assert_eq!(verdict.filter.len(), 2);
    assert_eq!(verdict.candidates.keys().collect::<Vec<_>>(), [&Str::from("a")]);
    assert_eq!(verdict.failed[&Str::from("b")], None);
}

#[test]
fn a_pod_that_waits_for_its_victims_does_not_preempt_again() {
    let mut cluster = Cluster::new().node("a", "1");
    let mut victim = pod(
        "victim",
        json!({"containers": cpu("1"), "nodeName": "a"}),
        json!({"startTime": "2026-01-01T00:00:00Z"}),
    );
    (victim.terminating, victim.preempted) = (true, true);
    cluster.0.apply(Event::Pod(Box::new(victim)));
    let mut preemptor = pending(json!({"containers": cpu("1"), "priority": 10}));
    assert_eq!(cluster.0.preempt(&preemptor).expect("details").ineligible, None);
    preemptor.nominated = Some("a".into());
    let verdict = cluster.0.preempt(&preemptor).expect("details");
    assert_eq!(verdict.ineligible, Some(Ineligible::Waiting));
    assert!(cluster.0.evict(&preemptor).is_none());
}

#[test]
fn a_namespace_that_does_not_exist_has_no_labels_for_others_and_cannot_be_chosen() {
    let term = |namespaces: Value| {
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname", "labelSelector": {},
            "namespaceSelector": namespaces,
        }]}})
    };
    let without = json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]});
    let with = json!({"matchExpressions": [{"key": "env", "operator": "Exists"}]});
    for (selector, refused) in [(without, true), (with, false)] {
        let spec =
            json!({"containers": cpu("1"), "nodeName": "a", "affinity": term(selector.clone())});
        let mut cluster = Cluster::new().node("a", "4").pod("there", spec, json!({}));
        let verdict = cluster.verdict(json!({"containers": cpu("1")}));
        assert_eq!(verdict.feasible.is_empty(), refused, "theirs: {selector}");
        let plain = json!({"containers": cpu("1"), "nodeName": "a"});
        let mut cluster = Cluster::new().node("a", "4").pod("there", plain, json!({}));
        let own = json!({"containers": cpu("1"), "affinity": term(selector.clone())});
        assert_eq!(cluster.verdict(own).feasible.is_empty(), refused, "own: {selector}");
    }
}

#[test]
fn a_selector_that_only_excludes_takes_in_the_excluded_namespaces_of_a_pending_pod() {
    let labels = json!({"metadata": {"name": "ns", "labels": {"env": "prod"}}});
    let selector = json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]});
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": {}, "namespaceSelector": selector,
    }]}});
    let cluster = |spec: Value| {
        Cluster::new()
            .node("a", "4")
            .event(Event::Namespace(objects::namespace(&labels).expect("a namespace")))
            .pod("there", spec, json!({}))
    };
    let plain = json!({"containers": cpu("1"), "nodeName": "a"});
    let own = json!({"containers": cpu("1"), "affinity": affinity});
    assert!(cluster(plain.clone()).verdict(own.clone()).feasible.is_empty());
    let mut there = own;
    there["nodeName"] = json!("a");
    assert_eq!(cluster(there).verdict(json!({"containers": cpu("1")})).feasible.len(), 1);
}

#[test]
fn an_empty_spread_selector_counts_nobody_but_the_pod_itself() {
    let constraint = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}]);
    let there = json!({"containers": cpu("1"), "nodeName": "a"});
    let mut cluster =
        Cluster::new().node("a", "8").node("b", "8").pod("x", there.clone(), json!({}));
    cluster = cluster.pod("y", there, json!({}));
    let spec = json!({"containers": cpu("1"), "topologySpreadConstraints": constraint});
    assert_eq!(names(&cluster.verdict(spec)), ["a", "b"]);
}

#[test]
fn pods_on_a_node_that_is_gone_count_again_when_it_is_back() {
    let there = json!({"containers": cpu("3"), "nodeName": "a"});
    let mut cluster = Cluster::new().pod("there", there, json!({})).node("a", "4");
    let spec = json!({"containers": cpu("2")});
    assert!(cluster.verdict(spec.clone()).feasible.is_empty());
    let mut cluster = cluster.event(Event::NodeGone("a".into()));
    assert!(cluster.verdict(spec.clone()).rejected.is_empty());
    let mut cluster = cluster.node("a", "4");
    assert!(cluster.verdict(spec).feasible.is_empty());
}

#[test]
fn a_wished_node_that_does_not_exist_leaves_none() {
    let spec = json!({"containers": cpu("1"), "affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["z"]}]}]}}}});
    let (plugin, text, _, early) = Cluster::new().node("a", "4").rejection(spec, "a");
    assert_eq!(
        (plugin, &*text),
        (Plugin::NodeAffinity, "node(s) didn't satisfy plugin(s) [NodeAffinity]")
    );
    assert!(early);
    let mut named = pending(json!({"containers": cpu("1")}));
    Arc::make_mut(&mut named.spec).node_name = Some("b".into());
    let mut cluster = Cluster::new().node("a", "4").node("b", "4");
    assert_eq!(names(&cluster.0.verdict(&named)), ["b"]);
}
