// SPDX-License-Identifier: Apache-2.0
//! A Docker engine of a test's own, in a network namespace of its own.

use crate::{HANG, Space, have_namespaces, run, until};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether there can be one. Says so if not, and fails if it is required.
pub fn have_docker() -> bool {
    let there = ["docker", "dockerd", "cc", "nsenter"]
        .iter()
        .all(|tool| run("sh", &["-c", &format!("command -v {tool}")]).is_some());
    if !there {
        println!("skipped: needs docker, dockerd, cc and nsenter");
        assert!(std::env::var_os("BERTH_REQUIRE_DOCKER").is_none(), "BERTH_REQUIRE_DOCKER is set");
    }
    there && have_namespaces()
}

/// A Docker engine, which ends with its containers.
#[derive(Debug)]
pub struct Engine {
    daemon: Child,
    options: Vec<String>,
    /// The host that it takes itself to be on.
    pub node: Space,
    /// Where all that it keeps is.
    pub folder: tempfile::TempDir,
}

impl Engine {
    /// Starts one, with these options of dockerd besides.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        let (node, folder) = (Space::new("d"), tempfile::tempdir().expect("there is room"));
        let options: Vec<String> = options.iter().copied().map(str::to_owned).collect();
        let daemon = dockerd(&node, folder.path(), &options);
        let mut engine = Self { daemon, options, node, folder };
        engine.wait();
        engine
    }

    /// It takes longer where it finds containers again; if it gives up, it is started anew, as by any supervisor.
    fn wait(&mut self) {
        let begun = Instant::now();
        while self.try_docker("version --format {{.Server.Version}}").is_none() {
            let ended = self.daemon.try_wait().expect("it is a child");
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let last = log.floor_char_boundary(log.len().saturating_sub(4_000));
            assert!(
                begun.elapsed() < HANG * 4,
                "dockerd does not answer ({ended:?}): {}",
                &log[last..]
            );
            if ended.is_some() {
                self.daemon = dockerd(&self.node, self.folder.path(), &self.options);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What `docker` says to a line, if it succeeds.
    #[must_use]
    pub fn try_docker(&self, line: &str) -> Option<String> {
        let socket = format!("unix://{}/sock", self.folder.path().display());
        let mut arguments = vec!["-H", &socket];
        arguments.extend(line.split(' '));
        run("docker", &arguments).map(|said| said.trim().to_owned())
    }

    /// The same; it must.
    pub fn docker(&self, line: &str) -> String {
        self.try_docker(line).unwrap_or_else(|| panic!("docker {line}"))
    }

    /// The image `own`: a program in C, as `/main`.
    pub fn image(&self, program: &str) {
        std::fs::write(self.folder.path().join("main.c"), program).expect("there is room");
        let folder = self.folder.path().display();
        let line = format!(
            "cd {folder}; mkdir root; cc -static -w -o root/main main.c; tar -C root -cf image.tar main"
        );
        run("sh", &["-ec", &line]).expect("the image is made");
        self.docker(&format!("import {folder}/image.tar own"));
    }

    /// A container of that image, with more options, seen as its namespace.
    pub fn container(&self, name: &str, more: &str, command: &str) -> Space {
        self.docker(&format!("run -d --name {name} {more} --stop-timeout 0 own {command}"));
        let pid = self.docker(&format!("inspect -f {{{{.State.Pid}}}} {name}"));
        let space = Space::of(pid.parse().expect("it runs"));
        until("the container has its address", || {
            space.try_sh("ip -6 addr show tentative").is_some_and(|all| all.trim().is_empty())
        });
        space
    }

    /// A container's addresses in a network, of IPv4 and of IPv6.
    #[must_use]
    pub fn addresses(&self, container: &str, network: &str) -> [String; 2] {
        ["IPAddress", "GlobalIPv6Address"].map(|field| {
            let format = format!("{{{{.NetworkSettings.Networks.{network}.{field}}}}}");
            self.docker(&format!("inspect -f {format} {container}"))
        })
    }

    /// Ends the daemon, its containers live on, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.begin_again();
    }

    /// Ends the daemon as a crash does. Its containers live on, for then at least.
    pub fn crash(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }

    /// Starts it again after it has ended.
    pub fn begin_again(&mut self) {
        self.daemon = dockerd(&self.node, self.folder.path(), &self.options);
        self.wait();
    }

    /// Ends the daemon in good order. Its containers live on only where they outlast it.
    pub fn stop(&mut self) {
        run("kill", &[&self.daemon.id().to_string()]);
        let end = Instant::now() + HANG;
        while Instant::now() < end {
            if self.daemon.try_wait().expect("it is a child").is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

fn dockerd(node: &Space, folder: &Path, options: &[String]) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let network = format!("--net=/run/netns/{}", node.name);
    std::fs::write(folder.join("daemon.json"), "{}").expect("there is room");
    let log = File::create(folder.join("log")).expect("there is room");
    // nsenter, since `ip netns exec` would hide the cgroups.
    Command::new("nsenter")
        .args([
            &network,
            "unshare",
            "-m",
            "--propagation",
            "slave",
            "dockerd",
            "--storage-driver",
            "vfs",
            "--experimental",
        ])
        .args(["--ip6tables", "--live-restore", "-H"])
        .arg(format!("unix://{}", at("sock")))
        .args(options)
        .args(["--config-file", &at("daemon.json"), "--data-root", &at("data")])
        .args(["--exec-root", &at("exec"), "-p", &at("pid")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("nsenter is installed")
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(all) = self.try_docker("ps -aq") {
            for container in all.lines() {
                drop(self.try_docker(&format!("rm -f {container}")));
            }
        }
        self.stop();
        // What it mounted for its namespaces.
        let folder = self.folder.path().display();
        let line = format!("grep -o ' {folder}[^ ]*' /proc/mounts | sort -r | xargs -r umount -l");
        drop(run("sh", &["-c", &line]));
    }
}
