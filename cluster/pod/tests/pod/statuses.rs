// SPDX-License-Identifier: Apache-2.0
//! Statuses: what is kept, what is taken over, and what is never said.

use crate::world::{World, node, spec_of};
use berth_cluster_pod::{Event, Machine, View};
use serde_json::{Value, json};

fn pod(spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3}, "spec": spec, "status": status})
}

#[test]
fn a_status_has_all_its_parts() {
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"});
    let theirs =
        json!({"type": "x.y/gate", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"});
    let status =
        json!({"phase": "Pending", "qosClass": "Burstable", "conditions": [scheduled, theirs]});
    let spec = json!({"containers": [{"name": "a", "image": "i:1"}], "readinessGates": [{"conditionType": "x.y/gate"}]});
    let mut world = World::of(pod(spec, status));
    world.run_until(2_500);
    let want = json!({
        "observedGeneration": 3, "phase": "Running", "qosClass": "Burstable", "startTime": "2023-11-14T22:13:20Z",
        "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}], "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [
            {"type": "x.y/gate", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"},
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"},
            {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ],
        "containerStatuses": [{
            "name": "a", "image": "i:1", "imageID": "sha256:i:1", "containerID": "docker://a.0", "ready": true, "started": true,
            "restartCount": 0, "lastState": {}, "state": {"running": {"startedAt": "2023-11-14T22:13:20Z"}},
        }],
    });
    assert_eq!(serde_json::to_value(&world.status).unwrap(), want);
}

#[test]
fn readiness_gates_are_waited_for() {
    let spec = json!({"containers": [{"name": "a", "image": "i:1"}], "readinessGates": [{"conditionType": "g1"}, {"conditionType": "g2"}]});
    let mut world =
        World::of(pod(spec, json!({"conditions": [{"type": "g2", "status": "False"}]})));
    world.run_until(1_000);
    assert_eq!(
        world.condition("Ready"),
        "False ReadinessGatesNotReady corresponding condition of pod readiness gate \"g1\" does not exist., the status of pod readiness gate \"g2\" is not \"True\", but False"
    );
    assert_eq!(world.condition("ContainersReady"), "True");
    let mut spec = world.spec();
    let gate =
        |name: &str| serde_json::from_value(json!({"type": name, "status": "True"})).unwrap();
    spec.status.conditions = Some(vec![gate("g1"), gate("g2")]);
    world.tell(Event::Pod(Box::new(spec)));
    assert_eq!(world.condition("Ready"), "True");
}

#[test]
fn what_ran_and_is_gone_without_a_trace_has_ended_with_137() {
    let old = json!({"phase": "Running", "containerStatuses": [{"name": "a", "image": "i:1", "imageID": "x", "ready": true, "started": true,
        "restartCount": 4, "containerID": "docker://gone", "state": {"running": {"startedAt": "2023-11-14T22:00:00Z"}}}]});
    let spec = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i:1"}]});
    let mut world = World::of(pod(spec("Always"), old.clone()));
    world.run_until(60_000);
    assert_eq!(world.lines(&["create", "start"]), ["0 create a-5", "0 start a-5"]);
    assert_eq!(
        world.shown("/containerStatuses/0/lastState/terminated"),
        json!({"exitCode": 137, "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was deleted.  The container used to be Running"})
    );
    assert_eq!(world.shown("/phase"), "Running");
    // What may not run twice does not.
    let mut world = World::of(pod(spec("Never"), old.clone()));
    world.run_until(60_000);
    assert!(world.lines(&["create"]).is_empty());
    assert_eq!(world.shown("/phase"), "Failed");
    assert_eq!(
        world.shown("/containerStatuses/0/state/terminated/reason"),
        "ContainerStatusUnknown"
    );
    // One that is being deleted does not come back either.
    let mut gone = pod(spec("Always"), old);
    gone["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z");
    let mut world = World::of(gone);
    world.run_until(60_000);
    assert!(world.lines(&["create", "sandbox"]).is_empty() && world.concluded);
    assert_eq!(
        world.shown("/containerStatuses/0/state/terminated/message"),
        "The container could not be located when the pod was terminated"
    );
}

#[test]
fn a_pod_that_has_ended_stays_so() {
    for phase in ["Succeeded", "Failed"] {
        let spec = json!({"containers": [{"name": "a", "image": "i:1"}]});
        let mut world =
            World::of(pod(spec, json!({"phase": phase, "reason": "Evicted", "message": "m"})));
        world.run_until(60_000);
        assert!(world.lines(&["create", "sandbox", "volumes"]).is_empty());
        assert_eq!(
            [world.shown("/phase"), world.shown("/reason"), world.shown("/message")],
            [phase, "Evicted", "m"]
        );
    }
}

#[test]
fn a_new_machine_removes_what_has_no_place() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]}));
    world.run_until(0);
    // A second one of the same name, one of no name, and a sandbox of before.
    let live = world.engine.containers[&("a".to_owned(), 0)].clone();
    let mut newer = live.clone();
    newer.making.attempt = 1;
    newer.id = "a.1".to_owned();
    let mut other = live;
    other.making.container = "zz".to_owned();
    other.id = "zz.0".to_owned();
    world.engine.containers.insert(("a".to_owned(), 1), newer);
    world.engine.containers.insert(("zz".to_owned(), 0), other);
    world.engine.sandboxes.insert(1, true);
    let view = world.engine.view(world.now);
    let mut machine = Machine::new(world.spec(), node(), view, world.now);
    let commands = machine.handle(world.now, Event::Tick).commands;
    let words: Vec<_> = commands
        .iter()
        .map(|command| crate::world::word(&command.action))
        .map(|(word, what)| format!("{word} {what}"))
        .collect();
    for wanted in ["remove a-0", "remove zz-0", "unsandbox 0"] {
        assert!(words.iter().any(|word| word == wanted), "{wanted}: {words:?}");
    }
    assert!(
        !words.iter().any(|word| word.starts_with("remove a-1") || word.starts_with("create")),
        "{words:?}"
    );
}

#[test]
fn a_container_that_vanishes_while_it_runs_is_started_again() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]}));
    world.run_until(0);
    // A list that was taken before it was started says nothing.
    world.tell(Event::Seen(View { taken_at: world.now, ..View::default() }));
    assert!(world.lines(&["unsandbox"]).is_empty());
    world.run_until(20_000);
    world.engine.containers.clear();
    let view = world.engine.view(world.now);
    world.tell(Event::Seen(view));
    world.run_until(60_000);
    assert_eq!(world.lines(&["start"]), ["0 start a-0", "20 start a-1"]);
    assert_eq!(
        world.shown("/containerStatuses/0/lastState/terminated/reason"),
        "ContainerStatusUnknown"
    );
    assert_eq!(world.shown("/containerStatuses/0/restartCount"), 1);
}

#[test]
fn a_pod_that_says_nothing_is_read_with_upstreams_defaults() {
    let spec = spec_of(&pod(
        json!({"containers": [
            {"name": "a", "image": "i", "livenessProbe": {"exec": {}}},
            {"name": "b", "image": "i:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
        ], "initContainers": [{"name": "c", "image": "i:1", "readinessProbe": {"exec": {}}}]}),
        json!({}),
    ));
    let probe = spec.containers[1].probes[1].unwrap();
    assert_eq!(
        (
            probe.initial_delay,
            probe.period,
            probe.timeout,
            probe.success_threshold,
            probe.failure_threshold
        ),
        (0, 10_000, 1_000, 1, 3)
    );
    assert_eq!((spec.grace, spec.deletion, spec.qos.as_str()), (30_000, None, "Burstable"));
    assert_eq!(spec.containers[0].probes, [None; 3]);
    let empty = spec_of(&json!({}));
    assert!(empty.containers.is_empty() && empty.qos == "BestEffort");
}
