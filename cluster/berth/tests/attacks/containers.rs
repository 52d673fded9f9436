// SPDX-License-Identifier: Apache-2.0
//! From within containers, and by what is said of them.

use crate::machine::Machine;
use crate::tier::Row;
use crate::{inside, pod, refused, says};
use std::fs;
use std::process::Stdio;

const STATE: &str = "jsonpath={.status.containerStatuses[0].state}";

/// busybox with a user of its own.
fn image_of(machine: &Machine, name: &str, user: &str) {
    let folder = machine.folder().display();
    machine.engine.node.sh(&format!(
        "docker -H unix://{folder}/sock import --change 'USER {user}' {folder}/box.tar {name}"
    ));
}

/// The engine's ids of a pod's container, whether it runs or not.
fn ids(machine: &Machine, pod: &str) -> String {
    let filter = format!("--filter label=io.berth/pod-name={pod}");
    machine.engine.docker(&format!("ps -aq {filter} --filter label=io.berth/container=c"))
}

pub(crate) fn attack_42_root_where_none_may_be(machine: &Machine) {
    image_of(machine, "busybox:named", "nobody");
    image_of(machine, "busybox:root", "0:0");
    image_of(machine, "busybox:user", "1234");
    let not_root = "  securityContext: {runAsNonRoot: true}";
    let of = |name: &str, image: &str, line: &str| {
        pod(name, line, "", not_root).replace("busybox:test", image)
    };
    machine.apply(&of("unset", "busybox:test", "exec sleep 10000"));
    machine.apply(&of("named", "busybox:named", "exec sleep 10000"));
    machine.apply(&of("rooted", "busybox:root", "exec sleep 10000"));
    // It ends once, and is started again as who it was.
    let again = "id -u > /dev/termination-log; exit 1";
    machine.apply(&of("numbered", "busybox:user", again));
    for (name, words) in [
        ("unset", "image will run as root"),
        ("rooted", "image will run as root"),
        ("named", "non-numeric user (nobody)"),
    ] {
        let line = format!("get pod {name} -o {STATE}");
        let said =
            says(machine, &line, "refused", |said| said.contains("CreateContainerConfigError"));
        assert!(said.contains(words), "{name}: {said}");
        assert_eq!(ids(machine, name), "", "{name}");
    }
    let count = "get pod numbered -o jsonpath={.status.containerStatuses[0].restartCount}";
    says(machine, count, "started again", |said| said != "0" && !said.is_empty());
    let last =
        "get pod numbered -o jsonpath={.status.containerStatuses[0].lastState.terminated.message}";
    says(machine, last, "told by the second one", |said| said == "1234\n");
    // With the image that is there already, and a user who is root again.
    let wants = "  securityContext: {runAsNonRoot: true, runAsUser: 0}";
    machine.apply(&pod("wanting", "true", "", wants).replace("busybox:test", "busybox:user"));
    let line = format!("get pod wanting -o {STATE}");
    says(machine, &line, "refused", |said| said.contains("CreateContainerConfigError"));
}

pub(crate) fn attack_43_texts_that_are_more_than_texts(machine: &Machine) {
    let try_mount = |name: &str, mount: &str, volume: &str| {
        let mounts = format!(", volumeMounts: [{{name: v, {mount}}}]");
        let volumes = format!("  volumes: [{{name: v, {volume}}}]");
        let path = machine.folder().join(format!("attack-{name}.yaml"));
        fs::write(&path, pod(name, "exec sleep 10000", &mounts, &volumes)).unwrap();
        format!("apply -f {}", path.display())
    };
    for (number, (mount, volume)) in [
        ("mountPath: /a, subPath: '../b'", "emptyDir: {}"),
        ("mountPath: /a, subPath: 'b/../../c'", "emptyDir: {}"),
        ("mountPath: /a, subPath: /etc", "emptyDir: {}"),
        ("mountPath: /a, subPathExpr: '../b'", "emptyDir: {}"),
        ("mountPath: /a", "hostPath: {path: '/tmp/../etc'}"),
        ("mountPath: ''", "emptyDir: {}"),
    ]
    .into_iter()
    .enumerate()
    {
        let said = refused(machine, &try_mount(&format!("mount{number}"), mount, volume));
        assert!(said.contains("is invalid"), "{mount} {volume}: {said}");
    }
    // What the API takes as it is stands for nothing but itself.
    let parts = ", volumeMounts: [{name: v, mountPath: '/a:/b'}]";
    let of_host =
        format!("  volumes: [{{name: v, hostPath: {{path: {}}}}}]", machine.folder().display());
    machine.apply(&pod("parted", "exec sleep 10000", parts, &of_host));
    let line = format!("get pod parted -o {STATE}");
    let state = says(machine, &line, "made or refused", |said| {
        said.contains("running") || said.contains("CreateContainer")
    });
    if state.contains("running") {
        let seen = inside(machine, "parted", "ls -d /a:/b/box.tar; ls -d /b /a");
        assert_eq!(seen, "/a:/b/box.tar\n");
    }
    for name in ["-x", "--privileged", "a/b", "..", "a%2fb"] {
        let line = pod("named-well", "true", "", "")
            .replace("name: named-well", &format!("name: '{name}'"));
        let path = machine.folder().join("attack-name.yaml");
        fs::write(&path, line).unwrap();
        refused(machine, &format!("apply -f {}", path.display()));
    }
    // What is taken arrives as it is, and is nothing more.
    let odd = ", env: [{name: A, value: \"b\\n--privileged\"}, {name: B, value: '-v /:/host'}], volumeMounts: [{name: v, mountPath: '/a,readonly=false,src=/'}]";
    let labels =
        "{name: odd, annotations: {io.berth.privileged: 'true', com.docker.x: '--privileged'}}";
    let volumes = "  volumes: [{name: v, emptyDir: {}}]";
    machine.apply(&pod("odd", "exec sleep 10000", odd, volumes).replace("{name: odd}", labels));
    machine.tell("wait --for=condition=Ready pod/odd --timeout=60s");
    assert_eq!(inside(machine, "odd", "echo \"$A|$B\""), "b\n--privileged|-v /:/host\n");
    assert_eq!(
        inside(machine, "odd", "ls -d '/a,readonly=false,src=/'"),
        "/a,readonly=false,src=/\n"
    );
    let line = "inspect -f {{.HostConfig.Privileged}},{{.HostConfig.Binds}}";
    let said = machine.engine.docker(&format!("{line} {}", ids(machine, "odd")));
    assert_eq!(said, "false,[]");
    assert_eq!(inside(machine, "odd", "ls /host 2>/dev/null"), "");
    for (name, image) in [
        ("flag", "--privileged"),
        ("space", "a b"),
        ("deep", "../../etc"),
        ("none", "no.such.host.invalid/x:1"),
    ] {
        let manifest = pod(name, "true", "", "").replace("busybox:test", image);
        machine.apply(&manifest);
        let line = format!("get pod {name} -o {STATE}");
        let known = ["InvalidImageName", "ErrImagePull", "ImagePullBackOff"];
        says(machine, &line, "refused", |said| known.iter().any(|reason| said.contains(reason)));
    }
}

pub(crate) fn attack_44_a_sub_path_that_changes_under_way(machine: &Machine) {
    let folder = machine.folder().join("race");
    let canary = machine.folder().join("canary");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(&canary).unwrap();
    fs::write(canary.join("secret"), "the host's\n").unwrap();
    // The racer sees the same folder by the same name, and points out of it.
    let (at, out) = (folder.display(), canary.display());
    let volumes = format!("  volumes: [{{name: v, hostPath: {{path: {at}}}}}]");
    let race = format!(
        "cd /v; mkdir real; while true; do ln -s {out} link; mv -T link x; rm -f x; mkdir x; rmdir x; done"
    );
    machine.apply(&pod("racer", &race, ", volumeMounts: [{name: v, mountPath: /v}]", &volumes));
    machine.tell("wait --for=condition=Ready pod/racer --timeout=60s");
    let mut row = Row::new("attack 44: races for a subPath", 12, 200);
    let mut names = Vec::new();
    while let Some(turn) = row.next() {
        let name = format!("raced-{turn}");
        let line = "echo planted > /v/planted; cat /v/secret && exit 7; exit 0";
        let more = format!("{volumes}\n  restartPolicy: Never");
        let mount = ", volumeMounts: [{name: v, mountPath: /v, subPath: x}]";
        machine.apply(&pod(&name, line, mount, &more));
        names.push(name);
        if names.len() % 4 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    }
    let mut ran = 0;
    for name in &names {
        let line = format!("get pod {name} -o {STATE}");
        let said = says(machine, &line, "over or refused", |said| {
            said.contains("terminated") || said.contains("CreateContainer")
        });
        assert!(!said.contains("\"exitCode\":7"), "{name} read the host's file: {said}");
        ran += usize::from(said.contains("terminated"));
    }
    println!("attack 44: {ran} of {} ran, the others were refused", names.len());
    assert!(!canary.join("planted").exists(), "nothing was written there");
    assert_eq!(fs::read_to_string(canary.join("secret")).unwrap(), "the host's\n");
    machine.tell("delete pod racer --timeout=60s");
    for name in names {
        machine.tell(&format!("delete pod {name} --wait=false --ignore-not-found"));
    }
}

pub(crate) fn attack_45_links_where_the_agent_reads(machine: &Machine) {
    let canary = machine.folder().join("shadow");
    fs::write(&canary, "root:the-hosts\n").unwrap();
    let out = canary.display();
    // Last words that are a link, in a folder that is its own; and a log by another name.
    let line = format!(
        "rm -f /dev/termination-log; ln -sf {out} /dev/termination-log; ln -sf {out} /e/words; ln -sf {out} /e/0.log; \
         mkdir -p /var/log/pods; ln -sf {out} /var/log/pods/0.log; echo own; exit 3"
    );
    let container = ", terminationMessagePath: /e/words, volumeMounts: [{name: e, mountPath: /e}]";
    let spec = "  volumes: [{name: e, emptyDir: {}}]\n  restartPolicy: Never";
    machine.apply(&pod("linking", &line, container, spec));
    machine.apply(&pod("linking-too", &line, "", "  restartPolicy: Never"));
    for name in ["linking", "linking-too"] {
        let line = format!("get pod {name} -o {STATE}");
        let said = says(machine, &line, "over", |said| said.contains("terminated"));
        assert!(said.contains("\"exitCode\":3") && !said.contains("the-hosts"), "{said}");
        let log = machine.tell(&format!("logs {name}"));
        assert!(log.contains("own") && !log.contains("the-hosts"), "{log}");
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "root:the-hosts\n");
}

pub(crate) fn attack_48_more_than_was_asked_for(machine: &Machine) {
    let strict = ", securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsUser: 1000, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}";
    machine.apply(&pod("strict", "exec sleep 10000", strict, ""));
    machine.tell("wait --for=condition=Ready pod/strict --timeout=60s");
    let inspect = |name: &str, field: &str| {
        machine.engine.docker(&format!("inspect -f {{{{.{field}|json}}}} {}", ids(machine, name)))
    };
    assert_eq!(inspect("strict", "HostConfig.CapDrop"), r#"["ALL"]"#);
    assert!(inspect("strict", "HostConfig.CapAdd").contains("NET_BIND_SERVICE"));
    assert_eq!(inspect("strict", "HostConfig.ReadonlyRootfs"), "true");
    assert!(inspect("strict", "HostConfig.SecurityOpt").contains("no-new-privileges"));
    let status = inside(machine, "strict", "cat /proc/self/status");
    for line in
        ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000400", "Seccomp:\t2"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }
    for name in ["strict", "victim"] {
        for (field, wanted) in
            [("Privileged", "false"), ("PidMode", "\"\""), ("UsernsMode", "\"\"")]
        {
            assert_eq!(inspect(name, &format!("HostConfig.{field}")), wanted, "{name} {field}");
        }
        assert!(!inspect(name, "Mounts").contains("docker.sock"), "{name}");
        let pids = inspect(name, "HostConfig.PidsLimit");
        assert!(pids.parse::<i64>().is_ok_and(|limit| limit > 0), "{name}: {pids}");
        let masked = inspect(name, "HostConfig.MaskedPaths");
        assert!(masked.contains("/proc/kcore") && masked.contains("/sys/firmware"), "{masked}");
        assert!(inspect(name, "HostConfig.ReadonlyPaths").contains("/proc/sys"));
    }
    // None of what a runtime holds open is in a container's reach.
    let open = inside(machine, "victim", "ls -l /proc/1/fd /proc/self/cwd");
    assert!(!open.contains("/sys/fs/cgroup") && !open.contains("docker"), "{open}");
}

pub(crate) fn attack_49_kills_and_floods(machine: &Machine) {
    machine.apply(&pod("stubborn", "while true; do sleep 1; done", "", ""));
    machine.tell("wait --for=condition=Ready pod/stubborn --timeout=60s");
    // The first process of a container does not end by what comes from within.
    inside(machine, "stubborn", "kill -9 1; kill -STOP 1; kill -9 -1");
    let count = "get pod stubborn -o jsonpath={.status.containerStatuses[0].restartCount}";
    let mut row = Row::new("attack 49: commands at once", 60, 10_000);
    let mut flooding = Vec::new();
    while row.next().is_some() {
        flooding.push(machine.begin(&["exec", "stubborn", "--", "sleep", "2"], Stdio::null));
        // A machine has a bound, too.
        if flooding.len() == 60 {
            for mut one in flooding.drain(..) {
                one.wait().unwrap();
            }
        }
    }
    for mut one in flooding {
        one.wait().unwrap();
    }
    assert_eq!(inside(machine, "stubborn", "echo here"), "here\n", "it goes on");
    assert_eq!(machine.tell(count), "0");
    // Into one that has ended nobody comes.
    machine.apply(&pod("over", "exit 0", "", "  restartPolicy: Never"));
    says(machine, "get pod over -o jsonpath={.status.phase}", "over", |said| said == "Succeeded");
    let said = refused(machine, "exec over -- true");
    assert!(
        said.contains("completed pod")
            || said.contains("not running")
            || said.contains("container not found"),
        "{said}"
    );
    machine.tell("delete pod stubborn --timeout=60s");
}
