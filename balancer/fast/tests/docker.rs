// SPDX-License-Identifier: Apache-2.0
//! Beside a real Docker engine: a dockerd of the test's own in a network namespace of its own, with two networks.
//!
//! Clients on the same network, on another one, on the node, outside, and the endpoint itself; IPv4 and IPv6; bridges that call
//! netfilter and bridges that do not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "helpers of tests")]

mod lab;

use lab::{Daemon, HANG, Space, have_namespaces, link, run, traces, unique, until};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn have_docker() -> bool {
    let there = ["docker", "dockerd", "cc", "nsenter"]
        .iter()
        .all(|tool| run("sh", &["-c", &format!("command -v {tool}")]).is_some());
    if !there {
        println!("skipped: needs docker, dockerd, cc and nsenter");
        assert!(std::env::var_os("BERTH_REQUIRE_DOCKER").is_none(), "BERTH_REQUIRE_DOCKER is set");
    }
    there && have_namespaces()
}

/// A Docker engine of the test's own.
struct Engine {
    daemon: Child,
    node: Space,
    folder: tempfile::TempDir,
}

impl Engine {
    fn start() -> Self {
        let (node, folder) = (Space::new(unique("d")), tempfile::tempdir().unwrap());
        let daemon = dockerd(&node, folder.path());
        let engine = Self { daemon, node, folder };
        engine.wait();
        engine
    }

    fn wait(&self) {
        until("dockerd answers", || {
            self.try_docker("version --format {{.Server.Version}}").is_some()
        });
    }

    fn try_docker(&self, line: &str) -> Option<String> {
        let socket = format!("unix://{}/sock", self.folder.path().display());
        let mut arguments = vec!["-H", &socket];
        arguments.extend(line.split(' '));
        run("docker", &arguments).map(|said| said.trim().to_owned())
    }

    fn docker(&self, line: &str) -> String {
        self.try_docker(line).unwrap_or_else(|| panic!("docker {line}"))
    }

    /// An image that sleeps.
    fn image(&self) {
        let folder = self.folder.path().display();
        let line = format!(
            "cd {folder}; mkdir root; echo 'int pause(void); int main(void) {{ for (;;) pause(); }}' > pause.c; \
             cc -static -o root/pause pause.c; tar -C root -cf image.tar pause"
        );
        run("sh", &["-ec", &line]).expect("the image is made");
        self.docker(&format!("import {folder}/image.tar sleeps"));
    }

    /// A container in a network, seen as its namespace.
    fn container(&self, name: &str, network: &str) -> Space {
        self.docker(&format!(
            "run -d --name {name} --network {network} --stop-timeout 0 sleeps /pause"
        ));
        Space::of(self.docker(&format!("inspect -f {{{{.State.Pid}}}} {name}")).parse().unwrap())
    }

    fn address(&self, container: &str, network: &str, field: &str) -> String {
        let format = format!("{{{{.NetworkSettings.Networks.{network}.{field}}}}}");
        self.docker(&format!("inspect -f {format} {container}"))
    }

    fn stop_daemon(&mut self) {
        run("kill", &[&self.daemon.id().to_string()]);
        let pause = Duration::from_millis(20);
        for _ in 0..HANG.as_millis() / pause.as_millis() {
            if self.daemon.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(pause);
        }
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

fn dockerd(node: &Space, folder: &Path) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let network = format!("--net=/run/netns/{}", node.name);
    std::fs::write(folder.join("daemon.json"), "{}").unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    // nsenter, since `ip netns exec` would hide the cgroups.
    Command::new("nsenter")
        .args([&network, "unshare", "-m", "dockerd", "--storage-driver", "vfs", "--experimental"])
        .args(["--ip6tables", "--live-restore", "--bridge", "none", "-H"])
        .arg(format!("unix://{}", at("sock")))
        .args([
            "--config-file",
            &at("daemon.json"),
            "--data-root",
            &at("data"),
            "--exec-root",
            &at("exec"),
            "-p",
            &at("pid"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(all) = self.try_docker("ps -aq") {
            for container in all.lines() {
                self.try_docker(&format!("rm -f {container}"));
            }
        }
        self.stop_daemon();
        // What it mounted for its namespaces.
        let folder = self.folder.path().display();
        let line = format!("grep -o ' {folder}[^ ]*' /proc/mounts | sort -r | xargs -r umount -l");
        drop(run("sh", &["-c", &line]));
    }
}

/// Whom the endpoint sees.
fn seen(space: &Space, address: &str) -> String {
    let mut client = None;
    until(&format!("{address} answers"), || {
        client = space.connect_within(address, Duration::from_secs(2)).ok();
        client.is_some()
    });
    let mut client = client.unwrap();
    client.echo().unwrap();
    client.seen
}

#[test]
fn clients_from_everywhere_reach_a_container_through_its_service_and_docker_is_undisturbed() {
    if !have_docker() {
        return;
    }
    let mut engine = Engine::start();
    engine.image();
    let outside = Space::new(unique("o"));
    link(&engine.node, "to-out", "192.0.2.1/24 fd20::1/64", &outside, "192.0.2.2/24 fd20::2/64");
    outside.sh("ip route add default via 192.0.2.1; ip -6 route add default via fd20::1");
    engine.node.sh("sysctl -qw net.ipv6.conf.all.forwarding=1");
    for (name, at) in [("a", 1), ("b", 2)] {
        engine.docker(&format!(
            "network create --ipv6 --subnet 172.30.{at}.0/24 --subnet fd30:{at}::/64 \
             -o com.docker.network.bridge.name=br-{name} {name}"
        ));
    }
    let (one, two) = (engine.container("one", "a"), engine.container("two", "a"));
    let other = engine.container("other", "b");
    let of = |name: &str, network: &str| {
        (
            engine.address(name, network, "IPAddress"),
            engine.address(name, network, "GlobalIPv6Address"),
        )
    };
    let (one_at, two_at, other_at) = (of("one", "a"), of("two", "a"), of("other", "b"));
    until("the endpoint has its address", || {
        two.try_sh("ip -6 addr show tentative").is_some_and(|all| all.trim().is_empty())
    });
    two.serve(&format!("{}:8080", two_at.0));
    two.serve(&format!("[{}]:8080", two_at.1));
    let before = traces(&engine.node);

    let state = engine.folder.path().join("state");
    let mut fast = Daemon::start(&engine.node, &state, "d", &[]);
    fast.must(&[
        &format!("service web tcp 10.96.0.1:80 {}:8080", two_at.0),
        &format!("service six tcp [fd96::1]:80 [{}]:8080", two_at.1),
        "node 192.0.2.1 fd20::1",
        "apply",
    ]);
    let gateway = ("172.30.1.1", "fd30:1::1");
    for calls in ["1", "0"] {
        engine.node.sh(&format!(
            "sysctl -qw net.bridge.bridge-nf-call-iptables={calls} net.bridge.bridge-nf-call-ip6tables={calls}"
        ));
        // Until the decider has seen it.
        std::thread::sleep(Duration::from_millis(1_100));
        let bridged = if calls == "1" { (one_at.0.as_str(), one_at.1.as_str()) } else { gateway };
        let cells = [
            ("same network", &one, bridged),
            ("itself", &two, gateway),
            ("other network", &other, (other_at.0.as_str(), other_at.1.as_str())),
            ("node", &engine.node, ("192.0.2.1", "fd20::1")),
            ("outside", &outside, ("192.0.2.2", "fd20::2")),
        ];
        for (who, space, (v4, v6)) in cells {
            assert_eq!(seen(space, "10.96.0.1:80"), v4, "{who}, bridges call netfilter: {calls}");
            assert_eq!(seen(space, "[fd96::1]:80"), v6, "{who}, bridges call netfilter: {calls}");
        }
    }
    // What Docker keeps apart stays apart.
    let direct = format!("{}:8080", two_at.0);
    assert!(other.connect_within(&direct, Duration::from_millis(500)).is_err());

    // A restart of the engine: its rules come anew, and ours are there again.
    engine.stop_daemon();
    engine.daemon = dockerd(&engine.node, engine.folder.path());
    engine.wait();
    for space in [&one, &other, &outside, &engine.node] {
        seen(space, "10.96.0.1:80");
    }
    fast.stop();
    // Docker's own rules are others after its restart; of ours nothing is among them.
    let after = traces(&engine.node);
    for ours in ["berth-fast", "10.96.0.1", "fd96::1"] {
        assert!(!after.contains(ours) && !before.contains(ours), "{ours}: {after}");
    }
    let port = engine.node.sh("cat /sys/class/net/br-a/brif/*/hairpin_mode || true");
    assert!(!port.contains('1'), "hairpin mode is as it was");
}
