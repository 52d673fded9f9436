// SPDX-License-Identifier: Apache-2.0
//! What the process is started with.

use crate::control::ClientError;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether services' addresses that are not the host's are taken into a network namespace of the process' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Namespace {
    /// Where the process may (Linux, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`), and a service has such an address.
    #[default]
    Auto,
    /// Never: such addresses are not served.
    Off,
}

/// Whether connections of small messages are handed to the kernel's rings (`io_uring(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rings {
    /// Where the kernel has what it takes (Linux 6.1) and allows it: those that have had some small messages in a row.
    #[default]
    Auto,
    /// Never: `epoll` waits for all.
    Off,
    /// From the first message on: for tests.
    Eager,
}

/// Whether clients that come over no bridge are accepted on the host, and not in the network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shortcut {
    /// Where there is a network namespace, and neither the kernel nor a firewall of the host speaks against it.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// What the process is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of the control socket. A socket that nobody listens at is replaced.
    pub control: PathBuf,
    /// Whose the control socket and its folder are, where a process of root serves another user.
    pub user: Option<u32>,
    /// Worker threads; 0 is one for each core that the process may use.
    pub workers: u32,
    /// Where another process serves at the path, take its sockets over instead of failing.
    pub take_over: bool,
    /// How long it keeps its connections when a successor has taken over.
    pub retired_max: Duration,
    /// Connections at once; 0 is as many as there are descriptors for.
    pub connections_max: u32,
    /// Descriptors at once; 0 is as many as the process may have, which root raises to [`crate::limits::DESCRIPTORS_MAX`].
    pub descriptors_max: u64,
    /// UDP flows at once; 0 is as many as there are descriptors for, and no more than [`crate::limits::FLOWS_MAX`] a worker.
    pub flows_max: u32,
    /// Names rules and routes on the host; two data planes on one host have two. Letters, digits and `-`, 32 at most.
    pub instance: String,
    /// Whether services may be on the fast path, where this host has one.
    pub fast: bool,
    /// Whether it has a network namespace of its own. What it makes on the host is named after the path of the control socket.
    pub namespace: Namespace,
    /// Whether workers use the kernel's rings.
    pub rings: Rings,
    /// Whether there is a way round that namespace.
    pub shortcut: Shortcut,
}

/// Where root's data plane has its control socket if nothing else is said: that one is the instance `main`.
const CONTROL: &str = "/run/berth/balancer.sock";

/// The instance of a control socket: the same one has the same rules and routes, run after run.
fn instance(control: &Path) -> String {
    if control == Path::new(CONTROL) {
        return "main".to_owned();
    }
    let absolute = std::path::absolute(control).unwrap_or_else(|_| control.to_owned());
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = absolute.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{sum:016x}")
}

impl Options {
    /// The defaults, with the control socket at `control`.
    #[must_use]
    pub fn new(control: PathBuf) -> Self {
        Self {
            instance: instance(&control),
            fast: true,
            control,
            user: None,
            workers: 0,
            take_over: false,
            retired_max: Duration::from_secs(crate::limits::RETIRED_S_MAX),
            connections_max: 0,
            descriptors_max: 0,
            flows_max: 0,
            namespace: Namespace::Auto,
            rings: Rings::Auto,
            shortcut: Shortcut::Auto,
        }
    }
}

/// Why the process did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another process serves at the path: use it, or take over.
    #[error("another data plane (process {pid}) serves at {path:?}")]
    Serves {
        /// The path.
        path: PathBuf,
        /// Its process id.
        pid: u32,
    },
    /// The control socket cannot be made.
    #[error("cannot listen at {path:?}")]
    Control {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or a descriptor that the process needs cannot be had.
    #[error("cannot start: {what}")]
    Start {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Taking over failed; the other process goes on.
    #[error("cannot take over")]
    TakeOver(#[source] ClientError),
}
