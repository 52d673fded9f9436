// SPDX-License-Identifier: Apache-2.0
//! Ends of pods: what comes in which order, and how long each part may take.

use crate::world::{World, refused};
use berth_cluster_pod::{Event, Outcome};
use serde_json::{Value, json};

const END: [&str; 9] =
    ["rotation", "prestop", "term", "kill", "died", "unsandbox", "teardown", "remove", "conclude"];

fn one(extra: &Value) -> World {
    let mut container = json!({"name": "a", "image": "i:1"});
    for (key, value) in extra.as_object().unwrap() {
        container[key] = value.clone();
    }
    World::new(json!({"containers": [container]}))
}

fn hook() -> Value {
    json!({"lifecycle": {"preStop": {"exec": {}}}})
}

#[test]
fn everything_ends_in_order() {
    let mut world = one(&hook())
        .manner("a", &[], Some((4_000, 0)))
        .delay("rotation", 500)
        .delay("prestop", 3_000);
    world.run_until(10_000);
    world.delete(30);
    world.run_until(60_000);
    assert_eq!(
        world.lines(&END),
        [
            "10 rotation",
            "10.500 prestop a-0",
            "13.500 term a-0",
            "17.500 died a-0 0",
            "17.500 unsandbox 0",
            "17.500 teardown",
            "17.500 remove a-0",
            "17.500 conclude",
        ]
    );
    assert_eq!(world.events(&["Killing"]), ["10 Killing Stopping container a"]);
    assert_eq!(world.shown("/phase"), "Succeeded");
    assert_eq!(world.shown("/containerStatuses/0/state/terminated/reason"), "Completed");
}

#[test]
fn each_part_takes_its_time_out_of_the_same_grace() {
    for (what, grace, rotation, prestop, term, wanted) in [
        ("nobody confirms", 30, 99_000, 0, Some(0), vec!["2 prestop", "2 term"]),
        ("the hook takes all", 30, 0, 99_000, None, vec!["0 prestop", "30 term", "32 kill"]),
        ("the container does not care", 30, 0, 0, None, vec!["0 prestop", "0 term", "30 kill"]),
        ("everything hangs", 10, 99_000, 99_000, None, vec!["2 prestop", "10 term", "12 kill"]),
        ("a short grace", 1, 99_000, 99_000, None, vec!["0.500 prestop", "1 term", "3 kill"]),
        ("no grace", 0, 99_000, 99_000, None, vec!["0.500 prestop", "1 term", "3 kill"]),
    ] {
        let mut world = one(&hook()).delay("rotation", rotation).delay("prestop", prestop);
        world.manners.insert(
            "a".to_owned(),
            crate::world::Manner { runs: Vec::new(), term: term.map(|after| (after, 0)) },
        );
        world.run_until(0);
        world.delete(grace);
        world.run_until(100_000);
        let lines: Vec<_> = world
            .lines(&["prestop", "term", "kill"])
            .iter()
            .map(|line| line.trim_end_matches(" a-0").to_owned())
            .collect();
        assert_eq!(lines, wanted, "{what}");
        assert!(world.concluded, "{what}");
        let late = world.events(&["EndpointStillInRotation"]).len();
        assert_eq!(late, usize::from(rotation > 0), "{what}");
    }
}

#[test]
fn a_later_deletion_shortens_the_grace_and_never_lengthens_it() {
    for (second, at, kill) in [
        (5, 10_000, "15 kill a-0"),
        (60, 10_000, "30 kill a-0"),
        (0, 10_000, "11 kill a-0"),
        (3, 500, "3.500 kill a-0"),
    ] {
        let mut world = one(&json!({})).manner("a", &[], None);
        world.run_until(0);
        world.delete(30);
        world.run_until(at);
        world.delete(second);
        world.run_until(100_000);
        assert_eq!(world.lines(&["term", "kill"]), ["0 term a-0", kill], "{second}");
    }
}

#[test]
fn a_pod_that_is_gone_from_the_api_ends_at_once_and_is_not_published() {
    let mut world = one(&json!({})).manner("a", &[], None);
    world.run_until(1_000);
    let published = world.published;
    world.tell(Event::Gone);
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["term", "kill", "conclude"]),
        ["1 term a-0", "3 kill a-0", "3 conclude"]
    );
    assert_eq!(world.published, published);
}

#[test]
fn sidecars_end_last_and_in_reverse_order() {
    let sidecar = |name: &str| json!({"name": name, "image": "i:1", "restartPolicy": "Always", "lifecycle": {"preStop": {"exec": {}}}});
    for (main, wanted) in [
        (Some((3_000, 0)), vec!["0 term main", "3 term s2", "4 term s1"]),
        (None, vec!["0 term main", "30 kill main", "30 term s1", "30 term s2"]),
    ] {
        let mut world = World::new(json!({
            "initContainers": [sidecar("s1"), sidecar("s2")],
            "containers": [{"name": "main", "image": "i:1"}],
        }))
        .manner("main", &[], main)
        .manner("s1", &[], Some((1_000, 0)))
        .manner("s2", &[], Some((1_000, 0)));
        world.run_until(0);
        world.delete(30);
        world.run_until(100_000);
        let mut lines: Vec<_> = world
            .lines(&["term", "kill"])
            .iter()
            .map(|line| line.trim_end_matches("-0").to_owned())
            .collect();
        if main.is_none() {
            lines.sort();
        }
        let mut wanted: Vec<_> = wanted.into_iter().map(str::to_owned).collect();
        if main.is_none() {
            wanted.sort();
        }
        assert_eq!(lines, wanted);
        assert_eq!(world.lines(&["prestop"]), ["0 prestop s1-0", "0 prestop s2-0"]);
    }
}

#[test]
fn a_pod_that_is_deleted_while_it_is_made_leaves_nothing_behind() {
    for word in ["volumes", "sandbox", "find", "pull", "create", "start", "poststart"] {
        let mut world = one(&json!({"lifecycle": {"postStart": {"exec": {}}}})).delay(word, 5_000);
        world.images.clear();
        world.run_until(1_000);
        world.delete(30);
        world.run_until(100_000);
        assert!(world.concluded, "{word}");
        assert!(world.engine.containers.is_empty() && world.engine.sandboxes.is_empty(), "{word}");
        assert_eq!(world.shown("/phase"), "Failed", "{word}");
        let ran = matches!(word, "start" | "poststart");
        assert_eq!(world.lines(&["died"]).len(), usize::from(ran), "{word}");
        if !ran {
            let ended = world.shown("/containerStatuses/0/state/terminated");
            assert_eq!(
                (ended["reason"].clone(), ended["exitCode"].clone()),
                (json!("ContainerStatusUnknown"), json!(137)),
                "{word}"
            );
        }
    }
}

#[test]
fn hooks_and_removals_that_fail_do_not_keep_a_pod() {
    let mut world = one(&hook())
        .manner("a", &[], None)
        .fault("prestop", refused("exit 1"))
        .fault("term", refused("no"))
        .fault("kill", refused("stuck"))
        .fault("unsandbox", refused("busy"))
        .fault("teardown", refused("busy"))
        .fault("remove", refused("busy"));
    world.run_until(0);
    world.delete(10);
    world.run_until(100_000);
    assert_eq!(
        world.lines(&END)[1..],
        [
            "0 prestop a-0",
            "0 term a-0",
            "1 term a-0",
            "10 kill a-0",
            "11 kill a-0",
            "11 died a-0 137",
            "11 unsandbox 0",
            "12 unsandbox 0",
            "12 teardown",
            "12.500 teardown",
            "12.500 remove a-0",
            "13.500 remove a-0",
            "13.500 conclude",
        ]
    );
    assert_eq!(
        world.events(&["FailedPreStopHook", "FailedKillPod", "FailedUnMount"]),
        [
            "0 FailedPreStopHook PreStopHook failed",
            "10 FailedKillPod error killing pod: stuck",
            "11 FailedKillPod error killing pod: busy",
            "12 FailedUnMount busy",
        ]
    );
}

#[test]
fn a_death_that_nobody_heard_of_is_found() {
    let mut world = one(&json!({})).manner("a", &[], None);
    world.run_until(0);
    world.delete(5);
    world.run_until(4_000);
    let key = ("a".to_owned(), 0);
    world.engine.end(&key, world.now, 1, false);
    world.run_until(100_000);
    assert_eq!(
        world.lines(&["kill", "look", "conclude"]),
        ["5 kill a-0", "15 look", "15 kill a-0", "15 conclude"]
    );
    assert_eq!(world.shown("/phase"), "Failed");
}

#[test]
fn a_pod_may_be_active_no_longer_than_it_says() {
    let spec = json!({"activeDeadlineSeconds": 20, "terminationGracePeriodSeconds": 5, "containers": [{"name": "a", "image": "i:1"}]});
    let mut world = World::new(spec).manner("a", &[], Some((3_000, 0)));
    world.run_until(21_000);
    assert_eq!(world.shown("/phase"), "Running", "not before its containers have ended");
    assert_eq!(world.condition("Ready"), "False PodFailed");
    world.run_until(60_000);
    let message = "Pod was active on the node longer than the specified deadline";
    assert_eq!(
        [world.shown("/phase"), world.shown("/reason"), world.shown("/message")],
        ["Failed", "DeadlineExceeded", message]
    );
    assert_eq!(world.lines(&["rotation", "term"]), ["20 rotation", "20 term a-0"]);
    assert_eq!(world.events(&["DeadlineExceeded"]), [format!("20 DeadlineExceeded {message}")]);
    // A new agent leaves it as it is.
    let lines = world.log.len();
    world.restart_agent(|_| true);
    world.run_until(100_000);
    assert_eq!(world.shown("/reason"), "DeadlineExceeded");
    assert_eq!(
        world.log[lines..].iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(),
        ["teardown"]
    );
    world.delete(30);
    world.run_until(200_000);
    assert!(world.concluded && world.engine.containers.is_empty());
}

#[test]
fn a_node_that_goes_down_ends_its_pods() {
    let mut world = one(&json!({})).manner("a", &[], None);
    world.run_until(1_000);
    world.tell(Event::Shutdown { grace: 10_000 });
    world.run_until(60_000);
    assert_eq!(world.lines(&["term", "kill"]), ["1 term a-0", "11 kill a-0"]);
    let message = "Pod was terminated in response to imminent node shutdown.";
    assert_eq!(
        [world.shown("/phase"), world.shown("/reason"), world.shown("/message")],
        ["Failed", "Terminated", message]
    );
    assert_eq!(world.condition("DisruptionTarget"), format!("True TerminationByKubelet {message}"));
}

#[test]
fn nodes_that_do_not_confirm_are_named() {
    let mut world = one(&json!({})).delay("rotation", 1_000);
    world.run_until(0);
    world.delete(30);
    let open = world.machine.open();
    let id = open
        .iter()
        .find(|command| matches!(command.action, berth_cluster_pod::Action::LeaveRotation { .. }))
        .unwrap()
        .id;
    world.result(id, Outcome::RotationLeft { late: vec!["n2".to_owned(), "n3".to_owned()] });
    assert_eq!(
        world.events(&["EndpointStillInRotation"]),
        [
            "0 EndpointStillInRotation Nodes that did not confirm that they send no new connections: n2, n3"
        ]
    );
}

#[test]
fn the_signal_is_the_containers() {
    let mut world = one(&json!({"lifecycle": {"stopSignal": "SIGUSR1"}}));
    world.run_until(0);
    let seen = std::cell::RefCell::new(None);
    world.delay("term", 1_000).delete_and(|world| {
        let open = world.machine.open();
        *seen.borrow_mut() = open.into_iter().find_map(|command| match command.action {
            berth_cluster_pod::Action::Signal { signal, .. } => signal,
            _ => None,
        });
    });
    assert_eq!(seen.into_inner().as_deref(), Some("SIGUSR1"));
}

impl World {
    fn delete_and(mut self, look: impl FnOnce(&Self)) {
        self.delete(30);
        self.run_until(500);
        look(&self);
    }
}
