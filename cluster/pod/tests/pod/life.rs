// SPDX-License-Identifier: Apache-2.0
//! Order: what starts after what, and what happens when something under it goes.

use crate::world::{World, refused, unreachable};
use berth_cluster_pod::{Action, Event, Failure, Outcome};
use serde_json::json;

const STEPS: [&str; 14] = [
    "volumes",
    "sandbox",
    "find",
    "pull",
    "create",
    "start",
    "poststart",
    "died",
    "term",
    "kill",
    "remove",
    "unsandbox",
    "teardown",
    "conclude",
];

#[test]
fn a_pod_starts_in_order_and_is_silent_when_it_runs() {
    let mut world = World::new(
        json!({"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:1"}]}),
    );
    world.run_until(0);
    assert_eq!(
        world.lines(&STEPS),
        [
            "0 volumes",
            "0 sandbox 0",
            "0 find i:1",
            "0 find j:1",
            "0 create a-0",
            "0 create b-0",
            "0 start a-0",
            "0 start b-0"
        ]
    );
    assert_eq!(world.shown("/phase"), "Running");
    assert_eq!(world.condition("Ready"), "True");
    let (commands, published) = (world.log.len(), world.published);
    assert_eq!(world.wake, None);
    let view = world.engine.view(world.now);
    for event in [Event::Tick, Event::Seen(view), Event::Pod(Box::new(world.spec()))] {
        world.now += 60_000;
        world.tell(event);
    }
    let news = world.log[commands..].iter().filter(|(_, line)| !line.starts_with("<-")).count();
    assert_eq!((news, world.published), (0, published));
    let commands = world.log.len();
    assert!(published <= 6, "{published} statuses for one start");
    world.restart_agent(|_| true);
    world.run_until(10_000_000);
    let after: Vec<_> = world.log[commands..].iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(after, ["volumes"], "a new agent leaves what runs alone, and has nothing to say");
}

#[test]
fn init_containers_run_one_after_the_other_and_sidecars_go_on() {
    let mut world = World::new(json!({
        "initContainers": [
            {"name": "first", "image": "i:1"},
            {"name": "side", "image": "i:1", "restartPolicy": "Always", "startupProbe": {"exec": {}, "periodSeconds": 5}},
            {"name": "second", "image": "i:1"},
        ],
        "containers": [{"name": "main", "image": "i:1", "lifecycle": {"postStart": {"exec": {}}}}, {"name": "other", "image": "i:1"}],
    }))
    .manner("first", &[(3_000, 0)], None)
    .manner("second", &[(2_000, 0)], None)
    .answers("side", 's', "bg");
    world.run_until(4_000);
    assert_eq!(
        world.condition("Initialized"),
        "False ContainersNotInitialized containers with incomplete status: [side second]"
    );
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "PodInitializing");
    assert_eq!(world.shown("/phase"), "Pending");
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["create", "start", "died", "poststart"]),
        [
            "0 create first-0",
            "0 start first-0",
            "3 died first-0 0",
            "3 create side-0",
            "3 start side-0",
            "8 create second-0",
            "8 start second-0",
            "10 died second-0 0",
            "10 create main-0",
            "10 create other-0",
            "10 start main-0",
            "10 start other-0",
            "10 poststart main-0",
        ]
    );
    assert_eq!(world.condition("Initialized"), "True");
    assert_eq!(world.shown("/phase"), "Running");
}

#[test]
fn a_sidecar_is_started_again_under_never_and_ends_after_the_others() {
    let mut world = World::new(json!({
        "restartPolicy": "Never",
        "initContainers": [
            {"name": "s1", "image": "i:1", "restartPolicy": "Always"},
            {"name": "s2", "image": "i:1", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "main", "image": "i:1"}],
    }))
    .manner("s1", &[(1_000, 1), (900_000, 0)], Some((2_000, 0)))
    .manner("main", &[(20_000, 0)], None);
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["start", "died", "term", "unsandbox", "teardown"]),
        [
            "0 start s1-0",
            "0 start s2-0",
            "0 start main-0",
            "1 died s1-0 1",
            "1 start s1-1",
            "20 died main-0 0",
            "20 term s2-0",
            "20 died s2-0 143",
            "20 term s1-1",
            "22 died s1-1 0",
            "22 unsandbox 0",
            "22 teardown",
        ]
    );
    assert_eq!(world.shown("/phase"), "Succeeded");
    assert_eq!(world.condition("Ready"), "False PodCompleted");
    assert_eq!(world.condition("Initialized"), "True PodCompleted");
}

#[test]
fn an_init_container_that_fails_under_never_fails_the_pod() {
    let mut world = World::new(json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "s", "image": "i:1", "restartPolicy": "Always"}, {"name": "init", "image": "i:1"}],
        "containers": [{"name": "main", "image": "i:1"}],
    }))
    .manner("s", &[], Some((1_000, 0)))
    .manner("init", &[(5_000, 3)], None);
    world.run_until(5_500);
    assert_eq!(world.shown("/phase"), "Pending", "nothing has ended while a sidecar runs");
    world.run_until(60_000);
    assert_eq!(world.shown("/phase"), "Failed");
    assert_eq!(world.shown("/initContainerStatuses/1/state/terminated/exitCode"), 3);
    assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), "PodInitializing");
    assert_eq!(world.lines(&["start", "term"]), ["0 start s-0", "0 start init-0", "5 term s-0"]);
}

#[test]
fn a_dead_sandbox_is_made_again_and_everything_in_it() {
    let mut world = World::new(json!({
        "initContainers": [{"name": "init", "image": "i:1"}],
        "containers": [{"name": "a", "image": "i:1"}],
    }))
    .manner("init", &[(0, 0)], None)
    .manner("a", &[], Some((1_000, 0)));
    world.run_until(30_000);
    world.engine.sandboxes.insert(0, false);
    world.tell(Event::SandboxDied { attempt: 0 });
    assert_eq!(world.condition("PodReadyToStartContainers"), "False");
    world.run_until(60_000);
    let lines = world.lines(&STEPS);
    let after = lines.iter().position(|line| line == "30 term a-0").unwrap();
    assert_eq!(
        lines[after..],
        [
            "30 term a-0",
            "31 died a-0 0",
            "31 unsandbox 0",
            "31 sandbox 1",
            "31 find i:1",
            "31 create init-1",
            "31 start init-1",
            "31 died init-1 0",
            "31 find i:1",
            "31 create a-1",
            "31 start a-1",
        ]
    );
    assert_eq!(
        world.events(&["SandboxChanged"]),
        ["30 SandboxChanged Pod sandbox changed, it will be killed and re-created."]
    );
    assert_eq!(world.shown("/containerStatuses/0/restartCount"), 1);
    assert_eq!(world.shown("/podIP"), "10.0.0.2");
    assert_eq!(world.shown("/phase"), "Running");
}

#[test]
fn a_pod_that_is_not_started_again_ends_with_its_sandbox() {
    for (policy, phase, sandboxes) in [("Never", "Failed", 1), ("OnFailure", "Running", 2)] {
        let mut world = World::new(
            json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i:1"}]}),
        );
        world.run_until(30_000);
        world.engine.sandboxes.insert(0, false);
        world.tell(Event::SandboxDied { attempt: 0 });
        world.run_until(60_000);
        assert_eq!(world.shown("/phase"), phase);
        assert_eq!(world.lines(&["sandbox"]).len(), sandboxes);
    }
}

#[test]
fn what_cannot_be_made_is_tried_again() {
    let spec = json!({"containers": [{"name": "a", "image": "i:1"}]});
    let mut world = World::new(spec.clone())
        .fault(
            "volumes",
            refused("MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found"),
        )
        .fault("volumes", refused("again"))
        .fault("sandbox", refused("no network"))
        .fault("create", Failure::Config("secret \"s\" not found".to_owned()))
        .fault("create", refused("no space"));
    world.run_until(60_000);
    assert_eq!(
        world.lines(&["volumes", "sandbox", "unsandbox", "create", "start"]),
        [
            "0 volumes",
            "0.500 volumes",
            "1.500 volumes",
            "1.500 sandbox 0",
            "1.500 unsandbox 0",
            "11.500 sandbox 0",
            "11.500 create a-0",
            "21.500 create a-0",
            "31.500 create a-0",
            "31.500 start a-0",
        ]
    );
    assert_eq!(
        world.events(&["FailedMount", "FailedCreatePodSandBox", "Failed"]),
        [
            "0 FailedMount MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found",
            "0.500 FailedMount again",
            "1.500 FailedCreatePodSandBox Failed to create pod sandbox: no network",
            "11.500 Failed Error: secret \"s\" not found",
            "21.500 Failed Error: no space",
        ]
    );
    for (at, reason, message) in [
        (15_000, "CreateContainerConfigError", "secret \"s\" not found"),
        (25_000, "CreateContainerError", "no space"),
    ] {
        let mut world = World::new(spec.clone()).fault(
            "create",
            if at == 15_000 { Failure::Config(message.to_owned()) } else { refused(message) },
        );
        world.run_until(5_000);
        assert_eq!(world.shown("/containerStatuses/0/state/waiting/reason"), reason);
        assert_eq!(world.shown("/containerStatuses/0/state/waiting/message"), message);
    }
}

#[test]
fn a_pod_that_can_never_run_here_fails_with_the_reason() {
    let fatal = Failure::Fatal {
        reason: "SysctlForbidden".to_owned(),
        message: "forbidden sysctl".to_owned(),
    };
    let mut world =
        World::new(json!({"containers": [{"name": "a", "image": "i:1"}]})).fault("sandbox", fatal);
    world.run_until(60_000);
    assert_eq!(
        [world.shown("/phase"), world.shown("/reason"), world.shown("/message")],
        ["Failed", "SysctlForbidden", "forbidden sysctl"]
    );
    assert!(world.engine.sandboxes.is_empty() && !world.engine.volumes);
}

#[test]
fn an_answer_that_was_lost_leads_to_no_second_container() {
    for (word, done) in [
        ("create", true),
        ("create", false),
        ("start", true),
        ("start", false),
        ("sandbox", true),
        ("sandbox", false),
    ] {
        let mut world = World::new(json!({"containers": [{"name": "a", "image": "i:1"}]}))
            .fault(word, unreachable());
        world.faults.get_mut(word).unwrap()[0].done = done;
        world.run_until(60_000);
        assert_eq!(world.engine.containers.len(), 1, "{word} {done}");
        assert_eq!(world.shown("/phase"), "Running", "{word} {done}");
        assert_eq!(world.shown("/containerStatuses/0/restartCount"), 0, "{word} {done}");
        assert_eq!(world.lines(&["look"]), ["1 look"], "{word} {done}");
    }
}

#[test]
fn what_is_open_can_be_asked_for_again() {
    let mut world =
        World::new(json!({"containers": [{"name": "a", "image": "i:1"}]})).delay("create", 5_000);
    world.run_until(1_000);
    let open = world.machine.open();
    assert!(
        matches!(&open[..], [command] if matches!(command.action, Action::CreateContainer(_))),
        "{open:?}"
    );
    let outcome = world.effect(&open[0].action);
    world.result(open[0].id, outcome);
    world.run_until(10_000);
    // The first answer came late, and counts for nothing.
    world.result(open[0].id, Outcome::Created { id: "x".to_owned() });
    assert_eq!(world.shown("/containerStatuses/0/containerID"), "docker://a.0");
}
