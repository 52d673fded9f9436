// SPDX-License-Identifier: Apache-2.0
//! Sandboxes and containers.

use crate::lab::{HANG, Lab, identity, shell, words};
use berth_cluster_docker::{
    Change, ContainerSpec, CreateError, Event, Phase, PodNetwork, Processes, StartError, Tmpfs,
    Ulimit,
};
use berth_cluster_files::{Bind, Propagation};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn bind(host: String, container: &str) -> Bind {
    let container = container.to_owned();
    Bind { host, container, read_only: false, propagation: Propagation::None }
}

pub(crate) async fn a_pod_shares_its_network_and_nothing_of_docker_s_dns(lab: &Lab) {
    let node = lab.node("pods").await;
    let folder = tempfile::tempdir().unwrap();
    let etc: Vec<Bind> = [
        ("resolv.conf", "nameserver 10.96.0.10\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("hostname", "the-pod\n"),
    ]
    .map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        bind(path.display().to_string(), &format!("/etc/{name}"))
    })
    .into();
    let mut spec = node.sandbox_spec(5);
    spec.binds.clone_from(&etc);
    spec.sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
    let facts = BTreeMap::from([("ip".to_owned(), "kept".to_owned())]);
    let made = node.engine.create_sandbox(&identity("shared", None), &spec, &facts).await.unwrap();
    node.engine.start(&made.id).await.unwrap();
    let mut first = shell(
        "printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhi' > /tmp/a; while true; do nc -l -p 80 < /tmp/a; done",
    );
    first.binds.clone_from(&etc);
    first.env.insert("FROM_POD".to_owned(), "a b=c".to_owned());
    let a = node.container("shared", "a", &made.id, &first).await;
    let second = ContainerSpec { binds: etc, ..shell("sleep 1000") };
    let b = node.container("shared", "b", &made.id, &second).await;
    node.engine.start(&a).await.unwrap();
    node.engine.start(&a).await.expect("what runs is no error");
    node.engine.start(&b).await.unwrap();
    node.until(&b, "wget -q -O - http://127.0.0.1:80/ | grep -q hi").await;
    let (said, _) = node.sh(&b, "hostname; cat /etc/resolv.conf /etc/hosts; cat /proc/sys/net/ipv4/ip_unprivileged_port_start").await;
    assert_eq!(said, "the-pod\nnameserver 10.96.0.10\n127.0.0.1 localhost\n0\n");
    for container in [&a, &b] {
        let (found, _) =
            node.sh(container, "grep -r 127.0.0.11 /etc /proc/self/mountinfo; true").await;
        assert_eq!(found, "", "Docker's resolver shows");
    }
    assert_eq!(node.sh(&a, "echo \"$FROM_POD,$FROM_IMAGE\"").await.0, "a b=c,yes\n");
    node.sh(&a, "touch /dev/shm/seen").await;
    assert_eq!(node.sh(&b, "ls /dev/shm").await.0, "seen\n", "memory is shared in a pod");
    let view = node.engine.list().await.unwrap();
    assert_eq!((view.sandboxes.len(), view.containers.len()), (1, 2));
    assert_eq!(view.sandboxes[0].addresses, [node.ip(5)]);
    assert_eq!(view.sandboxes[0].facts, facts);
    assert_eq!(view.containers[0].facts, BTreeMap::new(), "an image's labels add nothing");
    assert_eq!(view.containers[1].identity, identity("shared", Some("b")));
    assert_eq!(view.containers[1].state.phase, Phase::Running);
    let used = node.engine.usage(&a).await.unwrap().expect("it runs");
    assert!(
        used.working_set_bytes > 0
            && used.cpu_ns > 0
            && used.working_set_bytes <= used.memory_bytes
    );
    assert!(node.engine.disk_usage().await.unwrap().images_bytes > 1 << 20);
    let info = node.engine.info().await.unwrap();
    assert!(info.live_restore && !info.version.is_empty() && info.cpus > 0, "{info:?}");
}

pub(crate) async fn a_lost_answer_makes_no_second_container(lab: &Lab) {
    let node = lab.node("twice").await;
    let sandbox = node.sandbox("once", 2).await;
    let (who, spec) = (identity("once", Some("c")), shell("sleep 1000"));
    let none = BTreeMap::new();
    // Ten at the same time, as if each answer but one were lost.
    let calls = (0..10).map(|_| node.engine.create_container(&who, &sandbox, &spec, &none));
    let made = futures_util::future::join_all(calls).await;
    let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
    assert!(made.iter().all(|one| one.id == made[0].id));
    assert_eq!(made.iter().filter(|one| !one.adopted).count(), 1);
    // A call that is cut off at any moment.
    for delay in 0..10 {
        let cut = identity(&format!("cut-{delay}"), Some("c"));
        let call = node.engine.create_container(&cut, &sandbox, &spec, &none);
        drop(tokio::time::timeout(Duration::from_millis(delay * 3), call).await);
        let made = node.engine.create_container(&cut, &sandbox, &spec, &none).await.unwrap();
        let view = node.engine.list().await.unwrap();
        let same = view.containers.iter().filter(|seen| seen.identity == cut);
        assert_eq!(same.map(|seen| &seen.id).collect::<Vec<_>>(), [&made.id]);
        node.engine.remove(&made.id, false).await.unwrap();
    }
    let other = node.engine.create_container(&who, &sandbox, &shell("sleep 1001"), &none).await;
    assert!(
        matches!(other, Err(CreateError::Differs { ref id, .. }) if *id == made[0].id),
        "{other:?}"
    );
    let absent = ContainerSpec::plain("berth.test/absent:1");
    let absent =
        node.engine.create_container(&identity("x", Some("c")), &sandbox, &absent, &none).await;
    assert!(matches!(absent, Err(CreateError::NoImage { .. })), "{absent:?}");
    // Removing, alone and side by side, of what runs and of what is gone.
    node.engine.start(&made[0].id).await.unwrap();
    node.engine.remove(&made[0].id, false).await.unwrap_err();
    let removals = (0..5).map(|_| node.engine.remove(&made[0].id, true));
    for removed in futures_util::future::join_all(removals).await {
        removed.unwrap();
    }
    node.engine.remove(&made[0].id, true).await.unwrap();
    node.engine.stop(&made[0].id, Duration::ZERO).await.unwrap();
    node.engine.kill(&made[0].id, "KILL").await.unwrap();
    assert!(node.engine.inspect(&made[0].id).await.unwrap_err().is_not_found());
}

pub(crate) async fn ends_are_told_with_their_codes_and_in_time(lab: &Lab) {
    let node = lab.node("ends").await;
    let mut events = node.engine.events(None);
    assert_eq!(events.next().await, Some(Event::List));
    let sandbox = node.sandbox("ends", 2).await;
    let mut changes = BTreeMap::<String, Vec<Change>>::new();
    let mut made = Vec::new();
    for (name, line) in [
        ("code", "exit 7"),
        ("term", "trap 'exit 3' TERM; while true; do sleep 0.05; done"),
        ("deaf", "trap '' TERM; while true; do sleep 0.05; done"),
        (
            "oom",
            "head -c 200000000 /dev/zero > /tmp/x; cat /tmp/x | (sleep 0; cat) > /dev/null; exec sleep 1",
        ),
    ] {
        let mut spec = shell(line);
        if name == "oom" {
            spec.resources.memory_bytes = Some(16 << 20);
            spec.tmpfs = vec![Tmpfs { path: "/tmp".to_owned(), bytes: None, mode: 0o1777 }];
        }
        let id = node.container("ends", name, &sandbox, &spec).await;
        node.engine.start(&id).await.unwrap();
        made.push(id);
    }
    assert_eq!(node.ended(&made[0]).await, 7);
    node.engine.stop(&made[1], HANG).await.unwrap();
    assert_eq!(node.ended(&made[1]).await, 3);
    let begun = Instant::now();
    node.engine.stop(&made[2], Duration::from_secs(2)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2), "SIGKILL came early");
    assert_eq!(node.ended(&made[2]).await, 137);
    // A child process is what was killed: the container may end by itself.
    node.ended(&made[3]).await;
    let state = node.engine.inspect(&made[3]).await.unwrap().state;
    assert!(state.oom_killed, "{state:?}");
    assert!(state.started.is_some() && state.started <= state.finished);
    for id in &made {
        node.engine.remove(id, false).await.unwrap();
    }
    while changes.values().filter(|all| all.contains(&Change::Removed)).count() < made.len() {
        let event = tokio::time::timeout(HANG, events.next()).await.expect("an event comes");
        if let Some(Event::Container { id, change, .. }) = event {
            changes.entry(id).or_default().push(change);
        }
    }
    let wanted = |code| {
        vec![Change::Created, Change::Started, Change::Died { exit_code: code }, Change::Removed]
    };
    for (id, code) in [(&made[0], 7), (&made[1], 3), (&made[2], 137)] {
        assert_eq!(changes[id], wanted(code));
    }
    assert!(changes[&made[3]].contains(&Change::OutOfMemory), "{changes:?}");
    assert_eq!(changes[&sandbox], [Change::Created, Change::Started]);
    // A sandbox ends at once, with nobody being killed.
    node.engine.stop(&sandbox, HANG).await.unwrap();
    assert_eq!(node.ended(&sandbox).await, 0);
}

pub(crate) async fn what_cannot_run_says_why(lab: &Lab) {
    let node = lab.node("cannot").await;
    let sandbox = node.sandbox("cannot", 2).await;
    let absent = ContainerSpec { command: words(&["/no/such/program"]), ..shell("") };
    let folder = ContainerSpec { command: words(&["/tmp"]), ..shell("") };
    let mut user = shell("true");
    user.security.user = Some("nobody-has-this-name".to_owned());
    for (name, spec, code, words) in [
        ("absent", absent, Some(127), "no such file or directory"),
        ("folder", folder, Some(126), "permission denied"),
        ("user", user, None, "nobody-has-this-name"),
    ] {
        let id = node.container("cannot", name, &sandbox, &spec).await;
        match node.engine.start(&id).await.unwrap_err() {
            StartError::CannotRun { exit_code, message } => {
                assert!(
                    code.is_none_or(|code| code == exit_code) && message.contains(words),
                    "{exit_code} {message}"
                );
            }
            other => panic!("{name}: {other:?}"),
        }
        let seen = node.engine.inspect(&id).await.unwrap();
        assert!(seen.state.phase == Phase::Created && !seen.state.error.is_empty(), "{seen:?}");
    }
    let mut mount = shell("true");
    mount.binds.push(bind("/no/such/folder".to_owned(), "/at"));
    let who = identity("cannot", Some("mount"));
    let error = node.engine.create_container(&who, &sandbox, &mount, &BTreeMap::new()).await;
    assert!(
        error.unwrap_err().to_string().contains("bind source path does not exist: /no/such/folder")
    );
    // The address of another.
    let spec = node.sandbox_spec(2);
    let made = node
        .engine
        .create_sandbox(&identity("second", None), &spec, &BTreeMap::new())
        .await
        .unwrap();
    let error = node.engine.start(&made.id).await.unwrap_err();
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error:?}");
}

pub(crate) async fn rights_and_bounds_arrive(lab: &Lab) {
    let node = lab.node("rights").await;
    let sandbox = node.sandbox("rights", 2).await;
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("with:colon");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("file"), "content").unwrap();
    let mut spec = shell("sleep 1000");
    spec.security.user = Some("1000:2000".to_owned());
    spec.security.groups = vec![3000];
    spec.security.read_only_root = true;
    spec.security.no_new_privileges = true;
    spec.security.capabilities_drop = words(&["ALL"]);
    spec.resources.memory_bytes = Some(32 << 20);
    spec.resources.pids = Some(50);
    spec.resources.oom_score_adj = 500;
    spec.working_dir = Some("/tmp".to_owned());
    spec.binds.push(Bind { read_only: true, ..bind(odd.display().to_string(), "/odd") });
    spec.tmpfs.push(Tmpfs { path: "/scratch".to_owned(), bytes: Some(1 << 20), mode: 0o1777 });
    spec.ulimits.push(Ulimit { name: "nofile".to_owned(), soft: 123, hard: 456 });
    let id = node.container("rights", "c", &sandbox, &spec).await;
    node.engine.start(&id).await.unwrap();
    for (line, wanted) in [
        ("id -u; id -g; id -G", "1000\n2000\n2000 3000\n"),
        ("cat /odd/file; touch /odd/x 2>/dev/null || echo no", "contentno\n"),
        ("touch /tmp/x 2>/dev/null || echo no; touch /scratch/x && echo yes", "no\nyes\n"),
        (
            "grep NoNewPrivs /proc/1/status; grep CapBnd /proc/1/status",
            "NoNewPrivs:\t1\nCapBnd:\t0000000000000000\n",
        ),
        (
            "cat /proc/1/oom_score_adj; grep -c 'open files *123 *456' /proc/1/limits; pwd",
            "500\n1\n/tmp\n",
        ),
    ] {
        assert_eq!(node.sh(&id, line).await.0, wanted, "{line}");
    }
    let name = identity("rights", Some("c")).engine_name(node.engine.agent()).unwrap();
    let fields = ["Memory", "MemorySwap", "PidsLimit", "LogConfig"];
    let fields = fields.map(|field| format!("{{{{.HostConfig.{field}}}}}")).join(",");
    let said = lab.docker.docker(&format!("inspect -f {fields} {name}"));
    assert!(
        said.starts_with("33554432,33554432,50,{json-file map[max-file:5 max-size:10485760]"),
        "{said}"
    );
}

pub(crate) async fn processes_of_a_pod_are_shared_and_orphans_are_taken(lab: &Lab) {
    let node = lab.node("orphans").await;
    let sandbox = node.sandbox("orphans", 2).await;
    let spec = ContainerSpec { processes: Processes::Pod, ..shell("sleep 1000") };
    let id = node.container("orphans", "c", &sandbox, &spec).await;
    node.engine.start(&id).await.unwrap();
    assert_eq!(node.sh(&id, "grep -c pause /proc/1/cmdline").await.0, "1\n");
    // Each leaves a child whose parent has gone; only process 1 can take its code.
    node.sh(&id, "for n in $(seq 50); do (sh -c 'sleep 0.1 & exit 0'); done").await;
    node.until(&id, "! grep -h '(sleep) Z' /proc/[0-9]*/stat | grep -q .").await;
    node.until(&id, "test $(grep -h '(sleep)' /proc/[0-9]*/stat | wc -l) -le 1").await;
}

pub(crate) async fn a_pod_on_the_hosts_network(lab: &Lab) {
    let node = lab.node("host").await;
    let mut spec = node.sandbox_spec(2);
    (spec.network, spec.hostname, spec.host_ipc) = (PodNetwork::Host, String::new(), true);
    let made =
        node.engine.create_sandbox(&identity("host", None), &spec, &BTreeMap::new()).await.unwrap();
    node.engine.start(&made.id).await.unwrap();
    let container =
        ContainerSpec { host_network: true, processes: Processes::Host, ..shell("sleep 1000") };
    let id = node.container("host", "c", &made.id, &container).await;
    node.engine.start(&id).await.unwrap();
    let (said, _) =
        node.sh(&id, "cat /proc/sys/kernel/hostname; ls /proc | grep -c '^[0-9]'").await;
    let (name, processes) = said.trim().split_once('\n').unwrap();
    assert_eq!(name, std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
    assert!(processes.parse::<u32>().unwrap() > 10, "{processes}");
}

pub(crate) async fn echo_finishes_what_is_under_way(lab: &Lab) {
    let node = lab.node("echo").await;
    let image = node.engine.ensure_echo().await.unwrap();
    assert_eq!(image, berth_cluster_docker::echo_image());
    let sandbox = node.sandbox("echo", 2).await;
    let mut spec = ContainerSpec::plain(&image);
    spec.env.insert("POD_NAME".to_owned(), "p-1".to_owned());
    let echo = node.container("echo", "echo", &sandbox, &spec).await;
    node.engine.start(&echo).await.unwrap();
    let client = node.container("echo", "client", &sandbox, &shell("sleep 1000")).await;
    node.engine.start(&client).await.unwrap();
    node.until(&client, "wget -q -O - http://127.0.0.1:8080/").await;
    let (said, _) = node.sh(&client, "wget -q -O - http://127.0.0.1:8080/some/path?x=y").await;
    for line in [
        "hostname: the-pod\n",
        "pod: p-1\n",
        "request: GET /some/path?x=y HTTP/1.1\n",
        "client: 127.0.0.1:",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let keep_alive = "printf 'GET /a HTTP/1.1\\r\\n\\r\\nGET /b HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' | nc 127.0.0.1 8080";
    let (said, _) = node.sh(&client, keep_alive).await;
    assert!(said.contains("GET /a") && said.contains("GET /b"), "{said}");
    let slow = node.sh(&client, "wget -q -O - http://127.0.0.1:8080/slow?delay=3000");
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        node.engine.stop(&echo, HANG).await.unwrap();
    };
    let ((said, code), ()) = tokio::join!(slow, stop);
    assert!(code == 0 && said.contains("GET /slow"), "{said}");
    assert_eq!(node.ended(&echo).await, 0);
}
