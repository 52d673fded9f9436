// SPDX-License-Identifier: Apache-2.0
//! What follows from the answers of containers.

use crate::world::World;
use berth_cluster_pod::{Answer, Outcome};
use serde_json::{Value, json};

fn world(container: Value, policy: &str) -> World {
    let mut container = container;
    container["name"] = json!("a");
    container["image"] = json!("i:1");
    World::new(json!({"restartPolicy": policy, "containers": [container]}))
}

#[test]
fn the_startup_probe_comes_before_the_others() {
    let mut world = world(
        json!({"startupProbe": {"exec": {}, "initialDelaySeconds": 3, "periodSeconds": 2}, "livenessProbe": {"exec": {}, "periodSeconds": 100},
            "readinessProbe": {"exec": {}, "initialDelaySeconds": 20, "periodSeconds": 100}}),
        "Always",
    )
    .answers("a", 's', "bb?g")
    .answers("a", 'r', "g");
    world.run_until(8_000);
    assert_eq!(
        [world.shown("/containerStatuses/0/started"), world.shown("/containerStatuses/0/ready")],
        [false, false]
    );
    world.run_until(10_000);
    assert_eq!(
        [world.shown("/containerStatuses/0/started"), world.shown("/containerStatuses/0/ready")],
        [true, false]
    );
    assert_eq!(
        world.condition("Ready"),
        "False ContainersNotReady containers with unready status: [a]"
    );
    assert_eq!(
        world.condition("ContainersReady"),
        "False ContainersNotReady containers with unready status: [a]"
    );
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["probe"]),
        [
            "3 probe a-0 Startup",
            "5 probe a-0 Startup",
            "7 probe a-0 Startup",
            "9 probe a-0 Startup",
            "9 probe a-0 Liveness",
            "20 probe a-0 Readiness",
        ]
    );
    assert_eq!(world.condition("Ready"), "True");
    assert_eq!(
        world.events(&["Unhealthy"]),
        [
            "3 Unhealthy Startup probe failed: no",
            "5 Unhealthy Startup probe failed: no",
            "7 Unhealthy Startup probe errored and resulted in unknown state: what",
        ]
    );
}

#[test]
fn what_fails_its_liveness_or_startup_probe_is_started_again() {
    for (probe, letter) in [("livenessProbe", 'l'), ("startupProbe", 's')] {
        for (policy, suffix, restarts) in [
            ("Always", ", will be restarted", 1),
            ("OnFailure", ", will be restarted", 1),
            ("Never", "", 0),
        ] {
            let mut world = world(json!({probe: {"exec": {}, "periodSeconds": 5}}), policy)
                .manner("a", &[], Some((1_000, 0)))
                .answers("a", letter, "bbbg");
            world.run_until(9_999);
            assert!(world.lines(&["term"]).is_empty());
            world.run_until(30_000);
            assert_eq!(world.lines(&["term", "died"])[..2], ["10 term a-0", "11 died a-0 0"]);
            let name = probe.trim_end_matches("Probe");
            assert_eq!(
                world.events(&["Killing"]),
                [format!("10 Killing Container a failed {name} probe{suffix}")]
            );
            assert_eq!(
                world.shown("/containerStatuses/0/restartCount"),
                restarts,
                "{probe} {policy}"
            );
            assert_eq!(world.shown("/phase"), if restarts == 1 { "Running" } else { "Succeeded" });
        }
    }
}

#[test]
fn the_grace_of_a_probe_goes_before_the_pods() {
    for (grace, kill) in
        [(json!(4), "14 kill a-0"), (json!(0), "12 kill a-0"), (Value::Null, "40 kill a-0")]
    {
        let mut probe = json!({"exec": {}, "periodSeconds": 5});
        if !grace.is_null() {
            probe["terminationGracePeriodSeconds"] = grace;
        }
        let mut world = world(json!({"livenessProbe": probe}), "Always")
            .manner("a", &[], None)
            .answers("a", 'l', "bbbg");
        world.run_until(60_000);
        assert_eq!(world.lines(&["term", "kill"]), ["10 term a-0", kill]);
    }
}

#[test]
fn readiness_comes_and_goes_by_its_thresholds() {
    let readiness =
        json!({"exec": {}, "periodSeconds": 1, "successThreshold": 2, "failureThreshold": 3});
    let mut world =
        world(json!({"readinessProbe": readiness}), "Always").answers("a", 'r', "gbggbbgbbbg");
    let mut ready = Vec::new();
    for second in 0..13 {
        world.run_until(second * 1_000);
        ready.push(u8::from(world.shown("/containerStatuses/0/ready") == true));
    }
    assert_eq!(ready, [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1]);
    assert!(world.lines(&["term"]).is_empty());
}

#[test]
fn an_answer_for_an_attempt_that_has_ended_counts_for_nothing() {
    let mut world = world(
        json!({"livenessProbe": {"exec": {}, "periodSeconds": 5, "failureThreshold": 1}}),
        "Always",
    )
    .manner("a", &[(2_000, 1), (900_000, 0)], None)
    .delay("probe", 4_000);
    world.run_until(1_000);
    let question = world.machine.open().remove(0);
    world.run_until(3_000);
    world.tell(berth_cluster_pod::Event::Result {
        id: question.id,
        outcome: Outcome::Probed(Answer::Bad("late".to_owned())),
    });
    world.run_until(30_000);
    assert!(world.lines(&["term"]).is_empty());
    assert_eq!(world.shown("/containerStatuses/0/restartCount"), 1);
}

#[test]
fn while_a_pod_ends_only_its_readiness_is_asked() {
    let probe = json!({"exec": {}, "periodSeconds": 1});
    let mut world = world(json!({"livenessProbe": probe, "readinessProbe": probe}), "Always")
        .manner("a", &[], None);
    world.run_until(2_500);
    world.delete(5);
    world.run_until(6_000);
    assert_eq!(
        world.lines(&["probe"])[6..],
        [
            "3 probe a-0 Readiness",
            "4 probe a-0 Readiness",
            "5 probe a-0 Readiness",
            "6 probe a-0 Readiness"
        ]
    );
}

#[test]
fn a_new_agent_keeps_what_was_ready_and_spreads_its_questions() {
    let probe = json!({"exec": {}, "periodSeconds": 100});
    let mut world = world(
        json!({"startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe}),
        "Always",
    );
    world.run_until(10_000);
    assert_eq!(world.condition("Ready"), "True");
    let (published, asked) = (world.published, world.lines(&["probe"]).len());
    world.restart_agent(|_| true);
    world.run_until(109_000);
    assert_eq!(world.published, published);
    let lines = world.lines(&["probe"]);
    let after = &lines[asked..];
    assert_eq!(
        after.len(),
        2,
        "each within its period, and the startup probe not at all: {after:?}"
    );
    assert_ne!(after[0].split(' ').next(), after[1].split(' ').next());
}
