// SPDX-License-Identifier: Apache-2.0
//! Which containers are started again, and when.

use crate::world::{World, refused};
use berth_cluster_pod::{Event, Exit};
use serde_json::json;

#[test]
fn a_container_that_keeps_ending_waits_longer_and_longer() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]})).manner(
        "a",
        &[(1_000, 1)],
        None,
    );
    world.run_until(11_500);
    assert_eq!(
        world.shown("/containerStatuses/0/state/running/startedAt"),
        serde_json::Value::Null
    );
    world.run_until(2_000_000);
    let starts: Vec<u64> = world
        .lines(&["start"])
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let waits: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]);
    assert_eq!(
        world.events(&["BackOff"])[0],
        "3 BackOff Back-off restarting failed container a in pod p_n(u)"
    );
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "CrashLoopBackOff");
    assert_eq!(
        world.shown("/containerStatuses/0/state/waiting/message"),
        "back-off 5m0s restarting failed container=a pod=p_n(u)"
    );
    assert_eq!(world.shown("/containerStatuses/0/lastState/terminated/exitCode"), 1);
    assert_eq!(world.shown("/containerStatuses/0/lastState/terminated/reason"), "Error");
    assert_eq!(world.shown("/containerStatuses/0/restartCount"), 11);
    assert_eq!(world.shown("/phase"), "Running");
    assert!(world.engine.containers.len() <= 2, "only the last one is kept for its logs");
}

#[test]
fn ten_minutes_of_running_begin_the_waits_anew() {
    let runs = [(0, 1), (0, 1), (0, 1), (600_001, 1), (0, 1), (599_000, 1), (0, 1)];
    let mut world =
        World::new(json!({"containers": [{"name": "a", "image": "i:1"}]})).manner("a", &runs, None);
    world.run_until(1_300_000);
    let lines = world.lines(&["start", "died"]);
    assert_eq!(
        lines[..12],
        [
            "0 start a-0",
            "0 died a-0 1",
            "0 start a-1",
            "0 died a-1 1",
            "10 start a-2",
            "10 died a-2 1",
            "30 start a-3",
            "630.001 died a-3 1",
            "630.001 start a-4",
            "630.001 died a-4 1",
            "640.001 start a-5",
            "1239.001 died a-5 1",
        ]
    );
    assert_eq!(lines[12], "1259.001 start a-6");
}

#[test]
fn the_restart_policy_is_obeyed() {
    for (policy, code, restarts, phase) in [
        ("Always", 0, true, "Running"),
        ("Always", 1, true, "Running"),
        ("OnFailure", 0, false, "Succeeded"),
        ("OnFailure", 1, true, "Running"),
        ("Never", 0, false, "Succeeded"),
        ("Never", 1, false, "Failed"),
    ] {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i:1"}]});
        let mut world = World::new(spec).manner("a", &[(1_000, code), (900_000, 0)], None);
        world.run_until(5_000);
        assert_eq!(world.lines(&["start"]).len() > 1, restarts, "{policy} {code}");
        assert_eq!(world.shown("/phase"), phase, "{policy} {code}");
    }
}

#[test]
fn one_that_cannot_be_started_says_so_and_then_backs_off() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]}));
    for _ in 0..3 {
        world = world.fault("start", refused("exec: \"x\": executable file not found in $PATH"));
    }
    world.run_until(500);
    assert_eq!(world.lines(&["start"]), ["0 start a-0", "0 start a-1"]);
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "RunContainerError");
    assert_eq!(world.shown("/containerStatuses/0/lastState/terminated/exitCode"), 128);
    assert_eq!(world.shown("/containerStatuses/0/lastState/terminated/reason"), "StartError");
    assert_eq!(
        world.shown("/containerStatuses/0/lastState/terminated/startedAt"),
        "1970-01-01T00:00:00Z"
    );
    world.run_until(5_000);
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "CrashLoopBackOff");
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["start"]),
        ["0 start a-0", "0 start a-1", "10 start a-2", "30 start a-3"]
    );
    assert_eq!(
        world.events(&["Failed"])[0],
        "0 Failed Error: exec: \"x\": executable file not found in $PATH"
    );
    assert_eq!(world.shown("/containerStatuses/0/restartCount"), 3);
}

#[test]
fn one_that_ran_out_of_memory_says_so() {
    let mut world = World::new(
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i:1"}]}),
    );
    world.run_until(1_000);
    let exit = Exit {
        code: 137,
        oom: true,
        started_at: world.now,
        finished_at: world.now,
        message: "big".to_owned(),
    };
    let key = ("a".to_owned(), 0);
    world.engine.end(&key, world.now, 137, true);
    world.tell(Event::ContainerDied { container: "a".to_owned(), attempt: 0, exit });
    world.run_until(2_000);
    assert_eq!(world.shown("/containerStatuses/0/state/terminated/reason"), "OOMKilled");
    assert_eq!(world.shown("/containerStatuses/0/state/terminated/message"), "big");
    assert_eq!(world.shown("/phase"), "Failed");
}

#[test]
fn a_hook_that_fails_after_the_start_ends_the_container() {
    let container = json!({"name": "a", "image": "i:1", "lifecycle": {"postStart": {"exec": {}}, "preStop": {"exec": {}}}});
    let mut world = World::new(json!({"containers": [container]}))
        .fault("poststart", refused("exit 1"))
        .delay("poststart", 2_000);
    world
        .manners
        .insert("a".to_owned(), crate::world::Manner { runs: Vec::new(), term: Some((3_000, 0)) });
    world.run_until(1_000);
    assert_eq!(world.shown("/containerStatuses/0/started"), false, "not before its hook has ended");
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["poststart", "prestop", "term", "died", "start"]),
        [
            "0 start a-0",
            "0 poststart a-0",
            "2 prestop a-0",
            "2 term a-0",
            "5 died a-0 0",
            "5 start a-1",
            "5 poststart a-1"
        ]
    );
    assert_eq!(
        world.events(&["FailedPostStartHook", "Killing"]),
        ["2 FailedPostStartHook PostStartHook failed", "2 Killing FailedPostStartHook"]
    );
    assert_eq!(world.shown("/containerStatuses/0/ready"), true);
}

#[test]
fn another_image_ends_the_container_and_starts_it_with_that() {
    let mut world = World::new(
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i:1"}]}),
    );
    world.run_until(5_000);
    world.pod["spec"]["containers"][0]["image"] = json!("i:2");
    world.images.insert("i:2".to_owned());
    let spec = world.spec();
    world.tell(Event::Pod(Box::new(spec)));
    world.run_until(60_000);
    assert_eq!(world.lines(&["start", "died"]), ["0 start a-0", "5 died a-0 143", "5 start a-1"]);
    assert_eq!(
        world.events(&["Killing"]),
        ["5 Killing Container a definition changed, will be restarted"]
    );
    assert_eq!(world.shown("/containerStatuses/0/image"), "i:2");
    assert_eq!(world.shown("/phase"), "Running");
}

#[test]
fn what_ended_with_the_engine_is_not_waited_for() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]})).manner(
        "a",
        &[(1_000, 1)],
        None,
    );
    world.run_until(8_000);
    world.manners.remove("a");
    world.run_until(20_000);
    assert_eq!(world.lines(&["start"]).len(), 3);
    for outage in 0..3 {
        let at = 100_000 * (outage + 1);
        world.run_until(at);
        // A clean end of the engine: it ends its containers, says so, and goes.
        let key = ("a".to_owned(), 2 + u32::try_from(outage).unwrap());
        if outage < 2 {
            world.die(&key, 143);
        } else {
            world.engine.end(&key, world.now, 137, false);
        }
        world.up = false;
        world.tell(Event::EngineGone);
        world.pending.clear();
        world.engine.sandboxes.values_mut().for_each(|runs| *runs = false);
        world.run_until(at + 9_000);
        world.up = true;
        let view = world.engine.view(world.now);
        world.tell(Event::EngineBack(view));
        world.run_until(at + 9_500);
        assert_eq!(world.shown("/containerStatuses/0/restartCount"), 3 + outage);
        assert_eq!(world.condition("Ready"), "True");
    }
    assert_eq!(
        world.events(&["BackOff"]).len(),
        1,
        "only for its own crashes: {:?}",
        world.events(&["BackOff"])
    );
    // The next end of its own waits as long as it would have without the outages.
    let key = ("a".to_owned(), 5);
    world.die(&key, 1);
    world.run_until(400_000);
    let last = world.lines(&["died", "start"]);
    assert_eq!(last[last.len() - 2..], ["309.500 died a-5 1", "329.500 start a-6"]);
}

#[test]
fn a_new_agent_goes_on_with_the_wait() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]})).manner(
        "a",
        &[(1_000, 1)],
        None,
    );
    world.run_until(40_000);
    let mut undisturbed = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]}))
        .manner("a", &[(1_000, 1)], None);
    undisturbed.run_until(2_000_000);
    world.restart_agent(|_| true);
    world.run_until(2_000_000);
    let starts: Vec<u64> = world
        .lines(&["start"])
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let waits: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]);
    assert_eq!(
        world.events(&["BackOff"]),
        undisturbed.events(&["BackOff"]),
        "nothing is said twice"
    );
}
