// SPDX-License-Identifier: Apache-2.0
//! Attacks on a node of `berth up`: from pods, from neighbours on its network, by users without rights, and by manifests. The numbers are
//! those of docs/reliability.md. One cluster for all: they run side by side, as attackers do.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]

#[path = "attacks/containers.rs"]
mod containers;
#[allow(dead_code, reason = "other tests use all of it")]
mod machine;
#[path = "attacks/network.rs"]
mod network;
#[path = "../../store/tests/stores/tier.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use all of it")]
mod tier;
#[path = "attacks/users.rs"]
mod users;

use berth_balancer_testkit::have_docker;
use machine::{Machine, busybox};
use std::time::{Duration, Instant};

/// Nothing here takes a quarter of it.
const HANG: Duration = Duration::from_mins(2);

#[test]
fn attacks_on_a_node_come_to_nothing() {
    if !have_docker() {
        return;
    }
    let machine = Machine::new();
    busybox(&machine);
    let mut up = machine.up(&[]);
    up.says("Ctrl-C");
    machine.apply(&pod("victim", "exec sleep 10000", "", ""));
    machine.tell("wait --for=condition=Ready pod/victim --timeout=60s");
    macro_rules! side_by_side {
        ($($test:path),* $(,)?) => {
            std::thread::scope(|scope| {
                let all = [$((stringify!($test), scope.spawn(|| $test(&machine)))),*];
                for (name, one) in all {
                    one.join().unwrap_or_else(|panic| {
                        eprintln!("failed: {name}");
                        std::panic::resume_unwind(panic)
                    });
                    println!("passed: {name}");
                }
            })
        };
    }
    side_by_side!(
        users::attack_39_sessions_in_namespaces_of_others,
        users::attack_39_names_that_are_paths,
        containers::attack_42_root_where_none_may_be,
        containers::attack_43_texts_that_are_more_than_texts,
        containers::attack_44_a_sub_path_that_changes_under_way,
        containers::attack_45_links_where_the_agent_reads,
        network::attack_47_what_is_the_nodes_own,
        containers::attack_48_more_than_was_asked_for,
        containers::attack_49_kills_and_floods,
        network::attack_52_clients_out_of_range,
    );
    let restarts = "get pod victim -o jsonpath={.status.containerStatuses[0].restartCount}";
    assert_eq!(machine.tell(restarts), "0", "nobody else suffers");
    let ready = r#"get nodes -o jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}"#;
    assert_eq!(machine.tell(ready), "True");
    up.interrupt();
    assert!(machine::containers(&machine).is_empty(), "{:?}", machine::containers(&machine));
}

/// A pod of one container that runs a line of shell; `container` and `spec` are more fields of both.
fn pod(name: &str, line: &str, container: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: \"busybox:test\", command: [sh, -c, {line:?}]{container}}}
{spec}
---
"
    )
}

/// What a kubectl says that fails.
fn refused(machine: &Machine, line: &str) -> String {
    let output = machine.kubectl(&line.split(' ').collect::<Vec<_>>());
    assert!(
        !output.status.success(),
        "{line} succeeds: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until what a line says is so.
fn says(machine: &Machine, line: &str, what: &str, is: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let said = machine.kubectl(&line.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        if is(&said) {
            return said;
        }
        assert!(begun.elapsed() < HANG, "never {what}: {line}: {said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A command in a container; what it prints, whether it succeeds or not.
fn inside(machine: &Machine, pod: &str, line: &str) -> String {
    let output = machine.kubectl(&["exec", pod, "--", "sh", "-c", line]);
    if !output.status.success() {
        println!("{pod}: {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}
