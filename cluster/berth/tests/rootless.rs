// SPDX-License-Identifier: Apache-2.0
//! `berth up` by a user who may use a Docker Engine and is not root: the whole cluster, by containers that do what takes root.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that finds nothing has failed")]
#![allow(dead_code, reason = "the machine has more than this test uses")]

mod machine;

use berth_balancer_testkit::{have_docker, until};
use machine::{Machine, Up, containers};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

/// Numbers that no user and no group of the machine has.
const USER: u32 = 54_321;
const DOCKER: u32 = 54_322;

/// The user's own: a folder for everything, the program there, and the engine's socket for its group.
fn give(machine: &mut Machine) {
    machine.data = machine.folder().join("objects");
    let folder = machine.folder();
    let program = folder.join("bin/berth");
    fs::create_dir_all(folder.join("bin")).unwrap();
    let built = env!("CARGO_BIN_EXE_berth");
    fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(drop)).unwrap();
    for name in ["objects", "run", "home"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        chown(folder.join(name), Some(USER), Some(USER)).unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o700)).unwrap();
    }
    chown(folder.join("sock"), None, Some(DOCKER)).unwrap();
    fs::set_permissions(folder.join("sock"), Permissions::from_mode(0o660)).unwrap();
    // Others may go through, and see nothing.
    fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
}

fn up(machine: &Machine, more: &[&str]) -> Up {
    let folder = machine.folder();
    let socket = format!("unix://{}", folder.join("sock").display());
    let (user, group) = (USER.to_string(), DOCKER.to_string());
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &user, "--regid", &user, "--groups", &group, "--"])
        .arg(folder.join("bin/berth"))
        .args(["up", "--docker", &socket, "--data"])
        .arg(&machine.data)
        .args(["--node-name", &machine.engine.node.name])
        .args(more)
        .env("XDG_RUNTIME_DIR", folder.join("run"))
        .env("XDG_DATA_HOME", folder.join("home"))
        .env("HOME", folder.join("home"));
    Up::spawn(machine, command)
}

/// A pod whose container writes as root into a folder that the user cannot enter.
const WRITER: &str = "apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: a
    image: busybox:test
    command: [sh, -c, 'mkdir -m 700 /v/x && echo secret > /v/x/y && wget -qO- http://echo.default.svc.cluster.local/; exec sleep 1000']
    volumeMounts: [{name: v, mountPath: /v}]
  volumes: [{name: v, emptyDir: {}}]
";

#[test]
fn a_user_of_the_engine_has_the_whole_cluster() {
    if !have_docker() {
        return;
    }
    let mut machine = Machine::new();
    machine::busybox(&machine);
    give(&mut machine);
    let (tables, routes) = traces(&machine);
    let mut up = up(&machine, &["--demo"]);
    let said = up.says("  try ");
    assert!(said.contains("two containers do what takes root"), "{said}");
    for title in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let line = said.lines().find(|line| line.trim_start().starts_with(title));
        assert!(line.is_some_and(|line| line.contains("echo-")), "{title}: {said}");
    }
    // No process of this cluster but the two in their containers is root's.
    let named = |what: &str| {
        let name = format!("berth_{}__{what}", machine.engine.node.name);
        machine.engine.docker(&format!("inspect -f {{{{.HostConfig.Privileged}}}} {name}"))
    };
    assert_eq!((named("data-plane"), named("host")), ("false".to_owned(), "false".to_owned()));
    assert_eq!(
        fs::metadata(Path::new("/proc").join(up.child.id().to_string())).unwrap().uid(),
        USER
    );
    machine.apply(WRITER);
    machine.tell("wait --for=condition=Ready pod/writer --timeout=60s");
    until("the writer has written", || machine.tell("logs writer").contains("server: "));
    let uid = machine.tell("get pod writer -o jsonpath={.metadata.uid}");
    let volumes = machine.folder().join("home/berth/nodes");
    let of_pod = volumes.join(&machine.engine.node.name).join("pods").join(&uid);
    assert!(of_pod.exists());
    machine.tell("delete pod writer --timeout=60s");
    until("what it wrote is gone", || !of_pod.exists());
    outside(&machine);
    up.interrupt();
    assert!(containers(&machine).is_empty(), "{:?}", containers(&machine));
    assert_eq!(traces(&machine), (tables, routes));
    assert!(!volumes.join(&machine.engine.node.name).exists());
}

/// A pod reaches what is outside: in the name of the node, for nobody there knows pods.
fn outside(machine: &Machine) {
    let served = tempfile::tempdir().unwrap();
    fs::write(served.path().join("said"), "outside").unwrap();
    let line = format!("python3 -m http.server 8099 -d {} 2>/dev/null", served.path().display());
    let server = machine.outside.spawn(&line);
    until("it serves", || {
        machine.outside.try_sh("curl -fsS http://192.168.77.1:8099/said").is_some()
    });
    let run = "run out --image=busybox:test --restart=Never --command -- wget -qO- http://192.168.77.1:8099/said";
    machine.tell(run);
    let phase = || machine.tell("get pod out -o jsonpath={.status.phase}");
    until("it has ended", || matches!(phase().as_str(), "Succeeded" | "Failed"));
    assert_eq!(machine.tell("logs out"), "outside", "{}", machine.tell("describe pod out"));
    machine.tell("delete pod out --timeout=60s");
    drop(server);
}

fn traces(machine: &Machine) -> (String, String) {
    let node = &machine.engine.node;
    (node.sh("nft list tables"), node.sh("ip route"))
}

#[test]
fn without_them_it_says_what_is_left_out() {
    if !have_docker() {
        return;
    }
    let mut machine = Machine::new();
    give(&mut machine);
    let mut up = up(&machine, &["--no-helper"]);
    let said = up.says("Ready after");
    assert!(said.contains("without root Services have only addresses"), "{said}");
    assert!(containers(&machine).is_empty());
    up.interrupt();
}
