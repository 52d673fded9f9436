// SPDX-License-Identifier: Apache-2.0
//! `berth up` as somebody begins with it: what is wrong is told in words that help, and Ctrl-C and a start in the same folder lose nothing.
#![allow(clippy::panic, reason = "a step that fails says all there is to know")]

mod clients;
mod cluster;
#[path = "walk/kubectl.rs"]
mod kubectl;

use cluster::{PORTS, Up, within};
use kubectl::Kubectl;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// After this something that is refused counts as hung.
const PATIENCE: Duration = Duration::from_mins(1);

/// What `berth up` with these flags says when it refuses to start.
fn refused(folder: &Path, flags: &[&str]) -> String {
    let log = folder.join("refused");
    let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
        .arg("up")
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("it starts");
    let status = within(&mut child, PATIENCE);
    if status.is_none() {
        drop(child.kill());
        drop(child.wait());
    }
    let said = fs::read_to_string(&log).expect("its words");
    assert!(status.is_some_and(|status| !status.success()), "{flags:?}: {status:?}\n{said}");
    said
}

/// The flags that choose free ports, with another address for one of them.
fn ports_but<'a>(flag: &'a str, address: &'a str) -> Vec<&'a str> {
    let mut flags = PORTS.to_vec();
    let place = flags.iter().position(|one| *one == flag).expect("a flag of an address");
    flags[place + 1] = address;
    flags
}

#[test]
fn what_is_wrong_with_flags_is_told_in_words_that_help() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, words) in [
        (&["--simulat", "3"][..], "a similar argument exists: '--simulate'"),
        (&["--simulate", "x"], "\"x\" is no number of nodes: there may be 0 to 32768"),
        (&["--simulate", "-1"], "\"-1\" is no number of nodes"),
        (&["--simulate", "99999999"], "there may be 0 to 32768"),
        (&["--api", "6443"], "\"6443\" is no address with a port, such as 127.0.0.1:6443"),
        (&["--listen", "localhost:1"], "names are not looked up"),
        (&["--load-balancer-pool", "web"], "\"web\" is no range of addresses: 198.19.0.0/24,"),
        (&["--load-balancer-pool", "10.0.0.0/8"], "has more than 65536 addresses"),
        (&["--load-balancer-pool", "192.168.7.9/28"], "the network is 192.168.7.0/28"),
        (
            &["--load-balancer-pool", "10.96.0.9"],
            "overlaps 10.96.0.0-10.96.255.255, the addresses of the cluster's Services",
        ),
        (&["--load-balancer-pool", "10.244.1.0/24"], "the addresses of its pods"),
        (&["--load-balancer-pool", "10.1.0.1,10.1.0.0/30"], "another range of the pool"),
        (&["--load-balancer-pool", "127.0.0.1"], "there are loopback addresses in it"),
        (&["--pod-network", "10.9.9.9/24"], "bits behind the prefix are set"),
        (
            &["--docker", "ssh://host"],
            "DOCKER_HOST \"ssh://host\" is not understood; it is unix:///PATH or tcp://HOST:PORT",
        ),
        (&["--node-name", "No Name"], "--node-name: the agent's name \"No Name\" does not fit"),
        (&["--demo", "--no-node"], "cannot be used with '--no-node'"),
        (&["--demo", "--simulate", "3"], "cannot be used with"),
        (&["upwards"], "unexpected argument 'upwards'"),
    ] {
        let said = refused(folder.path(), flags);
        assert!(said.contains(words), "{flags:?}: {said}");
    }
    let said = refused(folder.path(), &[&PORTS[..], &["--controllers", "nonsense"]].concat());
    assert!(said.contains("there is no nonsense; there are namespace-controller,"), "{said}");
}

#[test]
fn an_address_in_use_is_told_with_the_flag_that_chooses_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    for flag in ["--listen", "--metrics", "--api", "--balancer", "--balancer-admin"] {
        let said = refused(folder.path(), &ports_but(flag, &address));
        let words = format!("cannot listen on {address}");
        assert!(said.contains(&words) && said.contains("Address already in use"), "{flag}: {said}");
        assert!(said.contains(flag), "{flag}: {said}");
        assert_eq!(said.matches("choose").count(), 1, "{flag} has one hint: {said}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_told_and_one_in_use_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    // A file where a folder has to be: nobody can write below it, not even root.
    for below in [file.clone(), file.join("data")] {
        let below = below.to_str().expect("a path");
        let said = refused(folder.path(), &[&PORTS[..], &["--data", below]].concat());
        assert!(said.contains("--data chooses another directory"), "{said}");
        assert!(said.contains(below), "{said}");
    }
    let blocked = folder.path().join("blocked");
    fs::create_dir(&blocked).expect("a folder");
    fs::write(blocked.join("cluster"), "").expect("a file");
    let blocked = blocked.to_str().expect("a path");
    let said = refused(folder.path(), &[&PORTS[..], &["--data", blocked]].concat());
    assert!(said.contains("--data:") && !said.contains("--pki"), "{said}");
    let up = Up::start(folder.path(), &[]);
    let data = folder.path().join("data");
    let data = data.to_str().expect("a path");
    let before = fs::read(&up.kubeconfig).expect("a kubeconfig");
    let said = refused(folder.path(), &[&PORTS[..], &["--data", data]].concat());
    assert!(said.contains("is in use by another process"), "{said}");
    assert_eq!(fs::read(&up.kubeconfig).expect("a kubeconfig"), before);
    let (status, log) = up.interrupt();
    assert!(status.success() && log.contains("stopped"), "{status} {log}");
}

#[test]
fn two_in_memory_on_free_ports_share_nothing_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let ups = ["a", "b"].map(|name| Up::start_with(&folder.path().join(name), &[]));
    let [a, b] = ups.each_ref().map(|up| up.kubeconfig.clone());
    assert_ne!(a, b);
    assert_ne!(fs::read(&a).expect("a kubeconfig"), fs::read(&b).expect("a kubeconfig"));
    for up in ups {
        let (status, log) = up.interrupt();
        assert!(status.success(), "{status} {log}");
    }
    for kubeconfig in [a, b] {
        let keys = kubeconfig.parent().and_then(Path::parent).expect("its folder");
        assert!(!keys.exists(), "{}", keys.display());
    }
}

/// Whoever is told that something runs may stop it at once.
#[test]
fn what_is_stopped_with_its_first_line_stops_in_good_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let pki = folder.path().join("pki").display().to_string();
    let apiserver = ["apiserver", "--listen", "127.0.0.1:0", "--store", "memory", "--pki", &pki];
    let scheduler = ["scheduler", "--standalone", "--listen", "127.0.0.1:0"];
    for flags in [&apiserver[..], &scheduler] {
        for _ in 0..5 {
            let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
                .args(flags)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            let mut output = BufReader::new(child.stdout.take().expect("its output"));
            let mut line = String::new();
            output.read_line(&mut line).expect("a line");
            kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
            let status = within(&mut child, PATIENCE);
            assert!(status.is_some_and(|status| status.success()), "{flags:?}: {status:?}\n{line}");
        }
    }
}

#[test]
fn ctrl_c_and_a_start_in_the_same_folder_lose_nothing() {
    let clients = clients::required();
    let Some((minor, path)) = clients.last_key_value() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let up = Up::start(folder.path(), &["--simulate", "3"]);
    let kubectl = Kubectl::new(path, *minor, &up.kubeconfig, folder.path());
    kubectl.ok("create configmap kept --from-literal=a=b", &["created"]);
    kubectl.ok("create deployment web --image=web --replicas=3", &["created"]);
    kubectl.ok("rollout status deployment web", &["successfully rolled out"]);
    kubectl.ok("expose deployment web --port=80 --type=LoadBalancer", &["exposed"]);
    let ingress = "get service web -o jsonpath={.status.loadBalancer.ingress[*].ip}";
    let has = |address: &str| kubectl.until(ingress, address, |said| said.out == address);
    has("198.19.0.1");
    let names = "get pods -o jsonpath={.items[*].metadata.uid}";
    let before = kubectl.ok(names, &[]).out;
    let (status, log) = up.interrupt();
    assert!(status.success() && !log.contains("panicked"), "{status} {log}");
    kubectl.refused("get configmap kept", &["refused"]);
    let up = Up::start(folder.path(), &["--simulate", "3"]);
    // The port is another one, and the same file says which.
    kubectl.ok("get configmap kept -o jsonpath={.data.a}", &["b"]);
    assert_eq!(kubectl.ok(names, &[]).out, before, "the same pods");
    has("198.19.0.1");
    let ready = "get nodes -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    kubectl.until(ready, "three are ready", |said| said.out == "True True True");
    // All goes on.
    kubectl.ok("scale deployment web --replicas=5", &["scaled"]);
    kubectl.ok("rollout status deployment web", &["successfully rolled out"]);
    kubectl.ok("expose deployment web --name=next --port=80 --type=LoadBalancer", &["exposed"]);
    let next = "get service next -o jsonpath={.status.loadBalancer.ingress[*].ip}";
    kubectl.until(next, "the next address", |said| said.out == "198.19.0.2");
    let (status, log) = up.interrupt();
    assert!(status.success(), "{status} {log}");
}
