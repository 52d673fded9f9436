// SPDX-License-Identifier: Apache-2.0
//! Network namespaces, and processes in them.

use crate::{must, run, unique};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A network namespace, which is removed with it.
#[derive(Debug)]
pub struct Space {
    /// Its name; of a process' namespace, the process' number.
    pub name: String,
    path: PathBuf,
    own: bool,
}

impl Space {
    /// A new one, with loopback.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let name = unique(what);
        drop(run("ip", &["netns", "del", &name]));
        must("ip", &["netns", "add", &name]);
        let path = PathBuf::from("/run/netns").join(&name);
        let space = Self { name, path, own: true };
        // Without waiting until every address is known to be unique.
        space.sh("ip link set lo up; sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        space
    }

    /// That of a process, which stays.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        Self { name: pid.to_string(), path, own: false }
    }

    /// Does something inside: sockets that are made there stay there, and so do processes.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(&self.path).expect("it is there");
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What a line of commands inside prints.
    pub fn sh(&self, line: &str) -> String {
        self.run(|| must("sh", &["-ec", line]))
    }

    /// The same, if it succeeds.
    #[must_use]
    pub fn try_sh(&self, line: &str) -> Option<String> {
        self.run(|| run("sh", &["-ec", line]))
    }

    /// A process inside, which ends with what is returned.
    #[must_use]
    pub fn spawn(&self, line: &str) -> Running {
        let line = format!("exec {line}");
        Running(self.run(|| {
            let mut command = Command::new("sh");
            command.args(["-ec", &line]).stdin(Stdio::null()).stdout(Stdio::null());
            command.spawn().expect("there is a shell")
        }))
    }

    /// A socket of UDP that talks to an address.
    #[must_use]
    pub fn udp(&self, address: &str) -> UdpSocket {
        let address: SocketAddr = address.parse().expect("an address and a port");
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = self.run(|| {
            let socket = UdpSocket::bind(any).expect("ports are left");
            socket.connect(address).expect("there is a route");
            socket
        });
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("it is not zero");
        socket
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.own {
            drop(run("ip", &["netns", "del", &self.name]));
        }
    }
}

/// A process that ends with this.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Whether it is still there.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().expect("it is a child").is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Some have children of their own, which end with SIGTERM to their parent.
        drop(run("kill", &[&self.0.id().to_string()]));
        let end = Instant::now() + Duration::from_secs(2);
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > end {
                drop(self.0.kill());
                drop(self.0.wait());
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A veth pair between two namespaces; the far end is `eth0`.
pub fn link(near: &Space, name: &str, addresses: &str, far: &Space, far_addresses: &str) {
    near.sh(&format!("ip link add {name} type veth peer name eth0 netns {}", far.name));
    near.sh(&format!("ip link set {name} up"));
    far.sh("ip link set eth0 up");
    for (space, name, addresses) in [(near, name, addresses), (far, "eth0", far_addresses)] {
        for address in addresses.split(' ').filter(|address| !address.is_empty()) {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            space.sh(&format!("ip addr add {address} dev {name} {nodad}"));
        }
    }
}
