// SPDX-License-Identifier: Apache-2.0
//! What the agent wants of an engine, in plain values; `body.rs` says it in the engine's words.

use berth_cluster_files::{Bind, Resources, Security, Settings};
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

/// What a container shall be. Filled from [`Settings`] by [`ContainerSpec::new`]; the rest is the agent's to add.
#[derive(Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its image: better an id than a name, for a name may be given to another image.
    pub image: String,
    /// Replaces the image's ENTRYPOINT and CMD; empty keeps both.
    pub command: Vec<String>,
    /// Replaces the image's CMD; empty keeps it, unless there is a command.
    pub args: Vec<String>,
    /// Its environment, beside and over the image's.
    pub env: BTreeMap<String, String>,
    /// `None` for the image's.
    pub working_dir: Option<String>,
    /// As which user it runs, and what it may do.
    pub security: Security,
    /// The content of the profile that [`Security::seccomp`] names, where it names one.
    pub seccomp_profile: Option<String>,
    /// What it may use. A score below zero becomes zero where [`crate::Engine::may_lower_oom_scores`] says no.
    pub resources: Resources,
    /// Bytes of memory and swap together. `None` gives no swap, as a kubelet does.
    pub memory_swap_bytes: Option<u64>,
    /// The cgroup around it, in the words of the engine's driver: a path, or a slice of systemd. `None` for the engine's own.
    pub cgroup_parent: Option<String>,
    /// Files and folders of the host. Those below /etc ([`berth_cluster_files::Etc`]) are among them.
    pub binds: Vec<Bind>,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Bounds of a process.
    pub ulimits: Vec<Ulimit>,
    /// Whose processes it sees.
    pub processes: Processes,
    /// Whether its pod has the host's network: then it has the host's name too.
    pub host_network: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input stays open.
    pub stdin: bool,
    /// Whether its input ends with the first that attached.
    pub stdin_once: bool,
    /// The signal that asks it to end; `None` for the image's, or SIGTERM.
    pub stop_signal: Option<String>,
    /// How its output is kept.
    pub log: LogFiles,
}

impl ContainerSpec {
    /// From what `cluster/files` worked out.
    #[must_use]
    pub fn new(image: &str, settings: Settings) -> Self {
        Self {
            image: image.to_owned(),
            command: settings.command,
            args: settings.args,
            env: settings.env,
            working_dir: settings.working_dir,
            security: settings.security,
            resources: settings.resources,
            tty: settings.tty,
            stdin: settings.stdin,
            stdin_once: settings.stdin_once,
            ..Self::plain(image)
        }
    }

    /// An image as it is.
    #[must_use]
    pub fn plain(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            command: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            working_dir: None,
            security: Security::default(),
            seccomp_profile: None,
            resources: Resources::default(),
            memory_swap_bytes: None,
            cgroup_parent: None,
            binds: Vec::new(),
            tmpfs: Vec::new(),
            devices: Vec::new(),
            ulimits: Vec::new(),
            processes: Processes::Own,
            host_network: false,
            tty: false,
            stdin: false,
            stdin_once: false,
            stop_signal: None,
            log: LogFiles::default(),
        }
    }
}

impl fmt::Debug for ContainerSpec {
    /// Without values of the environment and what was made of them, for they may come from Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSpec")
            .field("image", &self.image)
            .field("env", &self.env.keys())
            .field("security", &self.security)
            .field("resources", &self.resources)
            .field("binds", &self.binds)
            .finish_non_exhaustive()
    }
}

/// Whose processes a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Processes {
    /// Its own.
    #[default]
    Own,
    /// All of its pod: the sandbox is their process 1, and takes orphans.
    Pod,
    /// All of the host.
    Host,
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where.
    pub path: String,
    /// `None` for half of the host's memory, as the kernel has it.
    pub bytes: Option<u64>,
    /// Its rights, such as 0o1777.
    pub mode: u32,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path on the host.
    pub host: String,
    /// Its path in the container.
    pub container: String,
    /// `rwm` or less.
    pub rights: String,
}

/// A bound of a process, such as `nofile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Its name, as `ulimit` knows it.
    pub name: String,
    /// What holds.
    pub soft: i64,
    /// Up to what a process may raise it itself.
    pub hard: i64,
}

/// How a container's output is kept, on the engine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFiles {
    /// Bytes of a file.
    pub bytes_max: u64,
    /// Files, of which the oldest goes when one more is needed.
    pub files_max: u32,
}

impl Default for LogFiles {
    /// A kubelet's: `containerLogMaxSize` and `containerLogMaxFiles`.
    fn default() -> Self {
        Self { bytes_max: 10 << 20, files_max: 5 }
    }
}

/// What a pod's sandbox shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSpec {
    /// What the pod calls itself; empty on the host's network, which has the host's name.
    pub hostname: String,
    /// Its network.
    pub network: PodNetwork,
    /// Whether the pod has the host's IPC.
    pub host_ipc: bool,
    /// Kernel parameters of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The files below /etc.
    pub binds: Vec<Bind>,
    /// The cgroup around it.
    pub cgroup_parent: Option<String>,
}

/// A pod's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// The host's.
    Host,
    /// A place of its own in the agent's network ([`crate::Engine::ensure_network`]).
    Own {
        /// The pod's address.
        address: Ipv4Addr,
    },
}

/// A node's network for pods: a bridge without Docker's masquerade, for what leaves the cluster is the agent's to masquerade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Where its addresses begin.
    pub subnet: Ipv4Addr,
    /// The bits that they share.
    pub prefix: u8,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// The bridge's name as an interface: at most 15 signs.
    pub bridge: String,
    /// `None` for 1500.
    pub mtu: Option<u32>,
}
