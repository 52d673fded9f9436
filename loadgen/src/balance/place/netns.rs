// SPDX-License-Identifier: Apache-2.0
//! The three namespaces: made with `ip`, entered by single threads, always removed.

use super::{BACKEND, CLIENT, CLIENTS, CROWD, NODE, NODE_BEHIND, Role, SERVICE};
use crate::error::Error;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the kernel's defaults get in the way of, in each namespace.
const SETTINGS: [(&str, &str); 6] = [
    // A proxy is a client of its backends: without these TIME_WAIT and the search for a free port are what is measured.
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/ipv4/ip_local_port_range", "1024 65535"),
    ("net/core/somaxconn", "4096"),
    ("net/ipv4/tcp_max_syn_backlog", "4096"),
    // A burst of new connections is no attack here.
    ("net/ipv4/tcp_syncookies", "0"),
    ("net/ipv4/ip_forward", "1"),
];

/// One namespace.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it can be opened.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Moves the calling thread into it.
    pub fn enter(&self) -> Result<(), Error> {
        File::open(self.path())
            .and_then(|file| enter(&file))
            .map_err(|source| Error::Namespace { what: format!("enter {}", self.name), source })
    }
}

/// Moves the calling thread into a namespace that is open.
pub fn enter(namespace: &File) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Client, node and backend, joined.
#[derive(Debug)]
pub struct Trio {
    client: Namespace,
    node: Namespace,
    backend: Namespace,
}

/// Why this process cannot make namespaces, if it cannot.
pub fn impediment() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root; run it with sudo".to_owned());
    }
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Some("the command ip is not there (apt install iproute2)".to_owned());
    }
    None
}

/// Runs tries of one process apart: tests make several.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Trio {
    /// Names for three, which are not made yet.
    pub fn named() -> Self {
        let (id, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let tag = if number == 0 { format!("{id}") } else { format!("{id}-{number}") };
        let namespace = |role: &str| Namespace { name: format!("berth-{tag}-{role}") };
        Self { client: namespace("client"), node: namespace("node"), backend: namespace("backend") }
    }

    /// Their names.
    pub fn names(&self) -> [&str; 3] {
        [&self.client, &self.node, &self.backend].map(|space| space.name.as_str())
    }

    /// One of them.
    pub fn of(&self, role: Role) -> &Namespace {
        match role {
            Role::Client => &self.client,
            Role::Node => &self.node,
            Role::Backend => &self.backend,
        }
    }

    /// Makes and joins them. Who calls it has seen to it that they are removed.
    pub fn make(&self) -> Result<(), Error> {
        let [client, node, backend] = self.names();
        for name in [client, node, backend] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        join((client, "up0"), (node, "client0"))?;
        join((backend, "up0"), (node, "backend0"))?;
        let [a, b, c, d] = CLIENT.octets();
        for at in 0..CLIENTS {
            ip(&format!("-n {client} address add {a}.{b}.{c}.{}/24 dev up0", d + at))?;
        }
        ip(&format!("-n {node} address add {NODE}/24 dev client0"))?;
        ip(&format!("-n {node} address add {NODE_BEHIND}/24 dev backend0"))?;
        ip(&format!("-n {backend} address add {BACKEND}/24 dev up0"))?;
        ip(&format!("-n {client} route add default via {NODE}"))?;
        ip(&format!("-n {backend} route add default via {NODE_BEHIND}"))?;
        for space in [&self.client, &self.node, &self.backend] {
            set(space)?;
        }
        Ok(())
    }

    /// Gives the node the service address, or takes it away.
    pub fn own_service_address(&self, own: bool) -> Result<(), Error> {
        let node = &self.node.name;
        if own {
            return ip(&format!("-n {node} address replace {SERVICE}/32 dev lo"));
        }
        // An address that is not there is as wanted.
        let _ = ip(&format!("-n {node} address del {SERVICE}/32 dev lo"));
        Ok(())
    }

    /// Makes the network of the crowd the node's own, or nobody's.
    pub fn own_crowd(&self, own: bool) -> Result<(), Error> {
        let (node, (network, bits)) = (&self.node.name, CROWD);
        if own {
            return ip(&format!("-n {node} route replace local {network}/{bits} dev lo"));
        }
        // A route that is not there is as wanted.
        let _ = ip(&format!("-n {node} route del local {network}/{bits} dev lo"));
        Ok(())
    }
}

fn join((one, name): (&str, &str), (other, other_name): (&str, &str)) -> Result<(), Error> {
    ip(&format!("-n {one} link add {name} type veth peer name {other_name} netns {other}"))?;
    ip(&format!("-n {one} link set {name} up"))?;
    ip(&format!("-n {other} link set {other_name} up"))
}

/// Sets what can be set; a kernel that has not all of it works all the same, only slower.
fn set(space: &Namespace) -> Result<(), Error> {
    let work = || {
        space.enter()?;
        for (key, value) in SETTINGS {
            let _ = std::fs::write(Path::new("/proc/sys").join(key), value);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(work);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `ip`.
fn ip(arguments: &str) -> Result<(), Error> {
    run("ip", &arguments.split(' ').collect::<Vec<_>>(), None).map(drop)
}

/// Runs a command to its end, with input if there is some; what it prints to its standard error is told if it fails.
pub fn run(program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, Error> {
    let started = |source| Error::Start { program: program.to_owned(), source };
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(started)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        io::Write::write_all(&mut stdin, text.as_bytes()).map_err(started)?;
    }
    let output = child.wait_with_output().map_err(started)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let line = format!("{program} {}", arguments.join(" "));
        return Err(Error::Command { line, status: output.status.to_string(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
